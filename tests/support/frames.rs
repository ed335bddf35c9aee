//! Frames as the tests read them; must not know the program: its codecs are what is tested, so nothing is shared.

pub use super::craft::*;
use carp::time::Instant;
use carp::wire::MacAddr;
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
