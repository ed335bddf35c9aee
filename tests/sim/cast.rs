//! Who takes part: the hosts and models of a scenario, and the addresses that they have.

use crate::heir::Kept;
use crate::host::{Arming, Clock, Conf, Host, Packet, Port};
use crate::model::Model;
use crate::packet::Seal;
use crate::random::Random;
use crate::rules::Witness;
use crate::scenario::{SECOND, Scenario};
use crate::world::Node;
use carp::carp::config::Settings;
use carp::wire::{Family, MacAddr};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

pub fn nodes(scenario: &Scenario, random: &mut Random) -> Vec<Node> {
    let mut nodes = Vec::new();
    for (index, plan) in scenario.hosts.iter().enumerate() {
        let clock = Clock {
            ppm: plan.drift,
            offset: random.between(SECOND, 1000 * SECOND),
        };
        let places = scenario.places(index);
        if let Some(system) = plan.system {
            let model = Model::new(system, index, plan, clock, scenario);
            nodes.push(Node::Model(Box::new(model)));
            continue;
        }
        let conf = |(g, member): (usize, crate::scenario::MemberPlan)| {
            let group = &scenario.groups[g];
            Conf {
                group: g,
                segment: group.segment,
                up: true,
                base: member.base,
                skew: member.skew,
                seal: Rc::new(Seal::new("secret", group.vhid, &group.addresses)),
                addresses: group.addresses.clone(),
                gone: false,
                plain: group
                    .members
                    .iter()
                    .all(|m| m.base == member.base && m.base > 0),
            }
        };
        let confs: Vec<Conf> = places.into_iter().map(conf).collect();
        let port = |segment: usize| Port {
            exists: true,
            up: true,
            v4: plan.has_v4.then(|| own_v4(segment, index)),
            v6: plan.has_v6.then(|| own_v6(segment, index)),
            mac: MacAddr([2, 0, 0, 0, segment as u8, index as u8]),
        };
        nodes.push(Node::Ours(Box::new(Host {
            engine: None,
            boot: 0,
            clock,
            ports: (0..scenario.segments).map(port).collect(),
            settings: Settings {
                preempt: plan.preempt,
                log: 0,
                replay: plan.replay,
                arpbalance: scenario.shares,
                // Of address lists the rules written down here know only the present ones.
                grace: 0,
                ..Settings::default()
            },
            arming: Arming::Prompt,
            sends: true,
            paused: None,
            backlog: VecDeque::new(),
            wake: None,
            door_free: 0,
            witness: Witness::new(Vec::new(), 0),
            wall: plan.wall,
            kept: scenario
                .deaths
                .iter()
                .any(|death| death.host == index)
                .then(Kept::default),
            dying: None,
            orphan: false,
            confs,
        })));
    }
    nodes
}

/// The same frame with one byte of its advertisement changed: no receiver may take it.
pub fn garbled(random: &mut Random, packet: &Packet) -> Packet {
    let mut bytes = packet.bytes.clone();
    let at = bytes.len() - 1 - random.below(36) as usize;
    bytes[at] ^= random.between(1, 255) as u8;
    Packet {
        bytes,
        ad: None,
        seal: None,
        from: packet.from,
        segment: packet.segment,
        asks: None,
        sent: packet.sent,
        id: packet.id,
        maker: packet.maker,
    }
}

pub fn own_v4(segment: usize, host: usize) -> Ipv4Addr {
    match segment {
        0 => Ipv4Addr::new(192, 0, 2, host as u8 + 10),
        _ => Ipv4Addr::new(198, 51, 100, host as u8 + 10),
    }
}

pub fn own_v6(segment: usize, host: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, segment as u16, host as u16 + 10)
}

/// A family by chance; for faults.
pub fn family_of(number: u64) -> Family {
    if number & 1 == 0 {
        Family::Inet
    } else {
        Family::Inet6
    }
}
