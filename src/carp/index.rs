//! What each turn asks of all carpN: who is due, who leaves, who has this vhid, whether what demotes has changed. Kept up to
//! date carpN by carpN, so that no turn costs a walk through all of them; must not know what follows from the answers.
//!
//! All of it follows from the [`World`] and stands outside it.

use super::config::{Carpdev, Unit, Vhid};
use super::demote::Ailment;
use super::state::World;
use super::timer::Timer;
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// When to come back, what for, and for whom.
pub(super) type Moment = (Instant, Timer, Unit, Vhid);

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    entries: BTreeMap<Unit, Entry>,
    /// The earliest moment of each carpN that waits for one.
    moments: BTreeSet<Moment>,
    /// carpN with departures.
    leaving: BTreeSet<Unit>,
    /// carpN by their carpdev and vhids, ascending.
    bearers: BTreeMap<(Carpdev, Vhid), Vec<Unit>>,
}

/// One carpN as it was last looked at.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    next: Option<Moment>,
    ailment: Ailment,
}

impl Index {
    /// The index of everything.
    pub(super) fn of(world: &World) -> Self {
        let mut index = Self::default();
        for (unit, interface) in &world.interfaces {
            index.follow(world, *unit);
            let Some(carpdev) = interface.carpdev else {
                continue;
            };
            for vhost in &interface.vhosts {
                let bearers = index.bearers.entry((carpdev, vhost.vhid));
                bearers.or_default().push(*unit);
            }
        }
        index
    }

    /// Looks at one carpN again, whose vhosts may have changed but not which they are. True: what is wrong with it is not
    /// what it was.
    pub(super) fn follow(&mut self, world: &World, unit: Unit) -> bool {
        let interface = world.interfaces.get(&unit);
        let new = interface.map(|interface| Entry {
            next: interface.next(unit),
            ailment: Ailment::of(world, unit, interface),
        });
        let old = match new {
            Some(new) => self.entries.insert(unit, new),
            None => self.entries.remove(&unit),
        };
        let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
        if old.next != new.next {
            old.next.map(|moment| self.moments.remove(&moment));
            self.moments.extend(new.next);
        }
        if interface.is_some_and(|interface| !interface.departures.is_empty()) {
            self.leaving.insert(unit);
        } else {
            self.leaving.remove(&unit);
        }
        old.ailment != new.ailment
    }

    /// The earliest moment of all.
    pub(super) fn next(&self) -> Option<Moment> {
        self.moments.first().copied()
    }

    /// The carpN with a moment that has come.
    pub(super) fn due(&self, now: Instant) -> BTreeSet<Unit> {
        let due = self.moments.iter().take_while(|(at, ..)| *at <= now);
        due.map(|(_, _, unit, _)| *unit).collect()
    }

    pub(super) fn leaving(&self) -> &BTreeSet<Unit> {
        &self.leaving
    }

    /// The carpN with this vhid on this carpdev: one, unless the admin made two of a kind.
    pub(super) fn bearers(&self, carpdev: Carpdev, vhid: Vhid) -> &[Unit] {
        self.bearers
            .get(&(carpdev, vhid))
            .map_or(&[][..], Vec::as_slice)
    }
}
