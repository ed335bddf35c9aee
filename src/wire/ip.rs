//! The IPv4 and IPv6 headers around what we read and send; must not know what an advertisement says.

use super::carp::{self, LEN as CARP_LEN};
use super::{Error, Family, MacAddr, ethernet};
use pnet::packet::ethernet::EtherTypes;
use pnet::packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet::packet::ipv4::{Ipv4Flags, Ipv4Packet, MutableIpv4Packet};
use pnet::packet::ipv6::{Ipv6Packet, MutableIpv6Packet};
use pnet::packet::util;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where IPv4 advertisements go.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// Where IPv6 advertisements go.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// All nodes of the link: where unsolicited neighbour advertisements go.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The Ethernet group of [`GROUP_V4`].
pub const GROUP_V4_MAC: MacAddr = multicast_mac_v4(GROUP_V4);
/// The Ethernet group of [`GROUP_V6`].
pub const GROUP_V6_MAC: MacAddr = multicast_mac_v6(GROUP_V6);
/// IPv4 TOS of an advertisement: low delay, as the BSDs but FreeBSD from 13 on (0xe0) send it.
pub const TOS: u8 = 0x10;
/// IPv6 traffic class of an advertisement.
pub const TRAFFIC_CLASS: u8 = 0;

pub(super) const V4_HEADER_LEN: usize = 20;
pub(super) const V6_HEADER_LEN: usize = 40;

/// How many extension headers are walked. A sane packet has at most one of hop-by-hop options and two of destination
/// options (RFC 8200 section 4.1), and each costs the sender 8 bytes and us a step.
const EXTENSIONS_MAX: usize = 4;

/// Where advertisements of a family go.
#[must_use]
pub const fn group(family: Family) -> IpAddr {
    match family {
        Family::Inet => IpAddr::V4(GROUP_V4),
        Family::Inet6 => IpAddr::V6(GROUP_V6),
    }
}

/// The Ethernet group of an IPv4 group (RFC 1112 section 6.4): its lower 23 bits.
#[must_use]
pub const fn multicast_mac_v4(group: Ipv4Addr) -> MacAddr {
    let [_, b, c, d] = group.octets();
    MacAddr([0x01, 0x00, 0x5e, b & 0x7f, c, d])
}

/// The Ethernet group of an IPv6 group (RFC 2464 section 7): its lower 32 bits.
#[must_use]
pub const fn multicast_mac_v6(group: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = group.octets();
    MacAddr([0x33, 0x33, a, b, c, d])
}

/// The Ethernet group of an IP group; broadcast for 255.255.255.255; `None` for a unicast address.
#[must_use]
pub fn multicast_mac(address: IpAddr) -> Option<MacAddr> {
    match address {
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some(MacAddr::BROADCAST),
        IpAddr::V4(group) => group.is_multicast().then(|| multicast_mac_v4(group)),
        IpAddr::V6(group) => group.is_multicast().then(|| multicast_mac_v6(group)),
    }
}

/// An IP packet whose header was checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Envelope<'a> {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub ttl: u8,
    pub protocol: IpNextHeaderProtocol,
    pub payload: &'a [u8],
}

/// Opens an IPv4 packet of protocol 112; `None` for any other protocol. Options are skipped.
///
/// A packet socket sees what the kernel's IP input has not checked yet, so its checks are ours (input cases
/// 4, 17, 18 and 26 in tests/wire).
pub(super) fn parse_v4(bytes: &[u8]) -> Result<Option<Envelope<'_>>, Error> {
    let view = Ipv4Packet::new(bytes).ok_or(Error::Truncated)?;
    let protocol = view.get_next_level_protocol();
    if protocol.0 != carp::PROTOCOL {
        return Ok(None);
    }
    let header = usize::from(view.get_header_length()) * 4;
    let total = usize::from(view.get_total_length());
    if view.get_version() != 4 || header < V4_HEADER_LEN || total < header {
        return Err(Error::IpHeader);
    }
    let whole = bytes.get(..total).ok_or(Error::Hdrops)?;
    if util::checksum(&whole[..header], usize::MAX) != 0 {
        return Err(Error::IpHeader);
    }
    if view.get_flags() & Ipv4Flags::MoreFragments != 0 || view.get_fragment_offset() != 0 {
        return Err(Error::Fragment);
    }
    Ok(Some(Envelope {
        src: view.get_source().into(),
        dst: view.get_destination().into(),
        ttl: view.get_ttl(),
        protocol,
        payload: &whole[header..],
    }))
}

/// Opens an IPv6 packet of protocol 112 or ICMPv6; `None` for any other protocol. Hop-by-hop and destination
/// options are walked over, not read: what an attacker says in them changes nothing here.
pub(super) fn parse_v6(bytes: &[u8]) -> Result<Option<Envelope<'_>>, Error> {
    let view = Ipv6Packet::new(bytes).ok_or(Error::Truncated)?;
    if view.get_version() != 6 {
        return Err(Error::IpHeader);
    }
    let length = usize::from(view.get_payload_length());
    let held = &bytes[V6_HEADER_LEN..];
    let body = held.get(..length).unwrap_or(held);
    let Some((protocol, payload)) = walk_extensions(view.get_next_header(), body)? else {
        return Ok(None);
    };
    if body.len() < length {
        let carp = protocol.0 == carp::PROTOCOL;
        return Err(if carp {
            Error::Hdrops
        } else {
            Error::Truncated
        });
    }
    Ok(Some(Envelope {
        src: view.get_source().into(),
        dst: view.get_destination().into(),
        ttl: view.get_hop_limit(),
        protocol,
        payload,
    }))
}

/// The protocol behind the extension headers and its bytes; `None` if it is none of ours.
fn walk_extensions(
    first: IpNextHeaderProtocol,
    mut bytes: &[u8],
) -> Result<Option<(IpNextHeaderProtocol, &[u8])>, Error> {
    let mut protocol = first;
    for step in 0..=EXTENSIONS_MAX {
        match protocol {
            // RFC 8200 section 4.3: hop-by-hop options stand right behind the IPv6 header or nowhere.
            IpNextHeaderProtocols::Hopopt if step > 0 => return Err(Error::Extension),
            IpNextHeaderProtocols::Hopopt | IpNextHeaderProtocols::Ipv6Opts => {
                let &[next, units, ..] = bytes else {
                    return Err(Error::Extension);
                };
                let length = (usize::from(units) + 1) * 8;
                bytes = bytes.get(length..).ok_or(Error::Extension)?;
                protocol = IpNextHeaderProtocol(next);
            }
            IpNextHeaderProtocols::Ipv6Frag => {
                let ours = bytes
                    .first()
                    .is_some_and(|&next| is_ours(IpNextHeaderProtocol(next)));
                return if ours { Err(Error::Fragment) } else { Ok(None) };
            }
            _ => return Ok(is_ours(protocol).then_some((protocol, bytes))),
        }
    }
    Err(Error::Extension)
}

fn is_ours(protocol: IpNextHeaderProtocol) -> bool {
    protocol.0 == carp::PROTOCOL || protocol == IpNextHeaderProtocols::Icmpv6
}

/// The whole frame of an IPv4 advertisement: DF, TTL 255, no options.
#[must_use]
pub fn advertisement_v4(
    src_mac: MacAddr,
    dst_mac: MacAddr,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    tos: u8,
    id: u16,
    carp: &[u8; CARP_LEN],
) -> Vec<u8> {
    const TOTAL: u16 = 56;
    let header = ethernet::Header {
        src: src_mac,
        dst: dst_mac,
        ethertype: EtherTypes::Ipv4,
    };
    let mut frame = ethernet::emit(header, usize::from(TOTAL));
    let packet = &mut frame[ethernet::HEADER_LEN..];
    let mut view = MutableIpv4Packet::new(packet).expect("56 bytes hold an IPv4 header");
    view.set_version(4);
    view.set_header_length(5);
    view.set_dscp(tos >> 2);
    view.set_ecn(tos & 3);
    view.set_total_length(TOTAL);
    view.set_identification(id);
    view.set_flags(Ipv4Flags::DontFragment);
    view.set_ttl(carp::TTL);
    view.set_next_level_protocol(IpNextHeaderProtocol(carp::PROTOCOL));
    view.set_source(src);
    view.set_destination(dst);
    // Made here: nothing behind a packet socket fills it in, and ucarp refuses 0.
    view.set_checksum(pnet::packet::ipv4::checksum(&view.to_immutable()));
    packet[V4_HEADER_LEN..].copy_from_slice(carp);
    frame
}

/// The packet of an IPv4 advertisement to one host, for the kernel to route.
#[must_use]
pub fn packet_v4(src: Ipv4Addr, dst: Ipv4Addr, tos: u8, carp: &[u8; CARP_LEN]) -> Vec<u8> {
    let none = MacAddr::ZERO;
    advertisement_v4(none, none, src, dst, tos, 0, carp).split_off(ethernet::HEADER_LEN)
}

/// The packet of an IPv6 advertisement to one host, for the kernel to route.
#[must_use]
pub fn packet_v6(
    src: Ipv6Addr,
    dst: Ipv6Addr,
    traffic_class: u8,
    carp: &[u8; CARP_LEN],
) -> Vec<u8> {
    let none = MacAddr::ZERO;
    advertisement_v6(none, none, src, dst, traffic_class, carp).split_off(ethernet::HEADER_LEN)
}

/// The whole frame of an IPv6 advertisement: hop limit 255, flow label 0, no extension headers.
#[must_use]
pub fn advertisement_v6(
    src_mac: MacAddr,
    dst_mac: MacAddr,
    src: Ipv6Addr,
    dst: Ipv6Addr,
    traffic_class: u8,
    carp: &[u8; CARP_LEN],
) -> Vec<u8> {
    let macs = (src_mac, dst_mac);
    v6_frame(
        macs,
        (src, dst),
        traffic_class,
        IpNextHeaderProtocol(carp::PROTOCOL),
        carp,
    )
}

/// A frame with an IPv6 packet, hop limit 255, around `payload`. Pairs are source first.
pub(super) fn v6_frame(
    (src_mac, dst_mac): (MacAddr, MacAddr),
    (src, dst): (Ipv6Addr, Ipv6Addr),
    traffic_class: u8,
    protocol: IpNextHeaderProtocol,
    payload: &[u8],
) -> Vec<u8> {
    let header = ethernet::Header {
        src: src_mac,
        dst: dst_mac,
        ethertype: EtherTypes::Ipv6,
    };
    let mut frame = ethernet::emit(header, V6_HEADER_LEN + payload.len());
    let packet = &mut frame[ethernet::HEADER_LEN..];
    let mut view =
        MutableIpv6Packet::new(packet).expect("the frame was made with an IPv6 header's length");
    view.set_version(6);
    view.set_traffic_class(traffic_class);
    view.set_payload_length(
        u16::try_from(payload.len()).expect("callers send less than 100 bytes"),
    );
    view.set_next_header(protocol);
    view.set_hop_limit(255);
    view.set_source(src);
    view.set_destination(dst);
    packet[V6_HEADER_LEN..].copy_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests;
