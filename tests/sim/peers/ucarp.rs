//! UCARP: reads its packets up to a second late, looks at its dead timer only when a sleep of one interval ends, and breaks
//! ties by address.

use super::{Member, State, skew_ns, source};
use crate::packet::{Ad, emit, parse};
use crate::random::Random;
use std::collections::VecDeque;
use std::net::IpAddr;

const SECOND: u64 = 1_000_000_000;
/// More than that libpcap's ring does not hold for us.
const RING: usize = 256;

#[derive(Debug)]
pub struct Ucarp {
    pub member: Member,
    pub state: State,
    pub rule: &'static str,
    pub out: Vec<Vec<u8>>,
    dead: u64,
    /// The end of the present sleep; a MASTER's is its next advertisement.
    sleep: Option<u64>,
    ring: VecDeque<Vec<u8>>,
    /// When the ring is handed over, if anything is in it.
    block: Option<u64>,
    counter: Option<u64>,
    random: Random,
}

impl Ucarp {
    pub fn new(member: Member) -> Self {
        Self {
            state: State::Init,
            rule: "init",
            out: Vec::new(),
            dead: 0,
            sleep: None,
            ring: VecDeque::new(),
            block: None,
            counter: None,
            random: Random::new(member.seed),
            member,
        }
    }

    pub fn start(&mut self, now: u64) {
        if self.state == State::Init {
            self.rule = "ready";
            self.listen(now);
        }
    }

    /// It has no goodbye.
    pub fn stop(&mut self) {
        self.state = State::Init;
        self.rule = "stopped";
        self.sleep = None;
        self.block = None;
        self.ring.clear();
    }

    pub fn interval(&self) -> u64 {
        u64::from(self.member.base) * SECOND + skew_ns(self.member.skew.into())
    }

    pub fn dead_time(&self) -> u64 {
        u64::from(self.member.base) * u64::from(self.member.ratio) * SECOND
            + skew_ns(self.member.skew.into())
    }

    fn listen(&mut self, now: u64) {
        self.state = State::Backup;
        self.dead = now + self.dead_time();
        self.sleep = Some(now + self.interval());
    }

    pub fn arrive(&mut self, now: u64, frame: &[u8]) {
        if self.state == State::Init {
            return;
        }
        if self.ring.len() < RING {
            self.ring.push_back(frame.to_vec());
        }
        let past = (now + SECOND - self.member.phase % SECOND) % SECOND;
        self.block.get_or_insert(now + SECOND - past);
    }

    pub fn timeout(&self) -> Option<u64> {
        let timers = [self.sleep, self.block];
        timers.into_iter().flatten().min()
    }

    pub fn wake(&mut self, now: u64) {
        if self.block.is_some_and(|at| at <= now) {
            self.block = None;
            while let Some(frame) = self.ring.pop_front() {
                self.look(now);
                self.read(now, &frame);
            }
        }
        self.look(now);
    }

    /// A turn of its loop.
    fn look(&mut self, now: u64) {
        match self.state {
            State::Init => {}
            State::Backup => {
                if now >= self.dead {
                    self.become_master(now, "timed out");
                } else {
                    self.sleep = Some(now + self.interval());
                }
            }
            State::Master => {
                if self.sleep.is_some_and(|at| at <= now) {
                    self.advertise(now);
                }
            }
        }
    }

    fn read(&mut self, now: u64, frame: &[u8]) {
        let Some(ad) = parse(frame) else { return };
        let IpAddr::V4(_) = ad.src else { return };
        let own = ad.src == IpAddr::V4(self.member.v4) || ad.vhid != self.member.seal.vhid;
        if own || self.member.seal.digest(ad.counter) != ad.digest {
            return;
        }
        self.counter = Some(ad.counter);
        match self.state {
            State::Init => {}
            State::Backup => match self.takes_over(&ad) {
                Some(rule) => self.become_master(now, rule),
                None => self.dead = now + self.dead_time(),
            },
            State::Master if self.yields(&ad) => {
                self.rule = if (ad.base, ad.skew) == (self.member.base, self.member.skew) {
                    "tie"
                } else {
                    "better"
                };
                self.send();
                self.listen(now);
            }
            State::Master => {}
        }
    }

    fn yields(&self, ad: &Ad) -> bool {
        let (mine, theirs) = ((self.member.base, self.member.skew), (ad.base, ad.skew));
        mine > theirs || (mine == theirs && self.loses_to(ad.src))
    }

    /// The addresses are compared as they lie in memory, so on a PC the last byte counts first.
    fn loses_to(&self, other: IpAddr) -> bool {
        let raw = |ip: std::net::Ipv4Addr| u32::from_le_bytes(ip.octets());
        matches!(other, IpAddr::V4(other) if raw(other) < raw(self.member.v4))
    }

    pub fn takes_over(&self, ad: &Ad) -> Option<&'static str> {
        let theirs = u64::from(ad.base) * SECOND + skew_ns(ad.skew.into());
        if self.member.preempt && self.interval() < theirs {
            return Some("preempts");
        }
        (theirs > self.dead_time()).then_some("slow")
    }

    fn become_master(&mut self, now: u64, rule: &'static str) {
        self.state = State::Master;
        self.rule = rule;
        self.advertise(now);
    }

    fn advertise(&mut self, now: u64) {
        self.send();
        self.sleep = Some(now + self.interval());
    }

    fn send(&mut self) {
        let counter = match self.counter {
            Some(last) => *self.counter.insert(last.wrapping_add(1)),
            None => self.random.next(),
        };
        let seal = self.member.seal.clone();
        let ad = Ad {
            vhid: seal.vhid,
            base: self.member.base,
            skew: self.member.skew,
            demote: 0,
            counter,
            digest: seal.digest(counter),
            family: carp::wire::Family::Inet,
            src: source(&self.member, true),
            pseudo: false,
        };
        self.out.push(emit(&ad, 0));
    }
}
