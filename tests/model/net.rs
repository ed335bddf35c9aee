//! A few hosts with real engines on one segment, as one state: what may happen next, and what follows from it.

use crate::rig::{self, CARPDEV, UNIT};
use crate::scope::{Budget, Scope, dead_time};
use carp::carp::config::{Config, Node, Settings, State};
use carp::carp::{Action, Engine, Gate, Input, Parent, Sending};
use carp::time::Instant;
use std::sync::Arc;
use std::time::Duration;

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
    /// The kernel has made a host's carpN a MASTER's, or refuses.
    Armed(usize, bool),
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
    /// It ends when it has served its last frame.
    pub ending: bool,
    retired: bool,
    pub asleep: Option<Instant>,
    pub carrier: bool,
    /// When it last heard a MASTER that stays, and which.
    pub heard: Option<(Instant, usize)>,
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
    /// A host went on as MASTER past its lease.
    pub overslept: bool,
    /// There was an owner.
    pub owned: bool,
    /// The owner since the segment came to rest.
    pub settled: Option<usize>,
    /// As in the scope.
    skews: Arc<[(u8, u8)]>,
    preempt: bool,
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
            ending: false,
            retired: false,
            asleep: None,
            carrier: true,
            heard: None,
        };
        let mut net = Self {
            now: rig::ms(1000.0),
            hosts: vec![host; scope.hosts.len()],
            wire: Vec::new(),
            left: scope.budget,
            started: 0,
            fault: rig::ms(1000.0),
            together: None,
            usurped: false,
            overslept: false,
            owned: false,
            settled: None,
            skews: scope.hosts.clone().into(),
            preempt: scope.preempt,
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

    /// How long nothing has gone wrong.
    pub fn quiet(&self) -> Duration {
        self.now.since(self.fault)
    }

    fn awake(&self, index: usize) -> Option<&Engine> {
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

    pub fn steps(&self, scope: &Scope, steps: &mut Vec<Step>) {
        if self.next_due(scope).is_some_and(|at| at > self.now) {
            steps.push(Step::Tick);
        }
        for (index, packet) in self.wire.iter().enumerate() {
            // Two alike: one of them is enough.
            let twin = |other: &Packet| {
                let ordered = scope.ordered && other.from == packet.from;
                other.to == packet.to && (ordered || Arc::ptr_eq(&other.bytes, &packet.bytes))
            };
            if self.awake(packet.to).is_some() && !self.wire[..index].iter().any(twin) {
                self.steps_of_packet(index, packet, steps);
            }
        }
        for index in 0..self.hosts.len() {
            self.steps_of_host(scope, index, steps);
        }
    }

    fn steps_of_packet(&self, index: usize, packet: &Packet, steps: &mut Vec<Step>) {
        steps.push(Step::Deliver(index));
        // Lost is lost: when does not matter.
        if self.left.losses > 0 && packet.sent == self.now {
            steps.push(Step::Lose(index));
        }
        if self.left.doubles > 0 {
            steps.push(Step::Double(index));
        }
        let back = packet.to != packet.from && self.awake(packet.from).is_some();
        if self.left.reflections > 0 && back && packet.sent == self.now {
            steps.push(Step::Reflect(index));
        }
    }

    fn steps_of_host(&self, scope: &Scope, index: usize, steps: &mut Vec<Step>) {
        let host = &self.hosts[index];
        let Some(engine) = &host.engine else {
            if self.left.starts > 0 {
                steps.push(Step::Start(index));
            }
            return;
        };
        if self.left.crashes > 0 {
            steps.push(Step::Crash(index));
        }
        if self.left.stops > 0 && host.asleep.is_none() && !host.ending {
            steps.push(Step::Stop(index));
        }
        if let Some(until) = host.asleep {
            if until <= self.now {
                steps.push(Step::Wake(index));
            }
            return;
        }
        if engine.timeout().is_some_and(|at| at <= self.now) {
            steps.push(Step::Serve(index, true));
            if self.left.failures > 0 {
                steps.push(Step::Serve(index, false));
            }
        }
        if host.arming.is_some() {
            steps.push(Step::Armed(index, true));
            if self.left.refusals > 0 {
                steps.push(Step::Armed(index, false));
            }
        }
        if self.left.pauses > 0 {
            steps.extend((0..scope.pauses.len()).map(|span| Step::Pause(index, span)));
        }
        if !host.carrier || self.left.flaps > 0 {
            steps.push(Step::Carrier(index, !host.carrier));
        }
        if self.left.asks > 0 {
            let asks = [State::Backup, State::Master];
            let other = asks
                .into_iter()
                .filter(|to| engine.vhosts(UNIT).any(|v| v.state != *to));
            steps.extend(other.map(|to| Step::Ask(index, to)));
        }
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
                self.hosts[index].arming =
                    self.hosts[index].arming.filter(|_| self.left.refusals > 0);
                self.told(index, Input::Time, leaves);
                return !leaves;
            }
            Step::Deliver(which) => self.deliver(which),
            Step::Double(which) => {
                self.left.doubles -= 1;
                let copy = self.wire[which].clone();
                self.deliver(which);
                self.wire.insert(which, copy);
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
            Step::Armed(index, ok) => return self.armed(index, ok),
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
        host.heard = None;
    }

    /// What is on its way to a host does not arrive.
    fn cut(&mut self, index: usize) {
        self.wire.retain(|packet| packet.to != index);
    }

    fn deliver(&mut self, which: usize) {
        let packet = self.wire.remove(which);
        // What is due is served first, as the engine asks of its caller.
        self.told(packet.to, Input::Time, true);
        if packet.from != packet.to {
            self.hosts[packet.to].heard = (!packet.is_goodbye()).then_some((self.now, packet.from));
        }
        let bytes = &*packet.bytes;
        self.told(
            packet.to,
            Input::Frame {
                carpdev: CARPDEV,
                bytes,
            },
            true,
        );
        if self.state(packet.to) == Some(State::Master) {
            self.hosts[packet.to].heard = None;
        }
    }

    fn armed(&mut self, index: usize, ok: bool) -> bool {
        self.left.refusals -= u8::from(!ok);
        if let Some(attempt) = self.hosts[index].arming.take() {
            self.told(
                index,
                Input::Armed {
                    unit: UNIT,
                    attempt,
                    ok,
                },
                true,
            );
        }
        !ok
    }

    fn start(&mut self, scope: &Scope, index: usize) {
        self.started += 1;
        self.hosts[index].engine = Some(Engine::new(self.started));
        let settings = Settings {
            preempt: scope.preempt,
            // Names of counters do not keep the order of those that are not on their way any more.
            replay: false,
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
                host.arming = Some(attempt);
                self.begins_to_arm(index);
            }
            Action::Gate { gate, .. } => host.gate = gate,
            Action::Lease { until, .. } => host.lease = until,
            Action::Transition {
                to: State::Master, ..
            } => {
                // Heard since it began to arm.
                let skews = &self.skews;
                let yields = |from: usize| skews[from] <= skews[index];
                self.usurped |= host.heard.is_some_and(|(_, from)| yields(from));
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
