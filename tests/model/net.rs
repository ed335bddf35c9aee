//! A few hosts with real engines on one segment, as one state: what may happen next, and what follows from it.

use crate::rig::{self, CARPDEV, UNIT};
use crate::scope::{Budget, Scope, dead_time};
use carp::carp::config::{Config, Node, Settings, State};
use carp::carp::{Action, Engine, Gate, Input, Parent, Sending};
use carp::time::Instant;
use std::sync::Arc;
use std::time::Duration;

/// The moment at which the hosts start.
pub const BEGINNING: Instant = Instant::from_nanos(1_000_000_000);

/// One thing that happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Time passes until something is due.
    Tick,
    /// A host serves its timers; `false`: and nothing that it sends now leaves it.
    Serve(usize, bool),
    /// A packet arrives.
    Deliver(usize),
    /// A packet arrives, and will arrive again.
    Double(usize),
    /// A packet goes back to its sender as well.
    Reflect(usize),
    /// A packet is lost.
    Lose(usize),
    /// Somebody sends once more what one host heard last of another.
    Replay(usize, usize),
    /// The kernel has made a host's carpN a MASTER's, or refuses.
    Armed(usize, bool),
    /// The same to the oldest attempt that was given up meanwhile.
    Late(usize, bool),
    /// A host's process is killed: it owns nothing any more and says nothing.
    Crash(usize),
    /// Its daemon ends as it should, with a goodbye.
    Stop(usize),
    /// It is started again.
    Start(usize),
    /// A host does nothing for one of the scope's spans; its data plane goes on.
    Pause(usize, usize),
    /// It goes on.
    Wake(usize),
    /// Its carpdev loses its carrier, or has it again.
    Carrier(usize, bool),
    /// `state backup` or `state master` is typed there.
    Ask(usize, State),
}

/// An advertisement on its way to one host.
#[derive(Debug, Clone)]
pub struct Packet {
    pub sent: Instant,
    pub from: usize,
    pub to: usize,
    /// It has arrived there before: where counters are compared it tells nothing any more.
    pub again: bool,
    pub bytes: Arc<[u8]>,
}

/// One machine.
#[derive(Debug, Clone)]
pub struct Host {
    /// `None` while its process is dead.
    pub engine: Option<Engine>,
    pub gate: Gate,
    pub lease: Instant,
    /// The attempt that the kernel has not answered.
    pub arming: Option<u64>,
    /// Those before it that it has not answered either.
    pub owed: Vec<u64>,
    /// The latest attempt was refused.
    pub refused: bool,
    /// It ends when it has served its last frame.
    pub ending: bool,
    retired: bool,
    pub asleep: Option<Instant>,
    pub carrier: bool,
    /// When it last heard a MASTER that stays, and which.
    pub heard: Option<(Instant, usize)>,
    /// What was delivered to it last, by sender.
    pub recorded: Vec<Option<Packet>>,
    /// It took an advertisement for an old one.
    pub disbelieved: bool,
    /// When it first heard its successor, while it serves its last frames.
    pub succeeded: Option<Instant>,
}

/// The whole segment at one moment.
#[derive(Debug, Clone)]
pub struct Net {
    pub now: Instant,
    pub hosts: Vec<Host>,
    pub wire: Vec<Packet>,
    pub left: Budget,
    /// How many processes were started: each draws other random numbers.
    started: u64,
    /// The last thing that a network may do and should not.
    pub fault: Instant,
    /// Since when there are two owners, or two in spite of the last fault.
    pub together: Option<Instant>,
    /// A host has begun to arm, or gone on with it, though it hears a MASTER that it has no reason to replace.
    pub usurped: bool,
    /// A host took an answer to an earlier attempt for one to its latest.
    pub misled: bool,
    /// A host went on as MASTER past its lease.
    pub overslept: bool,
    /// There was an owner.
    pub owned: bool,
    /// The owner since the segment came to rest.
    pub settled: Option<usize>,
    /// As in the scope.
    skews: Arc<[(u8, u8)]>,
    preempt: bool,
    pub replay: bool,
    /// Nothing is the same at another time.
    pub bounded: bool,
    /// Beyond these two no clock of the model is read.
    pub rest: Duration,
    pub overlap: Duration,
}

impl Net {
    pub fn new(scope: &Scope) -> Self {
        let host = Host {
            engine: None,
            gate: Gate::Shut,
            lease: Instant::ZERO,
            arming: None,
            owed: Vec::new(),
            refused: false,
            ending: false,
            retired: false,
            asleep: None,
            carrier: true,
            heard: None,
            recorded: vec![None; scope.hosts.len()],
            disbelieved: false,
            succeeded: None,
        };
        let mut net = Self {
            now: BEGINNING,
            hosts: vec![host; scope.hosts.len()],
            wire: Vec::new(),
            left: scope.budget,
            started: 0,
            fault: BEGINNING,
            together: None,
            usurped: false,
            misled: false,
            overslept: false,
            owned: false,
            settled: None,
            skews: scope.hosts.clone().into(),
            preempt: scope.preempt,
            replay: scope.replay,
            bounded: scope.until.is_some(),
            rest: scope.rest(),
            overlap: scope.overlap(),
        };
        for index in 0..scope.hosts.len() {
            net.start(scope, index);
        }
        net
    }

    /// Those that answer for the address: the data plane's view, in which a lease that has run out ends it.
    pub fn owners(&self) -> impl Iterator<Item = usize> + '_ {
        let owns = |host: &Host| host.gate == Gate::Open && self.now < host.lease;
        let owners = self
            .hosts
            .iter()
            .enumerate()
            .filter(move |(_, host)| owns(host));
        owners.map(|(index, _)| index)
    }

    pub fn alive(&self) -> impl Iterator<Item = usize> + '_ {
        let alive = |host: &Host| host.engine.is_some() && host.carrier && !host.ending;
        let hosts = self.hosts.iter().enumerate();
        hosts
            .filter(move |(_, host)| alive(host))
            .map(|(index, _)| index)
    }

    /// Nobody owns what somebody has owned.
    pub fn gap(&self) -> bool {
        self.owned && self.owners().next().is_none()
    }

    pub fn state(&self, index: usize) -> Option<State> {
        let engine = self.hosts[index].engine.as_ref()?;
        engine.vhosts(UNIT).next().map(|vhost| vhost.state)
    }

    pub fn demotion(&self, index: usize) -> u8 {
        let engine = self.hosts[index].engine.as_ref();
        engine.map_or(0, Engine::demotion)
    }

    /// How long nothing has gone wrong.
    pub fn quiet(&self) -> Duration {
        self.now.since(self.fault)
    }

    pub fn awake(&self, index: usize) -> Option<&Engine> {
        let host = &self.hosts[index];
        host.engine.as_ref().filter(|_| host.asleep.is_none())
    }

    /// All moments at which something must happen.
    fn dues<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = Instant> + 'a {
        let hosts = 0..self.hosts.len();
        let timers = hosts.filter_map(|index| self.awake(index)?.timeout());
        let packets = self
            .wire
            .iter()
            .filter(|packet| self.awake(packet.to).is_some());
        let packets = packets.map(|packet| packet.sent + scope.delay);
        let sleepers = self.hosts.iter().filter_map(|host| host.asleep);
        timers.chain(packets).chain(sleepers)
    }

    pub fn next_due(&self, scope: &Scope) -> Option<Instant> {
        self.dues(scope).min()
    }

    /// The same segment after one step.
    pub fn after(&self, scope: &Scope, step: Step) -> Self {
        let mut net = self.clone();
        let fault = net.perform(scope, step);
        let suffers = |host: &Host| host.asleep.is_some() || !host.carrier;
        if fault || net.hosts.iter().any(suffers) {
            net.fault = net.now;
            net.settled = None;
        }
        let owners: Vec<usize> = net.owners().collect();
        net.owned |= !owners.is_empty();
        let since = net.together.unwrap_or(net.now).max(net.fault);
        net.together = (owners.len() > 1).then_some(since);
        if let ([owner], true) = (owners.as_slice(), net.quiet() >= scope.rest()) {
            net.settled.get_or_insert(*owner);
        }
        net
    }

    /// True if it is something that should not happen.
    fn perform(&mut self, scope: &Scope, step: Step) -> bool {
        match step {
            Step::Tick => self.now = self.next_due(scope).unwrap_or(self.now),
            Step::Serve(index, leaves) => {
                self.left.failures -= u8::from(!leaves);
                let matters = self.left.refusals + self.left.late > 0;
                self.hosts[index].arming = self.hosts[index].arming.filter(|_| matters);
                self.told(index, Input::Time, leaves);
                return !leaves;
            }
            Step::Deliver(which) => self.deliver(which),
            Step::Double(which) => {
                self.left.doubles -= 1;
                let again = true;
                let copy = Packet {
                    again,
                    ..self.wire[which].clone()
                };
                self.deliver(which);
                // A host that has ended meanwhile hears no more.
                if self.hosts[copy.to].engine.is_some() {
                    self.wire.insert(which, copy);
                }
            }
            Step::Reflect(which) => {
                self.left.reflections -= 1;
                let packet = &self.wire[which];
                let to = packet.from;
                self.wire.push(Packet {
                    to,
                    ..packet.clone()
                });
            }
            Step::Lose(which) => {
                self.left.losses -= 1;
                self.wire.remove(which);
                return true;
            }
            Step::Replay(from, to) => {
                self.left.replays -= 1;
                let recorded = self.hosts[to].recorded[from].clone();
                self.wire.extend(recorded);
                self.deliver(self.wire.len() - 1);
            }
            Step::Armed(index, ok) => {
                if let Some(attempt) = self.hosts[index].arming.take() {
                    self.hosts[index].refused = !ok;
                    self.armed(index, attempt, ok);
                }
                return !ok;
            }
            Step::Late(index, ok) => {
                let attempt = self.hosts[index].owed.remove(0);
                // What is due is served first.
                self.told(index, Input::Time, true);
                let before = (self.state(index), self.hosts[index].gate);
                self.armed(index, attempt, ok);
                self.misled |= before != (self.state(index), self.hosts[index].gate);
                return !ok;
            }
            Step::Crash(index) => {
                self.left.crashes -= 1;
                self.end(index);
                return true;
            }
            Step::Stop(index) => {
                self.left.stops -= 1;
                self.hosts[index].ending = true;
                self.told(index, Input::Shutdown, true);
                return true;
            }
            Step::Start(index) => {
                self.left.starts -= 1;
                self.start(scope, index);
                return true;
            }
            Step::Pause(index, span) => {
                self.left.pauses -= 1;
                self.hosts[index].asleep = Some(self.now + scope.pauses[span]);
            }
            Step::Wake(index) => {
                self.hosts[index].asleep = None;
                let over = self.hosts[index].lease <= self.now;
                self.told(index, Input::Time, true);
                self.overslept = over && self.state(index) == Some(State::Master);
                return true;
            }
            Step::Carrier(index, up) => {
                self.left.flaps -= u8::from(!up);
                self.hosts[index].carrier = up;
                self.cut(index);
                self.told(index, parent(index, up), true);
                return true;
            }
            Step::Ask(index, state) => {
                self.left.asks -= 1;
                self.told(index, Input::State { unit: UNIT, state }, true);
                return true;
            }
        }
        false
    }

    /// A process ends: the kernel takes away what it owned.
    fn end(&mut self, index: usize) {
        self.cut(index);
        let host = &mut self.hosts[index];
        (host.engine, host.gate, host.arming) = (None, Gate::Shut, None);
        (host.asleep, host.ending, host.retired) = (None, false, false);
        (host.owed, host.refused) = (Vec::new(), false);
        (host.heard, host.succeeded) = (None, None);
        host.disbelieved = false;
    }

    /// What is on its way to a host does not arrive.
    fn cut(&mut self, index: usize) {
        self.wire.retain(|packet| packet.to != index);
    }

    fn deliver(&mut self, which: usize) {
        let packet = self.wire.remove(which);
        let (from, to, bytes) = (packet.from, packet.to, &*packet.bytes);
        // What is due is served first, as the engine asks of its caller.
        self.told(to, Input::Time, true);
        let rejected = self.rejected(to);
        let before = self.hosts[to].heard;
        if from != to {
            self.hosts[to].heard = (!packet.is_goodbye()).then_some((self.now, from));
        }
        let carpdev = CARPDEV;
        self.told(to, Input::Frame { carpdev, bytes }, true);
        let believed = self.rejected(to) == rejected && !(packet.again && self.replay);
        // With replay protection a former MASTER rejects as well, but counts nothing.
        let compares = self.replay;
        let serves = self.state(to) == Some(State::Master);
        let host = &mut self.hosts[to];
        if !believed {
            host.heard = before;
        }
        host.disbelieved |= !believed && from != to;
        let lingers = !serves && matches!(host.gate, Gate::Open | Gate::Yielded);
        if lingers && believed && !compares && from != to && host.heard.is_some() {
            host.succeeded.get_or_insert(self.now);
        }
        host.heard = host.heard.filter(|_| !serves);
        if self.left.replays > 0 {
            host.recorded[from] = Some(packet);
        }
    }

    fn rejected(&self, index: usize) -> u64 {
        let engine = self.hosts[index].engine.as_ref();
        engine.map_or(0, |engine| engine.stats().badreplay)
    }

    fn armed(&mut self, index: usize, attempt: u64, ok: bool) {
        self.left.refusals -= u8::from(!ok);
        let unit = UNIT;
        self.told(index, Input::Armed { unit, attempt, ok }, true);
    }

    fn start(&mut self, scope: &Scope, index: usize) {
        self.started += 1;
        self.hosts[index].engine = Some(Engine::new(self.started));
        let settings = Settings {
            preempt: scope.preempt,
            replay: scope.replay,
            ..Settings::default()
        };
        self.told(index, Input::Settings(settings), true);
        self.told(index, parent(index, self.hosts[index].carrier), true);
        let (advbase, advskew) = scope.hosts[index];
        let config = Config {
            nodes: vec![Node {
                vhid: rig::vhid(1),
                advskew,
            }],
            ..rig::config(scope.addresses, advbase, advskew)
        };
        let config = Some((config, Some(CARPDEV)));
        self.told(index, Input::Configure { unit: UNIT, config }, true);
    }

    /// One input, and all that a daemon does because of it. `leaves`: what is sent leaves.
    fn told(&mut self, index: usize, input: Input<'_>, leaves: bool) {
        let leaves = leaves && self.hosts[index].carrier;
        let Some(mut engine) = self.hosts[index].engine.take() else {
            return;
        };
        engine.handle(self.now, input);
        let mut reports = Vec::new();
        loop {
            while let Some(action) = engine.poll() {
                reports.extend(self.obey(index, action, leaves));
            }
            if reports.is_empty() {
                break;
            }
            for report in reports.drain(..) {
                engine.handle(self.now, report);
            }
        }
        self.hosts[index].engine = Some(engine);
        if self.hosts[index].ending && self.hosts[index].retired {
            self.end(index);
        }
    }

    fn obey(&mut self, index: usize, action: Action, leaves: bool) -> Option<Input<'static>> {
        let host = &mut self.hosts[index];
        match action {
            Action::Send {
                unit,
                vhid,
                what: Sending::Advertisement(family),
                frame,
                ..
            } => {
                if leaves {
                    self.broadcast(index, frame.into());
                }
                return Some(Input::Sent {
                    unit,
                    vhid,
                    family,
                    ok: leaves,
                });
            }
            Action::Arm { attempt, .. } => {
                host.refused = false;
                if let Some(given_up) = host.arming.replace(attempt)
                    && self.left.late > 0
                {
                    self.left.late -= 1;
                    host.owed.push(given_up);
                }
                self.begins_to_arm(index);
            }
            Action::Gate { gate, .. } => {
                let lingers = matches!(gate, Gate::Open | Gate::Yielded);
                host.succeeded = host.succeeded.filter(|_| lingers);
                host.gate = gate;
            }
            Action::Lease { until, .. } => host.lease = until,
            Action::Transition {
                to: State::Master, ..
            } => {
                // Heard since it began to arm.
                let skews = &self.skews;
                let yields = |from: usize| skews[from] <= skews[index];
                self.usurped |= host.heard.take().is_some_and(|(_, from)| yields(from));
            }
            Action::Retired { .. } => host.retired = true,
            _ => {}
        }
        None
    }

    /// Judged by what was delivered to it, not by its timers.
    fn begins_to_arm(&mut self, index: usize) {
        let heard = self.hosts[index].heard.take();
        self.usurped = heard.is_some_and(|(at, from)| {
            let better = self.preempt && self.skews[index] < self.skews[from];
            let (advbase, advskew) = self.skews[index];
            let lasts = dead_time(advbase, advskew);
            self.now.since(at) < lasts && !better
        });
    }

    fn broadcast(&mut self, from: usize, bytes: Arc<[u8]>) {
        let hears = |host: &Host| host.engine.is_some() && host.carrier;
        let others = (0..self.hosts.len()).filter(|to| *to != from);
        let others: Vec<usize> = others.filter(|to| hears(&self.hosts[*to])).collect();
        for to in others {
            let (sent, bytes) = (self.now, bytes.clone());
            self.wire.push(Packet {
                sent,
                from,
                to,
                again: false,
                bytes,
            });
        }
    }
}

fn parent(index: usize, up: bool) -> Input<'static> {
    let address = 1 + u8::try_from(index).unwrap();
    let parent = Parent {
        up,
        inet: Some([192, 0, 2, address].into()),
        ..rig::parent()
    };
    Input::Parent {
        carpdev: CARPDEV,
        parent: Some(parent),
    }
}
