//! Many frames fetched by one system call, and packed one behind the other; must not know what they mean.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd};

/// Frames fetched at once.
pub const MOST: usize = 32;
/// Bytes kept of each: an advertisement has at most 14 + 60 + 36, a solicitation some more.
const LONGEST: usize = 512;

type Slot = [u8; LONGEST];

/// Where the kernel puts frames; one for all calls.
#[derive(Debug)]
pub struct Slots(Box<[Slot; MOST]>);

/// Frames in the order in which they arrived.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Frames {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// There is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Each one from its destination address on.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(&0).chain(&self.ends);
        begins
            .zip(&self.ends)
            .map(|(begin, end)| &self.bytes[*begin..*end])
    }

    fn push(&mut self, frame: &[u8]) {
        self.bytes.extend_from_slice(frame);
        self.ends.push(self.bytes.len());
    }
}

impl<'a> FromIterator<&'a [u8]> for Frames {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(frames: I) -> Self {
        let mut packed = Self::default();
        frames.into_iter().for_each(|frame| packed.push(frame));
        packed
    }
}

impl Default for Slots {
    fn default() -> Self {
        Self(Box::new([[0; LONGEST]; MOST]))
    }
}

impl Slots {
    /// Fetches what waits in the queue of a non-blocking socket, up to [`MOST`] frames; what is longer than we look is
    /// cut off.
    ///
    /// # Errors
    /// WouldBlock when nothing waits, else as `PacketSocket::recv`.
    pub fn fetch(&mut self, socket: &impl AsFd) -> io::Result<Frames> {
        let mut parts = self.0.each_mut().map(|slot| libc::iovec {
            iov_base: slot.as_mut_ptr().cast(),
            iov_len: LONGEST,
        });
        let mut headers = parts.each_mut().map(|part| {
            // SAFETY: mmsghdr is plain integers and pointers, of which all zeroes (none) is a value.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header
        });
        let most = libc::c_uint::try_from(MOST).expect("32 fits");
        // SAFETY: each header names one iovec, which names one slot of the length given; all of them live and are
        // borrowed by nobody else until the call is over. No header asks for a name or for control data.
        let fetched = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                headers.as_mut_ptr(),
                most,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let fetched = usize::try_from(nix::errno::Errno::result(fetched)?)
            .expect("a count that is no error is not negative");
        let lengths = headers.map(|header| header.msg_len);
        let filled = self.0.iter().zip(lengths).take(fetched);
        let length = |length: u32| usize::try_from(length).map_or(LONGEST, |n| n.min(LONGEST));
        Ok(filled.map(|(slot, bytes)| &slot[..length(bytes)]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in() {
        let each: [&[u8]; 4] = [b"one", b"", b"three", &[0; LONGEST]];
        let frames: Frames = each.into_iter().collect();
        assert_eq!((frames.len(), frames.is_empty()), (4, false));
        assert!(frames.iter().eq(each));
        assert_eq!(Frames::default().iter().count(), 0);
    }
}
