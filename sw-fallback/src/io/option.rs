//! Options of a socket, as values of the types that the kernel reads and writes.

// Options that the standard library does not know have no safe form.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Numbers, and structures of numbers only, so that any bytes are a value.
///
/// # Safety
/// Every bit pattern is a value of the type.
pub(super) unsafe trait Plain: Copy {}

// SAFETY: a number.
unsafe impl Plain for u32 {}
// SAFETY: a number.
unsafe impl Plain for libc::c_int {}
// SAFETY: three numbers.
unsafe impl Plain for libc::tpacket_stats_v3 {}
// SAFETY: sixteen numbers.
unsafe impl Plain for libc::xdp_mmap_offsets {}
// SAFETY: six numbers.
unsafe impl Plain for libc::xdp_statistics {}
// SAFETY: one number.
unsafe impl Plain for libc::xdp_options {}

/// Sets an option. What its value points at, if it does, must be there until this returns.
pub(super) fn set<T>(fd: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    let value: *const T = value;
    // SAFETY: the pointer and the length are those of one value, which outlives the call. What it points at in turn, if it
    // does, is the caller's meanwhile.
    checked(unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, value.cast(), len_of::<T>()) })
}

/// Reads an option; what the kernel does not write of it is zero.
pub(super) fn get<T: Plain>(fd: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut len = len_of::<T>();
    // SAFETY: the kernel writes no more than the length that it is given, which is that of the value.
    checked(unsafe { libc::getsockopt(fd.as_raw_fd(), level, option, value.as_mut_ptr().cast(), &raw mut len) })?;
    // SAFETY: every byte was zero or has been written, and every bit pattern is a value.
    Ok(unsafe { value.assume_init() })
}

/// What a system call says that returns less than zero when it fails.
pub(super) fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Bytes of a type, as system calls want them.
pub(super) const fn len_of<T>() -> libc::socklen_t {
    const { assert!(size_of::<T>() <= 0xffff) };
    #[expect(clippy::cast_possible_truncation, reason = "asserted")]
    let len = size_of::<T>() as libc::socklen_t;
    len
}
