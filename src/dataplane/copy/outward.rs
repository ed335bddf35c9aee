//! From carpN to its carpdev; must not know epoll.

use super::frame::{self, ARP, ETHERNET, ICMPV6, IGMP, IPV4, IPV6, RARP, Upper};
use super::line::{Carpdev, Line, Way};
use crate::dataplane::{Balancing, Gate, Port};
use crate::linux::packet::VNET_HEADER;
use crate::time::Instant;
use crate::wire::MacAddr;

/// Sends a frame, with its virtio header, if the gate lets it. `bytes` may be changed.
pub(super) fn carry(line: &Line, carpdev: Option<&Carpdev>, bytes: &mut [u8], now: Instant) {
    let passage = line.enter(now);
    let left = carpdev.is_some_and(|carpdev| {
        let own = carpdev.mac();
        prepare(&line.port, passage.widest(), own, bytes) && carpdev.data.send(bytes).is_ok()
    });
    if left {
        line.live.passed(Way::Out, bytes.len() - VNET_HEADER);
    } else {
        line.live.dropped(Way::Out);
    }
}

/// False: the frame stays here. `own` is carpdev's MAC, `place` that of the vhost whose gate it is.
fn prepare(port: &Port, (gate, place): (Gate, usize), own: MacAddr, bytes: &mut [u8]) -> bool {
    let Some(frame) = bytes
        .get_mut(VNET_HEADER..)
        .filter(|frame| frame.len() >= ETHERNET)
    else {
        return false;
    };
    if frame::is_tagged(frame) {
        return false;
    }
    match gate {
        Gate::Shut | Gate::Inward => false,
        Gate::Open => {
            speak(port, place, own, frame);
            true
        }
        Gate::Yielded if speaks_for_the_link(frame) => false,
        Gate::Yielded => {
            frame[6..12].copy_from_slice(&own.0);
            true
        }
    }
}

/// Which MAC stands for carpN, see [`Balancing`]; and who asks in ARP.
fn speak(port: &Port, place: usize, own: MacAddr, frame: &mut [u8]) {
    let folds = port.balancing != Balancing::Mac;
    let Some(vhost) = port.vhosts.get(if folds { 0 } else { place }) else {
        return;
    };
    match port.balancing {
        Balancing::Mac if place > 0 => frame[6..12].copy_from_slice(&vhost.mac.0),
        Balancing::Unlearnt => frame[6..12].copy_from_slice(&own.0),
        Balancing::Mac | Balancing::Learnt => {}
    }
    if frame::ethertype(frame) == Some(ARP)
        && let Some(arp) = frame[ETHERNET..].first_chunk_mut::<28>()
        && arp[8..14] == port.mac.0
    {
        if port.vhosts.len() > 1 {
            arp[8..14].copy_from_slice(&vhost.mac.0);
        }
        if port.probes {
            arp[14..18].fill(0);
        }
    }
}

/// ARP, neighbour and router discovery, MLD and IGMP: from a host that has yielded they would teach the others a wrong
/// place for the shared address.
fn speaks_for_the_link(frame: &[u8]) -> bool {
    match frame::ethertype(frame) {
        Some(ARP | RARP) => true,
        Some(IPV4) => frame
            .get(ETHERNET + 9)
            .is_none_or(|protocol| *protocol == IGMP),
        Some(IPV6) => match frame::upper(frame) {
            Upper::Is(ICMPV6, at) => frame
                .get(at)
                .is_none_or(|kind| matches!(kind, 130..=137 | 143)),
            Upper::Is(..) | Upper::Fragment => false,
            Upper::Unclear => true,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::samples::{arp, ethernet, icmp6, ipv4, ipv6};
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn a_yielded_port_is_silent_about_the_link() {
        let icmp = |kind| ipv6(58, &icmp6(kind, Ipv6Addr::LOCALHOST));
        let behind_options = |kind| {
            [
                vec![58, 0, 5, 2, 0, 0, 1, 0],
                icmp6(kind, Ipv6Addr::LOCALHOST),
            ]
            .concat()
        };
        for kind in [130, 131, 132, 133, 134, 135, 136, 137, 143] {
            assert!(speaks_for_the_link(&icmp(kind)), "ICMPv6 {kind}");
            assert!(
                speaks_for_the_link(&ipv6(0, &behind_options(kind))),
                "ICMPv6 {kind} behind options"
            );
        }
        for kind in [1, 2, 128, 129, 138, 144] {
            assert!(!speaks_for_the_link(&icmp(kind)), "ICMPv6 {kind}");
        }
        assert!(speaks_for_the_link(&arp(1, Ipv4Addr::LOCALHOST)));
        assert!(speaks_for_the_link(&arp(2, Ipv4Addr::LOCALHOST)));
        assert!(speaks_for_the_link(&ipv4(2)));
        assert!(speaks_for_the_link(&ipv6(0, &[])));
        assert!(!speaks_for_the_link(&ipv4(6)) && !speaks_for_the_link(&ipv4(1)));
        assert!(!speaks_for_the_link(&ipv6(17, &[0; 8])));
        assert!(!speaks_for_the_link(&ethernet(0x88cc, &[0; 46])));
    }
}
