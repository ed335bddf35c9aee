//! Just enough of a frame's headers to decide whether it may pass; must not know gates or sockets.

use std::net::IpAddr;

/// Bytes of an Ethernet header.
pub(super) const ETHERNET: usize = 14;

pub(super) const IPV4: u16 = 0x0800;
pub(super) const ARP: u16 = 0x0806;
pub(super) const RARP: u16 = 0x8035;
pub(super) const IPV6: u16 = 0x86dd;

pub(super) const IGMP: u8 = 2;
pub(super) const ICMPV6: u8 = 58;

/// How many IPv6 extension headers are followed. Real packets have one or two.
const EXTENSIONS: usize = 8;

/// The Ethernet type, `None` for what is no Ethernet frame.
pub(super) fn ethertype(frame: &[u8]) -> Option<u16> {
    let bytes = frame.get(12..14)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// True for a frame with a VLAN tag in its bytes.
pub(super) fn is_tagged(frame: &[u8]) -> bool {
    matches!(ethertype(frame), Some(0x8100 | 0x88a8))
}

/// A frame as balancing has to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packet {
    /// An IP packet and its addresses.
    Ip(IpAddr, IpAddr),
    /// Something else.
    Other,
    /// Too short for an IP header.
    Cut,
}

/// Only the fixed header counts.
pub(super) fn packet(frame: &[u8]) -> Packet {
    let addresses = match ethertype(frame) {
        Some(IPV4) => two::<4>(frame, ETHERNET + 12),
        Some(IPV6) => two::<16>(frame, ETHERNET + 8),
        _ => return Packet::Other,
    };
    addresses.map_or(Packet::Cut, |(from, to)| Packet::Ip(from, to))
}

/// Two addresses of `N` bytes.
fn two<const N: usize>(frame: &[u8], at: usize) -> Option<(IpAddr, IpAddr)>
where
    [u8; N]: Into<IpAddr>,
{
    let from: [u8; N] = *frame.get(at..)?.first_chunk()?;
    let to: [u8; N] = *frame.get(at + N..)?.first_chunk()?;
    Some((from.into(), to.into()))
}

/// What an IPv6 packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upper {
    /// A protocol, and where in the frame its header starts; the header itself may be cut off.
    Is(u8, usize),
    /// A fragment that is not the first: its header is elsewhere.
    Fragment,
    /// Cut off, or more headers than anybody sends.
    Unclear,
}

/// Follows the extension headers of an IPv6 frame (RFC 8200 section 4).
pub(super) fn upper(frame: &[u8]) -> Upper {
    let Some(first) = frame.get(ETHERNET + 6) else {
        return Upper::Unclear;
    };
    let (mut next, mut at) = (*first, ETHERNET + 40);
    for _ in 0..=EXTENSIONS {
        let Some(rest) = frame.get(at..) else {
            return Upper::Unclear;
        };
        let [successor, length, high, low, ..] = rest else {
            return if is_extension(next) {
                Upper::Unclear
            } else {
                Upper::Is(next, at)
            };
        };
        let bytes = match next {
            0 | 43 | 60 => (usize::from(*length) + 1) * 8,
            44 if u16::from_be_bytes([*high, *low]) & 0xfff8 != 0 => return Upper::Fragment,
            44 => 8,
            51 => (usize::from(*length) + 2) * 4,
            _ => return Upper::Is(next, at),
        };
        next = *successor;
        at += bytes;
    }
    Upper::Unclear
}

/// Hop-by-hop, routing, fragment, authentication, destination options.
fn is_extension(protocol: u8) -> bool {
    matches!(protocol, 0 | 43 | 44 | 51 | 60)
}

#[cfg(test)]
pub(super) mod samples {
    //! Frames for the tests of this module tree.
    use std::net::{Ipv4Addr, Ipv6Addr};

    /// To a virtual MAC.
    pub(in super::super) fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
        [
            &[0, 0, 0x5e, 0, 1, 1, 2, 0, 0, 0, 0, 9],
            &kind.to_be_bytes()[..],
            payload,
        ]
        .concat()
    }

    pub(in super::super) fn ipv4(protocol: u8) -> Vec<u8> {
        let mut header = [0; 28];
        header[0] = 0x45;
        header[9] = protocol;
        ethernet(super::IPV4, &header)
    }

    pub(in super::super) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
        let mut header = [0; 40];
        header[0] = 0x60;
        header[6] = next;
        ethernet(super::IPV6, &[&header, payload].concat())
    }

    pub(in super::super) fn arp(operation: u16, target: Ipv4Addr) -> Vec<u8> {
        let mut body = vec![0, 1, 8, 0, 6, 4];
        body.extend(operation.to_be_bytes());
        body.extend([0; 16]);
        body.extend(target.octets());
        ethernet(super::ARP, &body)
    }

    pub(in super::super) fn icmp6(kind: u8, target: Ipv6Addr) -> Vec<u8> {
        let mut body = vec![kind, 0, 0, 0, 0, 0, 0, 0];
        body.extend(target.octets());
        body
    }
}

#[cfg(test)]
mod tests {
    use super::samples::ipv6;
    use super::*;

    #[test]
    fn extension_headers_are_followed() {
        let options = [
            58, 1, 5, 2, 0, 0, 1, 0, 1, 6, 0, 0, 0, 0, 0, 0, 143, 0, 0, 0,
        ];
        assert_eq!(upper(&ipv6(0, &options)), Upper::Is(58, 14 + 40 + 16));
        assert_eq!(upper(&ipv6(58, &[135; 24])), Upper::Is(58, 14 + 40));
        assert_eq!(upper(&ipv6(59, &[])), Upper::Is(59, 14 + 40));
        let fragment = |offset: u8| ipv6(44, &[58, 0, 0, offset, 0, 0, 0, 1, 135, 0, 0, 0]);
        assert_eq!(upper(&fragment(1)), Upper::Is(58, 14 + 48));
        assert_eq!(upper(&fragment(8)), Upper::Fragment);
        let authenticated = [[17, 4].to_vec(), vec![0; 22], vec![7; 8]].concat();
        assert_eq!(
            upper(&ipv6(51, &authenticated)),
            Upper::Is(17, 14 + 40 + 24)
        );
    }

    #[test]
    fn a_packet_has_its_addresses_from_the_fixed_header() {
        let frame = ipv6(0, &[]);
        let nobody = IpAddr::from([0u8; 16]);
        assert_eq!(packet(&frame), Packet::Ip(nobody, nobody));
        assert_eq!(packet(&frame[..14 + 39]), Packet::Cut);
        let frame = samples::ipv4(1);
        let nobody = IpAddr::from([0u8; 4]);
        assert_eq!(packet(&frame), Packet::Ip(nobody, nobody));
        assert_eq!(packet(&frame[..14 + 19]), Packet::Cut);
        assert_eq!(packet(&samples::ethernet(ARP, &[])), Packet::Other);
    }

    #[test]
    fn what_cannot_be_followed_is_unclear() {
        assert_eq!(upper(&ipv6(0, &[])), Upper::Unclear);
        assert_eq!(upper(&ipv6(0, &[60, 255, 0, 0])), Upper::Unclear);
        assert_eq!(
            upper(&ipv6(60, &[60, 0, 1, 4, 0, 0, 0, 0].repeat(20))),
            Upper::Unclear
        );
        for length in 0..54 {
            let frame = ipv6(0, &[]);
            assert_eq!(upper(&frame[..length]), Upper::Unclear);
        }
    }
}
