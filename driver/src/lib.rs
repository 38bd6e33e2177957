//! The card from user space: its registers behind a BAR, its tables loaded and committed, its counters and flow table
//! read, its memories tested.
//!
//! It knows the contract (`maglane-spec`) and nothing of configuration files, of backends' health, or of the gateware that
//! answers: a card on PCIe, one behind a socket and one that is simulated in the same process are all a [`BarIo`]. It does
//! no DMA, takes no interrupt and moves no frame. Its unit of work is the register access.
//!
//! From below: [`bar`] moves 32-bit words, [`card`] knows registers and pages, [`load`], [`counters`], [`flows`] and
//! [`selftest`] know what they mean. [`pci`] finds a card and hands it to `vfio-pci`, [`lock`] keeps a second process away.

#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod bar;
pub mod card;
pub mod counters;
#[cfg(test)]
mod fixture;
pub mod flows;
pub mod identity;
pub mod load;
pub mod lock;
pub mod pci;
pub mod place;
pub mod selftest;

pub use bar::{BarError, BarIo};
pub use card::{Card, CardError};
pub use identity::Identity;
pub use load::Loader;
