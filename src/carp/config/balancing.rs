//! How several virtual hosts share an address, as words; must not know how it is done.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How the hosts of a carpN with several virtual hosts share what is sent to its addresses: OpenBSD's modes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub enum Balancing {
    /// One host has all; with several virtual hosts it comes to [`Balancing::Ip`].
    #[default]
    None,
    /// By who asks for the address: each asker is told the Ethernet address of one virtual host.
    Arp,
    /// By the addresses of each packet, which a multicast Ethernet address brings to all hosts.
    Ip,
    /// The same, with one that no switch learns.
    IpStealth,
    /// The same, with one that a hub or a mirrored port brings to all hosts.
    IpUnicast,
}

impl Balancing {
    /// All modes, the default first.
    pub const ALL: [Self; 5] = [
        Self::None,
        Self::Arp,
        Self::Ip,
        Self::IpStealth,
        Self::IpUnicast,
    ];

    /// As typed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Arp => "arp",
            Self::Ip => "ip",
            Self::IpStealth => "ip-stealth",
            Self::IpUnicast => "ip-unicast",
        }
    }

    /// Every host gets every packet, and takes it or not by its addresses.
    #[must_use]
    pub const fn by_packet(self) -> bool {
        matches!(self, Self::Ip | Self::IpStealth | Self::IpUnicast)
    }
}

impl fmt::Display for Balancing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// By what of an asker the virtual host is selected that answers it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub enum Selector {
    /// Its IP address, as FreeBSD 9 and DragonFly do.
    #[default]
    Source,
    /// Its Ethernet address, as OpenBSD 4 and NetBSD do.
    Mac {
        /// As on big-endian hosts, which disagree with the others.
        big_endian: bool,
        /// Virtual hosts count in NetBSD's order, the one that got the address last in front, not by vhid.
        order: bool,
    },
}

impl Selector {
    /// All that can be typed, the default first.
    pub const ALL: [Self; 5] = [
        Self::Source,
        Self::mac(false, false),
        Self::mac(true, false),
        Self::mac(false, true),
        Self::mac(true, true),
    ];

    const fn mac(big_endian: bool, order: bool) -> Self {
        Self::Mac { big_endian, order }
    }

    /// As typed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Mac { big_endian, order } => match (big_endian, order) {
                (false, false) => "mac",
                (true, false) => "mac,be",
                (false, true) => "mac,order",
                (true, true) => "mac,be,order",
            },
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_of_its_own() {
        let modes = Balancing::ALL.map(Balancing::word);
        assert_eq!(modes, ["none", "arp", "ip", "ip-stealth", "ip-unicast"]);
        assert_eq!(
            Balancing::ALL.map(Balancing::by_packet),
            [false, false, true, true, true]
        );
        let words = Selector::ALL.map(Selector::word);
        assert_eq!(
            words,
            ["source", "mac", "mac,be", "mac,order", "mac,be,order"]
        );
    }
}
