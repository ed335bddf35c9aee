//! Numbers of descriptors: they decide in what order a dying process lets go of what it holds. Must not know what that is.
//!
//! A process that was killed releases from the highest number down, one after the other (tried on 6.18).

use nix::fcntl::{FcntlArg, fcntl};
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

/// For what must go before interfaces do, which take 20 ms each (T26): a successor waits for it.
pub const AT_ONCE: [libc::c_int; 3] = [(1 << 13) - 1, 1023, 255];
/// For interfaces: they and their addresses are gone before anything that is opened in the usual way (T30).
pub const EARLY: [libc::c_int; 3] = [1 << 12, 512, 128];

/// A copy whose number is at least the first of `least` that the limit of this process allows. The kernel's table grows to
/// that size, 8 bytes each.
///
/// # Errors
/// No such number is left.
pub fn copy(descriptor: impl AsFd, least: [libc::c_int; 3]) -> io::Result<OwnedFd> {
    let mut last = io::Error::from(io::ErrorKind::InvalidInput);
    for number in least {
        match fcntl(descriptor.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(number)) {
            // SAFETY: fcntl has just made this descriptor, nobody else has it.
            Ok(fd) => return Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}
