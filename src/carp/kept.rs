//! What of an engine must survive it, in parts that can be kept one by one; must not know where.
//!
//! Moments are those of the clock that the next engine has, too. Of what was polled nothing is kept: an engine that resumes asks
//! again for whatever its state stands for, and every action may be carried out twice.

use super::auth::Auth;
use super::config::{Config, Settings, Unit, Vhid};
use super::engine::Engine;
use super::state::{Departure, Interface, addresses};
use super::stats::Stats;
use super::timer::Timer;
use super::vhost::{Phase, Vhost};
use super::{Action, Gate, Parent};
use crate::carp::config::Carpdev;
use crate::time::Instant;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A part of the state. Those of one change are kept in this order: what is known before what was made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// What all have in common. It may name a carpN that is not kept yet, which is none then.
    Whole,
    /// One virtual host.
    Vhost(Unit, Vhid),
    /// What the vhosts of a carpN have in common.
    Unit(Unit),
}

/// [`Part::Whole`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Whole {
    units: Vec<Unit>,
    unserved: BTreeSet<Unit>,
    parents: Vec<(Carpdev, Parent)>,
    settings: Settings,
    clock: u64,
    attempts: u64,
    ranks: u64,
    unsettled: Instant,
    demotions: BTreeMap<String, u8>,
    stats: Stats,
}

/// [`Part::Unit`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Common {
    config: Config,
    carpdev: Option<Carpdev>,
    vhids: Vec<Vhid>,
    departures: Vec<Departure>,
    ranks: Vec<(IpAddr, u64)>,
    grace: Option<Instant>,
    retiring: bool,
}

/// [`Part::Vhost`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Single(Vhost);

impl Whole {
    /// Every carpN, ascending.
    #[must_use]
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// The sysctls.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// By how much groups are demoted by hand.
    #[must_use]
    pub const fn demotions(&self) -> &BTreeMap<String, u8> {
        &self.demotions
    }
}

impl Common {
    /// As configured.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Its vhosts, ascending.
    #[must_use]
    pub fn vhids(&self) -> &[Vhid] {
        &self.vhids
    }

    /// Destroyed, and serving its last frames.
    #[must_use]
    pub const fn retiring(&self) -> bool {
        self.retiring
    }

    /// `clock` is the wall clock in seconds.
    fn inherit(self, vhosts: Vec<Single>, clock: u64) -> Interface {
        let nodes = &self.config.nodes;
        let inherit = |Single(mut vhost): Single| {
            let node = nodes.iter().find(|node| node.vhid == vhost.vhid)?;
            // A change that was not kept is made once more.
            vhost.advskew = node.advskew;
            vhost.inherit(clock);
            Some(vhost)
        };
        let vhosts: Vec<Vhost> = vhosts.into_iter().filter_map(inherit).collect();
        // Promoted while it lingered: the end of what it left would shut the gate.
        let promoted = |left: &Departure| {
            let mut serving = vhosts.iter().filter(|vhost| vhost.serves());
            self.carpdev == Some(left.carpdev) && serving.any(|vhost| vhost.vhid == left.vhid)
        };
        let departures = self.departures.into_iter();
        let departures = departures.filter(|left| !promoted(left)).collect();
        Interface {
            config: self.config,
            carpdev: self.carpdev,
            vhosts,
            departures,
            ranks: self.ranks.into_iter().collect(),
            divided: BTreeSet::new(),
            grace: self.grace,
            retiring: self.retiring,
        }
    }
}

impl Engine {
    /// The parts that may have changed since the last call, in the order in which to keep them.
    #[must_use]
    pub fn changed_parts(&mut self) -> BTreeSet<Part> {
        std::mem::take(&mut self.changed)
    }

    /// [`Part::Whole`] as it is now.
    #[must_use]
    pub fn whole(&self) -> Whole {
        let world = &self.world;
        Whole {
            units: world.interfaces.keys().copied().collect(),
            unserved: world.unserved.clone(),
            parents: world.parents.iter().map(|(c, p)| (*c, *p)).collect(),
            settings: world.settings,
            clock: world.clock,
            attempts: world.attempts,
            ranks: world.ranks,
            unsettled: world.unsettled,
            demotions: world.demotions.clone(),
            stats: self.out.stats,
        }
    }

    /// [`Part::Unit`] as it is now; `None`: it is gone.
    #[must_use]
    pub fn common(&self, unit: Unit) -> Option<Common> {
        let interface = self.world.interfaces.get(&unit)?;
        Some(Common {
            config: interface.config.clone(),
            carpdev: interface.carpdev,
            vhids: self.vhids(unit),
            departures: interface.departures.clone(),
            ranks: interface
                .ranks
                .iter()
                .map(|(ip, rank)| (*ip, *rank))
                .collect(),
            grace: interface.grace,
            retiring: interface.retiring,
        })
    }

    /// [`Part::Vhost`] as it is now; `None`: it is gone.
    #[must_use]
    pub fn single(&self, unit: Unit, vhid: Vhid) -> Option<Single> {
        let interface = self.world.interfaces.get(&unit)?;
        let found = interface.vhosts.iter().find(|vhost| vhost.vhid == vhid);
        found.cloned().map(Single)
    }

    /// Goes on where another engine has ended, and asks for all that its state stands for. `self` has nothing configured.
    /// Each carpN comes with as many vhosts as [`Common::vhids`] has; those of others are left out.
    ///
    /// An engine may die between two parts of one change. Then the later parts are those from before the change, and what
    /// the earlier ones say of a vhost holds.
    pub fn resume(&mut self, now: Instant, whole: Whole, units: Vec<(Unit, Common, Vec<Single>)>) {
        let world = &mut self.world;
        world.unserved = whole.unserved;
        world.parents = whole.parents.into_iter().collect();
        world.settings = whole.settings;
        world.clock = whole.clock;
        // A higher one may have been given since.
        let attempts = units
            .iter()
            .flat_map(|(.., vhosts)| vhosts)
            .map(|v| v.0.attempt);
        world.attempts = attempts.chain([whole.attempts]).max().unwrap_or(0);
        world.ranks = whole.ranks;
        world.unsettled = whole.unsettled;
        world.demotions = whole.demotions;
        self.out.level = whole.settings.log;
        self.out.stats = whole.stats;
        let clock = self.world.wall_clock(now);
        for (unit, common, vhosts) in units {
            let interface = common.inherit(vhosts, clock);
            self.world.interfaces.insert(unit, interface);
            self.key(unit);
            self.ask_again(unit);
        }
        self.divide();
        // What was demoted is known already: nobody is told again.
        self.world.demoted = super::demote::count(&self.world);
        self.announce_again(now);
        self.remade = true;
        let _ = self.follow();
    }

    /// The question that an engine had in its hands when it died is not asked again for a second: whoever waits for the answer
    /// takes an announcement as well.
    fn announce_again(&mut self, now: Instant) {
        for (unit, vhid) in self.all_vhids() {
            if let Some(mut turn) = self.turn(now, unit, vhid)
                && turn.vhost.phase == Phase::Master
                && turn
                    .vhost
                    .timers
                    .get(Timer::Lease)
                    .is_some_and(|until| now < until)
            {
                turn.announce_all();
            }
        }
    }

    /// Makes the keyed contexts of one carpN anew.
    pub(super) fn key(&mut self, unit: Unit) {
        let Some(interface) = self.world.interfaces.get(&unit) else {
            return;
        };
        self.auths
            .retain(|(u, vhid), _| *u != unit || interface.vhosts.iter().any(|v| v.vhid == *vhid));
        self.formers.retain(|(u, _), _| *u != unit);
        let config = &interface.config;
        for vhost in &interface.vhosts {
            let keyed = |addresses: &mut dyn Iterator<Item = IpAddr>| {
                let mac = config.hashed_mac(vhost.vhid);
                Auth::with_mac(&config.key, vhost.vhid, mac, addresses)
            };
            let auth = keyed(&mut addresses(config));
            self.auths.insert((unit, vhost.vhid), auth);
            let former = vhost.former.iter();
            let former: Vec<_> = former
                .map(|list| (list.until, keyed(&mut list.addresses.iter().copied())))
                .collect();
            if !former.is_empty() {
                self.formers.insert((unit, vhost.vhid), former);
            }
        }
    }

    /// The lease first: a gate must not open on none. What somebody is MASTER of is armed once more, and what nobody is disarmed.
    fn ask_again(&mut self, unit: Unit) {
        let Some(interface) = self.world.interfaces.get(&unit) else {
            return;
        };
        let out = &mut self.out;
        let mut pass = |vhid, until, gate| {
            out.push(Action::Lease { unit, vhid, until });
            out.push(Action::Gate { unit, vhid, gate });
        };
        for left in &interface.departures {
            pass(left.vhid, left.lease, left.gate);
        }
        for vhost in interface.vhosts.iter().filter(|vhost| vhost.serves()) {
            let until = vhost.timers.get(Timer::Lease);
            let gate = match vhost.phase {
                Phase::Master => Gate::Open,
                _ => Gate::Inward,
            };
            pass(vhost.vhid, until.unwrap_or(Instant::ZERO), gate);
        }
        let serving = interface.vhosts.iter().filter(|vhost| vhost.serves());
        match serving.map(|vhost| vhost.attempt).max() {
            Some(attempt) => self.out.push(Action::Arm { unit, attempt }),
            None if interface.departures.is_empty() => {
                self.out.push(Action::Disarm { unit });
            }
            None => {}
        }
    }
}
