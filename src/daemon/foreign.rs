//! What other programs do to carpN: an admin's up and down is ours, a deletion is a destroy, all else is reported and put
//! back; must not know the protocol.
//!
//! Events and outcomes come by different ways, so a link event may be older than what was ordered and confirmed since. An
//! event that does not fit only raises a doubt. It is resolved by asking the kernel, when no order for that carpN is under way.

use super::door::{Effect, Failure};
use super::interface::Shape;
use super::log::level;
use super::settle::configure;
use super::{Asked, Daemon, Ending, Purpose};
use crate::carp::config::Unit;
use crate::control::{Change, Request};
use crate::linux::clock;
use crate::linux::monitor::Event;
use crate::linux::netlink::Link;
use ipnetwork::IpNetwork;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::oneshot;

/// Between two lines of the log about addresses that were removed from the same carpN.
const SILENCE: Duration = Duration::from_secs(60);

impl Daemon {
    /// Notes what an event says of a carpN.
    pub(super) fn suspect(&mut self, event: &Event) {
        let unit_of = |index: u32| {
            let mut all = self.interfaces.iter();
            all.find_map(|(unit, held)| (held.index == index).then_some(*unit))
        };
        match event {
            Event::Link(link) => {
                if let Some(unit) = unit_of(link.index)
                    && !self
                        .interfaces
                        .get(&unit)
                        .is_some_and(|held| fits(unit, held.shape, link))
                {
                    self.doubts.insert(unit);
                }
            }
            Event::LinkGone { index, .. } => {
                if let Some(unit) = unit_of(*index) {
                    self.deleted(unit);
                }
            }
            Event::Address {
                address,
                added: true,
            } => {
                if let Some(unit) = unit_of(address.index) {
                    self.addressed(unit, address.net);
                }
            }
            Event::Address {
                address,
                added: false,
            } => {
                if let Some(unit) = unit_of(address.index)
                    && self.interfaces.get(&unit).is_some_and(|held| {
                        held.owning && held.config.addresses.contains(&address.net)
                    })
                {
                    self.doubts.insert(unit);
                }
            }
            Event::Overflow => self.doubts.extend(self.interfaces.keys()),
        }
    }

    /// Resolves the doubts about each carpN that nothing is ordered for.
    pub(super) fn look_closer(&mut self) {
        if self.doubts.is_empty() {
            return;
        }
        let in_work = self
            .transaction
            .as_ref()
            .map(|transaction| transaction.unit());
        let about = |unit: &Unit, purpose: &Purpose| match purpose {
            Purpose::Shape(of)
            | Purpose::Arm(of, _)
            | Purpose::Disarm(of)
            | Purpose::PutBack(of) => of == unit,
            Purpose::Step => in_work == Some(*unit),
            _ => false,
        };
        let busy = |unit: &Unit| {
            let mut orders = self.pending.values();
            orders.any(|(purpose, _)| about(unit, purpose))
        };
        let ready: Vec<Unit> = self.doubts.iter().filter(|u| !busy(u)).copied().collect();
        if ready.is_empty() {
            return;
        }
        let owning = |unit: &Unit| self.interfaces.get(unit).is_some_and(|held| held.owning);
        // Asked for after all outcomes were taken in: it is how things stand.
        let monitor = self.monitor.get_ref();
        let Ok(links) = monitor.links() else {
            return;
        };
        let addresses = match ready.iter().any(owning) {
            true => monitor.addresses(None),
            false => Ok(Vec::new()),
        };
        let Ok(addresses) = addresses else {
            return;
        };
        for unit in ready {
            self.doubts.remove(&unit);
            let Some(held) = self.interfaces.get(&unit) else {
                continue;
            };
            let Some(link) = links.iter().find(|link| link.index == held.index) else {
                continue;
            };
            if !fits(unit, held.shape, link) {
                self.meddled(unit, link);
            }
            // The kernel itself takes IPv6 addresses from a link that goes down.
            if link.up {
                let there = addresses.iter().filter(|held| held.index == link.index);
                self.put_back(unit, &there.map(|held| held.net).collect());
            }
        }
    }

    /// Somebody changed the link.
    fn meddled(&mut self, unit: Unit, link: &Link) {
        let Some(held) = self.interfaces.get_mut(&unit) else {
            return;
        };
        let switched = held.shape.up != link.up;
        held.shape.up = link.up;
        let shape = held.shape;
        let name = unit.to_string();
        let mut wrong = Vec::new();
        if link.mac != shape.mac {
            wrong.push(format!("address {}", link.mac));
        }
        if link.mtu != shape.mtu {
            wrong.push(format!("mtu {}", link.mtu));
        }
        if link.name != name {
            wrong.push(format!("name {}", link.name.escape_debug()));
        }
        if !wrong.is_empty() {
            let wrong = wrong.join(", ");
            let text = format!("{unit}: another program gave it {wrong}: put back, use ifconfig");
            self.log.line(level::WARNING, &text);
            self.order(Purpose::Shape(unit), configure(unit, shape));
        }
        if switched {
            let to = if link.up { "up" } else { "down" };
            let text = format!("{unit}: set {to} by another program, as by ifconfig {unit} {to}");
            self.log.line(level::NOTICE, &text);
            if let Some(held) = self.interfaces.get_mut(&unit) {
                held.config.up = link.up;
            }
            self.commit(unit);
        }
    }

    /// A MASTER that lost an address would draw its frames and answer none: what is missing is put back.
    fn put_back(&mut self, unit: Unit, there: &BTreeSet<IpNetwork>) {
        let Some(held) = self.interfaces.get(&unit) else {
            return;
        };
        if !held.owning || self.ending != Ending::No {
            return;
        }
        let shared = held.config.addresses.iter();
        let addresses: Vec<_> = shared.filter(|net| !there.contains(net)).copied().collect();
        if !addresses.is_empty() {
            let name = unit.to_string();
            self.order(Purpose::PutBack(unit), Effect::PutBack { name, addresses });
        }
    }

    /// What came of it. Two programs that do not agree fill no log.
    pub(super) fn was_put_back(
        &mut self,
        unit: Unit,
        effect: &Effect,
        result: Result<u32, Failure>,
    ) {
        let (Some(held), Effect::PutBack { addresses, .. }) =
            (self.interfaces.get_mut(&unit), effect)
        else {
            return;
        };
        let now = clock::now();
        let silent = held
            .told_removed
            .is_some_and(|told| now.since(told) < SILENCE);
        if !silent {
            held.told_removed = Some(now);
            let removed: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            let removed = format!("{unit}: another program removed {}", removed.join(", "));
            match &result {
                Ok(_) => {
                    let text = format!("{removed}: put back, use ifconfig");
                    self.log.line(level::WARNING, &text);
                }
                Err(failure) => {
                    let text = format!("{removed}: cannot put back: {}", failure.why);
                    self.log.line(level::ERR, &text);
                }
            }
        }
        if result.is_err() {
            self.try_later(Purpose::PutBack(unit));
        }
    }

    /// As `ifconfig carpN destroy`, with the goodbye; unless that is what it is.
    fn deleted(&mut self, unit: Unit) {
        let ours = self
            .transaction
            .as_ref()
            .is_some_and(|transaction| transaction.unit() == unit && transaction.destroys());
        if ours || self.ending != Ending::No {
            return;
        }
        let text = format!("{unit}: deleted by another program, as by ifconfig {unit} destroy");
        self.log.line(level::NOTICE, &text);
        let request = Request::Apply {
            unit,
            changes: vec![Change::Destroy],
        };
        // Nobody waits for the answer.
        let (reply, _) = oneshot::channel();
        self.waiting.push_back(Asked {
            request,
            may_change: true,
            reply,
        });
        self.next_transaction();
    }

    /// Somebody put an address on carpN. It is no shared one, so no digest covers it and no peer knows it.
    fn addressed(&mut self, unit: Unit, net: IpNetwork) {
        let Some(held) = self.interfaces.get(&unit) else {
            return;
        };
        // One that was ordered a while ago may be told late.
        if !held.config.addresses.contains(&net) && !held.ordered.contains(&net) {
            let text = format!(
                "{unit}: another program added {net}: it is not shared and goes with the next change; use ifconfig"
            );
            self.log.line(level::WARNING, &text);
        }
    }
}

fn fits(unit: Unit, shape: Shape, link: &Link) -> bool {
    let seen = Shape {
        mac: link.mac,
        mtu: link.mtu,
        up: link.up,
    };
    seen == shape && link.name == unit.to_string()
}
