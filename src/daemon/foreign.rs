//! What other programs do to carpN: an admin's up and down is ours, a deletion is a destroy, all else is reported and put
//! back; must not know the protocol.
//!
//! Events and outcomes come by different ways, so a link event may be older than what was ordered and confirmed since. An
//! event that does not fit only raises a doubt. It is resolved by asking the kernel, when no order for that carpN is under way.

use super::interface::Shape;
use super::log::level;
use super::settle::configure;
use super::{Asked, Daemon, Ending, Purpose};
use crate::carp::config::Unit;
use crate::control::{Change, Request};
use crate::linux::monitor::Event;
use crate::linux::netlink::Link;
use ipnetwork::IpNetwork;
use tokio::sync::oneshot;

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
            Event::Address { added: false, .. } => {}
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
        let busy = |unit: &Unit| {
            self.under_way(&Purpose::Shape(*unit))
                || (in_work == Some(*unit) && self.under_way(&Purpose::Step))
        };
        let ready: Vec<Unit> = self.doubts.iter().filter(|u| !busy(u)).copied().collect();
        if ready.is_empty() {
            return;
        }
        // Asked for after all outcomes were taken in: it is how things stand.
        let Ok(links) = self.monitor.get_ref().links() else {
            return;
        };
        for unit in ready {
            self.doubts.remove(&unit);
            let Some(held) = self.interfaces.get(&unit) else {
                continue;
            };
            if let Some(link) = links.iter().find(|link| link.index == held.index)
                && !fits(unit, held.shape, link)
            {
                self.meddled(unit, link);
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
