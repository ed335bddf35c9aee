//! The engine: hands each input to the vhosts that it concerns and serves their timers; must not know how a vhost decides.

use super::auth::Auth;
use super::config::{Settings, State, Unit, Vhid};
use super::demote::{self, Demoted, Demotion};
use super::index::Index;
use super::kept::Part;
use super::outbox::{Outbox, Topic};
use super::state::World;
use super::stats::Stats;
use super::timer::Timer;
use super::turn::{Leaving, Turn};
use super::vhost::{Phase, Vhost};
use super::{Action, Input, Parent, Protection, Reason};
use crate::carp::config::{Carpdev, FAMILY_GROUP};
use crate::time::Instant;
use crate::wire::Family;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// 2025 begins, in seconds since 1970: an earlier wall clock counts as this.
const CLOCK_ZERO: u64 = 1_735_689_600;

/// The protocol of a whole daemon: all carpN on all carpdevs. See the module above for its contract.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(super) world: World,
    pub(super) auths: BTreeMap<(Unit, Vhid), Auth>,
    /// The keyed contexts of [`vhost::Former`] lists, as long as they count.
    pub(super) formers: BTreeMap<(Unit, Vhid), Vec<(Instant, Auth)>>,
    pub(super) out: Outbox,
    pub(super) index: Index,
    /// carpN whose vhosts had a turn that [`Engine::index`] does not know of.
    pub(super) moved: BTreeSet<Unit>,
    /// The same of everything: which carpN there are, or what they have in common.
    pub(super) remade: bool,
    /// Something that departures or demotion depend on may have changed.
    pub(super) touched: bool,
    /// See [`Engine::changed_parts`]; bounded by what is configured.
    pub(super) changed: BTreeSet<Part>,
}

/// One vhost as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Which group.
    pub vhid: Vhid,
    /// As configured.
    pub advskew: u8,
    /// As advertised: at least 240 while demoted.
    pub effective_advskew: u8,
    /// INIT, BACKUP or MASTER; BACKUP while it prepares to be MASTER.
    pub state: State,
    /// Why it is in this state.
    pub reason: Reason,
    /// What it waits for, and until when.
    pub next: Option<(Instant, Timer)>,
    /// Advertisements that did not leave, until three in a row have left. Three demote the host.
    pub send_errors: u32,
}

impl Engine {
    /// An engine with nothing configured. The first counter of each vhost is drawn from `seed`, so hosts must not share it.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let world = World::new(seed);
        let out = Outbox::new(world.settings.log);
        Self {
            world,
            auths: BTreeMap::new(),
            formers: BTreeMap::new(),
            out,
            index: Index::default(),
            moved: BTreeSet::new(),
            remade: false,
            touched: false,
            changed: BTreeSet::new(),
        }
    }

    /// The same with a wall clock: it shows `unix`, the time since 1970, at the moment `now`, and is not looked at again.
    /// Counters then grow from one start of the daemon to the next; without it they begin with the moments' origin. A
    /// wrong one does no harm that lasts, see the module `replay`.
    #[must_use]
    pub fn with_clock(mut self, now: Instant, unix: Duration) -> Self {
        let origin = unix.saturating_sub(now.since(Instant::ZERO));
        self.world.clock = origin.as_secs().saturating_sub(CLOCK_ZERO);
        self
    }

    /// Takes one fact. Whatever is due by `now` happens first. `now` must not run backwards.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        if self.timeout().is_some_and(|at| at <= now) {
            self.run_timers(now);
        }
        if !matches!(
            input,
            Input::Time | Input::Frame { .. } | Input::Sent { .. }
        ) {
            self.changed.insert(Part::Whole);
        }
        match input {
            Input::Time => {}
            Input::Frame { carpdev, bytes } => self.frame(now, carpdev, bytes),
            Input::Parent { carpdev, parent } => self.parent(now, carpdev, parent),
            Input::Configure { unit, config } => self.configure(now, unit, config),
            Input::State { unit, state } => self.state(now, unit, state),
            Input::Served { unit, ok } => self.served(now, unit, ok),
            Input::Settings(settings) => self.settings(settings),
            Input::Local(addresses) => self.world.local = addresses,
            Input::Demotion { group, count } => {
                self.remade = true;
                self.world.demotions.insert(group, count);
                self.world.demotions.retain(|_, count| *count > 0);
            }
            Input::Armed { unit, attempt, ok } => self.armed(now, unit, attempt, ok),
            Input::Sent {
                unit,
                vhid,
                family,
                ok,
            } => self.sent(now, (unit, vhid), family, ok),
            Input::Shutdown => self.shutdown(now),
        }
        let touched = std::mem::take(&mut self.touched) || self.remade;
        if touched {
            self.settle(now);
        }
        let _ = self.follow();
        if touched {
            // Whose vhosts have changed may have left something behind.
            let leaving = self.index.leaving().iter();
            self.changed.extend(leaving.copied().map(Part::Unit));
        }
    }

    /// Brings the index up to date. True: something that demotes may have changed.
    #[must_use]
    pub(super) fn follow(&mut self) -> bool {
        let moved = std::mem::take(&mut self.moved);
        if std::mem::take(&mut self.remade) {
            self.index = Index::of(&self.world);
            return true;
        }
        let ailing = moved
            .into_iter()
            .filter(|unit| self.index.follow(&self.world, *unit));
        ailing.count() > 0
    }

    /// The next thing to do; `None` when there is nothing left.
    #[must_use]
    pub fn poll(&mut self) -> Option<Action> {
        self.out.pop()
    }

    /// When to come back with [`Input::Time`].
    #[must_use]
    pub fn timeout(&self) -> Option<Instant> {
        self.index.next().map(|(at, ..)| at)
    }

    /// When to come back, for which carpN and vhid, and what happens then.
    #[must_use]
    pub fn next_timer(&self) -> Option<(Instant, Timer, Unit, Vhid)> {
        let interfaces = self.world.interfaces.iter();
        interfaces.filter_map(|(unit, i)| i.next(*unit)).min()
    }

    /// The vhosts of one carpN, ascending by vhid; none if there is no such carpN or no vhid was given.
    pub fn vhosts(&self, unit: Unit) -> impl Iterator<Item = Status> + '_ {
        let interface = self
            .world
            .interfaces
            .get(&unit)
            .filter(|interface| !interface.retiring);
        let vhosts = interface.map_or(&[][..], |interface| &interface.vhosts);
        let demotion = self.demotion_of(unit);
        vhosts.iter().map(move |vhost| Status {
            vhid: vhost.vhid,
            advskew: vhost.advskew,
            effective_advskew: demotion.skew(vhost.advskew),
            state: vhost.state(),
            reason: vhost.reason,
            next: vhost.timers.next(),
            send_errors: vhost.send_errors,
        })
    }

    /// The hosts heard as one vhost of a carpN, and what protects against replays of their advertisements.
    pub fn peers(&self, unit: Unit, vhid: Vhid) -> impl Iterator<Item = (IpAddr, Protection)> + '_ {
        let interface = self.world.interfaces.get(&unit);
        let vhosts = interface.map_or(&[][..], |interface| &interface.vhosts);
        let found = vhosts.iter().find(|vhost| vhost.vhid == vhid);
        found.into_iter().flat_map(|vhost| vhost.memory.peers())
    }

    /// What `netstat -s -p carp` shows.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.out.stats
    }

    /// The demotion count of group `carp`.
    #[must_use]
    pub fn demotion(&self) -> u8 {
        self.group_demotion(FAMILY_GROUP)
    }

    /// The demotion count of an interface group: by hand and by what is wrong with its members, at most 255.
    #[must_use]
    pub fn group_demotion(&self, name: &str) -> u8 {
        self.world.demoted.group(name)
    }

    /// net.inet.carp.demotion: what was written, and what the factors add at present.
    #[must_use]
    pub fn skew_demotion(&self) -> i32 {
        self.world.demoted.total()
    }

    /// net.inet.carp.suppress_preempt: carpN whose carpdev is lost, and carpN with send errors.
    #[must_use]
    pub fn suppress_preempt(&self) -> u32 {
        self.world.demoted.events()
    }

    fn demotion_of(&self, unit: Unit) -> Demotion {
        let interface = self.world.interfaces.get(&unit);
        interface.map_or_else(Demotion::default, |i| {
            self.world.demoted.of(unit, &i.config)
        })
    }

    /// The sysctls in force.
    #[must_use]
    pub fn current_settings(&self) -> Settings {
        self.world.settings
    }

    /// All that decides what the engine does next.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Serves what is due: of each vhost the lease before all else, of all vhosts the earliest first. Each timer that fires stops or moves beyond `now`.
    fn run_timers(&mut self, now: Instant) {
        self.touched = true;
        let units = self.index.due(now);
        self.moved.extend(&units);
        self.end_departures(now);
        let first_due = |engine: &Self, unit: Unit| {
            let interface = engine.world.interfaces.get(&unit);
            let (at, timer, vhid) = interface?.first_due(now)?;
            Some((at, timer, unit, vhid))
        };
        // One of each carpN, its first: a turn changes no other's.
        let due = units.iter().filter_map(|unit| first_due(self, *unit));
        let mut due: BTreeSet<_> = due.collect();
        while let Some((_, timer, unit, vhid)) = due.pop_first() {
            if let Some(mut turn) = self.turn(now, unit, vhid) {
                turn.expired(timer);
                due.extend(first_due(self, unit));
            }
        }
    }

    fn sent(&mut self, now: Instant, (unit, vhid): (Unit, Vhid), family: Family, ok: bool) {
        let (next, touched) = (self.timeout(), self.touched);
        let Some(turn) = &mut self.turn(now, unit, vhid) else {
            return;
        };
        let (errors, before) = (turn.vhost.send_errors, turn.vhost.timers.next());
        turn.sent(family, ok);
        if errors == turn.vhost.send_errors && before.map(|(at, _)| at) != next {
            self.touched = touched;
        }
    }

    fn parent(&mut self, now: Instant, carpdev: Carpdev, parent: Option<Parent>) {
        self.remade = true;
        match parent {
            Some(parent) => self.world.parents.insert(carpdev, parent),
            None => self.world.parents.remove(&carpdev),
        };
        if !parent.is_some_and(|parent| parent.up) {
            self.cut_departures(carpdev);
        }
        self.setrun_all(now);
    }

    fn served(&mut self, now: Instant, unit: Unit, ok: bool) {
        let changed = if ok {
            self.world.unserved.remove(&unit)
        } else {
            self.world.unserved.insert(unit)
        };
        if changed {
            self.remade = true;
            self.setrun_all(now);
        }
    }

    fn settings(&mut self, settings: Settings) {
        self.remade = true;
        self.world.settings = settings;
        self.out.level = settings.log;
        self.divide();
    }

    fn state(&mut self, now: Instant, unit: Unit, state: State) {
        for vhid in self.vhids(unit) {
            let Some(mut turn) = self.turn(now, unit, vhid) else {
                continue;
            };
            turn.hold(state == State::Init);
            match (state, turn.vhost.phase) {
                (State::Master, Phase::Backup) => turn.arm(Reason::Requested),
                (State::Backup, Phase::Master) => {
                    turn.step_down(Leaving::Silently, Reason::Requested);
                }
                (State::Backup, Phase::Arming(_)) => {
                    turn.withdraw();
                    turn.become_backup(Reason::Requested);
                }
                // INIT for want of something cannot be left.
                _ => {}
            }
        }
    }

    fn armed(&mut self, now: Instant, unit: Unit, attempt: u64, ok: bool) {
        for vhid in self.vhids(unit) {
            if let Some(mut turn) = self.turn(now, unit, vhid)
                && turn.vhost.attempt == attempt
            {
                turn.armed(ok);
            }
        }
    }

    /// After every input: the group's demotion, and what follows from it.
    fn settle(&mut self, now: Instant) {
        let units: Vec<Unit> = if self.remade {
            self.world.interfaces.keys().copied().collect()
        } else {
            self.moved.iter().copied().collect()
        };
        let settled = demote::end_graces(now, &mut self.world, units);
        self.changed.extend(settled.into_iter().map(Part::Unit));
        if !self.follow() {
            return;
        }
        let new = demote::count(&self.world);
        if self.world.demoted == new {
            return;
        }
        let old = std::mem::replace(&mut self.world.demoted, new);
        for text in demote::told(&old, &self.world.demoted) {
            self.out.warn(now, Topic::Demoted, 3, || text);
        }
        let new = &self.world.demoted;
        let urgent = self.world.interfaces.iter().filter(|(unit, interface)| {
            let config = &interface.config;
            let of = |demoted| (demoted, Demoted::of(demoted, **unit, config));
            demote::is_urgent(of(&old), of(new), config)
        });
        for unit in urgent.map(|(unit, _)| *unit).collect::<Vec<_>>() {
            for vhid in self.vhids(unit) {
                if let Some(mut turn) = self.turn(now, unit, vhid)
                    && turn.vhost.phase == Phase::Master
                {
                    turn.advertise();
                }
            }
        }
    }

    pub(super) fn setrun_all(&mut self, now: Instant) {
        for (unit, vhid) in self.all_vhids() {
            if let Some(mut turn) = self.turn(now, unit, vhid) {
                turn.setrun();
            }
        }
    }

    pub(super) fn vhids(&self, unit: Unit) -> Vec<Vhid> {
        let interface = self.world.interfaces.get(&unit);
        interface.map_or_else(Vec::new, |i| {
            i.vhosts.iter().map(|vhost| vhost.vhid).collect()
        })
    }

    pub(super) fn all_vhids(&self) -> Vec<(Unit, Vhid)> {
        let interfaces = self.world.interfaces.iter();
        interfaces
            .flat_map(|(unit, i)| i.vhosts.iter().map(|v| (*unit, v.vhid)))
            .collect()
    }

    /// One vhost with all that it may touch.
    pub(super) fn turn(&mut self, now: Instant, unit: Unit, vhid: Vhid) -> Option<Turn<'_>> {
        self.touched = true;
        self.moved.insert(unit);
        let world = &mut self.world;
        let clock = world.wall_clock(now);
        let interface = world.interfaces.get_mut(&unit)?;
        self.changed.insert(Part::Vhost(unit, vhid));
        if !interface.departures.is_empty() {
            self.changed.insert(Part::Unit(unit));
        }
        let serves = |vhost: &Vhost| vhost.vhid != vhid && vhost.serves();
        let shared = interface.vhosts.iter().any(serves);
        Some(Turn {
            now,
            unit,
            carpdev: interface.carpdev,
            parent: interface
                .carpdev
                .and_then(|carpdev| world.parents.get(&carpdev))
                .copied(),
            served: !world.unserved.contains(&unit),
            config: &interface.config,
            preempt: world.settings.preempt,
            unsettled: world.settings.arpbalance && now < world.unsettled,
            replay: world.settings.replay,
            grace: Duration::from_secs(world.settings.grace.into()),
            dscp: world.settings.dscp,
            local: &world.local,
            divided: &interface.divided,
            clock,
            demotion: world.demoted.of(unit, &interface.config),
            shared,
            attempts: &mut world.attempts,
            departures: &mut interface.departures,
            vhost: interface
                .vhosts
                .iter_mut()
                .find(|vhost| vhost.vhid == vhid)?,
            auth: self.auths.get(&(unit, vhid))?,
            random: &mut world.random,
            out: &mut self.out,
        })
    }
}
