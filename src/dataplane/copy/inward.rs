//! From a carpdev to the carpN that a frame is addressed to; must not know epoll.

use super::frame::{self, ARP, ETHERNET, ICMPV6, IPV6, Packet, Upper};
use super::line::{Line, Way};
use crate::dataplane::{Balancing, Gate, share};
use crate::linux::packet::VNET_HEADER;
use crate::time::Instant;
use crate::wire::MacAddr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The ports of one carpdev: for each MAC its port, and the place of its vhost.
#[derive(Debug, Default)]
pub(super) struct Roster(Vec<(MacAddr, usize, Arc<Line>)>);

impl Roster {
    pub(super) fn new(lines: impl Iterator<Item = Arc<Line>>) -> Self {
        let of = |line: Arc<Line>| {
            let heard: Vec<_> = line.port.heard().collect();
            heard
                .into_iter()
                .map(move |(mac, place)| (mac, place, Arc::clone(&line)))
        };
        let mut by_mac: Vec<_> = lines.flat_map(of).collect();
        by_mac.sort_by_key(|(mac, ..)| *mac);
        Self(by_mac)
    }

    fn find(&self, mac: MacAddr) -> Option<(&Line, usize)> {
        let at = self.0.binary_search_by_key(&mac, |(mac, ..)| *mac).ok()?;
        let (_, place, line) = &self.0[at];
        Some((line, *place))
    }
}

/// Hands a frame, with its virtio header, to its port if that may have it. `bytes` may be changed.
pub(super) fn carry(roster: &Roster, bytes: &mut [u8], now: Instant) {
    let Some(frame) = bytes
        .get_mut(VNET_HEADER..)
        .filter(|frame| frame.len() >= ETHERNET)
    else {
        return;
    };
    let Some(mac) = destination(frame) else {
        return;
    };
    let Some((line, place)) = roster.find(mac) else {
        return;
    };
    let passage = line.enter(now);
    let gate = match (line.port.balancing, frame::packet(frame)) {
        (Balancing::Mac, _) => passage.gate_at(place),
        // Of a group whose MAC happens to be the same: carpdev's stack has it.
        (_, Packet::Ip(_, to)) if mac.is_multicast() && to.is_multicast() => return,
        (_, Packet::Ip(from, to)) => share(from, to, line.port.vhosts.len())
            .map_or(Gate::Shut, |place| passage.gate_at(place)),
        (_, Packet::Other) => passage.widest().0,
        (_, Packet::Cut) => Gate::Shut,
    };
    let passes = gate != Gate::Shut && admissible(frame, &line.port.shared);
    if passes {
        frame[..6].copy_from_slice(&line.port.mac.0);
    }
    let length = frame.len();
    // EIO while carpN is down, EBADFD once it is gone, EINVAL for a header that does not fit its frame: all dropped.
    if passes && nix::unistd::write(&*line.tap, bytes).is_ok() {
        line.live.passed(Way::In, length);
    } else {
        line.live.dropped(Way::In);
    }
}

fn destination(frame: &[u8]) -> Option<MacAddr> {
    Some(MacAddr(*frame.first_chunk()?))
}

/// True unless the kernel behind carpN would answer for a shared address: that is the engine's part. Replies,
/// advertisements, and questions about other addresses pass.
fn admissible(frame: &[u8], shared: &[IpAddr]) -> bool {
    match frame::ethertype(frame) {
        Some(ARP) => match requested(frame) {
            Some(target) => !shared.contains(&IpAddr::V4(target)),
            None => true,
        },
        Some(IPV6) => match frame::upper(frame) {
            Upper::Is(ICMPV6, at) => match solicited(&frame[at..]) {
                Some(target) => !shared.contains(&IpAddr::V6(target)),
                None => true,
            },
            Upper::Is(..) | Upper::Fragment => true,
            Upper::Unclear => false,
        },
        _ => !frame::is_tagged(frame),
    }
}

/// The target of an ARP request.
fn requested(frame: &[u8]) -> Option<Ipv4Addr> {
    let arp: &[u8; 28] = frame.get(ETHERNET..)?.first_chunk()?;
    (arp[6..8] == [0, 1]).then(|| Ipv4Addr::new(arp[24], arp[25], arp[26], arp[27]))
}

/// The target of a neighbour solicitation.
fn solicited(icmp: &[u8]) -> Option<Ipv6Addr> {
    let target: &[u8; 16] = icmp.get(8..)?.first_chunk()?;
    (icmp[0] == 135).then(|| Ipv6Addr::from(*target))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::frame::samples::{arp, ethernet, icmp6, ipv4, ipv6};
    use super::*;

    #[test]
    fn questions_about_shared_addresses_stay_outside() {
        let (v4, v6) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        let (other4, other6) = ("192.0.2.2".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let shared = [IpAddr::V4(v4), IpAddr::V6(v6)];
        let behind = |payload: Vec<u8>| [vec![58, 0, 1, 4, 0, 0, 0, 0], payload].concat();
        for (bytes, expected) in [
            (arp(1, v4), false),
            (arp(1, other4), true),
            (arp(2, v4), true),
            (ipv6(58, &icmp6(135, v6)), false),
            (ipv6(60, &behind(icmp6(135, v6))), false),
            (ipv6(58, &icmp6(135, other6)), true),
            (ipv6(58, &icmp6(136, v6)), true),
            (ipv6(58, &icmp6(128, v6)), true),
            (ipv6(6, &[0; 20]), true),
            (ipv6(0, &[]), false),
            (ipv4(6), true),
            (ethernet(0x8100, &[0; 46]), false),
        ] {
            assert_eq!(admissible(&bytes, &shared), expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn cut_frames_are_harmless() {
        let frame = ipv6(58, &icmp6(135, Ipv6Addr::LOCALHOST));
        for whole in [frame, arp(1, Ipv4Addr::LOCALHOST)] {
            for length in 0..whole.len() {
                let _ = admissible(&whole[..length], &[]);
                assert!(destination(&whole[..length]).is_some() == (length >= 6));
            }
        }
    }
}
