//! A host of ours: an engine, its clock, its door and its admin's configuration; must not judge.

use crate::heir::{Death, Kept};
use crate::ledger::{Ledger, Maker, Wanted};
use crate::packet::{Ad, Seal};
use crate::rules::Witness;
use crate::scenario::SECOND;
use carp::carp::config::{Carpdev, Config, Key, Node, Settings, State, Unit, Vhid};
use carp::carp::{Engine, Input, Parent};
use carp::time::Instant;
use carp::wire::{Family, MacAddr};
use ipnetwork::IpNetwork;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::Duration;

/// Frames that a stalled host finds when it wakes; the kernel's queue holds no more.
pub const BACKLOG: usize = 256;
/// When the simulation begins, in seconds since 1970.
const Y2027: u64 = 1_798_761_600;

/// A frame on the wire.
#[derive(Debug)]
pub struct Packet {
    pub bytes: Vec<u8>,
    /// Set if it is an advertisement with a right digest for `seal`.
    pub ad: Option<Ad>,
    pub seal: Option<Rc<Seal>>,
    pub from: usize,
    pub segment: usize,
    /// A question for this address, by a client.
    pub asks: Option<IpAddr>,
    /// When it left.
    pub sent: u64,
    /// Which one: copies have the same.
    pub id: u64,
    pub maker: Maker,
}

/// Runs fast or slow by so many parts in a million.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    pub ppm: i64,
    pub offset: u64,
}

impl Clock {
    pub fn local(self, global: u64) -> u64 {
        let rate = (1_000_000 + self.ppm) as u128;
        self.offset + (u128::from(global) * rate / 1_000_000) as u64
    }

    /// The first moment at which `local` is reached.
    pub fn global(self, local: u64) -> u64 {
        let rate = (1_000_000 + self.ppm) as u128;
        (u128::from(local.saturating_sub(self.offset)) * 1_000_000).div_ceil(rate) as u64
    }
}

/// One carpN as its admin wants it.
#[derive(Debug, Clone)]
pub struct Conf {
    pub group: usize,
    pub segment: usize,
    pub up: bool,
    pub base: u8,
    pub skew: u8,
    pub seal: Rc<Seal>,
    /// In this order they are configured.
    pub addresses: Vec<IpAddr>,
    /// Destroyed for now.
    pub gone: bool,
    /// All of the group have the same advbase, and it is not 0.
    pub plain: bool,
}

impl Conf {
    pub fn unit(&self) -> Unit {
        Unit(self.group as u16 + 1)
    }

    pub fn config(&self) -> Config {
        let net = |ip: &IpAddr| IpNetwork::new(*ip, if ip.is_ipv4() { 24 } else { 64 }).unwrap();
        Config {
            up: self.up,
            carpdev: Some(format!("eth{}", self.segment)),
            nodes: vec![Node {
                vhid: Vhid::new(self.seal.vhid).unwrap(),
                advskew: self.skew,
            }],
            advskew: self.skew,
            advbase: self.base,
            key: Key::from_pass(self.seal.pass.as_bytes()),
            addresses: self.addresses.iter().map(net).collect(),
            ..Config::default()
        }
    }
}

/// A network card.
#[derive(Debug, Clone, Copy)]
pub struct Port {
    pub exists: bool,
    pub up: bool,
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Ipv6Addr>,
    pub mac: MacAddr,
}

impl Port {
    pub fn parent(&self) -> Option<Parent> {
        self.exists.then_some(Parent {
            up: self.up,
            mac: self.mac,
            inet: self.v4,
            inet6: self.v6,
            router: false,
        })
    }

    pub fn works(&self) -> bool {
        self.exists && self.up
    }
}

/// What the kernel does when carpN is to be made a MASTER's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arming {
    Prompt,
    Late,
    Refused,
    Silent,
}

/// What a host is told.
#[derive(Debug, Clone)]
pub enum Fact {
    Time,
    Frame(Rc<Packet>),
    /// The card of this segment as it is now.
    Card(usize, Port),
    /// The carpN of this place in `confs` as it is now, with what it was.
    Configure(usize, Box<Conf>),
    Ask(usize, State),
    Settings(Settings),
    Armed(usize, u64, bool),
    /// Of the round with this number.
    Sent(usize, Family, bool, u64),
    Shutdown,
}

#[derive(Debug)]
pub struct Host {
    /// `None`: dead.
    pub engine: Option<Engine>,
    pub boot: u64,
    pub clock: Clock,
    pub confs: Vec<Conf>,
    pub ports: Vec<Port>,
    pub settings: Settings,
    pub arming: Arming,
    pub sends: bool,
    /// Stalled or suspended until then.
    pub paused: Option<u64>,
    pub backlog: VecDeque<Fact>,
    /// The wake that counts.
    pub wake: Option<u64>,
    /// Reports of the door come in order.
    pub door_free: u64,
    pub witness: Witness,
    /// What its engine has written down; `None` where none dies.
    pub kept: Option<Kept>,
    /// Its engine dies with the next thing that happens.
    pub dying: Option<Death>,
    /// A successor is on its way.
    pub orphan: bool,
    /// What its wall clock is wrong, in seconds. `None`: it begins in 1970 with each boot.
    pub wall: Option<i64>,
}

impl Host {
    pub fn carpdev(segment: usize) -> Carpdev {
        Carpdev(segment as u32 + 2)
    }

    /// How the engine is told.
    pub fn input<'a>(confs: &[Conf], fact: &'a Fact) -> Input<'a> {
        match fact {
            Fact::Time => Input::Time,
            Fact::Frame(packet) => Input::Frame {
                carpdev: Self::carpdev(packet.segment),
                bytes: &packet.bytes,
            },
            Fact::Card(segment, port) => Input::Parent {
                carpdev: Self::carpdev(*segment),
                parent: port.parent(),
            },
            Fact::Configure(_, new) => {
                let carpdev = Some(Self::carpdev(new.segment));
                Input::Configure {
                    unit: new.unit(),
                    config: (!new.gone).then(|| (new.config(), carpdev)),
                }
            }
            Fact::Ask(at, state) => Input::State {
                unit: confs[*at].unit(),
                state: *state,
            },
            Fact::Settings(settings) => Input::Settings(*settings),
            Fact::Armed(at, attempt, ok) => Input::Armed {
                unit: confs[*at].unit(),
                attempt: *attempt,
                ok: *ok,
            },
            Fact::Sent(at, family, ok, _) => Input::Sent {
                unit: confs[*at].unit(),
                vhid: Vhid::new(confs[*at].seal.vhid).unwrap(),
                family: *family,
                ok: *ok,
            },
            Fact::Shutdown => Input::Shutdown,
        }
    }

    /// Keeps a fact for the moment of waking; frames only as many as the kernel would.
    pub fn postpone(&mut self, fact: Fact) {
        let frames = self.backlog.len();
        if frames < BACKLOG || !matches!(fact, Fact::Frame(_)) {
            self.backlog.push_back(fact);
        }
    }

    /// Somebody here is told of this advertisement, by what the engine knows: while the host sleeps it is behind its admin.
    pub fn hears(&self, packet: &Packet) -> bool {
        let mut confs = self.witness.confs.iter();
        self.witness.settings.allow && confs.any(|c| Some(&c.seal) == packet.seal.as_ref())
    }

    /// It has heard or sent this advertisement, and hears it now for another time.
    pub fn knows(&self, packet: &Packet) -> bool {
        let at = self
            .confs
            .iter()
            .position(|c| Some(&c.seal) == packet.seal.as_ref());
        let ledger = at.map(|at| &self.witness.courses[at].ledger);
        let known = |ledger: &Ledger| packet.ad.map(|ad| ledger.wants(packet, &ad));
        self.paused.is_none() && ledger.and_then(known) == Some(Wanted::Rejected)
    }

    pub fn place(&self, unit: Unit) -> usize {
        self.confs.iter().position(|c| c.unit() == unit).unwrap()
    }

    pub fn timeout(&self) -> Option<u64> {
        let at = self.engine.as_ref()?.timeout()?;
        Some(self.clock.global(at.as_nanos()))
    }

    /// The time since 1970 that it believes in.
    pub fn unix(&self, global: u64) -> Duration {
        let right = Y2027 + global / SECOND;
        Duration::from_secs(
            self.wall
                .map_or(0, |wrong| right.saturating_add_signed(wrong)),
        )
    }

    pub fn now(&self, global: u64) -> Instant {
        Instant::from_nanos(self.clock.local(global))
    }
}
