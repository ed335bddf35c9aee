//! Measures one move of mastership: probes at 1 kHz from a client, questions every 20 ms from a third host, the frames of
//! both hosts' ports. The figures are the lab's; must not know how a move is made.

use super::hosts::{Host, SOON, Segment, own_mac, until};
use super::scene::{SHARED, SHARED6, join_timed};
use carp::lab::asker::{Asker, Asking};
use carp::lab::capture::{Capture, Frame};
use carp::lab::figures::{self, Question, Reach, Takeover};
use carp::lab::prober::Prober;
use carp::lab::sight::Shared;
use carp::lab::stall::StallMeter;
use carp::linux::clock;
use carp::time::Instant;
use carp::wire::{Family, MacAddr};
use std::net::IpAddr;
use std::time::Duration;

const PERIOD: Duration = Duration::from_millis(1);
/// Probes of this long before and after a move count.
const MARGIN: Duration = Duration::from_millis(200);
/// A probe without a reply after this time is lost: stricter than the second.
const PATIENCE: Duration = Duration::from_millis(300);
const LATE: Duration = Duration::from_millis(150);
pub const VIRTUAL: MacAddr = MacAddr::of_vhid(1);
/// The bridge ports in the capture.
const A: usize = 0;
const B: usize = 1;

/// Two hosts with group 1, a client that probes, and a third host that asks.
pub struct Bench {
    pub a: Host,
    pub b: Host,
    pub advbase: u8,
    pub skews: (u8, u8),
    capture: Capture,
    prober: Prober,
    asker: Asker,
    stall: StallMeter,
    _others: (Host, Host),
}

/// What one move did.
#[derive(Debug)]
pub struct Move {
    /// For each family.
    pub figures: [Figures; 2],
    /// The machine's own worst stall in that time.
    pub stall: Duration,
    /// Frames with the virtual source MAC that left the old port after the successor's first advertisement, and how long after.
    pub after: Vec<Duration>,
    /// What both hosts sent around it, echoes counted and not shown, for a test that fails.
    pub evidence: String,
}

/// What one move did, for one family.
#[derive(Debug)]
pub struct Figures {
    pub family: Family,
    pub reach: Reach,
    /// Answered after more than three times what the design calls late: a busy machine keeps any thread waiting for a while.
    pub late: usize,
    pub takeover: Takeover,
}

impl Bench {
    /// a is MASTER and preempts, b is BACKUP. `addressed`: their carpdevs have addresses of their own.
    pub fn new(advbase: u8, skews: (u8, u8), addressed: bool) -> Self {
        let segment = Segment::new();
        let host = |name, number: u8| {
            let own = [
                format!("192.0.2.{number}/24"),
                format!("2001:db8::{number}/64"),
            ];
            let own: Vec<_> = own.iter().map(String::as_str).collect();
            Host::on(&segment, name, number, if addressed { &own } else { &[] })
        };
        let (a, b) = (host("a", 11), host("b", 12));
        let client = Host::on(&segment, "c", 13, &["192.0.2.13/24", "2001:db8::13/64"]);
        let third = Host::on(&segment, "d", 14, &["192.0.2.14/24", "2001:db8::14/64"]);
        let shared = Shared {
            vhid: 1,
            inet: SHARED.parse().unwrap(),
            inet6: SHARED6.parse().unwrap(),
        };
        let targets: [IpAddr; 2] = [SHARED.parse().unwrap(), SHARED6.parse().unwrap()];
        let capture = Capture::start(
            &segment.place,
            &[a.port("eth0"), b.port("eth0"), client.port("eth0")],
            shared,
        )
        .unwrap();
        let prober = Prober::start(&client.place, client.index("eth0"), &targets, PERIOD).unwrap();
        let asking = Asking {
            interface: third.index("eth0"),
            mac: own_mac(14),
            inet: "192.0.2.14".parse().unwrap(),
            inet6: "2001:db8::14".parse().unwrap(),
        };
        let asker =
            Asker::start(&third.place, asking, &targets, Duration::from_millis(20)).unwrap();
        let stall = StallMeter::start().unwrap();
        let bench = Self {
            a,
            b,
            advbase,
            skews,
            capture,
            prober,
            asker,
            stall,
            _others: (client, third),
        };
        bench.start_a();
        bench.a.master("carp1");
        bench.b.daemon();
        bench.b.ok("sysctl net.inet.carp.preempt=1");
        join_timed(&bench.b, "eth0", advbase, skews.1);
        bench.b.until_state("carp1", "BACKUP");
        let joined = clock::now();
        bench.settle(A);
        // Before it has heard one, a BACKUP counts the dead time from its own beginning.
        let heard = || {
            let heard = bench.capture.heard();
            heard.iter().any(|h| h.port == A && h.at > joined)
        };
        assert!(until(SOON, heard), "a advertises");
        bench
    }

    /// Starts a's daemon and gives it its part of the group; it preempts.
    pub fn start_a(&self) {
        self.a.daemon();
        self.a.ok("sysctl net.inet.carp.preempt=1");
        self.join_a();
    }

    pub fn join_a(&self) {
        join_timed(&self.a, "eth0", self.advbase, self.skews.0);
    }

    fn host(&self, port: usize) -> &Host {
        if port == A { &self.a } else { &self.b }
    }

    /// Waits until `port` has been the only one to advertise for a while, and the client has reached it all that time.
    #[track_caller]
    pub fn settle(&self, port: usize) {
        let calm = figures::interval(self.advbase, self.skews.1).max(MARGIN) + MARGIN;
        let settled = || {
            let heard = self.capture.heard();
            let last = |p: usize| heard.iter().filter(|h| h.port == p).map(|h| h.at).max();
            let now = clock::now();
            let fresh = last(port).is_some_and(|at| now.since(at) < calm);
            let alone = last(1 - port).is_none_or(|at| now.since(at) > calm);
            fresh && alone && self.reached(now)
        };
        let reached = until(SOON, settled);
        assert!(
            reached,
            "{} is not the one MASTER: {:?}",
            self.host(port).name,
            self.capture.heard()
        );
    }

    /// What hosts and client sent around the first bad probe and around the takeover, for a test that fails.
    fn evidence(&self, frames: &[Frame], from: Instant, first: Instant, end: Instant) -> String {
        let mut text = String::new();
        let mut bad = None;
        for family in [Family::Inet, Family::Inet6] {
            for probe in self.prober.probes(family, from - MARGIN, end) {
                let trip = probe.round_trip();
                if trip.is_none_or(|trip| trip > LATE) {
                    bad = bad.or(Some(probe.sent));
                    let at = super::frames::clock_text(probe.sent);
                    let fresh = if probe.fresh { ", asked afresh" } else { "" };
                    text += &format!("{family} probe {} at {at}: {trip:?}{fresh}\n", probe.number);
                }
            }
        }
        if let (Some(_), Some(directory)) = (bad, std::env::var_os("CARP_PCAP")) {
            let path = std::path::Path::new(&directory).join(format!("{}.pcapng", from.as_nanos()));
            self.capture
                .write(
                    frames,
                    "ports a, b, client",
                    std::fs::File::create(&path).unwrap(),
                )
                .unwrap();
            text += &format!("see {}\n", path.display());
        }
        let near = |at: Instant, of: Instant| {
            at + Duration::from_millis(4) > of && at < of + Duration::from_millis(8)
        };
        let wanted = |f: &&Frame| near(f.at, first) || bad.is_some_and(|bad| near(f.at, bad));
        for frame in frames.iter().filter(wanted) {
            let shown = super::frames::Frame {
                at: frame.at,
                bytes: frame.bytes.to_vec(),
            };
            let host = ["a", "b", "client"][frame.port];
            text += &format!("{host}: {shown:?}\n");
        }
        text
    }

    /// Whether the probes of the last while were answered promptly; those under way do not count.
    fn reached(&self, now: Instant) -> bool {
        [Family::Inet, Family::Inet6].into_iter().all(|family| {
            let probes = self
                .prober
                .probes(family, now - 2 * MARGIN, now - MARGIN / 10);
            !probes.is_empty()
                && probes
                    .iter()
                    .all(|p| p.round_trip().is_some_and(|trip| trip < LATE))
        })
    }

    /// Makes a change with `act`, which ends the mastership of `old`, and measures. `act` answers the moment of the event.
    #[track_caller]
    fn measure(&self, old: usize, rule: Duration, act: impl FnOnce() -> Instant) -> Move {
        self.capture.clear();
        let last = self.capture.heard();
        let asked = clock::now();
        let at = act();
        // The successor's first advertisement ends the wait; the rule and some bound more is the longest.
        let new = 1 - old;
        let arrived = || {
            self.capture
                .heard()
                .iter()
                .any(|h| h.port == new && h.at > asked)
        };
        assert!(
            until(SOON, arrived),
            "nobody took over: {}{}",
            self.a.said(),
            self.b.said()
        );
        let first = self.first_advert(new, asked);
        std::thread::sleep((first + MARGIN + PATIENCE).since(clock::now()));
        let end = first + MARGIN;
        let frames = self.capture.frames(asked - MARGIN, end);
        assert_eq!(self.capture.dropped(), 0);
        let mut sightings = self.capture.sightings(&frames);
        // The advertisement that is the old MASTER's last may be older than the frames kept.
        for heard in last.iter().filter(|h| h.port == old) {
            let advert = Some(carp::lab::sight::Advert {
                advbase: self.advbase,
                advskew: 0,
            });
            let sight = carp::lab::sight::Sight {
                family: heard.family,
                advert,
                owner: true,
            };
            sightings.insert(
                0,
                figures::Sighting {
                    at: heard.at,
                    port: old,
                    sight,
                },
            );
        }
        sightings.sort_by_key(|s| s.at);
        let one = |family| {
            let probes = self.prober.probes(family, asked.min(at) - MARGIN, end);
            let question = Question {
                family,
                at,
                old,
                rule,
            };
            Figures {
                family,
                reach: figures::reach(&probes, PERIOD),
                late: probes
                    .iter()
                    .filter(|p| p.round_trip().is_some_and(|trip| trip > LATE))
                    .count(),
                takeover: figures::takeover(&sightings, &question),
            }
        };
        Move {
            figures: [Family::Inet, Family::Inet6].map(one),
            stall: self.stall.worst(asked - MARGIN, end + PATIENCE),
            after: after(&frames, old, first),
            evidence: self.evidence(&frames, at, first, end),
        }
    }

    /// The first advertisement of `port` after `mark`, which was heard already.
    fn first_advert(&self, port: usize, mark: Instant) -> Instant {
        let frames = self.capture.frames(mark, clock::now());
        let sightings = self.capture.sightings(&frames);
        let ours =
            |s: &&figures::Sighting| s.port == port && s.sight.advert.is_some_and(|a| !a.goodbye());
        sightings.iter().find(ours).expect("it was heard").at
    }

    /// a stops being MASTER by `act`; b's dead time is the rule.
    #[track_caller]
    pub fn leave(&self, act: impl FnOnce() -> Instant) -> Move {
        self.measure(A, figures::dead_time(self.advbase, self.skews.1), act)
    }

    /// a comes back by `act` and preempts: the rule is b's own interval.
    #[track_caller]
    pub fn come_back(&self, act: impl FnOnce()) -> Move {
        let rule = figures::interval(self.advbase, self.skews.1);
        let done = self.measure(B, rule, || {
            act();
            clock::now()
        });
        self.settle(A);
        done
    }

    /// Answers that the third host got for `family` from `from` on.
    pub fn answers_since(&self, family: Family, from: Instant) -> usize {
        self.asker.answers(family, from, clock::now()).len()
    }
}

/// How long after `first` frames with the virtual MAC left `port`.
fn after(frames: &[Frame], port: usize, first: Instant) -> Vec<Duration> {
    let late = frames
        .iter()
        .filter(|f| f.port == port && f.at > first && f.bytes.get(6..12) == Some(&VIRTUAL.0));
    late.map(|f| f.at.since(first)).collect()
}

/// How many moves of a kind a test makes: `CARP_MOVES`, or few, and fewer on all data planes but the first.
pub fn moves() -> usize {
    std::env::var("CARP_MOVES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(if super::plane::first() { 2 } else { 1 })
}

/// The middle of some figures.
pub fn median<T: Ord + Copy>(mut figures: Vec<T>) -> T {
    figures.sort_unstable();
    figures[figures.len() / 2]
}
