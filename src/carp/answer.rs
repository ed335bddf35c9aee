//! ARP and neighbour discovery for the shared addresses: only a MASTER answers, with its virtual MAC, whatever carries the
//! data; must not know elections.
//!
//! Where several vhosts share an address, each asker belongs to one of them ([`balance`] tells to which) and its MASTER
//! alone answers, with that vhid's MAC. Every host counts the same vhosts: those that take part here, and those that do not
//! but are heard from elsewhere.
//!
//! Noise that gets no answer: gratuitous requests, and the replies that every FreeBSD BACKUP sends to them from its
//! physical MAC.

use super::balance::{self, Asker};
use super::config::{Balancing, Carpdev, Selector, Unit, Vhid};
use super::engine::Engine;
use super::state::{Interface, addresses};
use super::vhost::Phase;
use crate::time::Instant;
use crate::wire::{MacAddr, arp, nd};
use std::cmp::Reverse;
use std::net::IpAddr;

impl Engine {
    pub(super) fn arp(&mut self, now: Instant, carpdev: Carpdev, packet: &arp::Packet) {
        if packet.operation != arp::Operation::Request || packet.is_gratuitous() {
            return;
        }
        let asked = Question {
            carpdev,
            target: packet.target_ip.into(),
            asker: Asker {
                ip: packet.sender_ip.into(),
                mac: packet.sender_mac,
            },
            from: packet.sender_mac,
            to: packet.dst_mac,
        };
        if let Some((unit, vhid)) = self.owner(now, asked)
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
            asker: Asker {
                ip: asked.src.into(),
                mac: asked.source_link_layer.unwrap_or(asked.src_mac),
            },
            from: asked.src_mac,
            to: asked.dst_mac,
        };
        if let Some((unit, vhid)) = self.owner(now, question)
            && let Some(mut turn) = self.turn(now, unit, vhid)
        {
            turn.answer_nd(asked);
        }
    }

    /// The MASTER here that is to answer, if it is this host's part.
    fn owner(&self, now: Instant, asked: Question) -> Option<(Unit, Vhid)> {
        let own_mac = self.world.parents.get(&asked.carpdev)?.mac;
        let holding = self.world.interfaces.iter().filter(|(_, interface)| {
            interface.carpdev == Some(asked.carpdev)
                && addresses(&interface.config).any(|address| address == asked.target)
        });
        let members = holding.map(|(unit, interface)| {
            let member = |vhid| Member {
                unit: *unit,
                vhid,
                mac: interface.config.mac(vhid, Some(own_mac)),
                order: interface.ranks.get(&asked.target).copied().unwrap_or(0),
            };
            let answering = interface.answering(now);
            (interface, answering.map(member).collect::<Vec<_>>())
        });
        if !self.world.settings.arpbalance {
            let mut sets = members;
            return sets.find_map(|(first, set)| self.selected(first, set, asked, own_mac));
        }
        let (interfaces, sets): (Vec<_>, Vec<_>) = members.unzip();
        let mut set = sets.concat();
        set.sort_by_key(|member| member.vhid);
        // Its settings count for all.
        let first = set.first()?.vhid;
        let has = |i: &&&Interface| i.vhosts.iter().any(|vhost| vhost.vhid == first);
        let first = interfaces.iter().find(has)?;
        self.selected(first, set, asked, own_mac)
    }

    /// The member of `set`, ascending by vhid, that the asker belongs to, if it is MASTER here and was asked.
    fn selected(
        &self,
        first: &Interface,
        mut set: Vec<Member>,
        asked: Question,
        own_mac: MacAddr,
    ) -> Option<(Unit, Vhid)> {
        let selector = first.selector();
        if matches!(selector, Selector::Mac { order: true, .. }) {
            set.sort_by_key(|member| Reverse(member.order));
        }
        let place = balance::select(selector, &first.config.key, asked.asker, set.len())?;
        let chosen = *set.get(place)?;
        let to = asked.to;
        // On a segment that brings every frame everywhere a probe may go to the MAC of another one of them.
        let reached = to.is_multicast() || to == own_mac || set.iter().any(|m| m.mac == to);
        // Another MASTER of the group may ask; its MAC is ours, and what was sent there would come to nobody.
        let foreign = asked.from != chosen.mac;
        let interface = self.world.interfaces.get(&chosen.unit)?;
        let mut vhosts = interface.vhosts.iter();
        let master = vhosts.any(|v| v.vhid == chosen.vhid && v.phase == Phase::Master);
        (reached && foreign && master).then_some((chosen.unit, chosen.vhid))
    }

    /// Finds out anew which addresses have their askers divided.
    pub(super) fn divide(&mut self) {
        let arpbalance = self.world.settings.arpbalance;
        let interfaces = &self.world.interfaces;
        let mut held: std::collections::BTreeMap<_, usize> = std::collections::BTreeMap::new();
        for interface in interfaces.values().filter(|i| arpbalance && !i.retiring) {
            for address in addresses(&interface.config) {
                *held.entry((interface.carpdev, address)).or_default() +=
                    interface.config.nodes.len();
            }
        }
        for interface in self.world.interfaces.values_mut() {
            let carpdev = interface.carpdev;
            let several = interface.config.balancing != Balancing::None;
            let divided = addresses(&interface.config).filter(|address| {
                several || held.get(&(carpdev, *address)).is_some_and(|n| *n > 1)
            });
            interface.divided = divided.collect();
        }
    }
}

impl Interface {
    /// The vhosts among which its askers are divided.
    fn answering(&self, now: Instant) -> impl Iterator<Item = Vhid> + '_ {
        let leader_only = self.config.balancing.by_packet();
        let vhosts = self.vhosts.iter().enumerate();
        let taking_part = vhosts.filter(move |(place, vhost)| {
            let here = vhost.phase != Phase::Init;
            let there = vhost.elsewhere.is_some_and(|until| until > now);
            (here || there) && (*place == 0 || !leader_only)
        });
        taking_part.map(|(_, vhost)| vhost.vhid)
    }

    /// OpenBSD 5 divides by Ethernet addresses, FreeBSD 9 by IP addresses.
    fn selector(&self) -> Selector {
        let usual = match self.config.balancing {
            Balancing::Arp => Selector::Mac {
                big_endian: false,
                order: false,
            },
            _ => Selector::Source,
        };
        self.config.hash.unwrap_or(usual)
    }
}

/// One of those that share an address.
#[derive(Debug, Clone, Copy)]
struct Member {
    unit: Unit,
    vhid: Vhid,
    mac: MacAddr,
    /// When it got the address, among the others.
    order: u64,
}

/// Who has `target`?
#[derive(Debug, Clone, Copy)]
struct Question {
    carpdev: Carpdev,
    target: IpAddr,
    asker: Asker,
    /// The asker's MAC as the answer would reach it.
    from: MacAddr,
    /// Ethernet destination; with a promiscuous carpdev it may be a stranger's.
    to: MacAddr,
}
