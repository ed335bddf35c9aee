//! The language between the front ends and the daemon: types and framing; must not know how anything is done.
#![forbid(unsafe_code)]

pub mod path;
pub mod plan;
pub mod socket;
pub mod started;

use crate::carp::Status;
use crate::carp::config::{Config, Key, Settings, State, Unit};

pub use crate::carp::Reason;
pub use crate::carp::stats::Stats;
pub use crate::wire::{Family, MacAddr};

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
        /// Only say what is wrong.
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
    /// Change sysctls.
    Set(Vec<Setting>),
}

impl Request {
    /// It changes something: the peer's uid decides ([`socket::may_change`]).
    #[must_use]
    pub const fn changes_anything(&self) -> bool {
        matches!(self, Self::Apply { .. } | Self::Load { .. } | Self::Set(_))
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
            Self::Dump { .. } | Self::Show(_) | Self::Settings | Self::Stats => "SIOCGVH",
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
    /// `carpdev IF`.
    Carpdev(String),
    /// `advbase N`.
    Advbase(u8),
    /// `advskew N`.
    Advskew(u8),
    /// `state S`.
    State(State),
    /// An address; without `alias` it takes the place of the first one of its family.
    Address {
        /// The address with its prefix length.
        address: IpNetwork,
        /// It comes beside the others.
        alias: bool,
    },
    /// `-alias ADDR`, `delete ADDR`; without an address the first inet one.
    Delete(Option<IpAddr>),
}

impl Change {
    /// The system call that OpenBSD's ifconfig names when this fails.
    #[must_use]
    pub const fn call(&self) -> &'static str {
        match self {
            Self::Create => "SIOCIFCREATE",
            Self::Destroy => "SIOCIFDESTROY",
            Self::Up | Self::Down => "SIOCSIFFLAGS",
            Self::Vhid(_)
            | Self::Pass(_)
            | Self::Carpdev(_)
            | Self::Advbase(_)
            | Self::Advskew(_)
            | Self::State(_) => "SIOCSVH",
            Self::Address { .. } => "SIOCAIFADDR",
            Self::Delete(_) => "SIOCDIFADDR",
        }
    }
}

/// A sysctl and its new value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Setting {
    /// net.inet.carp.allow
    Allow(bool),
    /// net.inet.carp.preempt
    Preempt(bool),
    /// net.inet.carp.log
    Log(u8),
    /// net.inet.carp.replay
    Replay(bool),
}

impl Setting {
    /// The name under which sysctl knows it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Allow(_) => "net.inet.carp.allow",
            Self::Preempt(_) => "net.inet.carp.preempt",
            Self::Log(_) => "net.inet.carp.log",
            Self::Replay(_) => "net.inet.carp.replay",
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
    Settings(Settings),
    /// What was counted since the daemon's start.
    Stats(Stats),
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

/// Why a request changed nothing, in two parts: BSD's words, and what they hide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// BSD's text without the program's name, such as `SIOCSVH: Invalid argument`.
    pub text: String,
    /// The reason, for a second line.
    pub why: Option<String>,
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
    /// The interface groups but `all`.
    pub groups: Vec<String>,
    /// The shared addresses in order of configuration.
    pub addresses: Vec<IpNetwork>,
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
