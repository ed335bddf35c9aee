//! What is true of an engine's actions whatever it was told: seen as the data plane and the kernel would see it.

use carp::carp::config::{Carpdev, State, Unit, Vhid};
use carp::carp::{Action, Engine, Gate, Parent, Sending};
use carp::time::Instant;
use carp::wire::{Frame, MacAddr, frame};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a former MASTER may go on serving.
const LINGER: Duration = Duration::from_millis(100);

/// One vhost as the world sees it.
#[derive(Debug, Clone, Copy)]
struct Seen {
    state: State,
    gate: Gate,
    lease: Instant,
    /// When it stopped being MASTER last.
    left: Instant,
    /// Where it sent last.
    on: Option<Carpdev>,
}

/// All that was asked for so far.
#[derive(Debug, Default)]
pub struct Watch {
    vhosts: BTreeMap<(Unit, Vhid), Seen>,
    armed: BTreeMap<Unit, bool>,
    pub parents: BTreeMap<Carpdev, Parent>,
    pub attempt: u64,
    /// Every advertisement that left, at most the last 64.
    pub sent: Vec<(Carpdev, Vec<u8>)>,
}

impl Watch {
    fn seen(&mut self, unit: Unit, vhid: Vhid) -> &mut Seen {
        self.vhosts.entry((unit, vhid)).or_insert(Seen {
            state: State::Init,
            gate: Gate::Shut,
            lease: Instant::ZERO,
            left: Instant::ZERO,
            on: None,
        })
    }

    fn all_shut(&self, unit: Unit) -> bool {
        let mut of_unit = self.vhosts.iter().filter(|((u, _), _)| *u == unit);
        of_unit.all(|(_, seen)| seen.gate == Gate::Shut)
    }

    /// One action, in its order.
    pub fn action(&mut self, now: Instant, action: &Action) {
        match action {
            Action::Send {
                carpdev,
                unit,
                vhid,
                what,
                frame,
            } => self.frame(*carpdev, (*unit, *vhid), *what, frame),
            Action::SendToPeers { .. } => panic!("nobody here has peers"),
            Action::Arm { unit, attempt } => {
                assert!(*attempt > self.attempt, "numbers grow");
                self.attempt = *attempt;
                self.armed.insert(*unit, true);
            }
            Action::Disarm { unit } => {
                assert!(
                    self.all_shut(*unit),
                    "addresses taken from under an open gate"
                );
                self.armed.insert(*unit, false);
            }
            Action::Gate { unit, vhid, gate } => {
                let armed = self.armed.get(unit) == Some(&true);
                assert!(
                    armed || !matches!(gate, Gate::Open | Gate::Yielded),
                    "open and not armed"
                );
                let seen = self.seen(*unit, *vhid);
                seen.gate = *gate;
                if *gate == Gate::Inward {
                    // It may have been configured for another one meanwhile.
                    seen.on = None;
                }
            }
            Action::Lease { unit, vhid, until } => self.seen(*unit, *vhid).lease = *until,
            Action::Transition {
                unit,
                vhid,
                from,
                to,
                ..
            } => {
                let seen = self.seen(*unit, *vhid);
                assert!(
                    seen.state == *from && from != to,
                    "{action:?} after {seen:?}"
                );
                seen.state = *to;
                if *from == State::Master {
                    seen.left = now;
                }
            }
            Action::Log(notice) => {
                assert!(notice.level < 8 && notice.text.len() < 300);
                assert!(!notice.text.chars().any(char::is_control), "{notice:?}");
            }
            Action::Retired { unit } => {
                assert!(self.all_shut(*unit), "retired and still serving");
                assert_ne!(self.armed.get(unit), Some(&true), "retired and still armed");
            }
        }
    }

    fn frame(&mut self, carpdev: Carpdev, (unit, vhid): (Unit, Vhid), what: Sending, bytes: &[u8]) {
        let up = self.parents.get(&carpdev).is_some_and(|parent| parent.up);
        assert!(up, "sent on a carpdev that is down");
        assert_eq!(
            bytes[6..12],
            MacAddr::of_vhid(vhid.get()).0,
            "from another MAC"
        );
        let seen = self.seen(unit, vhid);
        seen.on = Some(carpdev);
        let gate = seen.gate;
        match (what, frame::parse(bytes).unwrap()) {
            (
                Sending::Advertisement(of),
                Frame::Advertisement {
                    family,
                    ttl: 255,
                    payload,
                    ..
                },
            ) => {
                assert!(of == family && payload.len() == 36 && payload[1] == vhid.get());
                assert!(matches!(gate, Gate::Inward | Gate::Open), "{gate:?}");
                self.sent.push((carpdev, bytes.to_vec()));
                if self.sent.len() > 64 {
                    self.sent.remove(0);
                }
            }
            (
                Sending::Announcement | Sending::Answer,
                Frame::Arp(_) | Frame::NeighbourAdvertisement(_),
            ) => {
                assert_eq!(gate, Gate::Open, "claims an address whose gate is not open");
            }
            other => panic!("{other:?}"),
        }
    }

    /// A carpdev is down or gone: nobody goes on serving there.
    pub fn lost(&self, carpdev: Carpdev) {
        let mut there = self.vhosts.values().filter(|seen| seen.on == Some(carpdev));
        assert!(
            there.all(|seen| seen.gate == Gate::Shut),
            "serves on {carpdev:?}"
        );
    }

    /// When the queue is empty.
    pub fn settled(&mut self, now: Instant, engine: &Engine, units: &[Unit]) {
        for unit in units {
            let mut serving = false;
            for status in engine.vhosts(*unit) {
                let seen = *self.seen(*unit, status.vhid);
                assert_eq!(seen.state, status.state, "a transition was not told");
                if status.state == State::Master {
                    assert_eq!(seen.gate, Gate::Open, "MASTER");
                    assert!(seen.lease > Instant::ZERO);
                }
                serving |= seen.gate != Gate::Shut;
            }
            if !serving && self.all_shut(*unit) {
                assert_ne!(
                    self.armed.get(unit),
                    Some(&true),
                    "{unit} owns nothing and is armed"
                );
            }
        }
        for (of, seen) in &self.vhosts {
            let lingers = now < seen.left + LINGER;
            match seen.gate {
                Gate::Open => assert!(
                    seen.state == State::Master || lingers,
                    "{of:?} {seen:?} {now:?}"
                ),
                Gate::Yielded => assert!(
                    seen.state != State::Master && lingers,
                    "{of:?} {seen:?} {now:?}"
                ),
                Gate::Inward => assert_eq!(seen.state, State::Backup, "{of:?}"),
                Gate::Shut => assert_ne!(seen.state, State::Master, "{of:?}"),
            }
        }
    }
}
