//! Bytes to values and back, one file a protocol; must not know state, sockets or configuration.
#![forbid(unsafe_code)]

pub mod arp;
pub mod carp;
mod ethernet;
pub mod frame;
pub mod ip;
pub mod nd;

pub use frame::Frame;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// 00:00:00:00:00:00.
    pub const ZERO: Self = Self([0; 6]);

    /// The virtual MAC of a vhid, 00:00:5e:00:01:vhid (RFC 9542 section 2.1, the VRRP and CARP block).
    #[must_use]
    pub const fn of_vhid(vhid: u8) -> Self {
        Self([0x00, 0x00, 0x5e, 0x00, 0x01, vhid])
    }

    /// The vhid of a virtual MAC, `None` for any other address.
    #[must_use]
    pub const fn vhid(self) -> Option<u8> {
        match self.0 {
            [0x00, 0x00, 0x5e, 0x00, 0x01, vhid] => Some(vhid),
            _ => None,
        }
    }

    /// True for group addresses, broadcast among them.
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address family, under the words of ifconfig.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Inet,
            IpAddr::V6(_) => Self::Inet6,
        }
    }

    /// The one of the two that this is not.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Inet => Self::Inet6,
            Self::Inet6 => Self::Inet,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inet => "inet",
            Self::Inet6 => "inet6",
        })
    }
}

/// Why bytes were refused. The first nine are carp(4)'s counters under their BSD names (netstat's texts, in
/// `Display`); what follows never reaches carp on a BSD and has no counter there. Who counts is not said here.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    thiserror::Error,
)]
#[serde(rename_all = "lowercase")]
pub enum Error {
    /// Arrived where no carp interface listens.
    #[error("not received on a carp interface")]
    BadIf,
    /// TTL or hop limit is not 255: it came through a router.
    #[error("wrong TTL")]
    BadTtl,
    /// The IP header promises more than the frame holds.
    #[error("shorter than header")]
    Hdrops,
    /// The CARP checksum is wrong.
    #[error("bad checksum")]
    BadSum,
    /// Not version 2: VRRP shares the protocol number.
    #[error("bad version")]
    BadVer,
    /// Fewer than 36 bytes behind the IP header.
    #[error("packet too short")]
    BadLen,
    /// The digest is wrong, or it is our own packet.
    #[error("bad authentication")]
    BadAuth,
    /// No such vhid here.
    #[error("bad vhid")]
    BadVhid,
    /// The address list differs; no BSD ever counts it.
    #[error("bad address list")]
    BadAddrs,
    /// Ends within a header below carp.
    #[error("truncated frame")]
    Truncated,
    /// The IP header contradicts itself, or its checksum is wrong.
    #[error("bad IP header")]
    IpHeader,
    /// A fragment; nothing in this protocol is ever fragmented.
    #[error("fragment")]
    Fragment,
    /// IPv6 extension headers too many, out of place or overlong.
    #[error("bad IPv6 extension header")]
    Extension,
    /// An ARP or neighbour discovery packet that must be ignored (RFC 826, RFC 4861 section 7.1).
    #[error("bad ARP or neighbour discovery packet")]
    Neighbour,
}

impl Error {
    /// The name of the BSD counter, without its `carps_`; `None` for what a BSD drops before carp sees it.
    #[must_use]
    pub const fn counter(self) -> Option<&'static str> {
        Some(match self {
            Self::BadIf => "badif",
            Self::BadTtl => "badttl",
            Self::Hdrops => "hdrops",
            Self::BadSum => "badsum",
            Self::BadVer => "badver",
            Self::BadLen => "badlen",
            Self::BadAuth => "badauth",
            Self::BadVhid => "badvhid",
            Self::BadAddrs => "badaddrs",
            Self::Truncated
            | Self::IpHeader
            | Self::Fragment
            | Self::Extension
            | Self::Neighbour => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_mac_names_its_vhid() {
        assert_eq!(MacAddr::of_vhid(7).to_string(), "00:00:5e:00:01:07");
        assert_eq!(MacAddr::of_vhid(255).vhid(), Some(255));
        // ucarp's, VRRP's for IPv6, OpenBSD's for ip balancing.
        for other in [
            [0, 0, 0x5e, 0, 0, 1],
            [0, 0, 0x5e, 0, 2, 1],
            [1, 0, 0x5e, 0, 1, 1],
        ] {
            assert_eq!(MacAddr(other).vhid(), None);
        }
        assert!(
            MacAddr([1, 0, 0x5e, 0, 1, 1]).is_multicast() && !MacAddr::of_vhid(1).is_multicast()
        );
    }

    #[test]
    fn only_what_a_bsd_counts_has_a_counter() {
        assert_eq!(Error::BadTtl.counter(), Some("badttl"));
        assert_eq!(Error::Hdrops.counter(), Some("hdrops"));
        assert_eq!(Error::Fragment.counter(), None);
        assert_eq!(Error::BadTtl.to_string(), "wrong TTL");
    }
}
