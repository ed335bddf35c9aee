//! carp(4) of the BSDs: one vhost, with what differs between the systems in one place each.

use super::{Member, State, System, skew_ns, source};
use crate::packet::{Ad, emit, parse};
use crate::random::Random;
use carp::wire::Family;

#[derive(Debug)]
pub struct Bsd {
    system: System,
    pub member: Member,
    pub state: State,
    pub rule: &'static str,
    pub out: Vec<Vec<u8>>,
    /// Master-down timers by family.
    down: [Option<u64>; 2],
    next: Option<u64>,
    /// Last heard or sent; OpenBSD from 4.3 on: never moves.
    counter: Option<u64>,
    cookie: u64,
    demotion: i64,
    random: Random,
}

impl Bsd {
    pub fn new(system: System, member: Member) -> Self {
        let mut random = Random::new(member.seed);
        Self {
            system,
            state: State::Init,
            rule: "init",
            out: Vec::new(),
            down: [None; 2],
            next: None,
            counter: None,
            cookie: random.next(),
            demotion: 0,
            random,
            member,
        }
    }

    pub fn start(&mut self, now: u64) {
        if self.state == State::Init {
            self.rule = "ready";
            self.listen(now);
        }
    }

    pub fn stop(&mut self, polite: bool) {
        // FreeBSD from 10 on has no carp interface that could be set down.
        if polite && self.state == State::Master && self.system != System::F13 {
            self.send(255, 255);
        }
        self.state = State::Init;
        self.rule = "stopped";
        self.down = [None; 2];
        self.next = None;
    }

    fn listen(&mut self, now: u64) {
        self.state = State::Backup;
        self.next = None;
        self.down = [None; 2];
        for family in self.member.seal.clone().families() {
            self.restart(now, family);
        }
    }

    fn restart(&mut self, now: u64, family: Family) {
        self.down[family as usize] = Some(now + self.ticks(self.dead_time()));
    }

    /// Rounded up to the clock of the system, and what it adds (captured: NetBSD a tick, FreeBSD 13 two).
    fn ticks(&self, span: u64) -> u64 {
        let ms = 1_000_000;
        match self.system {
            System::F9 | System::F13 => span.div_ceil(ms) * ms + 2 * ms,
            _ => span.div_ceil(10 * ms) * 10 * ms + 10 * ms,
        }
    }

    pub fn dead_time(&self) -> u64 {
        let (base, skew) = (u64::from(self.member.base), i64::from(self.member.skew));
        match (self.system, base) {
            (System::O42 | System::O6 | System::O7, 0) => skew_ns(3 * skew.max(1)),
            (System::O7, _) => 3 * (base * 1_000_000_000 + skew_ns(skew)),
            _ => 3 * base * 1_000_000_000 + skew_ns(skew),
        }
    }

    pub fn interval(&self, skew: i64) -> u64 {
        let skew = if self.member.base == 0 {
            skew.max(1)
        } else {
            skew
        };
        // FreeBSD 13's may be negative, and shortens the interval.
        let whole = u64::from(self.member.base) * 1_000_000_000 + skew_ns(skew);
        whole.saturating_sub(skew_ns(-skew))
    }

    pub fn effective_skew(&self) -> i64 {
        let skew = i64::from(self.member.skew);
        match self.system {
            System::O6 | System::O7 => skew,
            // No lower clamp: what is sent is cut to a byte.
            System::F13 => (skew + self.demotion).min(240),
            _ if self.demotion > 0 => skew.max(240),
            _ => skew,
        }
    }

    fn mine(&self) -> (i64, i64) {
        (i64::from(self.member.base), self.effective_skew())
    }

    /// Every system tells the others at once when it begins to suffer; FreeBSD 13 whenever anything changes.
    pub fn demote(&mut self, now: u64, by: i64) {
        let before = self.demotion;
        self.demotion += by;
        let begins = before == 0 && self.demotion > 0;
        if self.state == State::Master && (begins || self.system == System::F13) {
            self.advertise(now, self.effective_skew());
        }
    }

    pub fn hear(&mut self, now: u64, frame: &[u8]) {
        let Some(ad) = parse(frame) else { return };
        let pseudo = self.system == System::N && ad.family == Family::Inet6;
        let known = ad.vhid == self.member.seal.vhid && self.state != State::Init;
        if !known || ad.pseudo != pseudo || self.member.seal.digest(ad.counter) != ad.digest {
            return;
        }
        if self.constant() {
            if ad.counter == self.cookie {
                return;
            }
        } else {
            self.counter = Some(ad.counter);
        }
        match self.state {
            State::Init => {}
            State::Master if self.yields(&ad) => {
                self.rule = "better";
                self.listen(now);
            }
            State::Master => {}
            State::Backup => match self.takes_over(&ad) {
                Some(rule) => self.become_master(now, rule),
                None => self.restart(now, ad.family),
            },
        }
    }

    fn constant(&self) -> bool {
        matches!(self.system, System::O6 | System::O7)
    }

    fn yields(&self, ad: &Ad) -> bool {
        let (mine, theirs) = (self.mine(), (i64::from(ad.base), i64::from(ad.skew)));
        let their_demote = i64::from(ad.demote);
        match self.system {
            System::O6 | System::O7 => {
                (mine >= theirs && their_demote <= self.demotion) || their_demote < self.demotion
            }
            System::O42 => mine > theirs || (mine == theirs && their_demote <= self.demotion),
            _ => mine >= theirs,
        }
    }

    pub fn takes_over(&self, ad: &Ad) -> Option<&'static str> {
        let (mine, theirs) = (self.mine(), (i64::from(ad.base), i64::from(ad.skew)));
        let their_demote = i64::from(ad.demote);
        let newer = matches!(self.system, System::O6 | System::O7);
        if self.member.preempt && mine < theirs && (!newer || their_demote >= self.demotion) {
            return Some("preempts");
        }
        if self.system.is_open() && their_demote > self.demotion {
            return Some("demoted");
        }
        let counts = !self.system.is_open() || self.member.base != 0;
        (counts && (3 * mine.0, mine.1) < theirs).then_some("slow")
    }

    fn become_master(&mut self, now: u64, rule: &'static str) {
        self.state = State::Master;
        self.rule = rule;
        self.down = [None; 2];
        self.advertise(now, self.effective_skew());
        if !self.system.is_open() {
            // FreeBSD and NetBSD reckon the first interval without the demotion.
            self.next = Some(now + self.ticks(self.interval(self.member.skew.into())));
        }
    }

    fn advertise(&mut self, now: u64, skew: i64) {
        self.send(self.member.base, skew as u8);
        self.next = Some(now + self.ticks(self.interval(skew)));
    }

    fn send(&mut self, base: u8, skew: u8) {
        let seal = self.member.seal.clone();
        for family in seal.families() {
            let counter = if self.constant() {
                self.cookie
            } else if let Some(last) = self.counter {
                *self.counter.insert(last.wrapping_add(1))
            } else {
                self.random.next()
            };
            let ad = Ad {
                vhid: seal.vhid,
                base,
                skew,
                demote: if self.system.is_open() {
                    self.demotion.clamp(0, 255) as u8
                } else {
                    0
                },
                counter,
                digest: seal.digest(counter),
                family,
                src: source(&self.member, family == Family::Inet),
                pseudo: self.system == System::N && family == Family::Inet6,
            };
            self.out.push(emit(&ad, 1));
        }
    }

    pub fn timeout(&self) -> Option<u64> {
        let timers = self.down.iter().chain([&self.next]);
        timers.flatten().min().copied()
    }

    pub fn wake(&mut self, now: u64) {
        if self.next.is_some_and(|at| at <= now) {
            self.advertise(now, self.effective_skew());
        }
        if self.down.iter().flatten().any(|at| *at <= now) {
            self.become_master(now, "timed out");
        }
    }
}
