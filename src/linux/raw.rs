//! A raw IP socket that only sends, by one interface; must not know what its packets mean.
//!
//! It takes whole packets, header included, and leaves routing and neighbour resolution to the kernel. That it is open at all
//! keeps the kernel from answering what comes in of its protocol with "protocol unreachable" (T28).

use super::filter::Filter;
use super::packet::{attach, set_option};
use super::{Error, Result};
use crate::wire::Family;
use nix::errno::Errno;
use nix::sys::socket::{self as sys, MsgFlags, SockaddrIn, SockaddrIn6, sockopt};
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// IP protocol 112.
const PROTOCOL: libc::c_int = 112;

// linux/in.h and linux/in6.h; not in the libc crate for every target.
const IP_HDRINCL: libc::c_int = 3;
const IP_MULTICAST_ALL: libc::c_int = 49;
const IPV6_HDRINCL: libc::c_int = 36;
const IPV6_MULTICAST_ALL: libc::c_int = 29;

/// A socket of IP protocol 112, bound to an interface, deaf and non-blocking.
#[derive(Debug)]
pub struct RawSocket {
    fd: OwnedFd,
}

impl RawSocket {
    /// Opens one that sends by the interface of this name.
    ///
    /// # Errors
    /// EPERM without CAP_NET_RAW, ENODEV when there is no such interface, EAFNOSUPPORT when the kernel lacks the family.
    pub fn open(name: &str, family: Family) -> Result<Self> {
        let failed = |op: &'static str| {
            move |e: io::Error| Error::new(op, format!("raw socket on {name}"), e)
        };
        let domain = match family {
            Family::Inet => libc::AF_INET,
            Family::Inet6 => libc::AF_INET6,
        };
        let fd = socket(domain).map_err(failed("open"))?;
        attach(&fd, &Filter::none().program).map_err(failed("set filter of"))?;
        let on = 1i32;
        let off = 0i32;
        match family {
            Family::Inet => {
                set_option(&fd, libc::IPPROTO_IP, IP_HDRINCL, &on).map_err(failed("set"))?;
                // What the packet sockets hear need not be copied for us only to be dropped.
                let _ = set_option(&fd, libc::IPPROTO_IP, IP_MULTICAST_ALL, &off);
            }
            Family::Inet6 => {
                set_option(&fd, libc::IPPROTO_IPV6, IPV6_HDRINCL, &on).map_err(failed("set"))?;
                let _ = set_option(&fd, libc::IPPROTO_IPV6, IPV6_MULTICAST_ALL, &off);
            }
        }
        sys::setsockopt(&fd, sockopt::BindToDevice, &OsString::from(name))
            .map_err(|e| failed("bind")(e.into()))?;
        Ok(Self { fd })
    }

    /// Sends a whole packet to a host.
    ///
    /// # Errors
    /// EINVAL or EAFNOSUPPORT for the other family, ENETUNREACH and EHOSTUNREACH without a route, ENETDOWN, ENODEV.
    pub fn send(&self, to: IpAddr, packet: &[u8]) -> io::Result<()> {
        let fd = self.fd.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        match to {
            IpAddr::V4(ip) => {
                let to = SockaddrIn::from(SocketAddrV4::new(ip, 0));
                sys::sendto(fd, packet, &to, flags)?;
            }
            IpAddr::V6(ip) => {
                // A link-local one is on the interface that the socket is bound to.
                let to = SockaddrIn6::from(SocketAddrV6::new(ip, 0, 0, 0));
                sys::sendto(fd, packet, &to, flags)?;
            }
        }
        Ok(())
    }
}

/// nix knows no protocol but those of its own list.
fn socket(domain: libc::c_int) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket(2) takes plain numbers.
    let fd = Errno::result(unsafe { libc::socket(domain, kind, PROTOCOL) })?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

impl From<OwnedFd> for RawSocket {
    /// A descriptor that another process opened as a [`RawSocket`].
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl From<RawSocket> for OwnedFd {
    fn from(socket: RawSocket) -> Self {
        socket.fd
    }
}
