//! What a process leaves to the program that takes its place by execve(2): descriptors, by number, and a letter; must not know what
//! they are.

use super::{Error, Result, sandbox};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;

/// The longest letter, in bytes.
const LETTER_MAX: u64 = 16 << 20;

/// The number of a descriptor that is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Number(RawFd);

impl Number {
    /// What stands on a command line, or in a letter.
    #[must_use]
    pub const fn new(number: RawFd) -> Self {
        Self(number)
    }

    /// For who passes it by other means.
    #[must_use]
    pub const fn get(self) -> RawFd {
        self.0
    }

    /// The descriptor that this process was left under the number, once.
    ///
    /// # Errors
    /// EBADF: there is none, or it is taken.
    pub fn take(self) -> Result<OwnedFd> {
        sandbox::inherited(self.0)
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Descriptors that are to be passed on. Whoever owns them keeps them open.
#[derive(Debug, Default)]
pub struct Parcel(Vec<RawFd>);

impl Parcel {
    /// Adds one.
    pub fn put(&mut self, descriptor: impl AsFd) -> Number {
        let number = descriptor.as_fd().as_raw_fd();
        self.0.push(number);
        Number(number)
    }

    /// From now on they survive an execve(2), or, after one that failed, no longer.
    ///
    /// # Errors
    /// One of them is not open; some may survive.
    pub fn survive(&self, yes: bool) -> Result<()> {
        let flags = if yes {
            FdFlag::empty()
        } else {
            FdFlag::FD_CLOEXEC
        };
        for number in &self.0 {
            // SAFETY: used for fcntl(2) only, which answers EBADF if it is not open.
            let descriptor = unsafe { BorrowedFd::borrow_raw(*number) };
            fcntl(descriptor, FcntlArg::F_SETFD(flags))
                .map_err(|errno| Error::new("pass descriptor", number.to_string(), errno))?;
        }
        Ok(())
    }
}

/// A text that nobody can change any more, in a file without a name.
///
/// # Errors
/// There is no memory, or the kernel is older than sealing (3.17).
pub fn letter(text: &[u8]) -> Result<OwnedFd> {
    let failed = |error: io::Error| Error::new("write", "letter", error);
    let write = || -> io::Result<OwnedFd> {
        let memory = memfd_create(c"carp", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
        let mut file = File::from(memory);
        file.write_all(text)?;
        let seals = SealFlag::F_SEAL_SEAL
            | SealFlag::F_SEAL_SHRINK
            | SealFlag::F_SEAL_GROW
            | SealFlag::F_SEAL_WRITE;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        Ok(OwnedFd::from(file))
    };
    write().map_err(failed)
}

/// What a letter says.
///
/// # Errors
/// It cannot be read, or is longer than any of ours.
pub fn read_letter(letter: OwnedFd) -> Result<Vec<u8>> {
    let failed = |error: io::Error| Error::new("read", "letter", error);
    let file = File::from(letter);
    let length = file.metadata().map_err(failed)?.len();
    if length > LETTER_MAX {
        return Err(failed(Errno::EFBIG.into()));
    }
    let length = usize::try_from(length).map_err(|_| failed(Errno::EFBIG.into()))?;
    let mut text = vec![0; length];
    file.read_exact_at(&mut text, 0).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_letter_reads_as_it_was_written_and_stays_so() {
        let sealed = letter(b"dear heir").unwrap();
        let mut copy = File::from(sealed.try_clone().unwrap());
        assert!(copy.write_all(b"!").is_err());
        assert_eq!(read_letter(sealed).unwrap(), b"dear heir");
    }

    #[test]
    fn what_is_passed_survives_until_it_is_called_back_and_is_taken_once() {
        let sealed = letter(b"").unwrap();
        let mut parcel = Parcel::default();
        let number = parcel.put(&sealed);
        assert_eq!(
            number.take().unwrap_err().errno(),
            libc::EBADF,
            "it is ours yet"
        );
        parcel.survive(true).unwrap();
        parcel.survive(false).unwrap();
        assert!(number.take().is_err());
        parcel.survive(true).unwrap();
        // As after execve(2): nobody owns it but by its number.
        std::mem::forget(sealed);
        let taken = number.take().unwrap();
        assert!(number.take().is_err());
        drop(taken);
    }
}
