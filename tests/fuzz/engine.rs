//! The engine under any story: its promises hold after every step, and a twin that hears the same does the same.

use crate::TIME;
use crate::corpus::{FRAMES, from};
use crate::script::{self, Manners, Step, carpdev, family, question, unit, vhid};
use crate::watch::Watch;
use carp::carp::config::{Settings, Unit};
use carp::carp::{Action, Engine, Input, Sending};
use carp::time::Instant;
use std::time::Duration;

/// More actions follow from one input only if it concerns more than three carpN with three vhosts and four addresses.
const BURST: usize = 400;
const UNITS: [Unit; 3] = [Unit(0), Unit(1), Unit(2)];

/// An engine, what the world sees of it, and its twin.
struct Stage {
    now: Instant,
    engine: Engine,
    twin: Engine,
    watch: Watch,
    manners: Manners,
}

impl Stage {
    fn new() -> Self {
        Self {
            now: Instant::from_nanos(1 << 40),
            engine: Engine::new(7),
            twin: Engine::new(7),
            watch: Watch::default(),
            manners: Manners { arms: 2, sends: 2 },
        }
    }

    /// One input, and all that the daemon answers to it.
    fn input(&mut self, input: Input<'_>) {
        let time = matches!(input, Input::Time);
        let mut reports = self.told(input);
        for _ in 0..8 {
            let more: Vec<_> = reports
                .into_iter()
                .flat_map(|report| self.told(report))
                .collect();
            reports = more;
        }
        if time && self.manners.arms > 1 && self.manners.sends > 0 {
            let next = self.engine.timeout();
            assert!(
                next.is_none_or(|at| at > self.now),
                "{next:?} is not after {:?}",
                self.now
            );
        }
        self.watch.settled(self.now, &self.engine, &UNITS);
    }

    fn told(&mut self, input: Input<'_>) -> Vec<Input<'static>> {
        let time = matches!(input, Input::Time);
        self.twin.handle(self.now, input.clone());
        self.engine.handle(self.now, input);
        if time {
            let next = self.engine.timeout();
            assert!(
                next.is_none_or(|at| at > self.now),
                "{next:?} is not after {:?}",
                self.now
            );
        }
        let mut reports = Vec::new();
        let mut count = 0;
        while let Some(action) = self.engine.poll() {
            count += 1;
            assert!(count <= BURST, "too much follows from one input");
            assert_eq!(self.twin.poll().as_ref(), Some(&action), "twins differ");
            self.watch.action(self.now, &action);
            reports.extend(self.report(&action));
        }
        assert_eq!(self.twin.poll(), None);
        assert_eq!(
            self.engine.next_timer().map(|next| next.0),
            self.engine.timeout()
        );
        reports
    }

    fn report(&self, action: &Action) -> Option<Input<'static>> {
        match (action, self.manners) {
            (&Action::Arm { unit, attempt }, Manners { arms: 1.., .. }) => Some(Input::Armed {
                unit,
                attempt,
                ok: self.manners.arms > 1,
            }),
            (
                &Action::Send {
                    unit,
                    vhid,
                    what: Sending::Advertisement(family),
                    ..
                },
                Manners { sends: 1.., .. },
            ) => Some(Input::Sent {
                unit,
                vhid,
                family,
                ok: self.manners.sends > 1,
            }),
            _ => None,
        }
    }

    fn wait(&mut self, span: Duration) {
        self.now = self.now + span;
        self.input(Input::Time);
    }

    fn heard(&mut self, number: u8, bytes: &[u8]) {
        self.input(Input::Frame {
            carpdev: carpdev(number),
            bytes,
        });
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Wait(ms) => self.wait(Duration::from_millis((*ms).into())),
            Step::Sleep(seconds) => self.wait(Duration::from_secs((*seconds).into())),
            Step::Timeout(late) => {
                let span = self
                    .engine
                    .timeout()
                    .map_or(Duration::ZERO, |at| at.since(self.now));
                self.wait(span + Duration::from_millis((*late).into()));
            }
            Step::Ad(said) => self.heard(said.carpdev, &said.bytes()),
            Step::Frame(on, edited) => self.heard(*on, &edited.bytes()),
            Step::Echo(which, change) => self.echo(*which, *change),
            Step::Ask(what) => self.heard(0, &question(*what)),
            Step::Parent(device) => {
                let (carpdev, parent) = (carpdev(device.carpdev), device.parent());
                match parent {
                    Some(parent) => self.watch.parents.insert(carpdev, parent),
                    None => self.watch.parents.remove(&carpdev),
                };
                self.input(Input::Parent { carpdev, parent });
                if !parent.is_some_and(|parent| parent.up) {
                    self.watch.lost(carpdev);
                }
            }
            Step::Configure(wanted) => {
                let (unit, config) = (unit(wanted.unit), Some(wanted.config()));
                self.input(Input::Configure { unit, config });
            }
            Step::Destroy(of) => {
                let (unit, config) = (unit(*of), None);
                self.input(Input::Configure { unit, config });
            }
            Step::State(of, to) => {
                let (unit, state) = (unit(*of), script::state(*to));
                self.input(Input::State { unit, state });
            }
            Step::Settings(allow, preempt, log, replay) => self.input(Input::Settings(Settings {
                allow: *allow,
                preempt: *preempt,
                log: *log,
                replay: *replay > 0,
                ..Settings::default()
            })),
            Step::Armed(of, back, ok) => {
                let (unit, attempt) =
                    (unit(*of), self.watch.attempt.saturating_sub((*back).into()));
                self.input(Input::Armed {
                    unit,
                    attempt,
                    ok: *ok,
                });
            }
            Step::Sent(of, number, inet6, ok) => self.input(Input::Sent {
                unit: unit(*of),
                vhid: vhid(*number),
                family: family(*inet6),
                ok: *ok,
            }),
            Step::Obey(manners) => self.manners = *manners,
            Step::Shutdown(0) => self.input(Input::Shutdown),
            Step::Shutdown(_) => {}
        }
    }

    fn echo(&mut self, which: u8, change: u8) {
        if self.watch.sent.is_empty() {
            return;
        }
        let (carpdev, mut bytes) = from(&self.watch.sent, which.into()).clone();
        // Before CARP: source addresses, which nobody looks at.
        bytes[6 + usize::from(change)] ^= change;
        self.input(Input::Frame {
            carpdev,
            bytes: &bytes,
        });
    }
}

/// Most stories begin with a carpN that works.
fn opened() -> Stage {
    let mut stage = Stage::new();
    let parent = crate::rig::parent();
    stage.watch.parents.insert(carpdev(0), parent);
    let parent = Some(parent);
    stage.input(Input::Parent {
        carpdev: carpdev(0),
        parent,
    });
    let config = crate::rig::config(&["192.0.2.10/24", "2001:db8::10/64"], 1, 100);
    let config = Some((config, Some(carpdev(0))));
    stage.input(Input::Configure {
        unit: unit(1),
        config,
    });
    stage
}

#[test]
fn any_story() {
    bolero::check!()
        .with_generator(bolero::produce::<Vec<Step>>().with().len(1..80usize))
        .with_test_time(2 * TIME)
        .for_each(|steps| {
            let mut stage = opened();
            steps.iter().for_each(|step| stage.step(step));
        });
}

/// Raw bytes on both kinds of hosts; whatever they were, the engine that heard them is as bounded as before.
#[test]
fn raw_frames() {
    let mut master = opened();
    let at = master.engine.timeout().unwrap();
    master.wait(at.since(master.now));
    bolero::check!()
        .with_max_len(256)
        .with_test_time(TIME)
        .for_each(|bytes: &[u8]| {
            for engine in [&master.engine, &opened().engine] {
                let mut engine = engine.clone();
                engine.handle(
                    master.now,
                    Input::Frame {
                        carpdev: carpdev(0),
                        bytes,
                    },
                );
                assert!(std::iter::from_fn(|| engine.poll()).count() < 8);
            }
        });
}

/// A caller that never polls: what a stranger can make the engine say does not pile up.
#[test]
fn nobody_polls() {
    let mut stage = opened();
    let at = stage.engine.timeout().unwrap();
    stage.wait(at.since(stage.now));
    let engine = &mut stage.engine;
    let questions = [question(0), question(2)];
    for n in 0..20_000u64 {
        let now = stage.now + Duration::from_micros(n);
        let bytes = &questions[(n % 2) as usize];
        engine.handle(
            now,
            Input::Frame {
                carpdev: carpdev(0),
                bytes,
            },
        );
        let bytes = &FRAMES[n as usize % FRAMES.len()];
        engine.handle(
            now,
            Input::Frame {
                carpdev: carpdev(0),
                bytes,
            },
        );
    }
    let waiting = std::iter::from_fn(|| engine.poll()).count();
    assert!((8000..8300).contains(&waiting), "{waiting}");
}
