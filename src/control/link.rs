//! An interface of the system as a front end shows it beside carp's; must not know who asked the kernel.
#![forbid(unsafe_code)]

use crate::wire::MacAddr;
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// One interface and its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its index in the kernel.
    pub index: u32,
    /// IFF_ bits of Linux's if.h.
    pub flags: u32,
    /// In bytes.
    pub mtu: u32,
    /// Its Ethernet address; `None` for what has none.
    pub lladdr: Option<MacAddr>,
    /// The kernel's order.
    pub addresses: Vec<Address>,
    /// Asked for only where it is shown.
    pub hardware: Hardware,
}

/// What an interface's driver says of it, and how it does IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hardware {
    /// `None` where the driver knows none.
    pub media: Option<Media>,
    /// Work that it takes from the stack.
    pub offloads: Offloads,
    /// `None` without IPv6.
    pub nd6: Option<Nd6>,
}

/// How an interface sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// Mbit/s, where they are known.
    pub speed: Option<u32>,
    /// Both directions at once.
    pub full_duplex: bool,
    /// Negotiated with the other end.
    pub autoselect: bool,
}

/// What an interface does for the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Offloads {
    /// It checks checksums.
    pub rx_checksum: bool,
    /// It makes checksums.
    pub tx_checksum: bool,
    /// It cuts TCP into segments.
    pub tso: bool,
    /// It joins segments.
    pub lro: bool,
    /// It adds and removes VLAN tags.
    pub vlan_tags: bool,
}

/// Neighbour discovery on an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nd6 {
    /// Router advertisements are taken.
    pub accept_rtadv: bool,
    /// IPv6 is off.
    pub disabled: bool,
    /// It makes its link-local address itself.
    pub auto_linklocal: bool,
}

/// An address of the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// With its prefix length.
    pub net: IpNetwork,
    /// IPv4's broadcast address, where the interface has one.
    pub broadcast: Option<Ipv4Addr>,
    /// Duplicate address detection runs.
    pub tentative: bool,
}
