//! A host of another system in the network: its models, its clock, its stalls; must not know the rules.

use crate::cast::{own_v4, own_v6};
use crate::host::{BACKLOG, Clock, Packet};
use crate::packet::Seal;
use crate::peers::{Member, Peer, State, System};
use crate::scenario::{HostPlan, Scenario};
use std::collections::VecDeque;
use std::rc::Rc;

/// One membership of the host.
#[derive(Debug)]
pub struct Seat {
    pub group: usize,
    pub member: Member,
    pub peer: Peer,
    told: State,
}

#[derive(Debug)]
pub struct Model {
    pub system: System,
    pub clock: Clock,
    pub seats: Vec<Seat>,
    pub alive: bool,
    pub paused: Option<u64>,
    /// What its host suffers from outlives a boot.
    demotion: i64,
    backlog: VecDeque<Rc<Packet>>,
    pub wake: Option<u64>,
}

impl Model {
    pub fn new(
        system: System,
        index: usize,
        plan: &HostPlan,
        clock: Clock,
        scenario: &Scenario,
    ) -> Self {
        let seat = |(group, member): (usize, crate::scenario::MemberPlan)| {
            let of = &scenario.groups[group];
            let member = Member {
                seal: Rc::new(Seal::new("secret", of.vhid, &of.addresses)),
                base: member.base,
                skew: member.skew,
                preempt: plan.preempt,
                v4: own_v4(of.segment, index),
                v6: own_v6(of.segment, index),
                seed: scenario.seed ^ ((index as u64) << 32),
                ratio: 3,
                phase: scenario.seed.wrapping_mul(7919 * (index as u64 + 1)) % 1_000_000_000,
            };
            Seat {
                group,
                peer: Peer::new(system, member.clone()),
                member,
                told: State::Init,
            }
        };
        Self {
            system,
            clock,
            seats: scenario.places(index).into_iter().map(seat).collect(),
            alive: false,
            paused: None,
            demotion: plan.demotion,
            backlog: VecDeque::new(),
            wake: None,
        }
    }

    /// Boots, or wakes up.
    pub fn resume(&mut self, now: u64) {
        let local = self.clock.local(now);
        if !self.alive {
            self.alive = true;
            for seat in &mut self.seats {
                seat.member.seed = seat.member.seed.wrapping_add(1);
                seat.peer = Peer::new(self.system, seat.member.clone());
                seat.peer.demote(local, self.demotion);
                seat.peer.start(local);
            }
            return;
        }
        if self.paused.is_none_or(|until| until > now) {
            return;
        }
        self.paused = None;
        self.wake(now);
        for packet in std::mem::take(&mut self.backlog) {
            self.arrive(now, &packet);
        }
    }

    pub fn demote(&mut self, now: u64, by: i64) {
        self.demotion += by;
        if self.alive {
            let local = self.clock.local(now);
            self.seats
                .iter_mut()
                .for_each(|seat| seat.peer.demote(local, by));
        }
    }

    pub fn crash(&mut self) {
        self.alive = false;
        self.backlog.clear();
        self.paused = None;
        for seat in &mut self.seats {
            seat.peer.stop(false);
        }
    }

    pub fn wake(&mut self, now: u64) {
        if self.alive && self.paused.is_none() {
            let local = self.clock.local(now);
            for seat in &mut self.seats {
                if seat.peer.timeout().is_some_and(|at| at <= local) {
                    seat.peer.wake(local);
                }
            }
        }
    }

    pub fn arrive(&mut self, now: u64, packet: &Rc<Packet>) {
        if !self.alive || packet.bytes[12..14] == [8, 6] {
            return;
        }
        if self.paused.is_some() {
            if self.backlog.len() < BACKLOG {
                self.backlog.push_back(packet.clone());
            }
            return;
        }
        let local = self.clock.local(now);
        for seat in &mut self.seats {
            seat.peer.hear(local, &packet.bytes);
        }
    }

    pub fn timeout(&self) -> Option<u64> {
        if !self.alive || self.paused.is_some() {
            return None;
        }
        let timers = self.seats.iter().filter_map(|seat| seat.peer.timeout());
        timers.min().map(|at| self.clock.global(at))
    }

    /// What left since the last time, and who changed.
    #[allow(clippy::type_complexity)]
    pub fn collect(&mut self) -> (Vec<(Rc<Seal>, Vec<u8>)>, Vec<(usize, State, &'static str)>) {
        let (mut frames, mut changes) = (Vec::new(), Vec::new());
        for seat in &mut self.seats {
            let seal = &seat.member.seal;
            frames.extend(
                seat.peer
                    .take()
                    .into_iter()
                    .map(|bytes| (seal.clone(), bytes)),
            );
            let state = seat.peer.state();
            if state != seat.told {
                seat.told = state;
                changes.push((seat.group, state, seat.peer.rule()));
            }
        }
        (frames, changes)
    }

    pub fn seat(&self, group: usize) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.group == group)
    }
}
