//! The card from user space: its registers behind a BAR, its tables loaded and committed, its counters and flow table
//! read, its memories tested.
//!
//! It knows the contract (`maglane-spec`) and nothing of configuration files, of backends' health, or of the gateware that
//! answers: a card on PCIe, one behind a socket and one that is simulated in the same process are all a [`BarIo`]. It does
//! no DMA, takes no interrupt and moves no frame. Its unit of work is the register access.

#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod bar;
pub mod lock;
pub mod pci;

pub use bar::{BarError, BarIo};
