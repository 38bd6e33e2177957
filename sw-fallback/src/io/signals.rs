//! Signals to a long-running command, waited for like any other event.
//!
//! Nothing runs when a signal comes: it waits until it is asked for. So what is done about it is ordinary code, between two
//! reports, and no thread is interrupted in the middle of a burst.

// System calls about signals have no safe form in the standard library.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

/// What another process wants of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// End: Ctrl-C, or a service manager.
    End,
    /// Read the configuration again.
    Reload,
}

/// The signals that wait for this thread to ask.
#[derive(Debug)]
pub struct Signals {
    set: libc::sigset_t,
}

impl Signals {
    /// Keeps SIGINT, SIGTERM and SIGHUP from what they do by default, in this thread and in those that it starts from now
    /// on: so before any other is started.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn hold() -> io::Result<Self> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: `sigemptyset` writes the whole set, so that it is initialised before it is read; the others get that set
        // and signals that there are.
        let (set, result) = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            let mut set = set.assume_init();
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                libc::sigaddset(&raw mut set, signal);
            }
            (set, libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()))
        };
        if result == 0 { Ok(Self { set }) } else { Err(io::Error::from_raw_os_error(result)) }
    }

    /// Waits for one of them no longer than a time.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> Option<Signal> {
        let timeout = libc::timespec {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        // SAFETY: both pointers are to whole values that outlive the call; none is asked where the signal came from.
        match unsafe { libc::sigtimedwait(&raw const self.set, std::ptr::null_mut(), &raw const timeout) } {
            libc::SIGINT | libc::SIGTERM => Some(Signal::End),
            libc::SIGHUP => Some(Signal::Reload),
            _ => None,
        }
    }
}
