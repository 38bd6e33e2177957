//! Which processor a thread runs on.
//!
//! A worker that stays on one finds its tables and rings in that one's cache. Which one is the administrator's choice: best
//! one that gets the interrupts of the worker's queue, or one beside it.

// The standard library knows threads, but not processors.
#![allow(unsafe_code)]

use std::io;
use std::mem;

/// Whether this thread, and those that it starts, may run on the processor of a number.
///
/// # Errors
/// When the operating system does not tell.
pub fn is_allowed(number: u16) -> io::Result<bool> {
    let mut set = none();
    // SAFETY: the pointer and the length are those of one set, which is ours and outlives the call.
    let result = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the number is that of a bit of the set.
    Ok(usize::from(number) < NUMBERS && unsafe { libc::CPU_ISSET(number.into(), &set) })
}

/// Has this thread run on the processor of a number only.
///
/// # Errors
/// When there is no such one, or the process may not.
pub fn pin(number: u16) -> io::Result<()> {
    if usize::from(number) >= NUMBERS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut set = none();
    // SAFETY: the number is that of a bit of the set.
    unsafe { libc::CPU_SET(number.into(), &mut set) };
    // SAFETY: the pointer and the length are those of one set, which outlives the call.
    let result = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The set of no processors.
const fn none() -> libc::cpu_set_t {
    // SAFETY: a set is bits, and all of them may be zero.
    unsafe { mem::zeroed() }
}

/// Processors that a set has bits for.
const NUMBERS: usize = 8 * size_of::<libc::cpu_set_t>();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_that_is_pinned_may_run_on_one_processor_only() {
        let first = (0..1_024).find(|&number| is_allowed(number).unwrap()).expect("it runs on one");
        std::thread::spawn(move || {
            pin(first).unwrap();
            let allowed: Vec<u16> = (0..2_000).filter(|&number| is_allowed(number).unwrap()).collect();
            assert_eq!(allowed, [first]);
        })
        .join()
        .unwrap();
        assert!(pin(1_023).is_err() || is_allowed(1_023).unwrap());
        assert!(pin(1_024).is_err() && pin(u16::MAX).is_err());
    }
}
