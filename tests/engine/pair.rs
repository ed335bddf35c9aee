//! Two hosts on one segment in memory: every frame of one reaches the other after a millisecond, time jumps to what is due.

use crate::rig::{CARPDEV, UNIT, V4, V6, config, ms, parent};
use carp::carp::config::{Config, Settings, State};
use carp::carp::{Action, Engine, Gate, Input, Parent, Sending};
use carp::time::Instant;
use carp::wire::MacAddr;
use std::collections::VecDeque;
use std::time::Duration;

const DELAY: Duration = Duration::from_millis(1);
/// How long the kernel takes to make carpN a MASTER's.
const ARMING: Duration = Duration::from_micros(300);

struct Member {
    engine: Engine,
    alive: bool,
    gate: Gate,
    armed: bool,
    /// What the kernel has still to answer.
    arming: VecDeque<(Instant, u64)>,
}

struct Segment {
    now: Instant,
    members: Vec<Member>,
    /// Arrival, sender, frame.
    wire: VecDeque<(Instant, usize, Vec<u8>)>,
    cut: bool,
    /// Of each host, every time it became or ceased to be MASTER.
    transitions: Vec<(Instant, usize, State)>,
    answers: Vec<(Instant, usize)>,
}

impl Segment {
    fn new(hosts: usize) -> Self {
        let member = |n: usize| Member {
            engine: Engine::new(n as u64),
            alive: true,
            gate: Gate::Shut,
            armed: false,
            arming: VecDeque::new(),
        };
        Self {
            now: ms(0.0),
            members: (0..hosts).map(member).collect(),
            wire: VecDeque::new(),
            cut: false,
            transitions: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Two hosts with preempt, advskew 0 and 100.
    fn pair(addresses: &[&str], advbase: u8, skews: [u8; 2]) -> Self {
        let mut segment = Self::new(2);
        for (host, advskew) in skews.into_iter().enumerate() {
            let mac = MacAddr([2, 0, 0, 0, 0, host as u8 + 1]);
            let own = Parent {
                mac,
                inet: None,
                inet6: None,
                ..parent()
            };
            segment.tell(
                host,
                Input::Parent {
                    carpdev: CARPDEV,
                    parent: Some(own),
                },
            );
            segment.tell(
                host,
                Input::Settings(Settings {
                    preempt: true,
                    ..Settings::default()
                }),
            );
            segment.configure(host, Some(config(addresses, advbase, advskew)));
        }
        segment
    }

    fn configure(&mut self, host: usize, config: Option<Config>) {
        let config = config.map(|config| (config, Some(CARPDEV)));
        self.tell(host, Input::Configure { unit: UNIT, config });
    }

    fn tell(&mut self, host: usize, input: Input<'_>) {
        let member = &mut self.members[host];
        member.engine.handle(self.now, input);
        loop {
            let mut reports = Vec::new();
            while let Some(action) = member.engine.poll() {
                match action {
                    Action::Send {
                        unit,
                        vhid,
                        what,
                        frame,
                        ..
                    } => {
                        match what {
                            Sending::Advertisement(family) => {
                                assert_ne!(
                                    member.gate,
                                    Gate::Yielded,
                                    "silent once a successor was heard"
                                );
                                reports.push(Input::Sent {
                                    unit,
                                    vhid,
                                    family,
                                    ok: true,
                                });
                            }
                            Sending::Announcement => assert_eq!(member.gate, Gate::Open),
                            Sending::Answer => self.answers.push((self.now, host)),
                        }
                        self.wire.push_back((self.now + DELAY, host, frame));
                    }
                    Action::SendToPeers { .. } => panic!("nobody here has peers"),
                    Action::Arm { attempt, .. } => {
                        member.armed = true;
                        member.arming.push_back((self.now + ARMING, attempt));
                    }
                    Action::Disarm { .. } => {
                        assert_eq!(member.gate, Gate::Shut, "first the gate, then the carrier");
                        member.armed = false;
                    }
                    Action::Gate { gate, .. } => member.gate = gate,
                    Action::Transition { to, .. } => self.transitions.push((self.now, host, to)),
                    Action::Lease { .. } | Action::Log(_) | Action::Retired { .. } => {}
                }
            }
            if reports.is_empty() {
                return;
            }
            for report in reports {
                member.engine.handle(self.now, report);
            }
        }
    }

    /// The next moment at which anything happens.
    fn next(&self) -> Option<Instant> {
        let alive = || self.members.iter().filter(|member| member.alive);
        let timers = alive().filter_map(|member| member.engine.timeout());
        let kernels = alive().filter_map(|member| Some(member.arming.front()?.0));
        timers
            .chain(kernels)
            .chain(self.wire.front().map(|frame| frame.0))
            .min()
    }

    fn run(&mut self, span: f64) {
        let end = self.now + Duration::from_secs_f64(span / 1000.0);
        for _ in 0..1_000_000 {
            let Some(at) = self.next().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            self.step();
        }
        panic!("it never rests");
    }

    fn step(&mut self) {
        for host in 0..self.members.len() {
            if !self.members[host].alive {
                continue;
            }
            if let Some((_, attempt)) = self.members[host]
                .arming
                .front()
                .copied()
                .filter(|a| a.0 <= self.now)
            {
                self.members[host].arming.pop_front();
                self.tell(
                    host,
                    Input::Armed {
                        unit: UNIT,
                        attempt,
                        ok: true,
                    },
                );
            }
            self.tell(host, Input::Time);
        }
        while let Some((_, sender, frame)) = self.wire.front().cloned().filter(|f| f.0 <= self.now)
        {
            self.wire.pop_front();
            for host in 0..self.members.len() {
                if host != sender && self.members[host].alive && !self.cut {
                    self.tell(
                        host,
                        Input::Frame {
                            carpdev: CARPDEV,
                            bytes: &frame,
                        },
                    );
                }
            }
        }
    }

    fn states(&self) -> Vec<State> {
        let state = |member: &Member| {
            member
                .engine
                .vhosts(UNIT)
                .next()
                .map_or(State::Init, |vhost| vhost.state)
        };
        self.members
            .iter()
            .filter(|member| member.alive)
            .map(state)
            .collect()
    }

    /// When this host last became MASTER, in milliseconds.
    fn master_since(&self, host: usize) -> f64 {
        let last = self
            .transitions
            .iter()
            .rfind(|t| (t.1, t.2) == (host, State::Master));
        last.unwrap().0.as_nanos() as f64 / 1e6
    }

    fn now_ms(&self) -> f64 {
        self.now.as_nanos() as f64 / 1e6
    }
}

const STACKS: [&[&str]; 3] = [&[V4], &[V6], &[V4, V6]];

#[test]
fn they_elect_the_better_one_and_it_stays() {
    for addresses in STACKS {
        let mut segment = Segment::pair(addresses, 1, [0, 100]);
        segment.run(60_000.0);
        assert_eq!(segment.states(), [State::Master, State::Backup]);
        assert_eq!(segment.master_since(0), 3000.3);
        let masters = segment.transitions.iter().filter(|t| t.2 == State::Master);
        assert_eq!(masters.count(), 1, "{:?}", segment.transitions);
    }
}

#[test]
fn a_killed_master_is_replaced_after_the_dead_time_and_takes_over_again_when_it_returns() {
    for addresses in STACKS {
        let mut segment = Segment::pair(addresses, 1, [0, 100]);
        segment.run(10_500.0);
        segment.members[0].alive = false;
        segment.run(10_000.0);
        assert_eq!(segment.states(), [State::Master]);
        // The last advertisement left at 10000.3 and arrived a millisecond later.
        let late = segment.master_since(1) - (10_001.3 + 3390.625 + 0.3);
        assert!(late.abs() < 1e-6, "{late}");
        let mut back = Segment::pair(addresses, 1, [0, 100]);
        back.members.truncate(1);
        let fresh = back.members.remove(0);
        segment.members[0] = Member {
            engine: Engine::new(77),
            ..fresh
        };
        segment.tell(
            0,
            Input::Parent {
                carpdev: CARPDEV,
                parent: Some(parent()),
            },
        );
        segment.tell(
            0,
            Input::Settings(Settings {
                preempt: true,
                ..Settings::default()
            }),
        );
        segment.configure(0, Some(config(addresses, 1, 0)));
        segment.run(5000.0);
        assert_eq!(
            segment.states(),
            [State::Master, State::Backup],
            "it preempts"
        );
    }
}

#[test]
fn a_planned_move_leaves_no_moment_without_somebody_who_serves() {
    for addresses in STACKS {
        let mut segment = Segment::pair(addresses, 1, [0, 100]);
        segment.run(5000.0);
        let down = Config {
            up: false,
            ..config(addresses, 1, 0)
        };
        let at = segment.now_ms();
        segment.configure(0, Some(down));
        segment.run(1.0);
        assert_eq!(
            segment.members[0].gate,
            Gate::Open,
            "nobody else serves yet"
        );
        segment.run(1.0);
        assert_eq!(segment.states(), [State::Init, State::Master]);
        assert!((segment.master_since(1) - at - 1.3).abs() < 1e-6);
        segment.run(5.0);
        assert_eq!(
            (segment.members[0].gate, segment.members[1].gate),
            (Gate::Yielded, Gate::Open)
        );
        segment.run(30.0);
        assert_eq!(
            (segment.members[0].gate, segment.members[0].armed),
            (Gate::Shut, false)
        );
        segment.configure(0, Some(config(addresses, 1, 0)));
        segment.run(3000.0);
        assert_eq!(segment.states(), [State::Master, State::Backup]);
        assert_eq!(segment.members[1].gate, Gate::Shut);
    }
}

#[test]
fn a_healed_partition_leaves_the_better_one() {
    for addresses in STACKS {
        let mut segment = Segment::pair(addresses, 1, [0, 100]);
        segment.run(5000.0);
        segment.cut = true;
        segment.run(10_000.0);
        assert_eq!(segment.states(), [State::Master, State::Master]);
        segment.cut = false;
        segment.run(1400.0);
        assert_eq!(segment.states(), [State::Master, State::Backup]);
        segment.run(10_000.0);
        assert_eq!(segment.states(), [State::Master, State::Backup]);
    }
}

#[test]
fn equals_do_not_fight() {
    let mut segment = Segment::pair(&[V4], 1, [50, 50]);
    segment.run(2.0);
    segment.tell(
        0,
        Input::State {
            unit: UNIT,
            state: State::Master,
        },
    );
    segment.run(60_000.0);
    assert_eq!(segment.states(), [State::Master, State::Backup]);
    let masters = segment
        .transitions
        .iter()
        .filter(|t| t.2 == State::Master)
        .count();
    assert_eq!(masters, 1, "{:?}", segment.transitions);
}

#[test]
fn at_advbase_0_a_dead_master_is_replaced_in_twelve_milliseconds() {
    let mut segment = Segment::pair(&[V4], 0, [0, 1]);
    segment.run(500.0);
    assert_eq!(segment.states(), [State::Master, State::Backup]);
    // Both listen for 3/256 s, so started together both were MASTER for a millisecond.
    let before = segment.transitions.len();
    segment.run(10_000.0);
    assert_eq!(segment.transitions.len(), before, "nobody flaps");
    segment.members[0].alive = false;
    let at = segment.now_ms();
    segment.run(100.0);
    let took = segment.master_since(1) - at;
    assert!((7.8..=13.1).contains(&took), "{took}");
}

#[test]
fn a_frozen_master_that_wakes_steps_back_without_a_frame() {
    let mut segment = Segment::pair(&[V4], 1, [0, 100]);
    segment.run(5000.0);
    segment.members[0].alive = false;
    segment.run(8000.0);
    let sent = segment.wire.len();
    segment.members[0].alive = true;
    segment.tell(0, Input::Time);
    assert_eq!(
        (segment.wire.len(), segment.members[0].gate),
        (sent, Gate::Shut)
    );
    assert_eq!(segment.states(), [State::Backup, State::Master]);
    segment.run(2000.0);
    assert_eq!(
        segment.states(),
        [State::Master, State::Backup],
        "then preempts in good order"
    );
}
