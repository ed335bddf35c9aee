//! A host that judges frames, each from the same state.

use crate::rig::{self, Ad, CARPDEV, Host, UNIT};
use carp::carp::config::{Config, Key, Node, State};
use carp::carp::stats::Stats;
use carp::carp::{Action, Engine, Input, Sending};
use carp::time::Instant;
use carp::wire::Family;

/// The usual group of the tables: vhid 9, password `secret`, both families.
pub const VHID: u8 = 9;
pub const DUAL: &[&str] = &["192.0.2.10/24", "2001:db8::10/64"];

/// The counters by which a verdict is known.
type Counter = (&'static str, fn(&Stats) -> u64);
const COUNTERS: [Counter; 13] = [
    ("badif", |s| s.badif),
    ("badttl", |s| s.badttl),
    ("hdrops", |s| s.hdrops),
    ("malformed", |s| s.malformed),
    ("badsum", |s| s.badsum),
    ("badver", |s| s.badver),
    ("badlen", |s| s.badlen),
    ("badauth", |s| s.badauth),
    ("badvhid", |s| s.badvhid),
    ("badaddrs", |s| s.badaddrs),
    ("echo", |s| s.echoes),
    ("badreplay", |s| s.badreplay),
    ("answer", |s| s.answers),
];

/// A host in a certain state at a certain moment.
pub struct Receiver {
    pub engine: Engine,
    pub now: Instant,
    /// The state that [`Receiver::judge`] starts from.
    state: State,
}

/// The configuration of a group.
pub fn config(vhid: u8, pass: &[u8], addresses: &[&str], advskew: u8) -> Config {
    Config {
        nodes: vec![Node {
            vhid: rig::vhid(vhid),
            advskew,
        }],
        key: Key::from_pass(pass),
        ..rig::config(addresses, 1, advskew)
    }
}

/// A valid advertisement of another host to the usual group: advbase 1, advskew 50.
pub fn valid(family: Family) -> Ad {
    Ad {
        vhid: VHID,
        ..Ad::new(DUAL, 1, 50)
    }
    .over(family)
}

impl Receiver {
    /// A BACKUP of the usual group, advskew 100, that has just heard the MASTER over the other family: what it waits for
    /// next is `family`.
    pub fn backup(family: Family) -> Self {
        let mut host = Host::new(7);
        host.parent(0.0, Some(rig::parent()));
        host.configure(0.0, config(VHID, b"secret", DUAL, 100));
        let other = match family {
            Family::Inet => Family::Inet6,
            Family::Inet6 => Family::Inet,
        };
        let lines = host.frame(1000.0, &valid(other).bytes());
        assert!(lines.is_empty(), "{lines:?}");
        Self::of(host, 1000.0)
    }

    /// A MASTER of the usual group, advskew 100, half an interval after an advertisement.
    pub fn master() -> Self {
        let mut host = Host::new(7);
        host.parent(0.0, Some(rig::parent()));
        host.configure(0.0, config(VHID, b"secret", DUAL, 100));
        let at = host.timeout().unwrap();
        host.time(at);
        assert_eq!(host.state(), State::Master);
        Self::of(host, at + 500.0)
    }

    pub fn of(host: Host, now: f64) -> Self {
        let state = host.state();
        Self {
            engine: host.engine,
            now: rig::ms(now),
            state,
        }
    }

    /// The verdict on one frame. The receiver stays as it is.
    #[track_caller]
    pub fn judge(&self, frame: &[u8]) -> &'static str {
        let mut engine = self.engine.clone();
        engine.handle(
            self.now,
            Input::Frame {
                carpdev: CARPDEV,
                bytes: frame,
            },
        );
        let actions: Vec<Action> = std::iter::from_fn(|| engine.poll()).collect();
        let counted = self.counted(&engine);
        // What is old is remembered as the number seen last, or makes us take another identity.
        let remembered = matches!(counted, Some("echo" | "badreplay"));
        let untouched = (remembered || engine.world() == self.engine.world())
            && engine.timeout() == self.engine.timeout()
            && actions.iter().all(|a| matches!(a, Action::Log(_)));
        if let Some(verdict) = counted {
            assert!(untouched, "{verdict}, and yet: {actions:?}");
            return verdict;
        }
        assert!(!untouched, "accepted without a trace");
        let arms = actions.iter().any(|a| matches!(a, Action::Arm { .. }));
        let after = engine.vhosts(UNIT).next().unwrap().state;
        match (self.state, after) {
            (State::Backup, State::Backup) if arms => "takes over",
            (State::Backup, State::Backup) => {
                assert!(actions.is_empty(), "{actions:?}");
                if engine.timeout() == self.engine.timeout() {
                    // Not the family that the receiver waits for next.
                    return "accepted, no timer";
                }
                "accepted"
            }
            (State::Master, State::Backup) => "yields",
            (State::Master, State::Master) => {
                let answers = |a: &Action| {
                    matches!(
                        a,
                        Action::Send {
                            what: Sending::Advertisement(_),
                            ..
                        }
                    )
                };
                assert!(
                    actions.is_empty() || actions.iter().any(answers),
                    "{actions:?}"
                );
                "accepted"
            }
            states => panic!("{states:?}"),
        }
    }

    /// Which counter says no; `None` when the frame was believed. Of all counters at most one moves, and and `ipackets` or
    /// `ipackets6` of what reached carp.
    #[track_caller]
    fn counted(&self, engine: &Engine) -> Option<&'static str> {
        let (before, after) = (self.engine.stats(), engine.stats());
        let moved: Vec<_> = COUNTERS
            .iter()
            .filter_map(|(name, of)| match of(after) - of(before) {
                0 => None,
                1 => Some(*name),
                more => panic!("{name} moved by {more}"),
            })
            .collect();
        let heard = after.ipackets + after.ipackets6 - before.ipackets - before.ipackets6;
        match (heard, moved.as_slice()) {
            (0, []) => Some("unseen"),
            (0, [name @ ("hdrops" | "malformed")]) | (1, [name]) => Some(name),
            (1, []) => None,
            other => panic!("{other:?}"),
        }
    }
}
