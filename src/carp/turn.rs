//! One vhost's turn: all that it may see and touch at one moment; must not know other vhosts or how packets are judged.
//!
//! As in the BSDs one function, [`Turn::setrun`], derives what should run from what is configured. It may be called at any
//! time, and is called after every change.

use super::auth::Auth;
use super::config::{Carpdev, Config, State, Unit};
use super::demote::Demotion;
use super::election::{Mine, Priority, Theirs};
use super::outbox::{Outbox, Topic};
use super::random::Random;
use super::state::{Departure, Interface, addresses, families};
use super::timer::Timer;
use super::vhost::{self, Phase, Vhost};
use super::{Action, Gate, Parent, Reason};
use crate::time::Instant;
use crate::wire::Family;
use std::time::Duration;

/// How long a former MASTER serves after its goodbye when no successor is heard.
pub(super) const LINGER: Duration = Duration::from_millis(100);
/// How long it goes on once the successor was heard: what was on its way has arrived.
pub(super) const LINGER_HEARD: Duration = Duration::from_millis(20);
/// More departures of one carpN are not kept; the oldest ends at once.
const DEPARTURES: usize = 32;

/// How a MASTER stops being one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It tells everybody, and serves until somebody takes over.
    Goodbye,
    /// Somebody better has been heard.
    Yielding,
    /// It tells nobody: `state backup` in the manner of the BSDs.
    Silently,
    /// It cannot or must not serve one more frame.
    AtOnce,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub(super) now: Instant,
    pub(super) unit: Unit,
    pub(super) carpdev: Option<Carpdev>,
    pub(super) parent: Option<Parent>,
    pub(super) config: &'a Config,
    /// The data plane can do what is configured.
    pub(super) served: bool,
    pub(super) preempt: bool,
    /// See [`super::World`].
    pub(super) unsettled: bool,
    /// Replays are rejected.
    pub(super) replay: bool,
    /// For how long another address list is borne with.
    pub(super) grace: Duration,
    pub(super) dscp: u8,
    /// See [`super::World`].
    pub(super) local: &'a [(Carpdev, std::net::IpAddr)],
    /// See [`Interface`].
    pub(super) divided: &'a std::collections::BTreeSet<std::net::IpAddr>,
    /// Wall clock time in seconds, see [`super::Engine::with_clock`].
    pub(super) clock: u64,
    pub(super) demotion: Demotion,
    /// Another vhost of this carpN serves, so carpN stays armed.
    pub(super) shared: bool,
    pub(super) attempts: &'a mut u64,
    pub(super) departures: &'a mut Vec<Departure>,
    pub(super) vhost: &'a mut Vhost,
    pub(super) auth: &'a Auth,
    pub(super) random: &'a mut Random,
    pub(super) out: &'a mut Outbox,
}

impl Turn<'_> {
    /// Brings what runs in line with what is configured. Idempotent.
    pub(super) fn setrun(&mut self) {
        let up = self.parent.is_some_and(|parent| parent.up);
        match (
            Interface::lacks(self.config, up, self.served),
            self.vhost.phase,
        ) {
            (Some(reason), Phase::Init) => {
                self.vhost.reason = reason;
                self.vhost.held &= reason != Reason::Down;
            }
            (Some(reason), _) => self.stop(reason),
            (None, Phase::Init) if self.vhost.held => self.vhost.reason = Reason::Requested,
            (None, Phase::Init) => self.become_backup(Reason::Ready),
            (None, Phase::Backup) => self.sync_master_down(),
            (None, Phase::Arming(_) | Phase::Master) => {}
        }
    }

    /// Stays in INIT until another state is asked for or the interface goes down; or no longer.
    pub(super) fn hold(&mut self, yes: bool) {
        let held = std::mem::replace(&mut self.vhost.held, yes);
        if yes && self.vhost.phase != Phase::Init {
            self.stop(Reason::Requested);
        } else if held != yes {
            self.setrun();
        }
    }

    /// To INIT, with a goodbye where one can be sent.
    pub(super) fn stop(&mut self, reason: Reason) {
        let reachable = self.parent.is_some_and(|parent| parent.up);
        match self.vhost.phase {
            Phase::Init | Phase::Backup => {}
            Phase::Arming(_) => self.withdraw(),
            Phase::Master if reachable => self.leave(Leaving::Goodbye),
            Phase::Master => self.leave(Leaving::AtOnce),
        }
        self.vhost.timers.stop_all();
        self.vhost.forget_send_errors();
        self.change(Phase::Init, reason);
    }

    /// To BACKUP, listening for a whole dead time.
    pub(super) fn become_backup(&mut self, reason: Reason) {
        self.vhost.timers.stop_all();
        self.change(Phase::Backup, reason);
        self.restart_master_down();
    }

    /// From MASTER to BACKUP.
    pub(super) fn step_down(&mut self, how: Leaving, reason: Reason) {
        self.leave(how);
        self.become_backup(reason);
    }

    /// A BACKUP is about to become MASTER: everything but the frames.
    pub(super) fn arm(&mut self, reason: Reason) {
        let identity = (self.carpdev, self.vhost.vhid);
        for left in std::mem::take(self.departures) {
            let current = self.config.nodes.iter().any(|node| node.vhid == left.vhid);
            if (Some(left.carpdev), left.vhid) == identity {
                // Promoted while it lingers: the gate below takes the place of the old one.
            } else if current && Some(left.carpdev) == self.carpdev {
                self.departures.push(left);
            } else {
                self.gate_of(left.vhid, Gate::Shut);
            }
        }
        self.vhost.timers.stop_all();
        self.vhost.phase = Phase::Arming(reason);
        self.vhost.unreported = [0; 2];
        // With advbase 0 a lease may be shorter than arming is allowed to take.
        let until = self.now
            + self
                .lease_length()
                .max(vhost::arming(reason) + vhost::ARMED_LATE);
        self.gate(Gate::Inward);
        self.lease(until);
        self.vhost.timers.set(Timer::Lease, until);
        self.ask_to_arm();
        self.vhost
            .timers
            .set(Timer::Arming, self.now + vhost::arming(reason));
    }

    /// Asks for carpN to be made a MASTER's; of several attempts only the latest counts.
    pub(super) fn ask_to_arm(&mut self) {
        *self.attempts += 1;
        self.vhost.attempt = *self.attempts;
        self.out.push(Action::Arm {
            unit: self.unit,
            attempt: self.vhost.attempt,
        });
    }

    /// Back from arming; nothing has been sent.
    pub(super) fn withdraw(&mut self) {
        self.gate(Gate::Shut);
        self.disarm();
        self.vhost.phase = Phase::Backup;
    }

    /// What `Action::Arm` was answered, or that it was not.
    pub(super) fn armed(&mut self, ok: bool) {
        match (self.vhost.phase, ok) {
            (Phase::Arming(reason), true) => self.become_master(reason),
            (Phase::Arming(_), false) => {
                self.warn_arm_failed();
                self.withdraw();
                self.become_backup(Reason::ArmFailed);
            }
            (Phase::Master, false) => {
                self.warn_arm_failed();
                self.step_down(Leaving::Goodbye, Reason::ArmFailed);
            }
            (Phase::Master, true) | (Phase::Init | Phase::Backup, _) => {}
        }
    }

    fn warn_arm_failed(&mut self) {
        let unit = self.unit;
        self.out.warn(self.now, Topic::ArmFailed, 3, || {
            format!("{unit}: the kernel refused what a MASTER needs, back to BACKUP")
        });
    }

    /// Advertisement, egress, announcements, in this order: nothing with the virtual MAC leaves before the first.
    pub(super) fn become_master(&mut self, reason: Reason) {
        self.vhost.timers.stop(Timer::Arming);
        let from = self.vhost.state();
        self.vhost.phase = Phase::Master;
        self.vhost.reason = reason;
        self.out.stats.preempt += 1;
        self.advertise();
        self.gate(Gate::Open);
        self.announce_all();
        // OpenBSD and UCARP say it again with the second periodic advertisement, for slow switches.
        self.vhost.until_burst = 2;
        self.transition(from, reason);
    }

    /// A due timer of this vhost.
    pub(super) fn expired(&mut self, timer: Timer) {
        self.vhost.timers.stop(timer);
        match (timer, self.vhost.phase) {
            (Timer::Lease, Phase::Master) => self.stalled(),
            (Timer::Lease, Phase::Arming(_)) => {
                self.withdraw();
                self.become_backup(Reason::Stalled);
            }
            (Timer::Arming, Phase::Arming(_)) => self.armed(true),
            (Timer::MasterDown, Phase::Backup) => self.master_down(Family::Inet),
            (Timer::MasterDown6, Phase::Backup) => self.master_down(Family::Inet6),
            (Timer::Advertise, Phase::Master) => self.advertise_periodically(),
            _ => {}
        }
    }

    fn stalled(&mut self) {
        let unit = self.unit;
        self.out.warn(self.now, Topic::Stalled, 3, || {
            format!("{unit}: nothing was sent until the lease ran out, back to BACKUP")
        });
        self.step_down(Leaving::AtOnce, Reason::Stalled);
    }

    fn master_down(&mut self, family: Family) {
        let other = family.other();
        // The other timer was restarted by an advertisement of late: this group will flap.
        let half = self.dead_time() / 2;
        let unit = self.unit;
        if self
            .vhost
            .timers
            .get(vhost::master_down(other))
            .is_some_and(|at| at > self.now + half)
        {
            self.out.warn(self.now, Topic::FamilyLost, 4, || {
                format!("{unit}: the MASTER is heard over {other}, but no longer over {family}")
            });
        }
        self.arm(Reason::MasterTimedOut(family));
    }

    /// Starts the timers of families that have addresses, as from now, and stops the others.
    pub(super) fn restart_master_down(&mut self) {
        self.stop_master_down();
        self.sync_master_down();
    }

    pub(super) fn stop_master_down(&mut self) {
        self.vhost.timers.stop(Timer::MasterDown);
        self.vhost.timers.stop(Timer::MasterDown6);
    }

    fn sync_master_down(&mut self) {
        for family in [Family::Inet, Family::Inet6] {
            let timer = vhost::master_down(family);
            let wanted = families(self.config).any(|f| f == family);
            match (wanted, self.vhost.timers.get(timer)) {
                (true, None) => self.restart_family(family, self.dead_time()),
                (false, Some(_)) => self.vhost.timers.stop(timer),
                _ => {}
            }
        }
    }

    fn dead_time(&self) -> Duration {
        vhost::dead_time(self.config.advbase, self.vhost.advskew)
    }

    /// The MASTER was heard over this family. A demoted host waits for one that is healthier and would be timed out between
    /// two of its advertisements: it would have to give back at once what it took, again and again.
    pub(super) fn heard_master(&mut self, family: Family, theirs: Theirs) {
        let (own, Priority { advbase, advskew }) = (self.dead_time(), theirs.priority);
        let slow = vhost::interval(advbase, advskew) >= own && theirs.priority != Priority::GOODBYE;
        let dead = if slow && theirs.demote < self.demotion.count {
            vhost::dead_time(advbase, advskew)
        } else {
            own
        };
        self.restart_family(family, dead);
    }

    pub(super) fn restart_family(&mut self, family: Family, dead: Duration) {
        if families(self.config).any(|f| f == family) {
            self.vhost
                .timers
                .set(vhost::master_down(family), self.now + dead);
        }
    }

    /// A shorter dead time counts at once, a longer one from the next advertisement on.
    pub(super) fn hasten_master_down(&mut self) {
        let dead = self.now + self.dead_time();
        for timer in [Timer::MasterDown, Timer::MasterDown6] {
            if let Some(at) = self.vhost.timers.get(timer) {
                self.vhost.timers.set(timer, at.min(dead));
            }
        }
    }

    /// The MASTER's part of stepping down; what comes after it is the caller's.
    fn leave(&mut self, how: Leaving) {
        let lease = self.vhost.timers.get(Timer::Lease).unwrap_or(self.now);
        let (gate, linger) = match how {
            Leaving::Goodbye => (Gate::Open, LINGER),
            Leaving::Yielding => (Gate::Yielded, LINGER_HEARD),
            Leaving::Silently => (Gate::Yielded, LINGER),
            Leaving::AtOnce => (Gate::Shut, Duration::ZERO),
        };
        if how == Leaving::Goodbye {
            self.say_goodbye();
        }
        self.vhost.round = None;
        self.vhost.offered = false;
        self.vhost.until_burst = 0;
        self.vhost.timers.stop_all();
        if gate != Gate::Open {
            self.gate(gate);
        }
        let (Some(carpdev), false) = (self.carpdev, gate == Gate::Shut) else {
            return self.disarm();
        };
        let until = self.now + linger;
        if until > lease {
            self.lease(until);
        }
        self.make_room();
        self.departures.push(Departure {
            carpdev,
            vhid: self.vhost.vhid,
            key: self.config.key.clone(),
            mac: self.config.hashed_mac(self.vhost.vhid),
            addresses: addresses(self.config).collect(),
            echoes: self.vhost.echoes.clone(),
            memory: self.vhost.memory.clone(),
            gate,
            lease: lease.max(until),
            successor_heard: how == Leaving::Yielding,
            until,
        });
    }

    /// One departure for each identity, and few of them: an admin can type faster than they end.
    fn make_room(&mut self) {
        let identity = (self.carpdev, self.vhost.vhid);
        self.departures
            .retain(|left| (Some(left.carpdev), left.vhid) != identity);
        if self.departures.len() == DEPARTURES {
            let oldest = self.departures.remove(0);
            self.gate_of(oldest.vhid, Gate::Shut);
        }
    }

    fn disarm(&mut self) {
        if !self.shared && self.departures.is_empty() {
            self.out.push(Action::Disarm { unit: self.unit });
        }
    }

    /// What an election compares.
    pub(super) fn mine(&self) -> Mine {
        let advskew = self.demotion.skew(self.vhost.advskew);
        let priority = Priority {
            advbase: self.config.advbase,
            advskew,
        };
        Mine {
            priority,
            demote: self.demotion.count,
        }
    }

    /// How often a MASTER advertises and what its lease is reckoned from. With advbase 0 a demoted host claims 240/256 s, but
    /// its BACKUPs wait for three times their own skew, demoted or not: it keeps the pace that it was configured for.
    pub(super) fn pace(&self) -> Priority {
        let mut pace = self.mine().priority;
        if pace.advbase == 0 {
            pace.advskew = self.vhost.advskew;
        }
        pace
    }

    pub(super) fn lease_length(&self) -> Duration {
        vhost::lease(self.pace(), self.vhost.briefest)
    }

    pub(super) fn lease(&mut self, until: Instant) {
        let (unit, vhid) = (self.unit, self.vhost.vhid);
        self.out.push(Action::Lease { unit, vhid, until });
    }

    fn gate(&mut self, gate: Gate) {
        self.gate_of(self.vhost.vhid, gate);
    }

    fn gate_of(&mut self, vhid: super::config::Vhid, gate: Gate) {
        self.out.push(Action::Gate {
            unit: self.unit,
            vhid,
            gate,
        });
    }

    fn change(&mut self, to: Phase, reason: Reason) {
        let from = self.vhost.state();
        self.vhost.phase = to;
        self.vhost.reason = reason;
        self.transition(from, reason);
    }

    fn transition(&mut self, from: State, reason: Reason) {
        let (unit, vhid, to) = (self.unit, self.vhost.vhid, self.vhost.state());
        if from != to {
            self.out.push(Action::Transition {
                unit,
                vhid,
                from,
                to,
                reason,
            });
        }
    }
}
