//! How much may happen in one exploration, the bounds that follow from the timers, and the properties.

use crate::net::{BEGINNING, Net, Step};
use carp::carp::Gate;
use carp::carp::config::State;
use stateright::{Checker, HasDiscoveries, Model, Property};
use std::time::Duration;

/// A former MASTER serves so long after its goodbye.
const LINGER: Duration = Duration::from_millis(100);
/// And so long after it has heard its successor.
const LINGER_HEARD: Duration = Duration::from_millis(20);
/// So many advertisements that did not leave demote.
const SENDS: u8 = 3;
/// A host waits so long for the kernel while nobody serves, and while another MASTER does.
const ARMING: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(1)];

/// 1/256 s units, in whole microseconds.
fn skew_time(units: u64) -> Duration {
    Duration::from_micros(units * 1_000_000 / 256)
}

/// The rule, computed once more and on its own: from one advertisement to the next.
fn interval(advbase: u8, advskew: u8) -> Duration {
    match advbase {
        0 => skew_time(advskew.max(1).into()),
        _ => Duration::from_secs(advbase.into()) + skew_time(advskew.into()),
    }
}

/// The rule again: how long a BACKUP waits for one.
pub fn dead_time(advbase: u8, advskew: u8) -> Duration {
    match advbase {
        0 => skew_time(3 * u64::from(advskew.max(1))),
        _ => Duration::from_secs(3 * u64::from(advbase)) + skew_time(advskew.into()),
    }
}

/// How often each thing may happen on one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Budget {
    pub losses: u8,
    pub replays: u8,
    pub doubles: u8,
    pub reflections: u8,
    pub crashes: u8,
    pub stops: u8,
    pub starts: u8,
    pub pauses: u8,
    /// Timers served while nothing can be sent.
    pub failures: u8,
    /// Answers of the kernel that it will not.
    pub refusals: u8,
    /// Answers that come after a later attempt was begun.
    pub late: u8,
    pub flaps: u8,
    pub asks: u8,
}

/// One exploration.
#[derive(Debug, Clone)]
pub struct Scope {
    /// advbase and advskew of each.
    pub hosts: Vec<(u8, u8)>,
    pub preempt: bool,
    /// net.inet.carp.replay.
    pub replay: bool,
    /// What happens later than so long after the beginning is not looked at.
    pub until: Option<Duration>,
    pub addresses: &'static [&'static str],
    /// The longest that a packet takes.
    pub delay: Duration,
    /// What one host sends to another arrives in order, as on any sane Ethernet.
    pub ordered: bool,
    /// How long a pause may be.
    pub pauses: Vec<Duration>,
    pub budget: Budget,
}

impl Scope {
    /// Hosts with advbase 1 and these skews on a segment that takes up to 4 ms.
    pub fn new(advskews: &[u8], preempt: bool, budget: Budget) -> Self {
        Self {
            hosts: advskews.iter().map(|advskew| (1, *advskew)).collect(),
            preempt,
            replay: false,
            until: None,
            addresses: &["192.0.2.10/24"],
            delay: Duration::from_millis(4),
            ordered: false,
            pauses: Vec::new(),
            budget,
        }
    }

    /// A host may lose its carrier, or fail to send so often that it counts.
    fn demotes(&self) -> bool {
        self.budget.flaps > 0 || self.budget.failures >= SENDS
    }

    /// Nobody waits longer for an advertisement, or for the next one of its own.
    fn slowest(&self, of: fn(u8, u8) -> Duration) -> Duration {
        let demoted = |advskew: u8| {
            if self.demotes() {
                advskew.max(240)
            } else {
                advskew
            }
        };
        let all = self
            .hosts
            .iter()
            .map(|(advbase, advskew)| of(*advbase, demoted(*advskew)));
        all.max().unwrap_or_default()
    }

    /// Two that hear each other are both owners no longer than until the next advertisement of one, an answer to it,
    /// and the last frames of the one that yields.
    pub fn overlap(&self) -> Duration {
        self.slowest(interval) + 2 * self.delay + LINGER
    }

    /// So long after the last fault the segment is at rest: the dead time, arming, and the time for which two may own.
    pub fn rest(&self) -> Duration {
        let promoted = self.preempt || self.budget.asks > 0 || self.demotes();
        self.slowest(dead_time) + ARMING[usize::from(promoted)] + self.overlap()
    }

    /// Hosts that are equally good: carp(4) has no rule for them.
    fn ties(&self) -> bool {
        let mut hosts = self.hosts.clone();
        hosts.sort_unstable();
        hosts.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// To take over from a MASTER that is heard: orders, demotion, the other family, a slow one.
    fn has_other_reasons(&self) -> bool {
        let slow = self.hosts.iter().any(|host| host.0 != self.hosts[0].0);
        slow || self.budget.asks > 0 || self.demotes() || self.addresses.len() > 1
    }

    /// One daemon ends, and nothing else happens.
    fn planned(&self) -> bool {
        let one = Budget {
            stops: 1,
            ..Budget::default()
        };
        self.budget == one
    }

    /// A BACKUP that gave up because nothing left stays demoted.
    fn best(&self, net: &Net) -> Option<usize> {
        net.alive()
            .min_by_key(|index| (net.demotion(*index), self.hosts[*index]))
    }

    /// Explores all of it. Prints its size; panics with the way to a state that breaks a promise.
    pub fn explore(self, name: &str) {
        let first = HasDiscoveries::AnyFailures;
        let checker = self.checker().finish_when(first).spawn_bfs().join();
        println!(
            "{name}: {} states, {} of them different, depth {}",
            checker.state_count(),
            checker.unique_state_count(),
            checker.max_depth()
        );
        for (property, path) in checker.discoveries() {
            if checker.model().property(property).expectation == stateright::Expectation::Always {
                tell(checker.model(), property, path);
            }
        }
        checker.assert_properties();
        assert!(
            checker.is_done() && checker.unique_state_count() > 200,
            "hardly anything happened"
        );
    }
}

/// A counterexample as a table of moments.
fn tell(scope: &Scope, property: &str, path: stateright::Path<Net, Step>) {
    println!("broken: {property}, {scope:?}");
    for (net, step) in path.into_vec() {
        let states: Vec<String> = (0..net.hosts.len())
            .map(|index| {
                let state = net
                    .state(index)
                    .map_or("none".into(), |state| state.to_string());
                format!("{state} {:?}", net.hosts[index].gate)
            })
            .collect();
        println!(
            "{:>12.6} {states:?} wire {} -> {step:?}",
            net.now.as_nanos() as f64 / 1e9,
            net.wire.len()
        );
    }
}

impl Model for Scope {
    type State = Net;
    type Action = Step;

    fn init_states(&self) -> Vec<Net> {
        vec![Net::new(self)]
    }

    fn actions(&self, net: &Net, steps: &mut Vec<Step>) {
        net.steps(self, steps);
    }

    fn next_state(&self, net: &Net, step: Step) -> Option<Net> {
        Some(net.after(self, step))
    }

    fn within_boundary(&self, net: &Net) -> bool {
        self.until.is_none_or(|until| net.now < BEGINNING + until)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "two owners only until they have heard each other",
                |scope: &Self, net: &Net| {
                    net.together
                        .is_none_or(|since| net.now.since(since) < scope.overlap())
                },
            ),
            Property::always("one owner when all is quiet", |scope: &Self, net: &Net| {
                let rests = net.quiet() >= scope.rest() && net.alive().next().is_some();
                scope.ties() || !rests || net.owners().count() == 1
            }),
            Property::always(
                "nobody takes over from a MASTER that is heard",
                |scope: &Self, net: &Net| {
                    let other = |owner| net.owners().any(|now| now != owner);
                    scope.ties() || !net.settled.is_some_and(other)
                },
            ),
            Property::always("nobody arms without a reason", |scope: &Self, net: &Net| {
                scope.has_other_reasons() || !net.usurped
            }),
            Property::always("with preempt the best one", |scope: &Self, net: &Net| {
                let rests = scope.preempt && net.quiet() >= scope.rest();
                scope.ties() || !rests || net.owners().next() == scope.best(net)
            }),
            Property::always(
                "a planned end alone leaves no moment without an owner",
                |scope: &Self, net: &Net| !scope.planned() || !scope.ordered || !net.gap(),
            ),
            Property::always("somebody waits for something", |scope: &Self, net: &Net| {
                net.alive().next().is_none() || net.next_due(scope).is_some()
            }),
            Property::always(
                "who sleeps past its lease wakes as BACKUP",
                |_, net: &Net| !net.overslept,
            ),
            Property::always("who has no carrier serves nobody", |_, net: &Net| {
                let mut hosts = net.hosts.iter();
                hosts.all(|host| host.carrier || host.gate == Gate::Shut)
            }),
            Property::always("a MASTER has its gate open", |_, net: &Net| {
                let mut hosts = (0..net.hosts.len()).map(|index| (index, net.hosts[index].gate));
                hosts.all(|(index, gate)| {
                    net.state(index) != Some(State::Master) || gate == Gate::Open
                })
            }),
            Property::always(
                "who is MASTER no more and has heard another does not answer",
                |_, net: &Net| {
                    // With replay protection it may hear one that is older than its own goodbye, and goes on waiting.
                    let mut hosts = net.hosts.iter().enumerate().filter(|_| !net.replay);
                    hosts.all(|(index, host)| {
                        let former = net.state(index) != Some(State::Master);
                        !(former && host.gate == Gate::Open && host.heard.is_some())
                    })
                },
            ),
            Property::always(
                "who has heard its successor serves the last frames and no more",
                |_, net: &Net| {
                    let mut awake = net.hosts.iter().filter(|host| host.asleep.is_none());
                    awake.all(|host| {
                        let over = |at| net.now.since(at) > LINGER_HEARD;
                        !host.succeeded.is_some_and(over)
                    })
                },
            ),
            Property::always("who lives is believed", |scope: &Self, net: &Net| {
                let Budget {
                    doubles, replays, ..
                } = scope.budget;
                let forged = !scope.ordered || doubles + replays > 0;
                forged || !net.hosts.iter().any(|host| host.disbelieved)
            }),
            Property::always(
                "whom the kernel has refused is no MASTER",
                |_, net: &Net| {
                    let refused = |index: &usize| net.hosts[*index].refused;
                    let mut hosts = (0..net.hosts.len()).filter(refused);
                    hosts.all(|index| net.state(index) != Some(State::Master))
                },
            ),
            Property::always(
                "an answer to an earlier attempt changes nothing",
                |_, net: &Net| !net.misled,
            ),
            Property::sometimes("an answer comes that late", |scope: &Self, net: &Net| {
                scope.budget.late == 0 || net.hosts.iter().any(|host| !host.owed.is_empty())
            }),
            Property::sometimes("an owner at rest", |_, net: &Net| net.settled.is_some()),
            Property::sometimes(
                "a goodbye that overtakes an advertisement is undone by it",
                |scope: &Self, net: &Net| !scope.planned() || scope.ordered || net.gap(),
            ),
            Property::sometimes(
                "where equals may yield to each other for ever",
                |scope: &Self, net: &Net| {
                    !scope.ties() || (net.quiet() >= scope.rest() && net.owners().next().is_none())
                },
            ),
        ]
    }
}
