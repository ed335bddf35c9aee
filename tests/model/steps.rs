//! What may happen next in a state.

use crate::net::{Net, Packet, Step};
use crate::rig::UNIT;
use crate::scope::Scope;
use carp::carp::config::State;
use std::sync::Arc;

impl Net {
    pub fn steps(&self, scope: &Scope, steps: &mut Vec<Step>) {
        if self.next_due(scope).is_some_and(|at| at > self.now) {
            steps.push(Step::Tick);
        }
        for (index, packet) in self.wire.iter().enumerate() {
            // Two alike: one of them is enough.
            let twin = |other: &Packet| {
                let ordered = scope.ordered && other.from == packet.from;
                other.to == packet.to && (ordered || Arc::ptr_eq(&other.bytes, &packet.bytes))
            };
            if self.awake(packet.to).is_some() && !self.wire[..index].iter().any(twin) {
                self.steps_of_packet(index, packet, steps);
            }
        }
        for index in 0..self.hosts.len() {
            self.steps_of_host(scope, index, steps);
        }
    }

    fn steps_of_packet(&self, index: usize, packet: &Packet, steps: &mut Vec<Step>) {
        steps.push(Step::Deliver(index));
        // Lost is lost: when does not matter.
        if self.left.losses > 0 && packet.sent == self.now {
            steps.push(Step::Lose(index));
        }
        if self.left.doubles > 0 {
            steps.push(Step::Double(index));
        }
        let back = packet.to != packet.from && self.awake(packet.from).is_some();
        if self.left.reflections > 0 && back && packet.sent == self.now {
            steps.push(Step::Reflect(index));
        }
    }

    fn steps_of_host(&self, scope: &Scope, index: usize, steps: &mut Vec<Step>) {
        let host = &self.hosts[index];
        let Some(engine) = &host.engine else {
            if self.left.starts > 0 {
                steps.push(Step::Start(index));
            }
            return;
        };
        if self.left.crashes > 0 {
            steps.push(Step::Crash(index));
        }
        if self.left.stops > 0 && host.asleep.is_none() && !host.ending {
            steps.push(Step::Stop(index));
        }
        if let Some(until) = host.asleep {
            if until <= self.now {
                steps.push(Step::Wake(index));
            }
            return;
        }
        if engine.timeout().is_some_and(|at| at <= self.now) {
            steps.push(Step::Serve(index, true));
            if self.left.failures > 0 {
                steps.push(Step::Serve(index, false));
            }
        }
        let refuses = self.left.refusals > 0;
        let answers = [true, false].into_iter().filter(|ok| *ok || refuses);
        if host.arming.is_some() {
            steps.extend(answers.clone().map(|ok| Step::Armed(index, ok)));
        }
        if !host.owed.is_empty() {
            steps.extend(answers.map(|ok| Step::Late(index, ok)));
        }
        if self.left.replays > 0 {
            let heard = (0..self.hosts.len()).filter(|from| host.recorded[*from].is_some());
            steps.extend(heard.map(|from| Step::Replay(from, index)));
        }
        if self.left.pauses > 0 {
            steps.extend((0..scope.pauses.len()).map(|span| Step::Pause(index, span)));
        }
        if !host.carrier || self.left.flaps > 0 {
            steps.push(Step::Carrier(index, !host.carrier));
        }
        if self.left.asks > 0 {
            let asks = [State::Backup, State::Master];
            let other = asks
                .into_iter()
                .filter(|to| engine.vhosts(UNIT).any(|v| v.state != *to));
            steps.extend(other.map(|to| Step::Ask(index, to)));
        }
    }
}
