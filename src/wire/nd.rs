//! Neighbour solicitation and advertisement (RFC 4861, RFC 4862); must not know who owns an address.

mod options;

use super::ethernet::Header;
use super::ip::{self, Envelope};
use super::{Error, Frame, MacAddr};
use pnet::packet::icmpv6::ndp::{
    MutableNeighborAdvertPacket, MutableNeighborSolicitPacket, NeighborAdvertPacket,
    NeighborSolicitPacket,
};
use pnet::packet::icmpv6::{Icmpv6Code, Icmpv6Packet, Icmpv6Types, MutableIcmpv6Packet};
use pnet::packet::ip::IpNextHeaderProtocols::Icmpv6;
use pnet::packet::util;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Bytes of either message without options.
const FIXED_LEN: usize = 24;
/// Flags of an advertisement, in the byte behind the checksum.
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// Who has `target`?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Solicitation {
    /// Ethernet source.
    pub src_mac: MacAddr,
    /// Ethernet destination.
    pub dst_mac: MacAddr,
    /// IP source; unspecified in a probe for a duplicate address.
    pub src: Ipv6Addr,
    /// IP destination: the target itself or its solicited-node group.
    pub dst: Ipv6Addr,
    /// The address asked for.
    pub target: Ipv6Addr,
    /// The source link-layer address option.
    pub source_link_layer: Option<MacAddr>,
}

/// `target` is at `target_link_layer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Advertisement {
    /// Ethernet source.
    pub src_mac: MacAddr,
    /// Ethernet destination.
    pub dst_mac: MacAddr,
    /// IP source.
    pub src: Ipv6Addr,
    /// IP destination: the asker or all nodes.
    pub dst: Ipv6Addr,
    /// The address told about.
    pub target: Ipv6Addr,
    /// The sender is a router.
    pub router: bool,
    /// It answers a solicitation of `dst`.
    pub solicited: bool,
    /// Replace what was known.
    pub overriding: bool,
    /// The target link-layer address option.
    pub target_link_layer: Option<MacAddr>,
}

/// The solicited-node group of an address (RFC 4291 section 2.7.1).
#[must_use]
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from_octets([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

fn is_solicited_node(address: Ipv6Addr) -> bool {
    address == solicited_node(address)
}

impl Solicitation {
    /// A question to the solicited-node group of `target`; with `src` unspecified a probe for a duplicate.
    #[must_use]
    pub fn multicast(mac: MacAddr, src: Ipv6Addr, target: Ipv6Addr) -> Self {
        let dst = solicited_node(target);
        Self {
            src_mac: mac,
            dst_mac: ip::multicast_mac_v6(dst),
            src,
            dst,
            target,
            source_link_layer: (!src.is_unspecified()).then_some(mac),
        }
    }

    /// True if the sender asks whether anybody has an address that it wants itself (RFC 4862 section 5.4).
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.src.is_unspecified()
    }

    /// The whole frame, checksum made.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let mut message = vec![0; FIXED_LEN];
        options::put(
            &mut message,
            options::SOURCE_LINK_LAYER,
            self.source_link_layer,
        );
        let mut view =
            MutableNeighborSolicitPacket::new(&mut message).expect("24 bytes hold a solicitation");
        view.set_icmpv6_type(Icmpv6Types::NeighborSolicit);
        view.set_target_addr(self.target);
        emit(
            (self.src_mac, self.dst_mac),
            (self.src, self.dst),
            &mut message,
        )
    }

    /// RFC 4861 section 7.1.1, as far as [`parse`] has not seen to it.
    fn parse(
        header: Header,
        (src, dst): (Ipv6Addr, Ipv6Addr),
        message: &[u8],
    ) -> Result<Self, Error> {
        let view = NeighborSolicitPacket::new(message).ok_or(Error::Neighbour)?;
        let target = view.get_target_addr();
        let source_link_layer =
            options::link_layer(&message[FIXED_LEN..], options::SOURCE_LINK_LAYER)?;
        let probe = src.is_unspecified();
        if target.is_multicast()
            || (probe && (source_link_layer.is_some() || !is_solicited_node(dst)))
        {
            return Err(Error::Neighbour);
        }
        Ok(Self {
            src_mac: header.src,
            dst_mac: header.dst,
            src,
            dst,
            target,
            source_link_layer,
        })
    }
}

impl Advertisement {
    /// The answer to `asked`: its target is at `mac`. To the asker, or to all nodes if it was a probe.
    #[must_use]
    pub fn answer(asked: &Solicitation, mac: MacAddr, router: bool) -> Self {
        let to_all = Self::unsolicited(mac, asked.target, router);
        if asked.is_probe() {
            return to_all;
        }
        // The option is what the asker wants to be known by; a group there would be an answer to strangers.
        let asker = asked
            .source_link_layer
            .filter(|mac| !mac.is_multicast())
            .unwrap_or(asked.src_mac);
        Self {
            dst_mac: asker,
            dst: asked.src,
            solicited: true,
            ..to_all
        }
    }

    /// The announcement to all nodes that `target` is at `mac`; IP source is the target, Ethernet source `mac`.
    #[must_use]
    pub fn unsolicited(mac: MacAddr, target: Ipv6Addr, router: bool) -> Self {
        Self {
            src_mac: mac,
            dst_mac: ip::multicast_mac_v6(ip::ALL_NODES),
            src: target,
            dst: ip::ALL_NODES,
            target,
            router,
            solicited: false,
            overriding: true,
            target_link_layer: Some(mac),
        }
    }

    /// The whole frame, checksum made.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let mut message = vec![0; FIXED_LEN];
        options::put(
            &mut message,
            options::TARGET_LINK_LAYER,
            self.target_link_layer,
        );
        let flags = [
            (self.router, ROUTER),
            (self.solicited, SOLICITED),
            (self.overriding, OVERRIDE),
        ];
        let mut view =
            MutableNeighborAdvertPacket::new(&mut message).expect("24 bytes hold an advertisement");
        view.set_icmpv6_type(Icmpv6Types::NeighborAdvert);
        view.set_flags(
            flags
                .iter()
                .filter(|(set, _)| *set)
                .fold(0, |sum, (_, bit)| sum | bit),
        );
        view.set_target_addr(self.target);
        emit(
            (self.src_mac, self.dst_mac),
            (self.src, self.dst),
            &mut message,
        )
    }

    /// RFC 4861 section 7.1.2, as far as [`parse`] has not seen to it.
    fn parse(
        header: Header,
        (src, dst): (Ipv6Addr, Ipv6Addr),
        message: &[u8],
    ) -> Result<Self, Error> {
        let view = NeighborAdvertPacket::new(message).ok_or(Error::Neighbour)?;
        let (target, flags) = (view.get_target_addr(), view.get_flags());
        let target_link_layer =
            options::link_layer(&message[FIXED_LEN..], options::TARGET_LINK_LAYER)?;
        let solicited = flags & SOLICITED != 0;
        if target.is_multicast() || (solicited && dst.is_multicast()) {
            return Err(Error::Neighbour);
        }
        Ok(Self {
            src_mac: header.src,
            dst_mac: header.dst,
            src,
            dst,
            target,
            router: flags & ROUTER != 0,
            solicited,
            overriding: flags & OVERRIDE != 0,
            target_link_layer,
        })
    }
}

/// Reads an ICMPv6 packet: both messages have hop limit 255, code 0, a right checksum and no group as source.
pub(super) fn parse<'a>(header: Header, envelope: &Envelope<'_>) -> Result<Frame<'a>, Error> {
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (envelope.src, envelope.dst) else {
        return Ok(Frame::Other);
    };
    let view = Icmpv6Packet::new(envelope.payload).ok_or(Error::Truncated)?;
    let kind = view.get_icmpv6_type();
    if kind != Icmpv6Types::NeighborSolicit && kind != Icmpv6Types::NeighborAdvert {
        return Ok(Frame::Other);
    }
    let sum = util::ipv6_checksum(envelope.payload, usize::MAX, &[], &src, &dst, Icmpv6);
    if envelope.ttl != 255
        || view.get_icmpv6_code() != Icmpv6Code(0)
        || sum != 0
        || src.is_multicast()
    {
        return Err(Error::Neighbour);
    }
    if kind == Icmpv6Types::NeighborSolicit {
        Solicitation::parse(header, (src, dst), envelope.payload).map(Frame::Solicitation)
    } else {
        Advertisement::parse(header, (src, dst), envelope.payload)
            .map(Frame::NeighbourAdvertisement)
    }
}

fn emit(macs: (MacAddr, MacAddr), (src, dst): (Ipv6Addr, Ipv6Addr), message: &mut [u8]) -> Vec<u8> {
    let mut view = MutableIcmpv6Packet::new(message).expect("24 bytes hold an ICMPv6 header");
    view.set_checksum(pnet::packet::icmpv6::checksum(
        &view.to_immutable(),
        &src,
        &dst,
    ));
    ip::v6_frame(macs, (src, dst), 0, Icmpv6, message)
}

impl fmt::Display for Solicitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ND who-has {} tell {} ({})",
            self.target,
            self.src,
            self.source_link_layer.unwrap_or(self.src_mac)
        )
    }
}

impl fmt::Display for Advertisement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mac = self.target_link_layer.unwrap_or(self.src_mac);
        write!(f, "ND {} is-at {mac}", self.target)?;
        let flags = [
            (self.router, " router"),
            (self.solicited, " solicited"),
            (self.overriding, " override"),
        ];
        flags
            .iter()
            .filter(|(set, _)| *set)
            .try_for_each(|(_, word)| f.write_str(word))
    }
}

#[cfg(test)]
mod tests;
