//! The engine's actions, carried out; must not know why the engine wants them.

use super::door::Effect;
use super::log::level;
use super::{Daemon, Purpose};
use crate::carp::config::{State, Unit, Vhid};
use crate::carp::{Action, Gate, Input, Reason, Sending};
use crate::dataplane;
use crate::linux::clock;
use std::collections::BTreeSet;

impl Daemon {
    /// Drains the engine. The outcome of a sending is an input of its own, so this goes on until nothing follows.
    pub(super) fn perform(&mut self) {
        loop {
            let mut sent = Vec::new();
            let mut moved = BTreeSet::new();
            while let Some(action) = self.engine.poll() {
                self.act(action, &mut sent, &mut moved);
            }
            // Once for all gates: an engine that resumes has as many as there are carpN, and a filter takes its time.
            for carpdev in moved {
                self.refresh_answers(carpdev);
            }
            if sent.is_empty() {
                return;
            }
            for input in sent {
                self.engine.handle(clock::now(), input);
            }
        }
    }

    /// `moved`: the carpdevs with another gate.
    fn act(&mut self, action: Action, sent: &mut Vec<Input<'static>>, moved: &mut BTreeSet<u32>) {
        // What a MASTER does all the time changes nothing that `settle` looks at.
        self.stirred |= !matches!(
            action,
            Action::Send { .. } | Action::SendToPeers { .. } | Action::Lease { .. }
        );
        match action {
            Action::Send {
                carpdev,
                unit,
                vhid,
                what,
                frame,
            } => {
                let ok = self
                    .carpdevs
                    .get(&carpdev.0)
                    .is_some_and(|attached| attached.send(&frame).is_ok());
                if let Sending::Advertisement(family) = what {
                    sent.push(Input::Sent {
                        unit,
                        vhid,
                        family,
                        ok,
                    });
                }
            }
            Action::SendToPeers {
                carpdev,
                unit,
                vhid,
                family,
                packets,
            } => {
                let attached = self.carpdevs.get(&carpdev.0);
                let left = attached.map(|attached| attached.send_to_peers(&packets));
                sent.push(Input::Sent {
                    unit,
                    vhid,
                    family,
                    ok: left.unwrap_or(false),
                });
            }
            Action::Arm { unit, attempt } => self.arm(unit, attempt),
            Action::Disarm { unit } => self.disarm(unit),
            Action::Gate { unit, vhid, gate } => moved.extend(self.gate(unit, vhid, gate)),
            Action::Lease { unit, vhid, until } => {
                if let Some(interface) = self.interfaces.get(&unit) {
                    self.plane.set_lease(interface.index, vhid.get(), until);
                }
            }
            Action::Transition {
                unit,
                vhid,
                from,
                to,
                reason,
            } => self.report(unit, vhid, from, to, reason),
            // The engine keeps lines about packets to `net.inet.carp.log`; those about this host are always told.
            Action::Log(notice) => self.log.line(notice.level, &notice.text),
            Action::Retired { unit } => {
                self.retired.insert(unit);
            }
        }
    }

    fn arm(&mut self, unit: Unit, attempt: u64) {
        let Some(interface) = self.interfaces.get_mut(&unit) else {
            return;
        };
        interface.owning = true;
        interface
            .ordered
            .extend(interface.config.addresses.iter().copied());
        let effect = Effect::Arm {
            name: unit.to_string(),
            addresses: interface.config.addresses.clone(),
            like: interface.config.carpdev.clone().unwrap_or_default(),
        };
        self.order(Purpose::Arm(unit, attempt), effect);
    }

    pub(super) fn disarm(&mut self, unit: Unit) {
        let Some(interface) = self.interfaces.get_mut(&unit) else {
            return;
        };
        interface.owning = false;
        self.order(
            Purpose::Disarm(unit),
            Effect::Disarm {
                name: unit.to_string(),
            },
        );
    }

    /// The carpdev on whose questions that tells.
    fn gate(&mut self, unit: Unit, vhid: Vhid, gate: Gate) -> Option<u32> {
        let interface = self.interfaces.get_mut(&unit)?;
        if gate == Gate::Shut {
            interface.answering.remove(&vhid);
        } else {
            interface.answering.insert(vhid);
        }
        let passage = match gate {
            Gate::Shut => dataplane::Gate::Shut,
            Gate::Inward => dataplane::Gate::Inward,
            Gate::Open => dataplane::Gate::Open,
            Gate::Yielded => dataplane::Gate::Yielded,
        };
        self.plane.set_gate(interface.index, vhid.get(), passage);
        interface.carpdev
    }

    /// Lets ARP requests and solicitations through for exactly the addresses that this host may have to answer for.
    pub(super) fn refresh_answers(&mut self, carpdev: u32) {
        let addresses: BTreeSet<_> = self
            .interfaces
            .values()
            .filter(|interface| {
                interface.carpdev == Some(carpdev) && !interface.answering.is_empty()
            })
            .flat_map(|interface| {
                interface
                    .config
                    .addresses
                    .iter()
                    .map(ipnetwork::IpNetwork::ip)
            })
            .collect();
        let refused = match self.carpdevs.get_mut(&carpdev) {
            Some(attached) => attached.answer_for(addresses).err(),
            None => None,
        };
        if let Some(e) = refused {
            self.log.line(
                level::ERR,
                &format!("cannot filter neighbour requests: {e}"),
            );
        }
    }

    /// OpenBSD's line, with the reason that it leaves out.
    fn report(&self, unit: Unit, vhid: Vhid, from: State, to: State, reason: Reason) {
        let level = if from == State::Init || to == State::Init {
            level::WARNING
        } else {
            level::CRIT
        };
        let several = self
            .interfaces
            .get(&unit)
            .is_some_and(|interface| interface.config.nodes.len() > 1);
        let which = if several {
            format!(" (vhid {vhid})")
        } else {
            String::new()
        };
        if level <= self.settings.log {
            let text = format!("{unit}: state transition{which}: {from} -> {to} ({reason})");
            self.log.line(level, &text);
        }
    }
}
