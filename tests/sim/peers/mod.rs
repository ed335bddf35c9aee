//! Other systems as scripted models, written from the description of their rules; must not use anything of the engine.

mod bsd;
mod captures;
mod ucarp;

pub use bsd::Bsd;
pub use ucarp::Ucarp;

use crate::packet::{Ad, Seal};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

/// Whose rules: OpenBSD 4.2, 6 and 7, FreeBSD 9 and 13, NetBSD 10, UCARP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    O42,
    O6,
    O7,
    F9,
    F13,
    N,
    U,
}

impl System {
    pub const ALL: [Self; 7] = [
        Self::O42,
        Self::O6,
        Self::O7,
        Self::F9,
        Self::F13,
        Self::N,
        Self::U,
    ];

    pub fn is_open(self) -> bool {
        matches!(self, Self::O42 | Self::O6 | Self::O7)
    }
}

/// A member of one group as its admin configured it.
#[derive(Debug, Clone)]
pub struct Member {
    pub seal: Rc<Seal>,
    pub base: u8,
    pub skew: u8,
    pub preempt: bool,
    pub v4: Ipv4Addr,
    pub v6: Ipv6Addr,
    pub seed: u64,
    /// UCARP: how many intervals until the master is dead, and when its packet ring is handed over, in ns of a second.
    pub ratio: u8,
    pub phase: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Init,
    Backup,
    Master,
}

/// A model of either make.
#[derive(Debug)]
pub enum Peer {
    Bsd(Bsd),
    Ucarp(Ucarp),
}

impl Peer {
    pub fn new(system: System, member: Member) -> Self {
        match system {
            System::U => Self::Ucarp(Ucarp::new(member)),
            _ => Self::Bsd(Bsd::new(system, member)),
        }
    }

    /// Configured and the link is there.
    pub fn start(&mut self, now: u64) {
        match self {
            Self::Bsd(bsd) => bsd.start(now),
            Self::Ucarp(ucarp) => ucarp.start(now),
        }
    }

    /// Out of service. `polite`: by its admin, on the carp interface.
    pub fn stop(&mut self, polite: bool) {
        match self {
            Self::Bsd(bsd) => bsd.stop(polite),
            Self::Ucarp(ucarp) => ucarp.stop(),
        }
    }

    pub fn hear(&mut self, now: u64, frame: &[u8]) {
        match self {
            Self::Bsd(bsd) => bsd.hear(now, frame),
            Self::Ucarp(ucarp) => ucarp.arrive(now, frame),
        }
    }

    pub fn timeout(&self) -> Option<u64> {
        match self {
            Self::Bsd(bsd) => bsd.timeout(),
            Self::Ucarp(ucarp) => ucarp.timeout(),
        }
    }

    pub fn wake(&mut self, now: u64) {
        match self {
            Self::Bsd(bsd) => bsd.wake(now),
            Self::Ucarp(ucarp) => ucarp.wake(now),
        }
    }

    pub fn demote(&mut self, now: u64, by: i64) {
        if let Self::Bsd(bsd) = self {
            bsd.demote(now, by);
        }
    }

    pub fn state(&self) -> State {
        match self {
            Self::Bsd(bsd) => bsd.state,
            Self::Ucarp(ucarp) => ucarp.state,
        }
    }

    /// Which rule made it what it is.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Bsd(bsd) => bsd.rule,
            Self::Ucarp(ucarp) => ucarp.rule,
        }
    }

    pub fn take(&mut self) -> Vec<Vec<u8>> {
        match self {
            Self::Bsd(bsd) => std::mem::take(&mut bsd.out),
            Self::Ucarp(ucarp) => std::mem::take(&mut ucarp.out),
        }
    }

    /// Would it take over from a MASTER that advertises this?
    pub fn takes_over(&self, ad: &Ad) -> bool {
        match self {
            Self::Bsd(bsd) => bsd.takes_over(ad).is_some(),
            Self::Ucarp(ucarp) => ucarp.takes_over(ad).is_some(),
        }
    }

    pub fn interval(&self) -> u64 {
        match self {
            Self::Bsd(bsd) => bsd.interval(bsd.effective_skew()),
            Self::Ucarp(ucarp) => ucarp.interval(),
        }
    }
}

/// 1/256 s as all systems reckon it: whole microseconds.
pub fn skew_ns(skew: i64) -> u64 {
    (skew.max(0) as u64 * 1_000_000 / 256) * 1000
}

fn source(member: &Member, v4: bool) -> IpAddr {
    if v4 {
        member.v4.into()
    } else {
        member.v6.into()
    }
}
