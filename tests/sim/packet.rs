//! Advertisements written and read a second time, from the description of the wire alone; must not use the library's codec
//! or its digest, so that an error there is seen here.

use carp::wire::Family;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What hosts of one group must have in common: key, vhid, addresses.
#[derive(Clone)]
pub struct Seal {
    context: Hmac<Sha1>,
    pub vhid: u8,
    pub addresses: Vec<IpAddr>,
    pub pass: &'static str,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "vhid {} {:?} {:?}", self.vhid, self.pass, self.addresses)
    }
}

impl PartialEq for Seal {
    fn eq(&self, other: &Self) -> bool {
        (self.vhid, self.pass) == (other.vhid, other.pass) && self.addresses == other.addresses
    }
}

impl Seal {
    pub fn new(pass: &'static str, vhid: u8, addresses: &[IpAddr]) -> Self {
        let mut addresses = addresses.to_vec();
        // IPv4 sorts before IPv6, each by its bytes.
        addresses.sort();
        let mut key = [0; 20];
        let phrase = &pass.as_bytes()[..pass.len().min(19)];
        key[..phrase.len()].copy_from_slice(phrase);
        let mut context = Hmac::<Sha1>::new_from_slice(&key).unwrap();
        context.update(&[2, 1, vhid]);
        for address in &addresses {
            match address {
                IpAddr::V4(v4) => context.update(&v4.octets()),
                IpAddr::V6(v6) => context.update(&v6.octets()),
            }
        }
        Self {
            context,
            vhid,
            addresses,
            pass,
        }
    }

    pub fn digest(&self, counter: u64) -> [u8; 20] {
        let mut mac = self.context.clone();
        mac.update(&counter.to_be_bytes());
        mac.finalize().into_bytes().into()
    }

    /// The families that have addresses, IPv4 first.
    pub fn families(&self) -> impl Iterator<Item = Family> + '_ {
        let has = |v4: bool| self.addresses.iter().any(move |a| a.is_ipv4() == v4);
        let inet = has(true).then_some(Family::Inet);
        inet.into_iter().chain(has(false).then_some(Family::Inet6))
    }
}

/// An advertisement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ad {
    pub vhid: u8,
    pub base: u8,
    pub skew: u8,
    pub demote: u8,
    pub counter: u64,
    pub digest: [u8; 20],
    pub family: Family,
    pub src: IpAddr,
    /// The checksum covers the IPv6 pseudo-header.
    pub pseudo: bool,
}

impl Ad {
    pub fn is_goodbye(&self) -> bool {
        (self.base, self.skew) == (255, 255)
    }
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn words(bytes: &[u8]) -> u32 {
    let pairs = bytes.chunks(2);
    pairs
        .map(|p| (u32::from(p[0]) << 8) + u32::from(*p.get(1).unwrap_or(&0)))
        .sum()
}

fn pseudo_words(src: Ipv6Addr, dst: Ipv6Addr) -> u32 {
    words(&src.octets()) + words(&dst.octets()) + 36 + 112
}

const GROUP4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// The Ethernet frame. `fifth` is the fifth byte of the source: 1 in all BSDs, 0 in UCARP.
pub fn emit(ad: &Ad, fifth: u8) -> Vec<u8> {
    let mut body = [0u8; 36];
    body[..6].copy_from_slice(&[0x21, ad.vhid, ad.skew, 7, ad.demote, ad.base]);
    body[8..16].copy_from_slice(&ad.counter.to_be_bytes());
    body[16..].copy_from_slice(&ad.digest);
    let mac = [0, 0, 0x5e, 0, fifth, ad.vhid];
    let mut frame = Vec::with_capacity(90);
    match ad.src {
        IpAddr::V4(src) => {
            let sum = fold(words(&body));
            body[6..8].copy_from_slice(&sum.to_be_bytes());
            frame.extend([1, 0, 0x5e, 0, 0, 0x12]);
            frame.extend(mac);
            frame.extend([8, 0]);
            let mut ip = [0x45, 0x10, 0, 56, 0, 0, 0x40, 0, 255, 112, 0, 0].to_vec();
            ip.extend(src.octets());
            ip.extend(GROUP4.octets());
            let sum = fold(words(&ip));
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
            frame.extend(ip);
        }
        IpAddr::V6(src) => {
            let more = if ad.pseudo {
                pseudo_words(src, GROUP6)
            } else {
                0
            };
            let sum = fold(words(&body) + more);
            body[6..8].copy_from_slice(&sum.to_be_bytes());
            frame.extend([0x33, 0x33, 0, 0, 0, 0x12]);
            frame.extend(mac);
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 36, 112, 255]);
            frame.extend(src.octets());
            frame.extend(GROUP6.octets());
        }
    }
    frame.extend(body);
    frame
}

/// What a careful receiver makes of a frame: `None` unless every header is as it must be.
pub fn parse(frame: &[u8]) -> Option<Ad> {
    let (src, start, pseudo_sum) = match frame.get(12..14)? {
        [8, 0] => {
            let ip = frame.get(14..34)?;
            let right = ip[0] == 0x45 && ip[2..4] == [0, 56] && ip[8] == 255 && ip[9] == 112;
            let group = ip[16..20] == GROUP4.octets() && frame[..6] == [1, 0, 0x5e, 0, 0, 0x12];
            if !right || !group || fold(words(ip)) != 0 {
                return None;
            }
            let src = <[u8; 4]>::try_from(&ip[12..16]).ok()?;
            (IpAddr::from(src), 34, None)
        }
        [0x86, 0xdd] => {
            let ip = frame.get(14..54)?;
            let right = ip[0] >> 4 == 6 && ip[4..6] == [0, 36] && ip[6] == 112 && ip[7] == 255;
            let group = ip[24..40] == GROUP6.octets() && frame[..6] == [0x33, 0x33, 0, 0, 0, 0x12];
            if !right || !group {
                return None;
            }
            let src = Ipv6Addr::from(<[u8; 16]>::try_from(&ip[8..24]).ok()?);
            (IpAddr::V6(src), 54, Some(pseudo_words(src, GROUP6)))
        }
        _ => return None,
    };
    let body = frame.get(start..start + 36)?;
    let plain = fold(words(body)) == 0;
    let pseudo = pseudo_sum.is_some_and(|more| fold(words(body) + more) == 0);
    if body[0] != 0x21 || body[3] != 7 || !(plain || pseudo) {
        return None;
    }
    Some(Ad {
        vhid: body[1],
        skew: body[2],
        demote: body[4],
        base: body[5],
        counter: u64::from_be_bytes(body[8..16].try_into().ok()?),
        digest: body[16..].try_into().ok()?,
        family: if src.is_ipv4() {
            Family::Inet
        } else {
            Family::Inet6
        },
        src,
        pseudo: !plain,
    })
}
