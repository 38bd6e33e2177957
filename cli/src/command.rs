//! The commands. Each runs to its end and yields whether the answer is yes; an error is when there is no answer.

#[cfg(target_os = "linux")]
pub(crate) mod attach;
pub(crate) mod card;
pub(crate) mod replay;
#[cfg(feature = "lab")]
pub(crate) mod rtl;
#[cfg(target_os = "linux")]
pub(crate) mod run;
pub(crate) mod table;
pub(crate) mod trace;
#[cfg(feature = "lab")]
pub(crate) mod verify;
