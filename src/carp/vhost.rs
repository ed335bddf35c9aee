//! One virtual host as plain data, and the arithmetic of its intervals; must not know what is sent or why it changes.

use super::Reason;
use super::auth::Kind;
use super::config::{State, Vhid};
use super::election::Priority;
use super::replay::Memory;
use super::timer::{Timer, Timers};
use crate::time::Instant;
use crate::wire::Family;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

/// How many of its last advertisements a vhost recognises when they come back.
const ECHOES: usize = 32;

/// So many advertisements that did not leave demote, so many in a row that left end it.
const SENDS: u32 = 3;

/// What the first lease leaves for the first advertisement after that.
pub(super) const ARMED_LATE: Duration = Duration::from_millis(10);

/// How long a vhost waits for the answer to `Action::Arm` before it goes on without. Nobody serves while it waits for a dead
/// MASTER; one that said goodbye serves on for [`super::turn::LINGER`], and one that lives loses nothing however long its
/// successor takes. Measured: the kernel held such requests up for 230 ms while it took other namespaces down.
pub(super) fn arming(reason: Reason) -> Duration {
    match reason {
        Reason::Preempting
        | Reason::MasterWillTimeOut
        | Reason::MasterDemoted
        | Reason::Requested => Duration::from_secs(1),
        Reason::Goodbye => Duration::from_millis(80),
        _ => Duration::from_millis(10),
    }
}

/// The state machine's states; `ifconfig` sees `Arming` as BACKUP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(super) enum Phase {
    Init,
    Backup,
    /// Becoming MASTER for this reason: carpN is being prepared and nothing has been sent.
    Arming(Reason),
    Master,
}

/// An advertisement of ours as its echo would show it. None of it tells enough alone: BSD peers repeat the number they last
/// heard, two equal MASTERs that last heard the same go on with the same number, hosts without an address on their carpdev
/// have their source in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(super) struct Echo {
    pub(super) counter: u64,
    pub(super) src: IpAddr,
    /// Bytes 1 to 7 of the header: vhid, advskew, authlen, demote, advbase, checksum.
    pub(super) header: [u8; 7],
}

/// Keeps the echoes that can still come, under other numbers and so without their checksums.
pub(super) fn rename_echoes(
    echoes: &mut VecDeque<Echo>,
    rename: &mut dyn FnMut(u64) -> Option<u64>,
) {
    echoes.retain_mut(|echo| {
        let renamed = rename(echo.counter);
        echo.counter = renamed.unwrap_or(0);
        let [.., high, low] = &mut echo.header;
        (*high, *low) = (0, 0);
        renamed.is_some()
    });
}

/// The latest advertisements of all families, as long as not all of them are known to have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(super) struct Round {
    /// The lease that they earn.
    pub(super) until: Instant,
    /// Which reports are still to come, by family.
    pub(super) awaited: [bool; 2],
}

/// An address list that is no longer the present one, as it was hashed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(super) struct Former {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) until: Instant,
}

/// One virtual host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(super) struct Vhost {
    pub(super) vhid: Vhid,
    pub(super) advskew: u8,
    pub(super) phase: Phase,
    pub(super) reason: Reason,
    pub(super) timers: Timers,
    /// The latest `Action::Arm`.
    pub(super) attempt: u64,
    /// Counters heard, and those to send. They never follow what is heard, as the BSDs' do.
    pub(super) memory: Memory,
    /// The kind of digest that is sent: as the peer last heard, if its own tells.
    pub(super) kind: Kind,
    /// The checksum sent over IPv6 covers the pseudo-header, as that of the peer last heard over IPv6.
    pub(super) pseudo_header: bool,
    /// The last advertisements sent, oldest first.
    pub(super) echoes: VecDeque<Echo>,
    pub(super) round: Option<Round>,
    /// Advertisements whose outcome has not been reported, by family.
    pub(super) unreported: [u8; 2],
    /// Advertisements that did not leave, until [`SENDS`] in a row have left.
    pub(super) send_errors: u32,
    /// Those that left since the last that did not; counted while there are errors.
    pub(super) send_successes: u8,
    /// No answer to a worse MASTER before this moment.
    pub(super) quiet_until: Instant,
    /// Periodic advertisements before the second burst of announcements; 0: it is done.
    pub(super) until_burst: u8,
    /// The briefest interval heard: whoever sends so often also waits no longer than that asks for.
    pub(super) briefest: Option<Priority>,
    /// The admin was told once that a peer is too slow.
    pub(super) warned_slow: bool,
    /// Address lists of late, whose digests are right until then.
    pub(super) former: VecDeque<Former>,
    /// When a host of ours was last heard with the right digest.
    pub(super) heard_ours: Option<Instant>,
    /// `state init` was asked for.
    pub(super) held: bool,
    /// Drained just now: it has told that it is demoted, and says goodbye with its next advertisement.
    pub(super) offered: bool,
    /// In INIT: until then another host is its MASTER.
    pub(super) elsewhere: Option<Instant>,
}

impl Vhost {
    /// `random` makes its identity among hosts of ours.
    pub(super) fn new(vhid: Vhid, advskew: u8, random: u64) -> Self {
        Self {
            vhid,
            advskew,
            phase: Phase::Init,
            reason: Reason::Incomplete,
            timers: Timers::default(),
            attempt: 0,
            memory: Memory::new(random),
            kind: Kind::Orig,
            pseudo_header: false,
            echoes: VecDeque::new(),
            round: None,
            unreported: [0; 2],
            send_errors: 0,
            send_successes: 0,
            quiet_until: Instant::ZERO,
            until_burst: 0,
            briefest: None,
            warned_slow: false,
            held: false,
            former: VecDeque::new(),
            heard_ours: None,
            elsewhere: None,
            offered: false,
        }
    }

    /// As `ifconfig` shows it.
    pub(super) fn state(&self) -> State {
        match self.phase {
            Phase::Init => State::Init,
            Phase::Backup | Phase::Arming(_) => State::Backup,
            Phase::Master => State::Master,
        }
    }

    /// carpN is, or is about to be, a MASTER's because of this vhost.
    pub(super) fn serves(&self) -> bool {
        matches!(self.phase, Phase::Arming(_) | Phase::Master)
    }

    /// An advertisement of either family left or did not, in FreeBSD 15's reckoning: errors add up until [`SENDS`] in a row
    /// have left. (Up to 13 a single good one forgot the errors, and with them that the host was demoted.)
    pub(super) fn count_send(&mut self, ok: bool) {
        if !ok {
            self.send_errors = self.send_errors.saturating_add(1);
            self.send_successes = 0;
        } else if self.send_errors > 0 {
            self.send_successes += 1;
            if u32::from(self.send_successes) == SENDS {
                self.forget_send_errors();
            }
        }
    }

    /// In INIT nothing is sent, and the next beginning is a new one.
    pub(super) fn forget_send_errors(&mut self) {
        self.send_errors = 0;
        self.send_successes = 0;
    }

    /// Its advertisements do not leave: the host is demoted. As on every system a BACKUP, which sends nothing, cannot earn
    /// its way out of that before it is MASTER again.
    pub(super) fn fails_to_send(&self) -> bool {
        self.send_errors >= SENDS
    }

    /// Goes on in another engine. What the last one sent was not all kept, and nobody reports to this one what became of it.
    /// `clock` is the wall clock in seconds.
    pub(super) fn inherit(&mut self, clock: u64) {
        self.round = None;
        self.unreported = [0; 2];
        self.memory.inherit(clock);
    }

    pub(super) fn remember_sent(&mut self, echo: Echo) {
        if self.echoes.len() == ECHOES {
            self.echoes.pop_front();
        }
        self.echoes.push_back(echo);
    }

    /// The same vhost with moments counted from `origin` and counters renamed; see [`super::World::rebased`].
    pub(super) fn rebase(&mut self, origin: Instant, rename: &mut dyn FnMut(u64) -> Option<u64>) {
        self.reason = Reason::Ready;
        self.timers.rebase(origin);
        self.quiet_until = Instant::ZERO + self.quiet_until.since(origin);
        if let Some(round) = &mut self.round {
            round.until = Instant::ZERO + round.until.since(origin);
        }
        self.heard_ours = self.heard_ours.map(|at| Instant::ZERO + at.since(origin));
        self.elsewhere = self.elsewhere.map(|at| Instant::ZERO + at.since(origin));
        for former in &mut self.former {
            former.until = Instant::ZERO + former.until.since(origin);
        }
        self.memory.rebase(origin, rename);
        rename_echoes(&mut self.echoes, rename);
    }
}

/// 1/256 s units as a time, in whole microseconds like the BSDs'.
fn skew_time(units: u32) -> Duration {
    Duration::from_micros(u64::from(units) * 1_000_000 / 256)
}

/// The time from one advertisement of a MASTER to the next, with the skew in effect. With advbase 0 the skew alone counts, 0
/// as 1.
#[must_use]
pub fn interval(advbase: u8, advskew: u8) -> Duration {
    match advbase {
        0 => skew_time(u32::from(advskew.max(1))),
        _ => Duration::from_secs(advbase.into()) + skew_time(advskew.into()),
    }
}

/// How long a BACKUP with this configuration, its own undemoted skew, waits for an advertisement.
#[must_use]
pub fn dead_time(advbase: u8, advskew: u8) -> Duration {
    match advbase {
        0 => skew_time(3 * u32::from(advskew.max(1))),
        _ => 3 * Duration::from_secs(advbase.into()) + skew_time(advskew.into()),
    }
}

/// How long after its last good advertisement a MASTER may go on: less than the dead time of every BACKUP, more than the
/// own interval. `mine` with the effective skew.
pub(super) fn lease(mine: Priority, briefest: Option<Priority>) -> Duration {
    let interval = interval(mine.advbase, mine.advskew);
    let own = lease_against(mine, interval).unwrap_or(2 * interval);
    briefest
        .and_then(|theirs| lease_against(theirs, interval))
        .map_or(own, |other| own.min(other))
}

/// The lease that is over before a host of this priority takes over; `None` if it takes over within `interval` anyway.
fn lease_against(theirs: Priority, interval: Duration) -> Option<Duration> {
    let (dead, margin) = match theirs.advbase {
        0 => {
            let dead = dead_time(0, theirs.advskew);
            let halves = 5 * u64::from(theirs.advskew.max(1));
            (dead, dead - Duration::from_micros(halves * 1_000_000 / 512))
        }
        advbase => (
            3 * Duration::from_secs(advbase.into()),
            Duration::from_millis(100),
        ),
    };
    let room = dead.checked_sub(interval).filter(|room| !room.is_zero())?;
    // The usual margin, but never so much that the lease ends before the next advertisement renews it.
    Some(dead - margin.min(room / 2))
}

/// The master-down timer of a family.
pub(super) fn master_down(family: Family) -> Timer {
    match family {
        Family::Inet => Timer::MasterDown,
        Family::Inet6 => Timer::MasterDown6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_outlives_the_interval_and_not_the_dead_time() {
        for (advbase, advskew) in (0..=254).flat_map(|b| (0..=254).map(move |s| (b, s))) {
            let mine = Priority { advbase, advskew };
            let lease = lease(mine, None);
            assert!(lease > interval(advbase, advskew), "{mine:?}");
            assert!(lease < dead_time(advbase, advskew), "{mine:?}");
        }
        let of = |advbase, advskew| lease(Priority { advbase, advskew }, None);
        assert_eq!(of(1, 254), Duration::from_millis(2900));
        assert_eq!(of(0, 2), Duration::from_nanos(19_531_000), "2.5 x 2/256 s");
    }

    #[test]
    fn a_brisker_peer_shortens_the_lease_as_long_as_it_could_be_our_backup() {
        let mine = Priority {
            advbase: 2,
            advskew: 254,
        };
        let heard = |advbase, advskew| lease(mine, Some(Priority { advbase, advskew }));
        assert!(heard(1, 0) > interval(2, 254) && heard(1, 0) < Duration::from_secs(3));
        assert_eq!(
            heard(0, 1),
            Duration::from_millis(5900),
            "it never lets us be MASTER"
        );
        assert_eq!(heard(9, 0), Duration::from_millis(5900));
    }
}
