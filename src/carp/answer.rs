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

    /// A neighbour answers what this host's kernel has asked as a shared address. It has taken the question for news of where
    /// that address is (T2): if it belongs to another vhid it is told so at once.
    pub(super) fn advertised(
        &mut self,
        now: Instant,
        carpdev: Carpdev,
        answer: &nd::Advertisement,
    ) {
        let neighbour = Asker {
            ip: answer.target.into(),
            mac: answer.target_link_layer.unwrap_or(answer.src_mac),
        };
        let corrected = answer.solicited.then(|| {
            let mut sets = self.sets(now, carpdev, answer.dst.into()).into_iter();
            sets.find_map(|(first, mut set)| {
                let asked = *set.iter().find(|member| member.mac == answer.dst_mac)?;
                let right = chosen(first, &mut set, neighbour)?;
                (right.mac != asked.mac && self.is_master(asked)).then_some((asked, right))
            })
        });
        if let Some((asked, right)) = corrected.flatten()
            && let Some(mut turn) = self.turn(now, asked.unit, asked.vhid)
        {
            turn.correct(answer, right.mac);
        }
    }

    /// The MASTER here that is to answer, if it is this host's part.
    fn owner(&self, now: Instant, asked: Question) -> Option<(Unit, Vhid)> {
        let own_mac = self.world.parents.get(&asked.carpdev)?.mac;
        let sets = self.sets(now, asked.carpdev, asked.target);
        let mut sets = sets.into_iter();
        sets.find_map(|(first, set)| self.selected(first, set, asked, own_mac))
    }

    /// Who shares an address, ascending by vhid, with the interface whose settings count for all of them: everybody here with
    /// net.inet.carp.arpbalance, else each interface by itself.
    fn sets(
        &self,
        now: Instant,
        carpdev: Carpdev,
        target: IpAddr,
    ) -> Vec<(&Interface, Vec<Member>)> {
        let Some(parent) = self.world.parents.get(&carpdev) else {
            return Vec::new();
        };
        let holding = self.world.interfaces.iter().filter(|(_, interface)| {
            interface.carpdev == Some(carpdev)
                && addresses(&interface.config).any(|address| address == target)
        });
        let members = holding.map(|(unit, interface)| {
            let member = |vhid| Member {
                unit: *unit,
                vhid,
                mac: interface.config.mac(vhid, Some(parent.mac)),
                order: interface.ranks.get(&target).copied().unwrap_or(0),
            };
            let answering = interface.answering(now);
            (interface, answering.map(member).collect::<Vec<_>>())
        });
        if !self.world.settings.arpbalance {
            return members.collect();
        }
        let (interfaces, sets): (Vec<_>, Vec<_>) = members.unzip();
        let mut set = sets.concat();
        set.sort_by_key(|member| member.vhid);
        let lowest = set.first().map(|member| member.vhid);
        let has = |i: &&Interface| i.vhosts.iter().any(|vhost| Some(vhost.vhid) == lowest);
        let first = interfaces.into_iter().find(has);
        first.map(|first| (first, set)).into_iter().collect()
    }

    fn is_master(&self, member: Member) -> bool {
        let interface = self.world.interfaces.get(&member.unit);
        let mut vhosts = interface.into_iter().flat_map(|i| &i.vhosts);
        vhosts.any(|v| v.vhid == member.vhid && v.phase == Phase::Master)
    }

    /// The member of `set`, ascending by vhid, that the asker belongs to, if it is MASTER here and was asked.
    fn selected(
        &self,
        first: &Interface,
        mut set: Vec<Member>,
        asked: Question,
        own_mac: MacAddr,
    ) -> Option<(Unit, Vhid)> {
        let chosen = chosen(first, &mut set, asked.asker)?;
        let to = asked.to;
        // On a segment that brings every frame everywhere a probe may go to the MAC of another one of them.
        let reached = to.is_multicast() || to == own_mac || set.iter().any(|m| m.mac == to);
        // Another MASTER of the group may ask; its MAC is ours, and what was sent there would come to nobody.
        let foreign = asked.from != chosen.mac;
        (reached && foreign && self.is_master(chosen)).then_some((chosen.unit, chosen.vhid))
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

/// The member of `set`, ascending by vhid, that an asker belongs to.
fn chosen(first: &Interface, set: &mut [Member], asker: Asker) -> Option<Member> {
    let selector = first.selector();
    if matches!(selector, Selector::Mac { order: true, .. }) {
        set.sort_by_key(|member| Reverse(member.order));
    }
    let place = balance::select(selector, &first.config.key, asker, set.len())?;
    set.get(place).copied()
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
