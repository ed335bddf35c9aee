//! The language between the front ends and the daemon: types and framing; must not know how anything is done.
#![forbid(unsafe_code)]

mod change;
pub mod link;
pub mod path;
pub mod plan;
mod setting;
pub mod socket;
pub mod started;
pub mod upgrade;

use crate::carp::Status;
use crate::carp::config::{
    Balancing, Config, Dataplane, InputMode, Key, Lladdr, Selector, Settings, State, Unit,
};

pub use crate::carp::stats::Stats;
pub use crate::carp::{Protection, Reason};
pub use crate::wire::{Family, MacAddr};
pub use setting::Setting;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What a front end asks. One connection, one request, one reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// One command line for one interface: applied whole or not at all. A missing interface is made first, whatever
    /// the words but `destroy`; no words at all (`state foo`) do only that.
    Apply {
        /// Which carpN.
        unit: Unit,
        /// In the order typed, an address last. `Destroy` stands alone.
        changes: Vec<Change>,
    },
    /// The interface is to be what these lines make of one just created, and nothing else of what it is now: a file.
    /// One that is so already is not touched, and `state` counts only where the interface was missing.
    Load {
        /// Which carpN.
        unit: Unit,
        /// Each as in [`Request::Apply`], without `Destroy`.
        lines: Vec<Vec<Change>>,
        /// Only say what is wrong, or, as [`Reply::Dumped`], what it would be.
        check: bool,
    },
    /// The configuration of one interface, or of all of them.
    Dump {
        /// Which.
        unit: Option<Unit>,
        /// With the keys, for those who may change anything.
        keys: bool,
    },
    /// One interface, or all of them.
    Show(Option<Unit>),
    /// The sysctls.
    Settings,
    /// The counters.
    Stats,
    /// The hosts heard.
    Peers,
    /// Change sysctls.
    Set(Vec<Setting>),
    /// An interface group: answered with [`Reply::Group`], or `SIOCGIFGATTR`.
    Group(String),
    /// Change the demotion count of an interface group by -128 to 128.
    Demote {
        /// The group's name.
        group: String,
        /// Added to its count, which stays within 0 to 255.
        by: i16,
    },
    /// `drain` or `-drain` for every member of an interface group at once.
    Drain {
        /// The group's name.
        group: String,
        /// They leave the addresses to other hosts.
        on: bool,
    },
}

impl Request {
    /// It changes something: the peer's uid decides ([`socket::may_change`]).
    #[must_use]
    pub const fn changes_anything(&self) -> bool {
        matches!(
            self,
            Self::Apply { .. }
                | Self::Load { .. }
                | Self::Set(_)
                | Self::Demote { .. }
                | Self::Drain { .. }
        )
    }

    /// What somebody without the privilege is told: BSD's call that would have failed.
    #[must_use]
    pub fn denied(&self) -> Refusal {
        let call = match self {
            Self::Apply { changes, .. } => changes.first().map_or("SIOCIFCREATE", Change::call),
            Self::Set(settings) => settings.first().map_or("net.inet.carp", Setting::name),
            Self::Load { lines, .. } => lines
                .iter()
                .flatten()
                .next()
                .map_or("SIOCIFCREATE", Change::call),
            Self::Demote { .. } | Self::Drain { .. } => "SIOCSIFGATTR",
            Self::Group(_) => "SIOCGIFGATTR",
            Self::Dump { .. } | Self::Show(_) | Self::Settings | Self::Stats | Self::Peers => {
                "SIOCGVH"
            }
        };
        Refusal {
            text: format!("{call}: Operation not permitted"),
            why: None,
        }
    }
}

/// One word of a command line, with its argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// `create`: an error when it exists.
    Create,
    /// `destroy`.
    Destroy,
    /// `up`.
    Up,
    /// `down`.
    Down,
    /// `vhid N`, 1 to 255.
    Vhid(u8),
    /// `pass PHRASE`, `passfile PATH`, `pass -`.
    Pass(Key),
    /// `carpdev IF`; none: `-carpdev`.
    Carpdev(Option<String>),
    /// `advbase N`.
    Advbase(u8),
    /// `advskew N`.
    Advskew(u8),
    /// `state S`.
    State(State),
    /// `input MODE`.
    Input(InputMode),
    /// `capture`, `-capture`.
    Capture(bool),
    /// An address; without `alias` it takes the place of the first one of its family.
    Address {
        /// The address with its prefix length.
        address: IpNetwork,
        /// It comes beside the others.
        alias: bool,
    },
    /// `-alias ADDR`, `delete ADDR`; without an address the first inet one.
    Delete(Option<IpAddr>),
    /// `-inet`, `-inet6`: no address of this family stays.
    Detach(Family),
    /// `carpnodes V:S,...`: each vhid with its advskew.
    Nodes(Vec<(u8, u8)>),
    /// `balancing MODE`.
    Balancing(Balancing),
    /// `hash MODE`; none: `-hash`.
    Hash(Option<Selector>),
    /// `drain`, `-drain`.
    Drain(bool),
    /// `carppeer A`, `peer A,...`, `peer6 A,...`; none: `-carppeer`, `mcast`, `mcast6`.
    Peers(Family, Vec<IpAddr>),
    /// `lladdr A`, `lladdr carpdev`, `-lladdr`.
    Lladdr(Lladdr),
    /// `description TEXT`; none: `-description`.
    Description(Option<String>),
    /// `group NAME`.
    Group(String),
    /// `-group NAME`.
    LeaveGroup(String),
    /// `mtu N`; none: the carpdev's.
    Mtu(Option<u32>),
    /// `debug`, `-debug`.
    Debug(bool),
    /// `metric N`.
    Metric(u32),
    /// `rdomain N`.
    Rdomain(u32),
}

impl Change {
    /// The system call that OpenBSD's ifconfig names when this fails.
    #[must_use]
    pub const fn call(&self) -> &'static str {
        match self {
            Self::Create => "SIOCIFCREATE",
            Self::Destroy => "SIOCIFDESTROY",
            Self::Up | Self::Down | Self::Debug(_) => "SIOCSIFFLAGS",
            Self::Vhid(_)
            | Self::Pass(_)
            | Self::Carpdev(_)
            | Self::Advbase(_)
            | Self::Advskew(_)
            | Self::Nodes(_)
            | Self::Balancing(_)
            | Self::Hash(_)
            | Self::Drain(_)
            | Self::Peers(..)
            | Self::State(_)
            | Self::Input(_)
            | Self::Capture(_) => "SIOCSVH",
            Self::Address { .. } => "SIOCAIFADDR",
            Self::Delete(_) => "SIOCDIFADDR",
            Self::Detach(_) => "SIOCIFAFDETACH",
            Self::Lladdr(_) => "SIOCSIFLLADDR",
            Self::Description(_) => "SIOCSIFDESCR",
            Self::Group(_) => "SIOCAIFGROUP",
            Self::LeaveGroup(_) => "SIOCDIFGROUP",
            Self::Mtu(_) => "SIOCSIFMTU",
            Self::Metric(_) => "SIOCSIFMETRIC",
            Self::Rdomain(_) => "SIOCSIFRDOMAIN",
        }
    }
}

/// What the daemon answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done, nothing to say.
    Done,
    /// The interfaces asked for, by unit.
    Interfaces(Vec<Interface>),
    /// The sysctls; after a `Set` the values before it.
    Settings(Sysctls),
    /// An interface group.
    Group(Group),
    /// What was counted since the daemon's start.
    Stats(Stats),
    /// The hosts heard, by interface and vhid, of each the one heard first in front.
    Peers(Vec<Peer>),
    /// The configurations asked for, by unit.
    Dumped(Vec<Dumped>),
    /// Nothing was changed.
    Refused(Refusal),
    /// Nothing was changed, because of this line of a [`Request::Load`], counted from 0.
    RefusedLine(usize, Refusal),
}

/// One carpN as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dumped {
    /// Which carpN.
    pub unit: Unit,
    /// Its configuration, without the key unless that was asked for.
    pub config: Config,
    /// There is a key.
    pub keyed: bool,
}

/// What the sysctls read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sysctls {
    /// What can be set.
    pub settings: Settings,
    /// net.inet.carp.demotion: what was written and what the factors add at present.
    pub demotion: i32,
    /// net.inet.carp.suppress_preempt: carpN whose carpdev is down, and carpN with send errors.
    pub suppress_preempt: u32,
}

/// An interface group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its demotion count, 0 to 255.
    pub demotion: u8,
    /// How much of that was typed.
    pub by_hand: u8,
    /// Its members.
    pub members: Vec<Unit>,
}

/// Why a request changed nothing, in two parts: BSD's words, and what they hide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// BSD's text without the program's name, such as `SIOCSVH: Invalid argument`.
    pub text: String,
    /// The reason, for a second line.
    pub why: Option<String>,
}

/// A host heard, as one vhost of a carpN knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Which carpN.
    pub unit: Unit,
    /// Which group.
    pub vhid: u8,
    /// The source of its advertisements.
    pub address: IpAddr,
    /// What protects against replays of them.
    pub protection: Protection,
}

/// All that can be shown of one carpN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Which carpN.
    pub unit: Unit,
    /// Its index in the kernel.
    pub index: u32,
    /// The UP flag.
    pub up: bool,
    /// The address the TAP carries.
    pub lladdr: MacAddr,
    /// The MTU.
    pub mtu: u32,
    /// The parent's name.
    pub carpdev: Option<String>,
    /// Seconds.
    pub advbase: u8,
    /// The vhosts; empty until a vhid was given.
    pub vhosts: Vec<Vhost>,
    /// How they share the addresses.
    pub balancing: Balancing,
    /// By what an asker is assigned to one of them, where that was chosen.
    pub hash: Option<Selector>,
    /// It leaves the addresses to other hosts.
    pub drain: bool,
    /// The interface groups but `all`.
    pub groups: Vec<String>,
    /// The shared addresses in order of configuration.
    pub addresses: Vec<IpNetwork>,
    /// Unicast peers of both families; none: the multicast groups.
    pub peers: Vec<IpAddr>,
    /// How `lladdr` was configured.
    pub configured_lladdr: Lladdr,
    /// The description.
    pub description: Option<String>,
    /// The MTU as configured.
    pub configured_mtu: Option<u32>,
    /// The DEBUG flag.
    pub debug: bool,
    /// The interface metric.
    pub metric: u32,
    /// Where received frames are seen.
    pub input: InputMode,
    /// What leaves is shown to who looks at carpN.
    pub capture: bool,
    /// What moves its frames.
    pub dataplane: Served,
    /// What passed since it was created or last attached to a carpdev.
    pub traffic: Traffic,
}

/// The data plane of a carpN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Never `auto`.
    pub by: Dataplane,
    /// Why not by a better one, if one was tried.
    pub why: Option<String>,
    /// Why the carpN cannot be served as it is configured, if so: its vhosts stay in INIT.
    pub hindrance: Option<String>,
}

/// Frames and bytes of a carpN. A super-packet counts as one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Frames for the virtual MAC that the stack got.
    pub ipackets: u64,
    /// Their bytes, from the Ethernet header on.
    pub ibytes: u64,
    /// Frames for the virtual MAC that it did not get.
    pub idrops: u64,
    /// Frames that left by carpN.
    pub opackets: u64,
    /// Their bytes.
    pub obytes: u64,
    /// Frames that were to leave by carpN and did not.
    pub odrops: u64,
}

/// One vhost as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vhost {
    /// Which group.
    pub vhid: u8,
    /// As configured.
    pub advskew: u8,
    /// INIT, BACKUP or MASTER.
    pub state: State,
    /// Why it is in this state.
    pub reason: Reason,
}

impl From<Status> for Vhost {
    fn from(status: Status) -> Self {
        Self {
            vhid: status.vhid.get(),
            advskew: status.advskew,
            state: status.state,
            reason: status.reason,
        }
    }
}
