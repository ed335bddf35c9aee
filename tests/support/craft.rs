//! Frames as the tests make them, checksums and digests included; must not know the program's codecs, which are what is tested.

use carp::wire::MacAddr;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The Internet checksum.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        }
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

fn ethernet(dst: MacAddr, src: MacAddr, kind: u16, body: &[u8]) -> Vec<u8> {
    [&dst.0[..], &src.0, &kind.to_be_bytes(), body].concat()
}

fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, ttl: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + body.len()).unwrap();
    let mut packet = vec![0x45, 0x10];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0x40, 0, ttl, protocol, 0, 0]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    let sum = checksum(&[&packet]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(body);
    packet
}

fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, next: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap();
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([next, 255]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(body);
    packet
}

fn icmp6(source: Ipv6Addr, destination: Ipv6Addr, mut body: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let sum = checksum(&[
        &source.octets(),
        &destination.octets(),
        &length,
        &[0, 0, 0, 58],
        &body,
    ]);
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    ipv6(source, destination, 58, &body)
}

/// An advertisement to be made; the digest and both checksums are computed here.
#[derive(Debug, Clone)]
pub struct Advert {
    pub vhid: u8,
    pub pass: &'static str,
    pub advbase: u8,
    pub advskew: u8,
    pub counter: u64,
    /// The sender's shared addresses, which the digest covers.
    pub addresses: Vec<IpAddr>,
    /// The IP source; its family is the advertisement's.
    pub source: IpAddr,
    pub ttl: u8,
}

impl Advert {
    /// A healthy MASTER's: advbase 1, advskew 0.
    pub fn new(vhid: u8, pass: &'static str, addresses: &[&str], source: &str) -> Self {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        let source = source.parse().unwrap();
        Self {
            vhid,
            pass,
            advbase: 1,
            advskew: 0,
            counter: 0x1234_5678_9abc_0000,
            addresses,
            source,
            ttl: 255,
        }
    }

    fn header(&self) -> Vec<u8> {
        let mut sorted = self.addresses.clone();
        sorted.sort();
        sorted.dedup();
        let mut hash = Hmac::<Sha1>::new_from_slice(self.pass.as_bytes()).unwrap();
        hash.update(&[2, 1, self.vhid]);
        for address in sorted {
            match address {
                IpAddr::V4(a) => hash.update(&a.octets()),
                IpAddr::V6(a) => hash.update(&a.octets()),
            }
        }
        hash.update(&self.counter.to_be_bytes());
        let mut header = vec![0x21, self.vhid, self.advskew, 7, 0, self.advbase, 0, 0];
        header.extend(self.counter.to_be_bytes());
        header.extend(&hash.finalize().into_bytes()[..]);
        let sum = checksum(&[&header]);
        header[6..8].copy_from_slice(&sum.to_be_bytes());
        header
    }

    pub fn frame(&self) -> Vec<u8> {
        let from = MacAddr::of_vhid(self.vhid);
        match self.source {
            IpAddr::V4(source) => {
                let packet = ipv4(
                    source,
                    Ipv4Addr::new(224, 0, 0, 18),
                    112,
                    self.ttl,
                    &self.header(),
                );
                ethernet(MacAddr([1, 0, 0x5e, 0, 0, 0x12]), from, 0x0800, &packet)
            }
            IpAddr::V6(source) => {
                let packet = ipv6(source, "ff02::12".parse().unwrap(), 112, &self.header());
                ethernet(MacAddr([0x33, 0x33, 0, 0, 0, 0x12]), from, 0x86dd, &packet)
            }
        }
    }
}

/// Who has `target`, asked by `asker`: to everybody, or to `to`.
pub fn arp_request(asker: (MacAddr, Ipv4Addr), target: Ipv4Addr, to: MacAddr) -> Vec<u8> {
    let mut body = vec![0, 1, 8, 0, 6, 4, 0, 1];
    body.extend(asker.0.0);
    body.extend(asker.1.octets());
    body.extend([0; 6]);
    body.extend(target.octets());
    ethernet(to, asker.0, 0x0806, &body)
}

/// A neighbour solicitation, to the solicited-node group unless `to` is given.
pub fn solicitation(asker: (MacAddr, Ipv6Addr), target: Ipv6Addr, to: Option<MacAddr>) -> Vec<u8> {
    let [.., x, y, z] = target.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, x, y, z]);
    let (dst, ip) = match to {
        Some(to) => (to, target),
        None => (MacAddr([0x33, 0x33, 0xff, x, y, z]), group),
    };
    let mut body = vec![135, 0, 0, 0, 0, 0, 0, 0];
    body.extend(target.octets());
    body.extend([1, 1]);
    body.extend(asker.0.0);
    ethernet(dst, asker.0, 0x86dd, &icmp6(asker.1, ip, body))
}

/// An echo request to `to`.
pub fn echo_request(
    from: (MacAddr, IpAddr),
    to: (MacAddr, IpAddr),
    ident: u16,
    seq: u16,
) -> Vec<u8> {
    let tail = [ident.to_be_bytes(), seq.to_be_bytes()].concat();
    match (from.1, to.1) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut body = [&[8, 0, 0, 0], &tail[..], b"carp test"].concat();
            let sum = checksum(&[&body]);
            body[2..4].copy_from_slice(&sum.to_be_bytes());
            ethernet(
                to.0,
                from.0,
                0x0800,
                &ipv4(source, destination, 1, 64, &body),
            )
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let body = [&[128, 0, 0, 0], &tail[..], b"carp test"].concat();
            ethernet(to.0, from.0, 0x86dd, &icmp6(source, destination, body))
        }
        _ => panic!("two families in one packet"),
    }
}

/// A router that offers itself and `prefix`/64, to all nodes.
pub fn router_advertisement(from: (MacAddr, Ipv6Addr), prefix: Ipv6Addr) -> Vec<u8> {
    let all = (
        MacAddr([0x33, 0x33, 0, 0, 0, 1]),
        "ff02::1".parse().unwrap(),
    );
    router_advertisement_to(from, all, prefix)
}

/// The same to one host only, as a router may answer a solicitation.
pub fn router_advertisement_to(
    from: (MacAddr, Ipv6Addr),
    to: (MacAddr, Ipv6Addr),
    prefix: Ipv6Addr,
) -> Vec<u8> {
    let mut body = vec![134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    // Prefix information: on link, autonomous; valid and preferred for an hour.
    body.extend([
        3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0,
    ]);
    body.extend(prefix.octets());
    body.extend([1, 1]);
    body.extend(from.0.0);
    ethernet(to.0, from.0, 0x86dd, &icmp6(from.1, to.1, body))
}

/// The same frame in VLAN `vid` (0 is a priority tag), `kind` 0x8100 or 0x88a8.
pub fn tagged(frame: &[u8], kind: u16, vid: u16) -> Vec<u8> {
    [
        &frame[..12],
        &kind.to_be_bytes(),
        &vid.to_be_bytes(),
        &frame[12..],
    ]
    .concat()
}
