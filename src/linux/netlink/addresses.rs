//! Addresses of interfaces, both families.

use super::Netlink;
use super::links::numbered;
use crate::linux::Result;
use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags as Bits, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage as Rtm};
use std::net::{IpAddr, Ipv4Addr};

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Whose.
    pub index: u32,
    /// The address and its prefix length.
    pub net: IpNetwork,
    /// IFA_F_ bits of if_addr.h.
    pub flags: u32,
    /// RT_SCOPE_ of rtnetlink(7): 0 global, 253 link, 254 host.
    pub scope: u8,
    /// The metric of its prefix route, where one was given.
    pub metric: Option<u32>,
    /// IPv4's broadcast address, where one was given.
    pub broadcast: Option<Ipv4Addr>,
}

impl Address {
    /// Not usable yet, or refused: duplicate address detection runs or has failed.
    #[must_use]
    pub fn tentative(&self) -> bool {
        Bits::from_bits_retain(self.flags).intersects(Bits::Tentative | Bits::Dadfailed)
    }

    /// Added without duplicate address detection.
    #[must_use]
    pub fn nodad(&self) -> bool {
        Bits::from_bits_retain(self.flags).contains(Bits::Nodad)
    }
}

/// How an address is to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddressFlags {
    /// No duplicate address detection (IPv6).
    pub nodad: bool,
    /// The metric of its prefix route; the kernel's default without one.
    pub metric: Option<u32>,
}

impl Netlink {
    /// The addresses of one interface, or of all.
    pub fn addresses(&self, index: Option<u32>) -> Result<Vec<Address>> {
        let answers = match self.ask("list addresses", "", &addresses_of(index), NLM_F_DUMP) {
            // That one is gone.
            Err(error) if index.is_some() && error.errno() == libc::ENODEV => Vec::new(),
            answers => answers?,
        };
        let found = answers.iter().filter_map(|answer| match answer {
            Rtm::NewAddress(message) => address_of(message),
            _ => None,
        });
        Ok(found
            .filter(|address| index.is_none_or(|index| index == address.index))
            .collect())
    }

    /// Adds an address; IPv4 gets the broadcast address of its net, as ifconfig does. One that is there takes the new flags.
    pub fn add_address(&self, index: u32, net: IpNetwork, flags: AddressFlags) -> Result<()> {
        let mut request = message(index, net);
        if let IpNetwork::V4(net4) = net
            && net4.prefix() <= 30
        {
            request
                .attributes
                .push(AddressAttribute::Broadcast(net4.broadcast()));
        }
        if flags.nodad {
            request.header.flags = AddressHeaderFlags::Nodad;
            request
                .attributes
                .push(AddressAttribute::Flags(Bits::Nodad));
        }
        request
            .attributes
            .extend(flags.metric.map(AddressAttribute::RoutePriority));
        self.ask(
            "add address",
            what(index, net),
            &Rtm::NewAddress(request),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
        .map(drop)
    }

    /// Removes an address; `EADDRNOTAVAIL` if it is not there.
    pub fn del_address(&self, index: u32, net: IpNetwork) -> Result<()> {
        self.ask(
            "remove address",
            what(index, net),
            &Rtm::DelAddress(message(index, net)),
            0,
        )
        .map(drop)
    }
}

/// Asks for the addresses of one interface, or of all. A kernel that does not look at the index (before 4.20) tells of all.
pub(in crate::linux) fn addresses_of(index: Option<u32>) -> Rtm {
    let mut request = AddressMessage::default();
    request.header.index = index.unwrap_or_default();
    Rtm::GetAddress(request)
}

/// Reads an address out of its message; `None` for one of a family that is not ours.
pub(in crate::linux) fn address_of(message: &AddressMessage) -> Option<Address> {
    let mut local = None;
    let mut remote = None;
    let mut metric = None;
    let mut broadcast = None;
    let mut flags = u32::from(message.header.flags.bits());
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => remote = Some(*ip),
            AddressAttribute::RoutePriority(value) => metric = Some(*value),
            AddressAttribute::Broadcast(ip) => broadcast = Some(*ip),
            AddressAttribute::Flags(bits) => flags = bits.bits(),
            _ => {}
        }
    }
    // On a point-to-point link IFA_ADDRESS is the far end (if_addr.h).
    let ip = local.or(remote)?;
    let net = IpNetwork::new(ip, message.header.prefix_len).ok()?;
    Some(Address {
        index: message.header.index,
        net,
        flags,
        scope: message.header.scope.into(),
        metric,
        broadcast,
    })
}

fn message(index: u32, net: IpNetwork) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = net.prefix();
    message.header.family = family(net.ip());
    message.header.scope = match net.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => AddressScope::Host,
        _ => AddressScope::Universe,
    };
    message.attributes = vec![
        AddressAttribute::Local(net.ip()),
        AddressAttribute::Address(net.ip()),
    ];
    message
}

/// The family of an address, as netlink calls it.
pub(super) fn family(ip: IpAddr) -> AddressFamily {
    match ip {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn what(index: u32, net: IpNetwork) -> String {
    format!("{net} on {}", numbered(index))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::linux::netlink::RouteSocket;

    /// The loopback interface, where there is any; others are seldom without an address.
    const LOOPBACK: u32 = 1;

    #[test]
    fn the_kernel_tells_of_the_one_interface_that_is_asked_for() {
        let socket = RouteSocket::open(0).unwrap();
        let told = socket.exchange(&addresses_of(Some(LOOPBACK)), NLM_F_DUMP, |_| {});
        for answer in told.unwrap() {
            let Rtm::NewAddress(message) = answer else {
                panic!("{answer:?}");
            };
            assert_eq!(message.header.index, LOOPBACK);
        }
        // One that is gone has none.
        let none = Netlink::open().unwrap().addresses(Some(i32::MAX as u32));
        assert_eq!(none.unwrap(), []);
    }
}
