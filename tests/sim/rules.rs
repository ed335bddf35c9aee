//! What the rules say that one host of ours must do: written a second time from the description of the protocol, in the
//! host's own time. Each fact yields what is expected; `invariants` compares it with what the engine did.

use crate::host::{Conf, Fact, Port};
use crate::ledger::Ledger;
use crate::packet::Ad;
pub use crate::ranking::{Claim, dead_time, interval, takes_over};
use carp::carp::config::{Settings, State};
use carp::carp::{Gate, Reason};
use carp::wire::Family;
use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

const MS: u64 = 1_000_000;
const GRACE: u64 = 500 * MS;

/// How long the kernel is waited for: as long as somebody else serves.
pub fn patience(reason: Reason) -> u64 {
    match reason {
        Reason::Goodbye => 80 * MS,
        Reason::Preempting
        | Reason::MasterWillTimeOut
        | Reason::MasterDemoted
        | Reason::Requested => 1000 * MS,
        _ => 10 * MS,
    }
}

/// How far a vhost is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Init,
    Backup,
    Arming(Reason),
    Master,
}

impl Stage {
    pub fn state(self) -> State {
        match self {
            Self::Init => State::Init,
            Self::Backup | Self::Arming(_) => State::Backup,
            Self::Master => State::Master,
        }
    }
}

/// Something that must be seen among the actions, in this order for one carpN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    Arm,
    Change(State, State, Reason),
    /// One advertisement in each family: advbase, advskew, demote.
    Round(u8, u8, u8),
}

/// What a former MASTER still does.
#[derive(Debug, Clone)]
pub struct Left {
    pub until: u64,
    pub gate: Gate,
    pub heard: bool,
    pub seal: std::rc::Rc<crate::packet::Seal>,
    /// What it had heard.
    pub ledger: Ledger,
}

/// One vhost.
#[derive(Debug, Clone)]
pub struct Course {
    pub stage: Stage,
    pub down: [Option<u64>; 2],
    arming: u64,
    next: u64,
    pub quiet: u64,
    pub left: Option<Left>,
    /// As told by the engine; checked where it is told.
    pub lease: u64,
    pub gate: Gate,
    pub armed: bool,
    pub attempt: u64,
    /// The latest round of advertisements: number, moment, families not yet reported.
    pub round: u64,
    pub round_at: u64,
    pub awaited: Vec<Family>,
    pub failed: bool,
    /// When the round was sent of which the last family left in this step.
    pub earned: Option<u64>,
    /// Advertisements that did not leave, and those since that did: three and three.
    unsent: [u8; 2],
    /// The last one heard over IPv6 was summed with the pseudo-header.
    pub pseudo: bool,
    /// Until then a carpdev just named may be missing without demoting the host.
    pub grace: Option<u64>,
    /// The last 32 that were sent: one like these is taken for an echo.
    pub sent: VecDeque<Ad>,
    pub ledger: Ledger,
}

impl Course {
    pub fn new() -> Self {
        Self {
            stage: Stage::Init,
            down: [None; 2],
            arming: 0,
            next: 0,
            quiet: 0,
            left: None,
            lease: 0,
            gate: Gate::Shut,
            armed: false,
            attempt: 0,
            round: 0,
            round_at: 0,
            awaited: Vec::new(),
            failed: false,
            earned: None,
            unsent: [0; 2],
            pseudo: false,
            grace: None,
            sent: VecDeque::new(),
            ledger: Ledger::default(),
        }
    }

    /// Of both families: the third failure demotes, three in a row that left end it.
    fn count(&mut self, ok: bool) {
        let [failed, left] = self.unsent;
        self.unsent = match (self.stage, ok) {
            (Stage::Init, _) => [0; 2],
            (_, false) => [failed.saturating_add(1), 0],
            (_, true) if failed == 0 || left == 2 => [0; 2],
            (_, true) => [failed, left + 1],
        };
    }

    /// What the data plane must have been told last.
    pub fn wanted_gate(&self) -> Gate {
        match (self.stage, &self.left) {
            (Stage::Master, _) => Gate::Open,
            (Stage::Arming(_), _) => Gate::Inward,
            (_, Some(left)) => left.gate,
            _ => Gate::Shut,
        }
    }
}

/// One host.
#[derive(Debug, Clone)]
pub struct Witness {
    pub confs: Vec<Conf>,
    pub courses: Vec<Course>,
    pub ports: Vec<Port>,
    pub settings: Settings,
    /// With arpbalance: until then it preempts nobody, since another interface may follow.
    pub unsettled: u64,
    pub demotion: u8,
    /// Told to end: nothing new is taken.
    ending: bool,
    /// What is expected of each carpN, by place.
    pub due: Vec<(usize, Due)>,
    pub rules: BTreeSet<&'static str>,
    /// In seconds since 1970.
    pub clock: u64,
    /// The engine took the frame of this step for a replay.
    pub replayed: bool,
    /// Places at which the engine armed, and at which it heard a successor, in this step.
    pub armed: Vec<usize>,
    pub succeeded: Vec<usize>,
    pub wrong: Option<String>,
}

impl Witness {
    /// A host that has been told nothing; `confs` are all gone.
    pub fn new(confs: Vec<Conf>, ports: usize) -> Self {
        let none = Port {
            exists: false,
            up: false,
            v4: None,
            v6: None,
            mac: carp::wire::MacAddr::ZERO,
        };
        Self {
            courses: confs.iter().map(|_| Course::new()).collect(),
            confs,
            ports: vec![none; ports],
            settings: Settings::default(),
            unsettled: 0,
            demotion: 0,
            ending: false,
            due: Vec::new(),
            rules: BTreeSet::new(),
            clock: 0,
            replayed: false,
            armed: Vec::new(),
            succeeded: Vec::new(),
            wrong: None,
        }
    }

    /// The addresses of a carpN that it has alone: the others' askers are divided, and nothing is said of those unasked.
    pub fn undivided(&self, at: usize) -> impl Iterator<Item = IpAddr> + '_ {
        let own = &self.confs[at];
        let others = move |ip: &IpAddr| {
            let mut others =
                self.confs.iter().enumerate().filter(|(place, conf)| {
                    *place != at && conf.segment == own.segment && !conf.gone
                });
            self.settings.arpbalance && others.any(|(_, conf)| conf.addresses.contains(ip))
        };
        own.addresses.iter().copied().filter(move |ip| !others(ip))
    }

    pub fn effective_skew(&self, at: usize) -> u8 {
        let skew = self.confs[at].skew;
        if self.demotion > 0 {
            skew.max(240)
        } else {
            skew
        }
    }

    pub fn claim(&self, at: usize) -> Claim {
        Claim {
            rank: (self.confs[at].base, self.effective_skew(at)),
            demote: self.demotion,
        }
    }

    /// Whatever a demoted host claims: with advbase 0 its BACKUPs do not wait for 240/256 s.
    pub fn pace(&self, at: usize) -> (u8, u8) {
        match self.confs[at].base {
            0 => (0, self.confs[at].skew),
            base => (base, self.effective_skew(at)),
        }
    }

    pub fn own_interval(&self, at: usize) -> u64 {
        let (base, skew) = self.pace(at);
        interval(base, skew)
    }

    pub fn dead(&self, at: usize) -> u64 {
        dead_time(self.confs[at].base, self.confs[at].skew)
    }

    /// All that follows from the moment and from one fact.
    pub fn expect(&mut self, now: u64, fact: &Fact) {
        self.due.clear();
        for at in 0..self.courses.len() {
            self.courses[at].earned = None;
            self.pass_time(now, at);
        }
        match fact {
            Fact::Time => {}
            Fact::Frame(packet) => {
                let mut judged = false;
                if let (Some(ad), true) = (&packet.ad, self.settings.allow) {
                    for at in 0..self.courses.len() {
                        judged |= self.hear(now, at, packet, ad);
                    }
                }
                if self.replayed && !judged {
                    self.wrong = Some("a replay of nothing that is heard".into());
                }
            }
            Fact::Card(segment, port) => {
                self.ports[*segment] = *port;
                for at in 0..self.courses.len() {
                    if self.confs[at].segment == *segment && !port.works() {
                        self.courses[at].left = None;
                    }
                    self.run(now, at);
                }
            }
            Fact::Configure(_, new) if self.ending && !new.gone => {}
            Fact::Configure(at, new) => self.configure(now, *at, new),
            Fact::Ask(at, state) => self.ask(now, *at, *state),
            Fact::Settings(settings) => self.settings = *settings,
            Fact::Armed(at, attempt, ok) => {
                if self.courses[*at].attempt == *attempt && !self.confs[*at].gone {
                    self.armed(now, *at, *ok);
                }
            }
            Fact::Sent(at, family, ok, round) => {
                let course = &mut self.courses[*at];
                if course.round == *round {
                    course.failed |= !ok;
                    course.awaited.retain(|f| f != family);
                    // Unless its timer has just sent the next one.
                    let next =
                        |(place, due): &(usize, Due)| place == at && matches!(due, Due::Round(..));
                    let all = *ok && course.awaited.is_empty() && !course.failed;
                    let earned = all && !self.due.iter().any(next);
                    course.earned = earned.then_some(course.round_at);
                }
                course.count(*ok);
            }
            Fact::Shutdown => {
                self.ending = true;
                for at in 0..self.courses.len() {
                    self.stop(now, at, Reason::Destroyed);
                    self.confs[at].gone = true;
                }
            }
        }
        self.settle(now);
    }

    /// Timers: a lease that ran out comes before all else.
    fn pass_time(&mut self, now: u64, at: usize) {
        if self.courses[at]
            .left
            .as_ref()
            .is_some_and(|l| l.until <= now)
        {
            self.courses[at].left = None;
        }
        let course = &self.courses[at];
        match course.stage {
            Stage::Master if course.lease <= now => {
                self.listen(now, at, Reason::Stalled);
            }
            Stage::Arming(_) if course.lease <= now => self.listen(now, at, Reason::Stalled),
            Stage::Arming(_) if course.arming <= now => self.armed(now, at, true),
            Stage::Backup => {
                let is_due = |f: &Family| course.down[*f as usize].is_some_and(|d| d <= now);
                let family = [Family::Inet, Family::Inet6].into_iter().find(is_due);
                if let Some(family) = family {
                    self.arm(now, at, Reason::MasterTimedOut(family));
                }
            }
            Stage::Master if course.next <= now => self.advertise(now, at),
            _ => {}
        }
    }

    fn change(&mut self, at: usize, to: Stage, reason: Reason) {
        let from = self.courses[at].stage.state();
        self.courses[at].stage = to;
        if from != to.state() {
            self.due.push((at, Due::Change(from, to.state(), reason)));
        }
    }

    /// To BACKUP, for a whole dead time.
    pub fn listen(&mut self, now: u64, at: usize, reason: Reason) {
        self.change(at, Stage::Backup, reason);
        let until = now + self.dead(at);
        self.courses[at].down = [None; 2];
        for family in self.confs[at].seal.clone().families() {
            self.courses[at].down[family as usize] = Some(until);
        }
    }

    pub fn arm(&mut self, now: u64, at: usize, reason: Reason) {
        let course = &mut self.courses[at];
        course.stage = Stage::Arming(reason);
        course.down = [None; 2];
        course.arming = now + patience(reason);
        course.left = None;
        self.due.push((at, Due::Arm));
    }

    fn armed(&mut self, now: u64, at: usize, ok: bool) {
        match (self.courses[at].stage, ok) {
            (Stage::Arming(reason), true) => {
                self.change(at, Stage::Master, reason);
                self.advertise(now, at);
            }
            (Stage::Arming(_), false) => self.listen(now, at, Reason::ArmFailed),
            (Stage::Master, false) => {
                self.goodbye(now, at);
                self.listen(now, at, Reason::ArmFailed);
            }
            _ => {}
        }
    }

    pub fn advertise(&mut self, now: u64, at: usize) {
        let (base, skew) = (self.confs[at].base, self.effective_skew(at));
        self.due.push((at, Due::Round(base, skew, self.demotion)));
        self.courses[at].next = now + self.own_interval(at);
    }

    fn goodbye(&mut self, now: u64, at: usize) {
        self.due.push((at, Due::Round(255, 255, self.demotion)));
        self.leave(now, at, Gate::Open, 100 * MS);
    }

    pub fn leave(&mut self, now: u64, at: usize, gate: Gate, span: u64) {
        self.courses[at].left = Some(Left {
            until: now + span,
            gate,
            heard: span < 100 * MS,
            seal: self.confs[at].seal.clone(),
            ledger: self.courses[at].ledger.clone(),
        });
    }

    fn ask(&mut self, now: u64, at: usize, state: State) {
        match (state, self.courses[at].stage) {
            _ if self.confs[at].gone => {}
            (State::Master, Stage::Backup) => self.arm(now, at, Reason::Requested),
            (State::Backup, Stage::Master) => {
                self.leave(now, at, Gate::Yielded, 100 * MS);
                self.listen(now, at, Reason::Requested);
            }
            (State::Backup, Stage::Arming(_)) => self.listen(now, at, Reason::Requested),
            _ => {}
        }
    }

    fn stop(&mut self, now: u64, at: usize, reason: Reason) {
        if self.courses[at].stage == Stage::Master && self.ports[self.confs[at].segment].works() {
            self.goodbye(now, at);
        }
        (self.courses[at].down, self.courses[at].unsent) = ([None; 2], [0; 2]);
        self.change(at, Stage::Init, reason);
    }

    /// What a host that goes on suffers from, of which nobody is told again.
    pub fn recount(&mut self) {
        let suffers = |(conf, course): (&Conf, &Course)| {
            let lost = conf.up && !conf.gone && !self.ports[conf.segment].works();
            u8::from(lost && course.grace.is_none()) + u8::from(course.unsent[0] >= 3)
        };
        let places = self.confs.iter().zip(&self.courses);
        self.demotion = places.map(suffers).sum();
    }

    pub fn is_ending(&self) -> bool {
        self.ending
    }

    fn lacks(&self, conf: &Conf) -> Option<Reason> {
        if !conf.up {
            Some(Reason::Down)
        } else if !self.ports[conf.segment].works() {
            Some(Reason::CarpdevDown)
        } else {
            None
        }
    }

    fn run(&mut self, now: u64, at: usize) {
        if self.confs[at].gone {
            return;
        }
        match (self.lacks(&self.confs[at]), self.courses[at].stage) {
            (Some(_), Stage::Init) => {}
            (Some(reason), _) => self.stop(now, at, reason),
            (None, Stage::Init) => self.listen(now, at, Reason::Ready),
            _ => {}
        }
    }

    fn configure(&mut self, now: u64, at: usize, new: &Conf) {
        let old = self.confs[at].clone();
        if new.gone {
            self.stop(now, at, Reason::Destroyed);
            self.confs[at] = new.clone();
            return;
        }
        if old.gone {
            // What the old one of this name left behind is cut.
            self.courses[at] = Course {
                gate: self.courses[at].gate,
                armed: self.courses[at].armed,
                ..Course::new()
            };
        } else if let Some(reason) = self.lacks(new) {
            self.stop(now, at, reason);
        }
        self.confs[at] = new.clone();
        if self.settings.arpbalance && (old.gone || old.skew != new.skew) {
            self.unsettled = now + 1000 * MS;
        }
        if new.up && (old.gone || !old.up) {
            self.courses[at].grace = Some(now + GRACE);
        }
        self.follow(now, at, &old);
        self.run(now, at);
    }

    /// Goes on under another configuration.
    fn follow(&mut self, now: u64, at: usize, old: &Conf) {
        let new = &self.confs[at];
        let rearm = old.addresses != new.addresses;
        let rekey = rearm || old.seal != new.seal;
        let retime = (old.base, old.skew) != (new.base, new.skew);
        let dead = now + self.dead(at);
        match self.courses[at].stage {
            Stage::Backup if rekey => self.listen(now, at, Reason::Reconfigured),
            Stage::Backup if retime => {
                for until in self.courses[at].down.iter_mut().flatten() {
                    *until = dead.min(*until);
                }
            }
            Stage::Arming(_) | Stage::Master if rearm => {
                self.due.push((at, Due::Arm));
                if let Stage::Arming(reason) = self.courses[at].stage {
                    self.courses[at].arming = now + patience(reason);
                }
                if self.courses[at].stage == Stage::Master {
                    self.advertise(now, at);
                }
            }
            Stage::Master if rekey || retime => self.advertise(now, at),
            _ => {}
        }
    }

    /// Each carpN that is up on a carpdev that is not demotes the host; its MASTERs tell when it begins and when it is over.
    fn settle(&mut self, now: u64) {
        let mut count = 0;
        for (conf, course) in self.confs.iter().zip(&mut self.courses) {
            let works = self.ports[conf.segment].works();
            if works || !conf.up || conf.gone || course.grace.is_some_and(|at| at <= now) {
                course.grace = None;
            }
            let lost = conf.up && !conf.gone && !works;
            count += u8::from(lost && course.grace.is_none());
            if course.unsent[0] >= 3 {
                self.rules.insert("demotion for send errors");
                count += 1;
            }
        }
        let before = std::mem::replace(&mut self.demotion, count);
        for at in 0..self.courses.len() {
            if (before == 0) != (count == 0) && self.courses[at].stage == Stage::Master {
                self.rules.insert(if count > 0 {
                    "demotion told at once"
                } else {
                    "end of demotion told at once"
                });
                self.advertise(now, at);
            }
        }
    }
}
