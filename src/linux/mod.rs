//! All that touches the kernel, and the only `unsafe`; must not know vhids, states or policy.
//!
//! Everything here works on the network namespace of the calling thread. `/proc/self/ns/net`, `/proc/net` and `/sys/class/net`
//! show the main thread's namespace instead: only netlink, `/proc/thread-self` and `/proc/sys` are used.

#![doc = include_str!("traps.md")]

pub mod bpf;
pub mod capabilities;
pub mod channel;
pub mod clock;
pub mod descriptor;
pub mod ethtool;
pub mod filter;
pub mod frames;
pub mod groups;
pub mod memory;
pub mod monitor;
pub mod netlink;
pub mod netns;
pub mod packet;
pub mod pass;
pub mod random;
pub mod raw;
pub mod readiness;
pub mod records;
pub mod refusal;
pub mod sandbox;
pub mod syscalls;
pub mod sysctl;
pub mod tap;
pub mod userns;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

/// A refused operation: what was tried, on what, and why not.
#[derive(Debug)]
pub struct Error {
    /// The operation in a word or two, as "add address".
    pub op: &'static str,
    /// The interface, address or file; may be empty.
    pub what: String,
    /// The reason.
    pub source: io::Error,
}

impl Error {
    /// An error of `op` on `what`.
    pub fn new(op: &'static str, what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self {
            op,
            what: what.into(),
            source: source.into(),
        }
    }

    /// The errno, 0 where there is none.
    #[must_use]
    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(0)
    }
}

impl fmt::Display for Error {
    /// `op what: reason`; the reason in strerror's words, and `what` escaped, as an interface name may hold control characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.op)?;
        if !self.what.is_empty() {
            write!(f, " {}", self.what.escape_debug())?;
        }
        match self.source.raw_os_error() {
            Some(errno) => write!(f, ": {}", Errno::from_raw(errno).desc()),
            None => write!(f, ": {}", self.source),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// What an operation of this module tree gives.
pub type Result<T> = std::result::Result<T, Error>;

/// Whether reads and writes answer `WouldBlock` instead of waiting.
fn set_nonblocking(fd: BorrowedFd<'_>, yes: bool) -> io::Result<()> {
    let mut flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_NONBLOCK, yes);
    fcntl(fd, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_speaks_like_the_system_and_escapes_what_it_names() {
        let error = Error::new("find interface", "ca\x1brp0", Errno::ENODEV);
        assert_eq!(
            error.to_string(),
            "find interface ca\\u{1b}rp0: No such device"
        );
        assert_eq!(error.errno(), libc::ENODEV);
    }
}
