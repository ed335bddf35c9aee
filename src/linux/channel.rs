//! Messages and descriptors between two processes, whole or not at all; must not know what is said.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, Shutdown, SockFlag, SockType,
    recv, recvmsg, sendmsg, setsockopt, shutdown, socketpair, sockopt,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The longest message, in bytes.
pub const MAX_MESSAGE: usize = 256 * 1024;
/// The most descriptors beside one message.
pub const MAX_DESCRIPTORS: usize = 16;
/// The most that the kernel lets anybody send (unix(7), SCM_MAX_FD): room for all, so that what is too much can be closed.
const KERNEL_DESCRIPTORS: usize = 253;

/// One end of a connected `SOCK_SEQPACKET` socket.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Two connected ends, blocking, close-on-exec.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        Ok((Self::from(a), Self::from(b)))
    }

    /// Sends one message, not empty and at most [`MAX_MESSAGE`] bytes, with at most [`MAX_DESCRIPTORS`] descriptors.
    /// `BrokenPipe` when the far end is gone, `WouldBlock` when it does not read and this end is non-blocking.
    pub fn send(&self, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        if message.is_empty() || message.len() > MAX_MESSAGE || descriptors.len() > MAX_DESCRIPTORS
        {
            return Err(Errno::EMSGSIZE.into());
        }
        let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&numbers)];
        let control = if numbers.is_empty() {
            &rights[..0]
        } else {
            &rights[..]
        };
        loop {
            match sendmsg::<()>(
                self.0.as_raw_fd(),
                &[IoSlice::new(message)],
                control,
                MsgFlags::MSG_NOSIGNAL,
                None,
            ) {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
                // A sequenced packet is taken whole or refused.
                Ok(_) => return Ok(()),
            }
        }
    }

    /// Receives one message with its descriptors (close-on-exec), or `None` when the far end is gone. A message that is
    /// too long or whose descriptors did not all fit is an error, and what did arrive of it is closed.
    pub fn recv(&self) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
        let Some(length) = self.next_length()? else {
            return Ok(None);
        };
        let mut message = vec![0_u8; length.min(MAX_MESSAGE)];
        let mut control = nix::cmsg_space!([RawFd; KERNEL_DESCRIPTORS]);
        let (received, flags, descriptors) = {
            let mut parts = [IoSliceMut::new(&mut message)];
            let got = recvmsg::<()>(
                self.0.as_raw_fd(),
                &mut parts,
                Some(&mut control),
                MsgFlags::MSG_CMSG_CLOEXEC,
            )?;
            let mut descriptors = Vec::new();
            for item in got.cmsgs()? {
                if let ControlMessageOwned::ScmRights(numbers) = item {
                    // SAFETY: the kernel has just made these descriptors for us, and each number is taken once.
                    descriptors.extend(
                        numbers
                            .into_iter()
                            .map(|number| unsafe { OwnedFd::from_raw_fd(number) }),
                    );
                }
            }
            (got.bytes, got.flags, descriptors)
        };
        let cut = flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC);
        if cut || descriptors.len() > MAX_DESCRIPTORS {
            return Err(Errno::EMSGSIZE.into());
        }
        message.truncate(received);
        Ok(Some((message, descriptors)))
    }

    /// The far end sees the end after what was sent, whoever else holds this one.
    pub fn hang_up(&self) {
        // It can fail only when the far end was faster.
        let _ = shutdown(self.0.as_raw_fd(), Shutdown::Both);
    }

    /// Whether `send` and `recv` answer `WouldBlock` instead of waiting.
    pub fn set_nonblocking(&self, yes: bool) -> io::Result<()> {
        super::set_nonblocking(self.0.as_fd(), yes)
    }

    /// The length of the next message, which stays in the queue; `None` when the far end is gone.
    fn next_length(&self) -> io::Result<Option<usize>> {
        loop {
            match recv(
                self.0.as_raw_fd(),
                &mut [],
                MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC,
            ) {
                // No message is empty, see `send`.
                Ok(0) | Err(Errno::ECONNRESET) => return Ok(None),
                Ok(length) => return Ok(Some(length)),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl From<OwnedFd> for Channel {
    /// Takes one end of a pair that was passed to this process.
    fn from(socket: OwnedFd) -> Self {
        // The kernel doubles the value and cuts it at wmem_max; should that be too little, `send` says EMSGSIZE.
        let _ = setsockopt(&socket, sockopt::SndBuf, &MAX_MESSAGE);
        Self(socket)
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.0
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
