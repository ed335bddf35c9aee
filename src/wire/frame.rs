//! One Ethernet frame sorted into what the protocol may care about; must not judge more than shape.

use super::{Error, Family, MacAddr, arp, carp, ethernet, ip, nd};
use pnet::packet::ethernet::EtherTypes;
use pnet::packet::ip::IpNextHeaderProtocols;
use std::net::IpAddr;

/// What arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame<'a> {
    /// IP protocol 112, the IP header checked, the rest not: see [`carp::verify`], then [`carp::Advertisement::parse`].
    Advertisement {
        /// Which IP it came over.
        family: Family,
        /// Ethernet source; no receiver looks at it.
        src_mac: MacAddr,
        /// Ethernet destination.
        dst_mac: MacAddr,
        /// IP source; anything, unspecified included.
        src: IpAddr,
        /// IP destination: the group, or what the engine makes of it.
        dst: IpAddr,
        /// TTL or hop limit.
        ttl: u8,
        /// Behind the IP header, its options or extension headers; Ethernet padding cut off. May be shorter than 36 bytes.
        payload: &'a [u8],
    },
    /// ARP for IPv4 on Ethernet.
    Arp(arp::Packet),
    /// A valid neighbour solicitation.
    Solicitation(nd::Solicitation),
    /// A valid neighbour advertisement.
    NeighbourAdvertisement(nd::Advertisement),
    /// Anything else, tagged frames among it.
    Other,
}

/// Sorts the frame `bytes`, from the Ethernet destination on.
///
/// # Errors
/// Only for what claims to be one of ours: [`Error::Hdrops`] is carp's, the other ones are below it.
pub fn parse(bytes: &[u8]) -> Result<Frame<'_>, Error> {
    let (header, payload) = ethernet::parse(bytes)?;
    match header.ethertype {
        EtherTypes::Arp => {
            Ok(arp::Packet::parse(header, payload)?.map_or(Frame::Other, Frame::Arp))
        }
        EtherTypes::Ipv4 => Ok(ip::parse_v4(payload)?
            .map_or(Frame::Other, |envelope| advertisement(header, &envelope))),
        EtherTypes::Ipv6 => match ip::parse_v6(payload)? {
            Some(envelope) if envelope.protocol == IpNextHeaderProtocols::Icmpv6 => {
                nd::parse(header, &envelope)
            }
            Some(envelope) => Ok(advertisement(header, &envelope)),
            None => Ok(Frame::Other),
        },
        _ => Ok(Frame::Other),
    }
}

fn advertisement<'a>(header: ethernet::Header, envelope: &ip::Envelope<'a>) -> Frame<'a> {
    debug_assert_eq!(envelope.protocol.0, carp::PROTOCOL);
    Frame::Advertisement {
        family: Family::of(envelope.src),
        src_mac: header.src,
        dst_mac: header.dst,
        src: envelope.src,
        dst: envelope.dst,
        ttl: envelope.ttl,
        payload: envelope.payload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_other() {
        let mut bytes = [0; 60];
        for ethertype in [
            [0x08, 0x00],
            [0x81, 0x00],
            [0x88, 0xa8],
            [0x88, 0xcc],
            [0x00, 0x2e],
        ] {
            bytes[12..14].copy_from_slice(&ethertype);
            assert_eq!(parse(&bytes), Ok(Frame::Other), "{ethertype:02x?}");
        }
    }

    #[test]
    fn a_tagged_advertisement_is_other() {
        let carp = [0; 36];
        let [a, b] = [std::net::Ipv4Addr::new(192, 0, 2, 1), ip::GROUP_V4];
        let plain = ip::advertisement_v4(
            MacAddr::of_vhid(1),
            ip::GROUP_V4_MAC,
            a,
            b,
            ip::TOS,
            0,
            &carp,
        );
        assert!(matches!(
            parse(&plain),
            Ok(Frame::Advertisement { ttl: 255, .. })
        ));
        let mut tagged = plain.clone();
        tagged.splice(12..12, [0x81, 0x00, 0x00, 0x0a]);
        assert_eq!(parse(&tagged), Ok(Frame::Other));
    }

    #[test]
    fn no_header_no_frame() {
        assert_eq!(parse(&[]), Err(Error::Truncated));
        assert_eq!(parse(&[0; 13]), Err(Error::Truncated));
    }
}
