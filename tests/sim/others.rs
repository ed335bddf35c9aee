//! Who is on the segment besides hosts of ours: other systems, clients that ask for an address, an attacker; must not judge.

use crate::cast::{own_v4, own_v6};
use crate::host::Packet;
use crate::ledger::Maker;
use crate::packet::parse;
use crate::peers::{State as PeerState, System};
use crate::rules::Left;
use crate::scenario::SECOND;
use crate::world::{Node, What, World};
use carp::wire::{MacAddr, arp, nd};
use std::net::IpAddr;
use std::rc::Rc;

impl World {
    /// A frame on the segment that nobody of the hosts sent.
    pub fn attack(&mut self) -> Result<(), String> {
        let Some(attack) = self.scenario.attack else {
            return Ok(());
        };
        self.push(self.now + attack.every, What::Attack);
        let Some(packet) = self.recorder.next(attack) else {
            return Ok(());
        };
        self.tally.add("attack: advertisements repeated");
        for host in 0..self.nodes.len() {
            let hears = match &self.nodes[host] {
                Node::Ours(ours) => attack.open || ours.knows(&packet),
                Node::Model(_) => attack.open,
            };
            if hears {
                self.tally.add("attack: arrivals");
                self.arrive(host, Rc::clone(&packet))?;
            }
        }
        Ok(())
    }

    /// To a host that waits for its successor what another one of the group had said.
    pub fn repeat(&mut self, host: usize) -> Result<(), String> {
        let Node::Ours(ours) = &self.nodes[host] else {
            return Ok(());
        };
        let courses = ours.witness.courses.iter();
        let lefts: Vec<_> = courses.filter_map(|course| course.left.as_ref()).collect();
        let old = |packet: &Packet| {
            let awaits = |left: &&Left| !left.heard && Some(&left.seal) == packet.seal.as_ref();
            let stays = packet.ad.is_some_and(|ad| !ad.is_goodbye());
            packet.from != host && stays && ours.knows(packet) && lefts.iter().any(awaits)
        };
        let Some(packet) = self.recorder.latest(old) else {
            return Ok(());
        };
        self.tally.add("attack: old successors");
        self.arrive(host, packet)
    }

    /// What a model sent and became.
    pub fn after_model(&mut self, host: usize) {
        let Node::Model(model) = &mut self.nodes[host] else {
            return;
        };
        let (frames, changes) = model.collect();
        let wake = model.timeout().map(|at| at.max(self.now));
        let moved = wake != model.wake;
        model.wake = wake;
        let system = model.system;
        for (group, state, rule) in changes {
            self.tally.add(format!("peer: {system:?} {rule}"));
            self.transcript.note(self.now, Some(host), || {
                format!("{system:?} is {state:?}: {rule}")
            });
            let master = state == PeerState::Master;
            self.society.changed(
                self.now,
                group,
                host,
                master,
                rule == "better" || rule == "tie",
            );
        }
        for (seal, bytes) in frames {
            let ad = parse(&bytes);
            self.transcript
                .note(self.now, Some(host), || format!("sends {ad:?}"));
            let packet = Packet {
                ad,
                bytes,
                seal: Some(seal),
                from: host,
                segment: 0,
                asks: None,
                sent: self.now,
                id: 0,
                maker: if matches!(system, System::O6 | System::O7) {
                    Maker::Constant
                } else {
                    Maker::Varying
                },
            };
            self.transmit(Some(host), packet);
        }
        if let (true, Some(at)) = (moved, wake) {
            self.push(at, What::Wake(host));
        }
    }

    /// A client asks who has a shared address.
    pub fn question(&mut self, group: usize) {
        let plan = &self.scenario.groups[group];
        let segment = plan.segment;
        let address = self.random.pick(&plan.addresses);
        let mac = MacAddr([2, 0, 0, 0, 9, 9]);
        let bytes = match address {
            IpAddr::V4(v4) => arp::request(mac, own_v4(segment, 240), v4),
            IpAddr::V6(v6) => nd::Solicitation::multicast(mac, own_v6(segment, 240), v6).emit(),
        };
        let packet = Packet {
            bytes,
            ad: None,
            seal: None,
            from: usize::MAX,
            segment,
            asks: Some(address),
            sent: self.now,
            id: 0,
            maker: Maker::Varying,
        };
        self.transmit(None, packet);
        let next = self.now + self.random.between(SECOND, 5 * SECOND);
        self.push(next, What::Question(group));
    }
}
