//! All that decides what the engine does next, as plain data: cloned, compared and hashed by a model checker.

use super::auth::hashed;
use super::config::{Carpdev, Config, Key, Settings, Unit, Vhid};
use super::demote::Demoted;
use super::index::Moment;
use super::random::Random;
use super::replay::Memory;
use super::timer::Timer;
use super::vhost::{self, Echo, Vhost};
use super::{Gate, Parent, Reason};
use crate::time::Instant;
use crate::wire::{Family, MacAddr};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

/// What a former MASTER still does for one vhid: it serves the frames that are on their way, and waits for the successor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(super) struct Departure {
    pub(super) carpdev: Carpdev,
    pub(super) vhid: Vhid,
    /// The key and addresses under which the successor advertises, whatever was configured since.
    pub(super) key: Key,
    pub(super) mac: Option<MacAddr>,
    pub(super) addresses: Vec<IpAddr>,
    /// What it sent last and may hear again.
    pub(super) echoes: VecDeque<Echo>,
    /// What it had heard: an old advertisement is no successor.
    pub(super) memory: Memory,
    /// As told to the data plane.
    pub(super) gate: Gate,
    /// As told to the data plane.
    pub(super) lease: Instant,
    pub(super) successor_heard: bool,
    /// [`super::timer::Timer::Linger`].
    pub(super) until: Instant,
}

/// One carpN: what its vhosts have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Interface {
    pub(super) config: Config,
    pub(super) carpdev: Option<Carpdev>,
    pub(super) vhosts: Vec<Vhost>,
    pub(super) departures: Vec<Departure>,
    /// A number for each shared address, greater the later it was configured on this host.
    pub(super) ranks: BTreeMap<IpAddr, u64>,
    /// Shared addresses whose askers belong to several vhosts: nothing is said of them that was not asked.
    pub(super) divided: BTreeSet<IpAddr>,
    /// Until then a carpdev that is not up has not had the time to come up: [`super::timer::Timer::Grace`].
    pub(super) grace: Option<Instant>,
    /// Destroyed; [`super::Action::Retired`] when the last departure is over.
    pub(super) retiring: bool,
}

impl Interface {
    /// Nothing of this host owns the addresses of carpN.
    pub(super) fn is_idle(&self) -> bool {
        self.departures.is_empty() && !self.vhosts.iter().any(Vhost::serves)
    }

    /// The next moment of its vhosts, its departures and its grace.
    pub(super) fn next(&self, unit: Unit) -> Option<Moment> {
        let running = self.vhosts.iter().filter_map(|vhost| {
            let (at, timer) = vhost.timers.next()?;
            Some((at, timer, unit, vhost.vhid))
        });
        let lingering = self.departures.iter();
        let lingering = lingering.map(|left| (left.until, Timer::Linger, unit, left.vhid));
        let first = self.vhosts.first();
        let grace = first.and_then(|v| Some((self.grace?, Timer::Grace, unit, v.vhid)));
        running.chain(lingering).chain(grace).min()
    }

    /// The first of its vhosts that is due; see [`super::timer::Timers::due`].
    pub(super) fn first_due(&self, now: Instant) -> Option<(Option<Instant>, Timer, Vhid)> {
        let due = self.vhosts.iter().filter_map(|vhost| {
            let timer = vhost.timers.due(now)?;
            Some((vhost.timers.get(timer), timer, vhost.vhid))
        });
        due.min()
    }

    /// What is missing before a vhost can take part, if anything.
    pub(super) fn lacks(config: &Config, carpdev_up: bool, served: bool) -> Option<Reason> {
        if !config.up {
            Some(Reason::Down)
        } else if config.carpdev.is_none() || hashed(addresses(config)).is_empty() {
            Some(Reason::Incomplete)
        } else if !carpdev_up {
            Some(Reason::CarpdevDown)
        } else if !served {
            Some(Reason::Unserved)
        } else {
            None
        }
    }
}

/// The shared addresses without their prefix lengths, in order of configuration.
pub(super) fn addresses(config: &Config) -> impl Iterator<Item = IpAddr> + '_ {
    config.addresses.iter().map(ipnetwork::IpNetwork::ip)
}

/// The first shared address of a family.
pub(super) fn first_address(config: &Config, family: Family) -> Option<IpAddr> {
    addresses(config).find(|address| address.is_ipv4() == (family == Family::Inet))
}

/// The families that have addresses, IPv4 first.
pub(super) fn families(config: &Config) -> impl Iterator<Item = Family> + '_ {
    [Family::Inet, Family::Inet6]
        .into_iter()
        .filter(|family| first_address(config, *family).is_some())
}

/// The state of one engine without its counters, its queue, its log limits and its keyed contexts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub(super) interfaces: BTreeMap<Unit, Interface>,
    /// carpN that the data plane cannot serve as they are configured.
    pub(super) unserved: BTreeSet<Unit>,
    pub(super) parents: BTreeMap<Carpdev, Parent>,
    pub(super) settings: Settings,
    pub(super) random: Random,
    /// The wall clock at the moments' origin, in seconds.
    pub(super) clock: u64,
    /// The number of the latest `Action::Arm`.
    pub(super) attempts: u64,
    /// The number of the latest shared address.
    pub(super) ranks: u64,
    /// Until then another interface may follow that shares the askers of those that are there.
    pub(super) unsettled: Instant,
    /// What the last advertisements told.
    pub(super) demoted: Demoted,
    /// By how much groups are demoted by hand.
    pub(super) demotions: BTreeMap<String, u8>,
    /// The host's own addresses, with the interfaces that have them, in the kernel's order.
    pub(super) local: Vec<(Carpdev, IpAddr)>,
    /// Shut down: nothing new is taken.
    pub(super) ending: bool,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            interfaces: BTreeMap::new(),
            unserved: BTreeSet::new(),
            parents: BTreeMap::new(),
            settings: Settings::default(),
            random: Random(seed),
            clock: 0,
            attempts: 0,
            ranks: 0,
            unsettled: Instant::ZERO,
            demoted: Demoted::default(),
            demotions: BTreeMap::new(),
            local: Vec::new(),
            ending: false,
        }
    }

    /// In seconds; see [`super::Engine::with_clock`].
    pub(super) fn wall_clock(&self, now: Instant) -> u64 {
        self.clock + now.as_nanos() / 1_000_000_000
    }

    pub(super) fn carpdev_up(&self, carpdev: Option<Carpdev>) -> bool {
        self.parent(carpdev).is_some_and(|parent| parent.up)
    }

    pub(super) fn parent(&self, carpdev: Option<Carpdev>) -> Option<&Parent> {
        self.parents.get(&carpdev?)
    }

    /// The same state for another reckoning, so that states which differ only in when they are reached compare equal:
    /// moments count from `origin` (what is past becomes zero), counters are replaced by `rename` (which the checker also
    /// applies to packets on their way; `None` for one that will not be heard any more), attempts to arm keep their order
    /// only, random numbers start anew, and why a vhost is in its state is forgotten. With `net.inet.carp.replay` on the
    /// numbers must tell identities apart and keep distances, from each other and from twice the wall clock in seconds, and
    /// `None` is for counters below all that can still be heard or sent; what is left of a second is part of the state then.
    #[must_use]
    pub fn rebased(&self, origin: Instant, mut rename: impl FnMut(u64) -> Option<u64>) -> Self {
        let mut world = self.clone();
        world.random = Random(0);
        world.clock = 0;
        world.unsettled = Instant::ZERO + self.unsettled.since(origin);
        let vhosts = self
            .interfaces
            .values()
            .flat_map(|interface| &interface.vhosts);
        let attempts: BTreeSet<u64> = vhosts.map(|vhost| vhost.attempt).chain([0]).collect();
        let rank = |attempt: u64| attempts.range(..attempt).count() as u64;
        world.attempts = rank(u64::MAX);
        let ranks = self.interfaces.values().flat_map(|i| i.ranks.values());
        let ranks: BTreeSet<u64> = ranks.copied().chain([0]).collect();
        let place = |number: u64| ranks.range(..number).count() as u64;
        world.ranks = place(u64::MAX);
        for interface in world.interfaces.values_mut() {
            for vhost in &mut interface.vhosts {
                vhost.rebase(origin, &mut rename);
                vhost.attempt = rank(vhost.attempt);
            }
            for number in interface.ranks.values_mut() {
                *number = place(*number);
            }
            interface.grace = interface.grace.map(|at| Instant::ZERO + at.since(origin));
            for departure in &mut interface.departures {
                departure.lease = Instant::ZERO + departure.lease.since(origin);
                vhost::rename_echoes(&mut departure.echoes, &mut rename);
                departure.memory.rebase(origin, &mut rename);
                departure.until = Instant::ZERO + departure.until.since(origin);
            }
        }
        world
    }
}
