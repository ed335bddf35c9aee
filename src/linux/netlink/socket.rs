//! One rtnetlink socket: requests, answers, dumps; must not know what is asked for.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_NOOP, NetlinkBuffer,
    NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

/// The kernel answers while it takes the request; this only keeps us from hanging for ever. Milliseconds.
const PATIENCE: u16 = 10_000;
/// How often a dump is repeated that changes interrupted.
const ATTEMPTS: usize = 16;

/// A message of the kernel, header and contents.
pub type Message = NetlinkMessage<RouteNetlinkMessage>;

/// An rtnetlink socket, close-on-exec, in the namespace in which it was opened.
#[derive(Debug)]
pub struct RouteSocket {
    socket: Socket,
    port: u32,
    sequence: AtomicU32,
}

impl RouteSocket {
    /// Opens one that hears the multicast groups in the bit mask (bit n-1 for group n of rtnetlink(7)).
    pub fn open(groups: u32) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, groups))?;
        // So that a dump is of the one interface that is asked for, where there are hundreds. Older kernels dump all.
        let _ = socket.set_netlink_get_strict_chk(true);
        let port = port_of(&socket)?;
        Ok(Self {
            socket,
            port,
            sequence: AtomicU32::new(1),
        })
    }

    /// Takes one that was opened elsewhere. If it is none, whatever is asked of it fails.
    pub fn adopt(descriptor: OwnedFd) -> Self {
        // SAFETY: the descriptor is open and owned, and the socket becomes its only owner.
        let socket = unsafe { Socket::from_raw_fd(descriptor.into_raw_fd()) };
        let port = port_of(&socket).unwrap_or(0);
        Self {
            socket,
            port,
            sequence: AtomicU32::new(1),
        }
    }

    /// Sends one request and collects its answers; a dump is repeated until no change interrupted it.
    /// What else arrives meanwhile (or the loss of it, `None`) goes to `stray`.
    pub fn exchange(
        &self,
        request: &RouteNetlinkMessage,
        flags: u16,
        mut stray: impl FnMut(Option<Message>),
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        // A dump ends with DONE by itself.
        let flags = if flags & NLM_F_DUMP == NLM_F_DUMP {
            flags
        } else {
            flags | NLM_F_ACK
        };
        for _ in 0..ATTEMPTS {
            let sequence = self.send(request, flags)?;
            if let Some(answers) = self.collect(sequence, &mut stray)? {
                return Ok(answers);
            }
        }
        Err(Errno::EBUSY.into())
    }

    /// Asks the kernel for an empty answer, which makes the socket readable.
    pub fn nudge(&self) -> io::Result<()> {
        let mut request = NetlinkMessage::<RouteNetlinkMessage>::new(
            NetlinkHeader::default(),
            NetlinkPayload::Noop,
        );
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
        request.header.sequence_number = self.sequence.fetch_add(1, Ordering::Relaxed);
        request.finalize();
        debug_assert_eq!(request.header.message_type, NLMSG_NOOP);
        self.transmit(&request)
    }

    /// The messages of one datagram, in order; `WouldBlock` if there is none, `ENOBUFS` if some were lost.
    pub fn receive(&self) -> io::Result<Vec<Message>> {
        let fd = self.socket.as_raw_fd();
        let peek = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT;
        let length = recv(fd, &mut [], peek)?;
        let mut datagram = vec![0_u8; length];
        let taken = recv(
            fd,
            &mut datagram,
            MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT,
        )?;
        if taken > length {
            return Err(Errno::EMSGSIZE.into());
        }
        datagram.truncate(taken);
        split(&datagram)
    }

    /// Is this message an answer to a request of ours?
    pub fn is_answer(&self, message: &Message) -> bool {
        // The kernel writes the asker's port and number into the events that a request causes, too: those are of another kind.
        let own = message.header.port_number == self.port;
        own && match message.payload {
            NetlinkPayload::InnerMessage(_) => {
                message.header.flags & netlink_packet_core::NLM_F_MULTIPART != 0
            }
            _ => true,
        }
    }

    fn send(&self, request: &RouteNetlinkMessage, flags: u16) -> io::Result<u32> {
        let mut message = NetlinkMessage::from(request.clone());
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = self.sequence.fetch_add(1, Ordering::Relaxed);
        message.finalize();
        self.transmit(&message)?;
        Ok(message.header.sequence_number)
    }

    fn transmit(&self, message: &Message) -> io::Result<()> {
        let mut bytes = vec![0_u8; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        Ok(())
    }

    /// The answers to one request, or `None` when changes interrupted the dump.
    fn collect(
        &self,
        sequence: u32,
        stray: &mut impl FnMut(Option<Message>),
    ) -> io::Result<Option<Vec<RouteNetlinkMessage>>> {
        let mut answers = Vec::new();
        let mut interrupted = false;
        loop {
            self.wait()?;
            let messages = match self.receive() {
                Ok(messages) => messages,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    // Events were lost. Answers are not: the kernel keeps room for them.
                    stray(None);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            for message in messages {
                if message.header.port_number != self.port
                    || message.header.sequence_number != sequence
                {
                    stray(Some(message));
                    continue;
                }
                interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
                let code = match message.payload {
                    NetlinkPayload::InnerMessage(answer) => {
                        answers.push(answer);
                        continue;
                    }
                    NetlinkPayload::Done(done) => done.code,
                    NetlinkPayload::Error(error) => error.raw_code(),
                    _ => continue,
                };
                if code != 0 {
                    return Err(io::Error::from_raw_os_error(code.saturating_neg()));
                }
                return Ok(if interrupted { None } else { Some(answers) });
            }
        }
    }

    fn wait(&self) -> io::Result<()> {
        loop {
            let mut asked = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut asked, PollTimeout::from(PATIENCE)) {
                Ok(0) => return Err(Errno::ETIMEDOUT.into()),
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for RouteSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The number under which the kernel answers to this socket.
fn port_of(socket: &Socket) -> io::Result<u32> {
    let mut own = SocketAddr::new(0, 0);
    socket.get_address(&mut own)?;
    Ok(own.port_number())
}

/// Cuts a datagram into its messages (netlink(7): each one starts at a multiple of four).
fn split(datagram: &[u8]) -> io::Result<Vec<Message>> {
    let odd = |error: netlink_packet_core::DecodeError| {
        io::Error::new(io::ErrorKind::InvalidData, error.to_string())
    };
    let mut messages = Vec::new();
    let mut rest = datagram;
    while !rest.is_empty() {
        let length = NetlinkBuffer::new_checked(rest).map_err(odd)?.length();
        let length = usize::try_from(length)
            .unwrap_or(usize::MAX)
            .min(rest.len());
        messages.push(Message::deserialize(&rest[..length]).map_err(odd)?);
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
    }
    Ok(messages)
}
