//! What one captured frame shows about who owns a shared address; must not know the daemon, nor use its decoders: a
//! measurement that shared a mistake with the measured would not see it.

use crate::wire::{Family, MacAddr};
use std::net::{Ipv4Addr, Ipv6Addr};

const ETHERTYPE_INET: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_INET6: u16 = 0x86dd;
const PROTO_CARP: u8 = 112;
const PROTO_ICMP6: u8 = 58;
const ARP_REPLY: u16 = 2;
const ND_ADVERT: u8 = 136;
const VERSION_TYPE: u8 = 0x21;

/// The shared addresses and the vhid that are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared {
    /// The group.
    pub vhid: u8,
    /// Its IPv4 address.
    pub inet: Ipv4Addr,
    /// Its IPv6 address.
    pub inet6: Ipv6Addr,
}

impl Shared {
    /// The virtual MAC of the group.
    #[must_use]
    pub const fn mac(&self) -> MacAddr {
        MacAddr::of_vhid(self.vhid)
    }
}

/// The fields of an advertisement that tell when its sender speaks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advert {
    /// Seconds.
    pub advbase: u8,
    /// 1/256 s.
    pub advskew: u8,
}

impl Advert {
    /// The sender leaves: 255/255.
    #[must_use]
    pub const fn goodbye(self) -> bool {
        self.advbase == 255 && self.advskew == 255
    }
}

/// What a frame shows. A frame that shows nothing has no `Sight`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// The family it speaks for.
    pub family: Family,
    /// It is an advertisement of the watched group.
    pub advert: Option<Advert>,
    /// It is what only an owner sends: an ARP or ND answer for a shared address, or anything from the virtual MAC.
    pub owner: bool,
}

/// Reads one Ethernet frame, from the destination address on; short and foreign frames show nothing.
#[must_use]
pub fn sight(frame: &[u8], shared: &Shared) -> Option<Sight> {
    let source = frame.get(6..12)?;
    let payload = frame.get(14..)?;
    let virtual_source = source == shared.mac().0;
    let (family, advert, answer) = match be16(frame, 12)? {
        ETHERTYPE_ARP => (Family::Inet, None, arp_answer(payload, shared.inet)),
        ETHERTYPE_INET => (Family::Inet, inet_advert(payload, shared.vhid), false),
        ETHERTYPE_INET6 => (
            Family::Inet6,
            inet6_advert(payload, shared.vhid),
            nd_answer(payload, shared.inet6),
        ),
        _ => return None,
    };
    let owner = virtual_source || answer;
    (owner || advert.is_some()).then_some(Sight {
        family,
        advert,
        owner,
    })
}

/// The ICMP echo identifier and payload of an echo frame of either family: (is a reply, identifier, payload).
#[must_use]
pub fn echo(frame: &[u8]) -> Option<(Family, bool, u16, &[u8])> {
    let payload = frame.get(14..)?;
    let (family, icmp) = match be16(frame, 12)? {
        ETHERTYPE_INET if *payload.get(9)? == 1 => {
            (Family::Inet, payload.get(inet_header(payload)?..)?)
        }
        ETHERTYPE_INET6 if *payload.get(6)? == PROTO_ICMP6 => (Family::Inet6, payload.get(40..)?),
        _ => return None,
    };
    let reply = match (family, icmp.first()?) {
        (Family::Inet, 8) | (Family::Inet6, 128) => false,
        (Family::Inet, 0) | (Family::Inet6, 129) => true,
        _ => return None,
    };
    Some((family, reply, be16(icmp, 4)?, icmp.get(8..)?))
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn inet_header(packet: &[u8]) -> Option<usize> {
    Some(usize::from(packet.first()? & 0x0f) * 4)
}

fn arp_answer(arp: &[u8], address: Ipv4Addr) -> bool {
    be16(arp, 6) == Some(ARP_REPLY) && arp.get(14..18) == Some(&address.octets()[..])
}

fn nd_answer(packet: &[u8], address: Ipv6Addr) -> bool {
    packet.get(6) == Some(&PROTO_ICMP6)
        && packet.get(40) == Some(&ND_ADVERT)
        && packet.get(48..64) == Some(&address.octets()[..])
}

fn inet_advert(packet: &[u8], vhid: u8) -> Option<Advert> {
    (*packet.get(9)? == PROTO_CARP).then_some(())?;
    header(packet.get(inet_header(packet)?..)?, vhid)
}

fn inet6_advert(packet: &[u8], vhid: u8) -> Option<Advert> {
    (*packet.get(6)? == PROTO_CARP).then_some(())?;
    header(packet.get(40..)?, vhid)
}

/// The CARP header: version/type, vhid, advskew, authlen, demote, advbase.
fn header(carp: &[u8], vhid: u8) -> Option<Advert> {
    let ours = *carp.first()? == VERSION_TYPE && *carp.get(1)? == vhid;
    ours.then_some(Advert {
        advbase: *carp.get(5)?,
        advskew: *carp.get(2)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SHARED: Shared = Shared {
        vhid: 1,
        inet: Ipv4Addr::new(192, 0, 2, 1),
        inet6: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
    };
    const PHYSICAL: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn ethernet(source: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0xff; 6];
        frame.extend(source);
        frame.extend(kind.to_be_bytes());
        frame.extend(payload);
        frame
    }

    fn arp(op: u8, sender: [u8; 4]) -> Vec<u8> {
        let mut packet = vec![0, 1, 8, 0, 6, 4, 0, op, 2, 0, 0, 0, 0, 1];
        packet.extend(sender);
        packet.extend([0; 10]);
        packet
    }

    #[test]
    fn an_answer_for_the_shared_address_is_an_owners_whatever_its_mac() {
        let owner = Some(Sight {
            family: Family::Inet,
            advert: None,
            owner: true,
        });
        assert_eq!(
            sight(&ethernet(PHYSICAL, 0x806, &arp(2, [192, 0, 2, 1])), &SHARED),
            owner
        );
        assert_eq!(
            sight(&ethernet(PHYSICAL, 0x806, &arp(2, [192, 0, 2, 9])), &SHARED),
            None
        );
        assert_eq!(
            sight(&ethernet(PHYSICAL, 0x806, &arp(1, [192, 0, 2, 1])), &SHARED),
            None
        );
        assert_eq!(
            sight(
                &ethernet(SHARED.mac().0, 0x806, &arp(1, [192, 0, 2, 1])),
                &SHARED
            ),
            owner
        );
    }

    #[test]
    fn a_neighbour_advertisement_is_an_answer() {
        let mut packet = vec![0x60, 0, 0, 0, 0, 24, 58, 255];
        packet.extend([0; 32]);
        packet.extend([136, 0, 0, 0, 0xe0, 0, 0, 0]);
        packet.extend(SHARED.inet6.octets());
        let seen = sight(&ethernet(PHYSICAL, 0x86dd, &packet), &SHARED);
        assert_eq!(
            seen,
            Some(Sight {
                family: Family::Inet6,
                advert: None,
                owner: true
            })
        );
    }

    #[test]
    fn advertisements_of_both_families_are_read_and_foreign_groups_are_not() {
        let carp = [0x21, 1, 100, 7, 0, 1, 0, 0];
        let mut inet = vec![0x45, 0, 0, 56, 0, 0, 0x40, 0, 255, 112];
        inet.extend([0; 10]);
        inet.extend(carp);
        let seen = sight(&ethernet(PHYSICAL, 0x800, &inet), &SHARED).unwrap();
        assert_eq!(
            seen.advert,
            Some(Advert {
                advbase: 1,
                advskew: 100
            })
        );
        assert!(!seen.owner, "a physical source does not own");
        let mut inet6 = vec![0x60, 0, 0, 0, 0, 36, 112, 255];
        inet6.extend([0; 32]);
        inet6.extend([0x21, 1, 255, 7, 0, 255]);
        let seen = sight(&ethernet(SHARED.mac().0, 0x86dd, &inet6), &SHARED).unwrap();
        assert!(seen.advert.unwrap().goodbye() && seen.owner);
        inet6[41] = 2;
        assert_eq!(sight(&ethernet(PHYSICAL, 0x86dd, &inet6), &SHARED), None);
    }

    #[test]
    fn no_truncation_panics() {
        let mut packet = vec![0x4f, 0, 0, 56, 0, 0, 0x40, 0, 255, 112];
        packet.extend([0; 60]);
        let whole = ethernet(PHYSICAL, 0x800, &packet);
        for end in 0..whole.len() {
            let _ = sight(&whole[..end], &SHARED);
            let _ = echo(&whole[..end]);
        }
    }
}
