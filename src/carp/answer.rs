//! ARP and neighbour discovery for the shared addresses: only a MASTER answers, with its virtual MAC, whatever carries the
//! data; must not know elections.
//!
//! Noise that gets no answer: gratuitous requests, and the replies that every FreeBSD BACKUP sends to them from its
//! physical MAC.

use super::config::{Carpdev, Unit, Vhid};
use super::engine::Engine;
use super::state::addresses;
use super::vhost::Phase;
use crate::time::Instant;
use crate::wire::{MacAddr, arp, nd};
use std::net::IpAddr;

impl Engine {
    pub(super) fn arp(&mut self, now: Instant, carpdev: Carpdev, packet: &arp::Packet) {
        if packet.operation != arp::Operation::Request || packet.is_gratuitous() {
            return;
        }
        let asked = Question {
            carpdev,
            target: packet.target_ip.into(),
            from: packet.sender_mac,
            to: packet.dst_mac,
        };
        if let Some((unit, vhid)) = self.owner(asked)
            && let Some(mut turn) = self.turn(now, unit, vhid)
        {
            turn.answer_arp(packet);
        }
    }

    pub(super) fn solicitation(
        &mut self,
        now: Instant,
        carpdev: Carpdev,
        asked: &nd::Solicitation,
    ) {
        let question = Question {
            carpdev,
            target: asked.target.into(),
            from: asked.src_mac,
            to: asked.dst_mac,
        };
        if let Some((unit, vhid)) = self.owner(question)
            && let Some(mut turn) = self.turn(now, unit, vhid)
        {
            turn.answer_nd(asked);
        }
    }

    /// The MASTER here of the address asked for.
    fn owner(&self, asked: Question) -> Option<(Unit, Vhid)> {
        let own_mac = self.world.parents.get(&asked.carpdev)?.mac;
        let interfaces = self.world.interfaces.iter().filter(|(_, interface)| {
            interface.carpdev == Some(asked.carpdev)
                && addresses(&interface.config).any(|address| address == asked.target)
        });
        let mut masters = interfaces.flat_map(|(unit, interface)| {
            let masters = interface
                .vhosts
                .iter()
                .filter(|vhost| vhost.phase == Phase::Master);
            masters.map(|vhost| {
                let mac = interface.config.mac(vhost.vhid, Some(own_mac));
                (*unit, vhost.vhid, mac)
            })
        });
        let owner = masters.find(|(.., mac)| {
            let mac = *mac;
            // Another MASTER of the group may ask; its MAC is ours, and what was sent there would come to nobody.
            let reached = asked.to.is_multicast() || asked.to == mac || asked.to == own_mac;
            reached && asked.from != mac
        });
        owner.map(|(unit, vhid, _)| (unit, vhid))
    }
}

/// Who has `target`?
#[derive(Debug, Clone, Copy)]
struct Question {
    carpdev: Carpdev,
    target: IpAddr,
    /// The asker's MAC.
    from: MacAddr,
    /// Ethernet destination; with a promiscuous carpdev it may be a stranger's.
    to: MacAddr,
}
