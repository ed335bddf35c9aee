//! Multicast groups joined for real on an interface; must not know what is sent to them.
//!
//! A packet socket's membership only opens the interface's filter; a snooping switch forwards what an IGMP or MLD report asked
//! for, and only a join sends those (T27). It works on an interface without an address, and stays while the interface is down.

use super::pass::{Number, Parcel};
use super::{Error, Result};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;

/// The groups joined on one interface, left when dropped.
#[derive(Debug)]
pub struct Groups {
    index: u32,
    members: Vec<Member>,
}

/// A socket that belongs to groups. It is bound to no port and so receives nothing.
#[derive(Debug)]
struct Member {
    socket: UdpSocket,
    ipv4: bool,
    groups: BTreeSet<IpAddr>,
}

impl Groups {
    /// No group yet, on the interface of this index in the calling thread's namespace.
    /// Sockets are opened as they are needed, so `join` is to be called in that namespace too.
    pub fn open(index: u32) -> Result<Self> {
        match i32::try_from(index) {
            Ok(1..) => Ok(Self {
                index,
                members: Vec::new(),
            }),
            _ => Err(Error::new(
                "join groups on",
                format!("interface {index}"),
                Errno::ENODEV,
            )),
        }
    }

    /// The sockets, each with the groups that it belongs to, for a program that takes the place of this one.
    pub fn pass(&self, parcel: &mut Parcel) -> Vec<(Number, Vec<IpAddr>)> {
        let members = self.members.iter();
        let pass = |member: &Member| {
            let groups = member.groups.iter().copied().collect();
            (parcel.put(&member.socket), groups)
        };
        members.map(pass).collect()
    }

    /// What another program has passed.
    ///
    /// # Errors
    /// A socket is not there.
    pub fn inherited(index: u32, passed: Vec<(Number, Vec<IpAddr>)>) -> Result<Self> {
        let mut groups = Self::open(index)?;
        for (socket, joined) in passed {
            groups.members.push(Member {
                socket: UdpSocket::from(socket.take()?),
                ipv4: joined.iter().any(IpAddr::is_ipv4),
                groups: joined.into_iter().collect(),
            });
        }
        Ok(groups)
    }

    /// Joins a group; one that is joined already stays so.
    pub fn join(&mut self, group: IpAddr) -> Result<()> {
        if self
            .members
            .iter()
            .any(|member| member.groups.contains(&group))
        {
            return Ok(());
        }
        let failed = |error: io::Error| Error::new("join group", group.to_string(), error);
        // A socket takes a limited number: igmp_max_memberships (20), and optmem_max for IPv6.
        for member in self
            .members
            .iter_mut()
            .filter(|member| member.ipv4 == group.is_ipv4())
        {
            match member.join(group, self.index) {
                Ok(()) => return Ok(()),
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM)) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let mut member = Member::new(group.is_ipv4()).map_err(failed)?;
        member.join(group, self.index).map_err(failed)?;
        self.members.push(member);
        Ok(())
    }

    /// Leaves a group; one that is not joined is no error.
    pub fn leave(&mut self, group: IpAddr) -> Result<()> {
        let Some(at) = self
            .members
            .iter()
            .position(|member| member.groups.contains(&group))
        else {
            return Ok(());
        };
        let member = &mut self.members[at];
        member.groups.remove(&group);
        if member.groups.is_empty() {
            // Closing the socket leaves.
            self.members.swap_remove(at);
            return Ok(());
        }
        member
            .leave(group, self.index)
            .map_err(|error| Error::new("leave group", group.to_string(), error))
    }

    /// The groups that are joined.
    pub fn joined(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.members
            .iter()
            .flat_map(|member| member.groups.iter().copied())
    }
}

impl Member {
    fn new(ipv4: bool) -> io::Result<Self> {
        let family = if ipv4 {
            AddressFamily::Inet
        } else {
            AddressFamily::Inet6
        };
        let socket = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        Ok(Self {
            socket: UdpSocket::from(socket),
            ipv4,
            groups: BTreeSet::new(),
        })
    }

    fn join(&mut self, group: IpAddr, index: u32) -> io::Result<()> {
        match group {
            IpAddr::V4(group) => membership(&self.socket, libc::IP_ADD_MEMBERSHIP, group, index),
            IpAddr::V6(group) => self.socket.join_multicast_v6(&group, index),
        }?;
        self.groups.insert(group);
        Ok(())
    }

    fn leave(&self, group: IpAddr, index: u32) -> io::Result<()> {
        match group {
            IpAddr::V4(group) => membership(&self.socket, libc::IP_DROP_MEMBERSHIP, group, index),
            IpAddr::V6(group) => self.socket.leave_multicast_v6(&group, index),
        }
    }
}

/// ip(7)'s membership options with an interface index; std knows only those with an address, which the interface may lack.
fn membership(
    socket: &UdpSocket,
    option: libc::c_int,
    group: Ipv4Addr,
    index: u32,
) -> io::Result<()> {
    let request = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr {
            s_addr: u32::from_ne_bytes(group.octets()),
        },
        imr_address: libc::in_addr { s_addr: 0 },
        imr_ifindex: libc::c_int::try_from(index).map_err(|_| Errno::ENODEV)?,
    };
    let length = libc::socklen_t::try_from(size_of_val(&request)).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the pointer and the length are those of a live ip_mreqn, which the kernel only reads.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            option,
            (&raw const request).cast(),
            length,
        )
    };
    Errno::result(outcome)?;
    Ok(())
}
