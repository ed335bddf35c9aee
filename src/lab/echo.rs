//! One socket's worth of ICMP echo, either family: numbered requests out, numbers of the replies in; must not know when
//! or why it is asked.

use super::stamp::{self, Epoch};
use crate::linux;
use crate::time::Instant;
use crate::wire::Family;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, sendto,
    setsockopt, socket, sockopt,
};
use std::io;
use std::net::{IpAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};

const MAGIC: [u8; 8] = *b"carpecho";
const QUEUE_BYTES: usize = 1 << 20;
/// Tells the sockets of one process apart.
static OPENED: AtomicU16 = AtomicU16::new(0);

/// A raw ICMP socket. It is not connected: a connected one would refuse to send after an ICMP error.
#[derive(Debug)]
pub struct Echo {
    fd: OwnedFd,
    target: IpAddr,
    identifier: u16,
}

impl Echo {
    /// Opens a socket in the calling thread's namespace.
    ///
    /// # Errors
    /// EPERM without CAP_NET_RAW.
    pub fn open(target: IpAddr) -> linux::Result<Self> {
        let failed = |errno| linux::Error::new("open ICMP socket", "", errno);
        let (family, protocol) = match target {
            IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
            IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(family, SockType::Raw, flags, protocol).map_err(failed)?;
        stamp::enable(&fd).map_err(|source| linux::Error::new("open ICMP socket", "", source))?;
        // Refused beyond the system's limit; then the default must do.
        let _ = setsockopt(&fd, sockopt::RcvBuf, &QUEUE_BYTES);
        let [low, high, ..] = std::process::id().to_le_bytes();
        let identifier =
            u16::from_le_bytes([low, high]).wrapping_add(OPENED.fetch_add(1, Ordering::Relaxed));
        Ok(Self {
            fd,
            target,
            identifier,
        })
    }

    /// Whom it asks.
    #[must_use]
    pub fn target(&self) -> IpAddr {
        self.target
    }

    /// Its family.
    #[must_use]
    pub fn family(&self) -> Family {
        match self.target {
            IpAddr::V4(_) => Family::Inet,
            IpAddr::V6(_) => Family::Inet6,
        }
    }

    /// Sends request `number`.
    ///
    /// # Errors
    /// Those of sendto, for instance ENETUNREACH without a route.
    pub fn send(&self, number: u64) -> io::Result<()> {
        let request = request(self.family(), self.identifier, number);
        let fd = self.fd.as_raw_fd();
        match self.target {
            IpAddr::V4(ip) => sendto(
                fd,
                &request,
                &SockaddrIn::from(SocketAddrV4::new(ip, 0)),
                MsgFlags::MSG_DONTWAIT,
            ),
            IpAddr::V6(ip) => sendto(
                fd,
                &request,
                &SockaddrIn6::from(SocketAddrV6::new(ip, 0, 0, 0)),
                MsgFlags::MSG_DONTWAIT,
            ),
        }?;
        Ok(())
    }

    /// Takes one packet from the queue: the number and time of a reply to us, `Some(None)` for anything else, `None`
    /// when the queue is empty.
    pub fn receive(&self, epoch: Epoch) -> Option<Option<(u64, Instant)>> {
        let mut buffer = [0; 256];
        let (length, at) = stamp::receive(&self.fd, &mut buffer, epoch).ok()?;
        let packet = &buffer[..length.min(buffer.len())];
        Some(number_of(packet, self.family(), self.identifier).map(|number| (number, at)))
    }
}

impl AsFd for Echo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The ICMP message. The kernel fills in the checksum of IPv6, which has the addresses in it.
fn request(family: Family, identifier: u16, number: u64) -> [u8; 24] {
    let mut message = [0; 24];
    message[0] = if family == Family::Inet { 8 } else { 128 };
    message[4..6].copy_from_slice(&identifier.to_be_bytes());
    message[6..8].copy_from_slice(&number.to_be_bytes()[6..]);
    message[8..16].copy_from_slice(&MAGIC);
    message[16..].copy_from_slice(&number.to_be_bytes());
    if family == Family::Inet {
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

/// RFC 1071 over bytes that come in pairs, or with a last one padded.
pub(super) fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let sum: u32 = bytes.chunks(2).map(word).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let [_, _, high, low] = ((folded & 0xffff) + (folded >> 16)).to_be_bytes();
    !u16::from_be_bytes([high, low])
}

/// The number of a reply to `identifier`. A raw IPv4 socket delivers the IP header too, a raw IPv6 socket does not.
fn number_of(packet: &[u8], family: Family, identifier: u16) -> Option<u64> {
    let (icmp, reply) = match family {
        Family::Inet => (packet.get(usize::from(packet.first()? & 0x0f) * 4..)?, 0),
        Family::Inet6 => (packet, 129),
    };
    let ours = icmp.first() == Some(&reply) && icmp.get(4..6) == Some(&identifier.to_be_bytes());
    ours.then(|| number_in(icmp.get(8..)?)).flatten()
}

/// The number in the payload of one of our requests or replies.
#[must_use]
pub fn number_in(payload: &[u8]) -> Option<u64> {
    let rest = payload.strip_prefix(&MAGIC)?;
    Some(u64::from_be_bytes(rest.get(..8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_request_carries_a_valid_checksum_and_its_number() {
        let message = request(Family::Inet, 0x1234, 70_000);
        assert_eq!(checksum(&message), 0);
        assert_eq!(number_in(&message[8..]), Some(70_000));
        let mut reply = vec![0x45; 20];
        reply.extend(message);
        assert_eq!(
            number_of(&reply, Family::Inet, 0x1234),
            None,
            "our own request is no reply"
        );
        reply[20] = 0;
        assert_eq!(number_of(&reply, Family::Inet, 0x1234), Some(70_000));
        assert_eq!(number_of(&reply, Family::Inet, 0x1235), None);
        for end in 0..reply.len() {
            let _ = number_of(&reply[..end], Family::Inet, 0x1234);
        }
    }
}
