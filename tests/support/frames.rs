//! Frames as the tests see and make them; must not know the program: its codecs are what is tested, so nothing is shared.

use carp::time::Instant;
use carp::wire::MacAddr;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One Ethernet frame and when it was heard.
#[derive(Clone)]
pub struct Frame {
    pub at: Instant,
    pub bytes: Vec<u8>,
}

/// An advertisement as it stands on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub vhid: u8,
    pub advskew: u8,
    pub advbase: u8,
    pub demote: u8,
    pub counter: u64,
    pub source: IpAddr,
}

impl Seen {
    /// The goodbye: 255/255.
    pub fn goodbye(&self) -> bool {
        self.advskew == 255 && self.advbase == 255
    }
}

/// An ARP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arp {
    pub op: u16,
    pub sha: MacAddr,
    pub spa: Ipv4Addr,
    pub tha: MacAddr,
    pub tpa: Ipv4Addr,
}

/// A neighbour solicitation (135) or advertisement (136).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nd {
    pub kind: u8,
    pub target: Ipv6Addr,
    pub source: Ipv6Addr,
    /// Router, Solicited, Override in the top three bits.
    pub flags: u8,
    /// The link-layer address option.
    pub lladdr: Option<MacAddr>,
}

/// An ICMP echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echo {
    pub request: bool,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub ident: u16,
    pub seq: u16,
}

fn mac(bytes: &[u8]) -> MacAddr {
    MacAddr(bytes[..6].try_into().unwrap())
}

fn be16(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

fn v4(bytes: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])
}

fn v6(bytes: &[u8]) -> Ipv6Addr {
    Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[..16]).unwrap())
}

impl Frame {
    pub fn dst(&self) -> MacAddr {
        mac(&self.bytes)
    }

    pub fn src(&self) -> MacAddr {
        mac(&self.bytes[6..])
    }

    pub fn ethertype(&self) -> u16 {
        be16(&self.bytes[12..])
    }

    /// Protocol, source, destination and payload of an untagged IP packet.
    fn ip(&self) -> Option<(u8, IpAddr, IpAddr, &[u8])> {
        let packet = &self.bytes[14..];
        match self.ethertype() {
            0x0800 if packet.len() >= 20 => {
                let ihl = usize::from(packet[0] & 15) * 4;
                let body = packet.get(ihl..)?;
                Some((
                    packet[9],
                    v4(&packet[12..]).into(),
                    v4(&packet[16..]).into(),
                    body,
                ))
            }
            0x86dd if packet.len() >= 40 => {
                // Skips a hop-by-hop header: MLD has one.
                let (next, body) = match packet[6] {
                    0 if packet.len() >= 48 => (
                        packet[40],
                        packet.get(40 + 8 + usize::from(packet[41]) * 8..)?,
                    ),
                    next => (next, &packet[40..]),
                };
                Some((
                    next,
                    v6(&packet[8..]).into(),
                    v6(&packet[24..]).into(),
                    body,
                ))
            }
            _ => None,
        }
    }

    /// Source address of an IP packet.
    pub fn ip_source(&self) -> Option<IpAddr> {
        self.ip().map(|(_, source, _, _)| source)
    }

    /// Destination address of an IP packet.
    pub fn ip_destination(&self) -> Option<IpAddr> {
        self.ip().map(|(_, _, destination, _)| destination)
    }

    pub fn advert(&self) -> Option<Seen> {
        let (112, source, _, p) = self.ip()? else {
            return None;
        };
        (p.len() >= 36 && p[0] == 0x21).then(|| Seen {
            vhid: p[1],
            advskew: p[2],
            demote: p[4],
            advbase: p[5],
            counter: u64::from_be_bytes(p[8..16].try_into().unwrap()),
            source,
        })
    }

    pub fn arp(&self) -> Option<Arp> {
        let p = &self.bytes[14..];
        (self.ethertype() == 0x0806 && p.len() >= 28).then(|| Arp {
            op: be16(&p[6..]),
            sha: mac(&p[8..]),
            spa: v4(&p[14..]),
            tha: mac(&p[18..]),
            tpa: v4(&p[24..]),
        })
    }

    pub fn nd(&self) -> Option<Nd> {
        let (58, IpAddr::V6(source), _, p) = self.ip()? else {
            return None;
        };
        if p.len() < 24 || !matches!(p[0], 135 | 136) {
            return None;
        }
        let lladdr = p
            .get(24..32)
            .filter(|o| matches!(o[0], 1 | 2) && o[1] == 1)
            .map(|o| mac(&o[2..]));
        Some(Nd {
            kind: p[0],
            target: v6(&p[8..]),
            source,
            flags: p[4] & 0xe0,
            lladdr,
        })
    }

    pub fn echo(&self) -> Option<Echo> {
        let (protocol, source, destination, p) = self.ip()?;
        let request = match (protocol, p.first()?) {
            (1, 8) | (58, 128) => true,
            (1, 0) | (58, 129) => false,
            _ => return None,
        };
        (p.len() >= 8).then(|| Echo {
            request,
            source,
            destination,
            ident: be16(&p[4..]),
            seq: be16(&p[6..]),
        })
    }

    /// What an owner sends: an answer or a claim for `address`.
    pub fn claims(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(a) => self.arp().is_some_and(|p| p.spa == a),
            IpAddr::V6(a) => self.nd().is_some_and(|n| n.kind == 136 && n.target == a),
        }
    }
}

impl fmt::Debug for Frame {
    /// One line for the evidence of a failed test.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = clock_text(self.at);
        write!(f, "{at} {} > {} ", self.src(), self.dst())?;
        if let Some(a) = self.advert() {
            return write!(f, "{a:?}");
        }
        if let Some(a) = self.arp() {
            return write!(f, "{a:?}");
        }
        if let Some(n) = self.nd() {
            return write!(f, "{n:?}");
        }
        if let Some(e) = self.echo() {
            return write!(f, "{e:?}");
        }
        match self.ip() {
            Some((protocol, source, destination, p)) => {
                write!(
                    f,
                    "ip proto {protocol} {source} > {destination}, {:02x?}",
                    &p[..p.len().min(16)]
                )
            }
            None => write!(
                f,
                "type {:04x} {:02x?}",
                self.ethertype(),
                &self.bytes[14..self.bytes.len().min(44)]
            ),
        }
    }
}

/// A moment in the evidence of a failed test.
pub fn clock_text(at: Instant) -> String {
    let us = at.as_nanos() / 1_000;
    format!("{}.{:03} ms", us / 1000, us % 1000)
}

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
