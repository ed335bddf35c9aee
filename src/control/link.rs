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
