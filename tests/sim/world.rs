//! The simulated network: one queue of events, and the hosts that they happen to; reads no clock and draws all it needs from
//! the seed.

use crate::askers::Askers;
use crate::cast::{self, garbled};
use crate::heir::{Death, Kept};
use crate::host::{Arming, Conf, Fact, Host, Packet};
use crate::invariants::{self, Effects};
use crate::ledger::Maker;
use crate::link::Segment;
use crate::model::Model;
use crate::random::Random;
use crate::recorder::Recorder;
use crate::rules::{Due, Witness};
use crate::scenario::{Fault, MS, SECOND, Scenario};
use crate::society::Society;
use crate::transcript::{Tally, Transcript};
use carp::carp::config::State;
use carp::carp::{Action, Engine, Reason};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

/// Events that wait, over all hosts; far more than any run needs.
const QUEUE: usize = 20_000;

#[derive(Debug)]
pub enum Node {
    Ours(Box<Host>),
    Model(Box<Model>),
}

#[derive(Debug)]
pub enum What {
    Arrive(usize, Rc<Packet>),
    Wake(usize),
    /// For this boot of the host.
    Report(usize, u64, Fact),
    Resume(usize),
    Question(usize),
    Begin(usize),
    End(usize),
    /// A host that was told to end is gone.
    Exit(usize, u64),
    /// The next thing that the attacker does.
    Attack,
    /// The attacker repeats to this host what it has heard of another.
    Repeat(usize),
    /// An engine dies.
    Death(Death),
}

struct Event {
    at: u64,
    order: u64,
    what: What,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Event {}
impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

pub struct World {
    pub now: u64,
    pub scenario: Scenario,
    pub nodes: Vec<Node>,
    pub segments: Vec<Segment>,
    pub society: Society,
    pub askers: Askers,
    pub transcript: Transcript,
    pub tally: Tally,
    pub random: Random,
    queue: BinaryHeap<Reverse<Event>>,
    order: u64,
    rounds: u64,
    pub boots: u64,
    frames: u64,
    /// The latest frame of each host, vhid and family.
    pub recorder: Recorder,
    /// Who became MASTER and who ceased to be, when.
    pub changes: Vec<(u64, usize, bool)>,
}

/// What went wrong.
#[derive(Debug, Clone)]
pub struct Failure {
    pub at: u64,
    pub what: String,
}

impl World {
    pub fn new(scenario: Scenario, kept: bool) -> Self {
        let mut random = Random::new(scenario.seed ^ 0xabcd_ef01);
        let segments = (0..scenario.segments).map(|_| Segment::new(&mut random));
        let segments = segments.collect();
        let mut world = Self {
            now: 0,
            nodes: Vec::new(),
            segments,
            society: Society::new(&scenario),
            askers: Askers::new(&scenario),
            transcript: Transcript::new(kept),
            tally: Tally::default(),
            random,
            queue: BinaryHeap::new(),
            order: 0,
            rounds: 0,
            boots: 0,
            frames: 0,
            recorder: Recorder::default(),
            changes: Vec::new(),
            scenario,
        };
        world.nodes = cast::nodes(&world.scenario, &mut world.random);
        world
    }

    /// From cold start to the end of the calm.
    pub fn run(&mut self) -> Result<(), Failure> {
        for host in 0..self.nodes.len() {
            let at = self.random.below(2 * SECOND);
            self.push(at, What::Resume(host));
        }
        for group in 0..self.scenario.groups.len() {
            let at = self.random.below(4 * SECOND);
            self.push(at, What::Question(group));
        }
        for (index, fault) in self.scenario.faults.clone().iter().enumerate() {
            self.push(fault.at, What::Begin(index));
            self.push(fault.until, What::End(index));
        }
        if let Some(attack) = self.scenario.attack {
            self.push(attack.from, What::Attack);
        }
        for (at, host) in self.scenario.repeats.clone() {
            self.push(at, What::Repeat(host));
        }
        for death in self.scenario.deaths.clone() {
            self.push(death.at, What::Death(death));
        }
        while let Some(Reverse(event)) = self.queue.pop() {
            self.now = event.at;
            if event.at > self.society.end() {
                break;
            }
            self.happen(event.what).map_err(|what| self.failed(what))?;
            let judged = self.society.judge(self.now, &self.nodes, &self.segments);
            judged.map_err(|what| self.failed(what))?;
            let collisions = self.society.collisions();
            let judged = self.askers.judge(self.now, &self.nodes, collisions);
            judged.map_err(|what| self.failed(what))?;
            if self.queue.len() > QUEUE {
                return Err(self.failed(format!("{} events wait", self.queue.len())));
            }
        }
        let judged = self.society.verdict(&self.nodes, &self.scenario);
        judged.map_err(|what| self.failed(what))
    }

    fn failed(&self, what: String) -> Failure {
        Failure { at: self.now, what }
    }

    pub fn push(&mut self, at: u64, what: What) {
        self.order += 1;
        let event = Event {
            at,
            order: self.order,
            what,
        };
        self.queue.push(Reverse(event));
    }

    fn happen(&mut self, what: What) -> Result<(), String> {
        match what {
            What::Arrive(host, packet) => self.arrive(host, packet),
            What::Wake(host) => self.wake(host),
            What::Report(host, boot, fact) => match &self.nodes[host] {
                Node::Ours(ours) if ours.boot == boot => self.tell(host, fact),
                _ => Ok(()),
            },
            What::Resume(host) => self.resume(host),
            What::Question(group) => {
                self.question(group);
                Ok(())
            }
            What::Begin(index) => {
                let fault = self.scenario.faults[index];
                self.transcript
                    .note(self.now, None, || format!("begins: {fault:?}"));
                self.begin(fault)
            }
            What::End(index) => {
                let fault = self.scenario.faults[index];
                self.transcript
                    .note(self.now, None, || format!("ends: {:?}", fault.what));
                self.end(fault)
            }
            What::Attack => self.attack(),
            What::Repeat(host) => self.repeat(host),
            What::Death(death) => {
                self.die(death);
                Ok(())
            }
            What::Exit(host, boot) => {
                if let Node::Ours(ours) = &mut self.nodes[host]
                    && ours.boot == boot
                {
                    ours.engine = None;
                    self.society.gone(host);
                }
                Ok(())
            }
        }
    }

    /// Starts a dead host, or wakes a sleeping one.
    pub fn resume(&mut self, host: usize) -> Result<(), String> {
        match &mut self.nodes[host] {
            Node::Model(model) => {
                model.resume(self.now);
                self.after_model(host);
                Ok(())
            }
            Node::Ours(ours) if ours.engine.is_none() => self.boot(host),
            Node::Ours(ours) => {
                if ours.paused.is_none_or(|until| until > self.now) {
                    return Ok(());
                }
                ours.paused = None;
                if std::mem::take(&mut ours.orphan) {
                    self.succeed(host)?;
                }
                let Node::Ours(ours) = &mut self.nodes[host] else {
                    return Ok(());
                };
                let backlog = std::mem::take(&mut ours.backlog);
                self.transcript
                    .note(self.now, Some(host), || "wakes up".into());
                // What the caller of the engine has to do: the moment first, frames afterwards.
                self.tell(host, Fact::Time)?;
                backlog
                    .into_iter()
                    .try_for_each(|fact| self.tell(host, fact))
            }
        }
    }

    fn boot(&mut self, host: usize) -> Result<(), String> {
        self.boots += 1;
        let (boot, seed) = (self.boots, self.random.next());
        let Node::Ours(ours) = &mut self.nodes[host] else {
            return Ok(());
        };
        let (local, unix) = (ours.now(self.now), ours.unix(self.now));
        ours.engine = Some(Engine::new(seed).with_clock(local, unix));
        ours.boot = boot;
        (ours.paused, ours.dying, ours.orphan) = (None, None, false);
        ours.kept = ours.kept.take().map(|_| Kept::default());
        ours.backlog.clear();
        ours.wake = None;
        let gone = |conf: &Conf| Conf {
            gone: true,
            ..conf.clone()
        };
        let confs = ours.confs.iter().map(gone).collect();
        ours.witness = Witness::new(confs, ours.ports.len());
        let mut facts = vec![Fact::Settings(ours.settings)];
        facts.extend(
            ours.ports
                .iter()
                .enumerate()
                .map(|(s, p)| Fact::Card(s, *p)),
        );
        let there = ours.confs.iter().enumerate().filter(|(_, c)| !c.gone);
        let mut there: Vec<_> = there.collect();
        if self.scenario.shares && !there.is_empty() {
            // Whoever shares must come to the same answers in any order.
            let first = host % there.len();
            there.rotate_left(first);
        }
        let configured = |(at, c): (usize, &Conf)| Fact::Configure(at, Box::new(c.clone()));
        facts.extend(there.into_iter().map(configured));
        self.transcript
            .note(self.now, Some(host), || "boots".into());
        facts.into_iter().try_for_each(|fact| self.tell(host, fact))
    }

    /// Tells a host of ours one fact, now or when it wakes.
    pub fn tell(&mut self, host: usize, fact: Fact) -> Result<(), String> {
        let now = self.now;
        let Node::Ours(ours) = &mut self.nodes[host] else {
            return Ok(());
        };
        if ours.engine.is_none() {
            return Ok(());
        }
        if ours.paused.is_some() {
            ours.postpone(fact);
            return Ok(());
        }
        let (local, input) = (ours.now(now), Host::input(&ours.confs, &fact));
        let Some(engine) = &mut ours.engine else {
            return Ok(());
        };
        let replays = engine.stats().badreplay;
        engine.handle(local, input);
        let replayed = engine.stats().badreplay > replays;
        // It knows the next moment without a look at all carpN, and must not be wrong about it.
        if engine.timeout() != engine.next_timer().map(|(at, ..)| at) {
            return Err(format!(
                "h{host}: comes back at another moment than it should"
            ));
        }
        let mut actions: Vec<Action> = Vec::new();
        while let Some(action) = engine.poll() {
            actions.push(action);
        }
        if self.transcript.is_kept() {
            crate::telling::note(&mut self.transcript, now, host, &fact, &actions);
        }
        ours.witness.clock = ours.unix(now).as_secs();
        ours.witness.replayed = replayed;
        // One that was told to end has no successor.
        let dying = ours
            .dying
            .take()
            .filter(|_| !matches!(fact, Fact::Shutdown));
        let before = dying.map(|death| (death, ours.witness.clone()));
        let mut effects =
            invariants::check(ours, local.as_nanos(), &fact, actions, &mut self.rounds)
                .map_err(|what| format!("h{host}: {what}"))?;
        for rule in std::mem::take(&mut ours.witness.rules) {
            self.tally.add(format!("rule: {rule}"));
        }
        if let Some((death, before)) = before {
            let known = self.tear(death, (&before, &fact), &mut effects);
            self.perform(host, effects)?;
            if let Some(known) = known {
                self.bereave(death, known);
            }
            return Ok(());
        }
        self.keep(host);
        let Node::Ours(ours) = &self.nodes[host] else {
            return Ok(());
        };
        if let (Fact::Frame(packet), false) = (&fact, replayed)
            && let Some(ad) = &packet.ad
            && ours.hears(packet)
            // One read so late, after a pause, is no reason to wait for its sender's lease.
            && now < packet.sent + SECOND
        {
            self.society.heard(host, packet, ad.family);
        }
        self.perform(host, effects)?;
        self.schedule(host);
        Ok(())
    }

    pub fn schedule(&mut self, host: usize) {
        let Node::Ours(ours) = &mut self.nodes[host] else {
            return;
        };
        // A timer is served a little late.
        let at = ours.timeout().map(|at| at.max(self.now));
        if at != ours.wake {
            ours.wake = at;
            if let Some(at) = at {
                self.push(at, What::Wake(host));
            }
        }
    }

    fn wake(&mut self, host: usize) -> Result<(), String> {
        match &mut self.nodes[host] {
            Node::Ours(ours) if ours.wake == Some(self.now) => {
                ours.wake = None;
                if ours.paused.is_some() {
                    return Ok(());
                }
                self.tell(host, Fact::Time)
            }
            Node::Ours(_) => Ok(()),
            Node::Model(model) => {
                model.wake(self.now);
                self.after_model(host);
                Ok(())
            }
        }
    }

    /// Lets happen what the engine asked for.
    pub fn perform(&mut self, host: usize, effects: Effects) -> Result<(), String> {
        for (at, due) in &effects.changes {
            if let Due::Change(from, to, reason) = due {
                self.changed(host, *at, (*from, *to, *reason))?;
            }
        }
        let Node::Ours(ours) = &mut self.nodes[host] else {
            return Ok(());
        };
        let (boot, sends, arming) = (ours.boot, ours.sends, ours.arming);
        let maker = if ours.settings.replay {
            Maker::Stamped
        } else {
            Maker::Varying
        };
        for (at, attempt) in effects.arms {
            let after = match arming {
                Arming::Prompt | Arming::Refused => self.random.between(100_000, 3 * MS),
                Arming::Late => self.random.between(5 * MS, 40 * MS),
                Arming::Silent => continue,
            };
            self.report(
                host,
                boot,
                after,
                Fact::Armed(at, attempt, arming != Arming::Refused),
            );
        }
        for (at, bytes, ad) in effects.frames {
            let Node::Ours(ours) = &self.nodes[host] else {
                return Ok(());
            };
            let conf = &ours.confs[at];
            let (segment, group) = (conf.segment, conf.group);
            if let Some((ad, _, round)) = &ad {
                let after = self.random.below(MS);
                let fact = Fact::Sent(at, ad.family, sends, *round);
                self.report(host, boot, after, fact);
                if sends && !ad.is_goodbye() {
                    self.society.sent(self.now, host, group);
                }
            }
            if sends {
                let packet = Packet {
                    bytes,
                    seal: ad.as_ref().map(|(_, seal, _)| seal.clone()),
                    ad: ad.map(|(ad, ..)| ad),
                    from: host,
                    segment,
                    asks: None,
                    sent: self.now,
                    id: 0,
                    maker,
                };
                self.transmit(Some(host), packet);
            }
        }
        Ok(())
    }

    fn report(&mut self, host: usize, boot: u64, after: u64, fact: Fact) {
        let Node::Ours(ours) = &mut self.nodes[host] else {
            return;
        };
        let at = ours.door_free.max(self.now + after);
        ours.door_free = at;
        self.push(at, What::Report(host, boot, fact));
    }

    fn changed(
        &mut self,
        host: usize,
        at: usize,
        (from, to, reason): (State, State, Reason),
    ) -> Result<(), String> {
        let name = match reason {
            Reason::MasterTimedOut(family) => format!("MasterTimedOut {family}"),
            other => format!("{other:?}"),
        };
        self.tally.add(format!("transition: {from} -> {to} {name}"));
        self.tally.add(format!("reason: {name}"));
        let bytes = [host as u8, at as u8, from as u8, to as u8];
        self.transcript.mix(self.now, host, &bytes);
        let master = to == State::Master;
        let Node::Ours(ours) = &self.nodes[host] else {
            return Ok(());
        };
        let group = ours.confs[at].group;
        self.changes.push((self.now, host, master));
        if master && matches!(reason, Reason::MasterTimedOut(_)) {
            self.society
                .succession(self.now, host, group, &self.nodes)?;
        }
        let tied = reason == Reason::BetterMaster;
        self.society.changed(self.now, group, host, master, tied);
        Ok(())
    }

    /// Puts a frame on its segment.
    pub fn transmit(&mut self, from: Option<usize>, mut packet: Packet) {
        if packet.ad.is_some() {
            self.frames += 1;
            packet.id = self.frames;
        }
        self.transcript.mix(self.now, packet.from, &packet.bytes);
        let family = packet.ad.map(|ad| ad.family);
        let packet = Rc::new(packet);
        if self.scenario.attack.is_some() && packet.ad.is_some() {
            self.recorder.record(&packet);
        }
        let spoils = self.segments[packet.segment].corrupts > 0 && packet.ad.is_some();
        let garbled = spoils.then(|| Rc::new(garbled(&mut self.random, &packet)));
        for to in 0..self.nodes.len() {
            let segment = &mut self.segments[packet.segment];
            for arrival in segment.carry(&mut self.random, from, to, family) {
                let bad = garbled.as_ref().filter(|_| arrival.corrupted);
                let arrived = Rc::clone(bad.unwrap_or(&packet));
                let at = self.now + arrival.after;
                self.push(at, What::Arrive(to, arrived));
            }
        }
    }

    pub fn arrive(&mut self, host: usize, packet: Rc<Packet>) -> Result<(), String> {
        match &mut self.nodes[host] {
            Node::Ours(ours) => {
                let port = ours.ports[packet.segment];
                // No frame comes in over a card without carrier.
                if !port.works() || ours.engine.is_none() {
                    return Ok(());
                }
                self.tell(host, Fact::Frame(packet))
            }
            Node::Model(model) => {
                model.arrive(self.now, &packet);
                self.after_model(host);
                Ok(())
            }
        }
    }

    pub fn later(&mut self, at: u64, host: usize) {
        self.push(at, What::Resume(host));
    }

    pub fn exits(&mut self, at: u64, host: usize, boot: u64) {
        self.push(at, What::Exit(host, boot));
    }

    /// For faults: all that can be asked of a fault's moment.
    fn begin(&mut self, fault: Fault) -> Result<(), String> {
        self.tally.add(format!("fault: {:?}", fault.what));
        self.askers.disturbed(self.now);
        crate::faults::begin(self, fault)
    }

    fn end(&mut self, fault: Fault) -> Result<(), String> {
        self.askers.disturbed(self.now);
        crate::faults::end(self, fault)
    }
}
