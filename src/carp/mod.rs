//! The protocol: an engine of inputs and actions; must not know clocks, sockets, files or tokio.
//!
//! The caller's part of the contract:
//!
//! * Call `Engine::handle` with the present moment and one [`Input`], then `Engine::poll` until it answers `None`, and
//!   perform each [`Action`] in that order before the next `handle`. Then ask `Engine::timeout` when to come back with
//!   [`Input::Time`]. A needless `Input::Time` does nothing.
//! * After waking, hand in `Input::Time` before any frame: a MASTER that slept past its lease must notice that first.
//! * Report the outcome of every [`Action::Send`] of an advertisement with [`Input::Sent`], and of every [`Action::Arm`]
//!   with [`Input::Armed`].
//!
//! `handle` never fails: what is wrong with a frame becomes a counter. Equal inputs give equal actions.
#![forbid(unsafe_code)]

mod answer;
pub mod auth;
pub mod balance;
pub mod config;
mod configure;
mod demote;
mod departure;
mod election;
mod engine;
mod grace;
mod index;
pub mod kept;
mod outbox;
mod random;
mod receive;
mod replay;
mod send;
mod state;
pub mod stats;
pub mod timer;
mod turn;
mod vhost;

pub use configure::ADDRESSES_MAX;
pub use engine::{Engine, Status};
pub use replay::Protection;
pub use state::World;
pub use vhost::{dead_time, interval};

use crate::time::Instant;
use crate::wire::{Family, MacAddr};
use config::{Carpdev, Config, Settings, State, Unit, Vhid};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the engine knows of a carpdev.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Parent {
    /// Administratively up and not without carrier (an unknown operstate counts as up).
    pub up: bool,
    /// Its own Ethernet address.
    pub mac: MacAddr,
    /// The first IPv4 address: the source of advertisements. Without one it is the first shared address.
    pub inet: Option<Ipv4Addr>,
    /// The link-local IPv6 address, else the first other one. Without one the first shared address.
    pub inet6: Option<Ipv6Addr>,
    /// The host forwards IPv6: neighbour advertisements carry the Router flag.
    pub router: bool,
}

/// One fact for the engine.
#[derive(Debug, Clone)]
pub enum Input<'a> {
    /// Nothing but the moment.
    Time,
    /// An Ethernet frame that arrived untagged on a carpdev: an advertisement, an ARP packet, a neighbour solicitation.
    Frame {
        /// Where it arrived.
        carpdev: Carpdev,
        /// From the destination address on.
        bytes: &'a [u8],
    },
    /// A carpdev appeared, changed, or (`None`) is gone.
    Parent {
        /// Which.
        carpdev: Carpdev,
        /// What it is now.
        parent: Option<Parent>,
    },
    /// The whole configuration of one carpN; `None` destroys it, with a goodbye. The engine answers a destroy
    /// with [`Action::Retired`] when the last frame has been served.
    Configure {
        /// Which carpN.
        unit: Unit,
        /// The configuration, and the carpdev that its name means now.
        config: Option<(Config, Option<Carpdev>)>,
    },
    /// `state master`, `state backup`, `state init`.
    State {
        /// Which carpN.
        unit: Unit,
        /// The state asked for.
        state: State,
    },
    /// Whether the data plane can serve a carpN as it is configured. Until told, it can; a destroy forgets it.
    Served {
        /// Which carpN.
        unit: Unit,
        /// False: its vhosts stay in INIT.
        ok: bool,
    },
    /// The sysctls.
    Settings(Settings),
    /// The host's own addresses, shared ones not among them, each with its interface: needed for unicast peers.
    Local(Vec<(Carpdev, IpAddr)>),
    /// `ifconfig -g GROUP carpdemote`: the whole count by hand of an interface group.
    Demotion {
        /// Which group.
        group: String,
        /// 0 for none.
        count: u8,
    },
    /// The outcome of [`Action::Arm`].
    Armed {
        /// Which carpN.
        unit: Unit,
        /// The number in the action; an older one is ignored.
        attempt: u64,
        /// False: the kernel refused, the vhost must not be MASTER.
        ok: bool,
    },
    /// The outcome of [`Action::Send`] of an advertisement.
    Sent {
        /// Which carpN.
        unit: Unit,
        /// Which vhost.
        vhid: Vhid,
        /// Which of its advertisements.
        family: Family,
        /// False: it did not leave.
        ok: bool,
    },
    /// The daemon ends: goodbye everywhere, then [`Action::Retired`] for each carpN.
    Shutdown,
}

/// What the data plane may do for one vhost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Gate {
    /// Nothing passes.
    Shut,
    /// Frames for the virtual MAC come in, nothing leaves: arming.
    Inward,
    /// Both ways, what leaves carries the virtual MAC.
    Open,
    /// In; what leaves carries carpdev's own MAC, and ARP, ND, MLD and IGMP are dropped: a successor was heard.
    Yielded,
}

/// What kind of frame leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sending {
    /// An advertisement; its outcome is reported back.
    Advertisement(Family),
    /// Gratuitous ARP or unsolicited neighbour advertisement.
    Announcement,
    /// An answer to ARP or neighbour solicitation.
    Answer,
}

/// Why a vhost changed its state. `Display` gives the words of the log and of status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// All that was missing is there.
    Ready,
    /// No advertisement of this family within the master-down time.
    MasterTimedOut(Family),
    /// A slower MASTER was heard and preempt is on.
    Preempting,
    /// The MASTER's interval is longer than our master-down time.
    MasterWillTimeOut,
    /// The MASTER said goodbye.
    Goodbye,
    /// The MASTER is demoted more than this host.
    MasterDemoted,
    /// A better or equal advertisement was heard.
    BetterMaster,
    /// `state ...` was typed.
    Requested,
    /// The carpdev is missing, down or has no carrier.
    CarpdevDown,
    /// The UP flag was cleared.
    Down,
    /// The configuration changed in what the protocol depends on.
    Reconfigured,
    /// vhid, carpdev or address is missing.
    Incomplete,
    /// The data plane cannot do what is configured.
    Unserved,
    /// This host did nothing past its lease.
    Stalled,
    /// The kernel refused what a MASTER needs.
    ArmFailed,
    /// `drain` was typed: it looks for another host.
    Drained,
    /// Destroyed, or the daemon ended.
    Destroyed,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::MasterTimedOut(family) => return write!(f, "master timed out ({family})"),
            Self::Ready => "initialization complete",
            Self::Preempting => "preempting a slower master",
            Self::MasterWillTimeOut => "master will time out",
            Self::Goodbye => "master said goodbye",
            Self::MasterDemoted => "master is demoted",
            Self::BetterMaster => "more frequent advertisement received",
            Self::Requested => "user requested via ifconfig",
            Self::CarpdevDown => "carpdev down",
            Self::Down => "interface down",
            Self::Reconfigured => "configuration changed",
            Self::Incomplete => "vhid, carpdev or address is missing",
            Self::Unserved => "no data plane for what is configured",
            Self::Stalled => "stalled past its lease",
            Self::ArmFailed => "the kernel refused to make it master",
            Self::Drained => "drained",
            Self::Destroyed => "interface destroyed",
        };
        f.write_str(words)
    }
}

/// One thing for the caller to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Let this Ethernet frame leave on the carpdev.
    Send {
        /// Where.
        carpdev: Carpdev,
        /// For which carpN.
        unit: Unit,
        /// For which vhost.
        vhid: Vhid,
        /// What it is.
        what: Sending,
        /// From the destination address on.
        frame: Vec<u8>,
    },
    /// Let one advertisement go to each unicast peer by the carpdev, routed and resolved by the kernel. It has left when it
    /// left for one of them, or when there is none but this host.
    SendToPeers {
        /// By which interface.
        carpdev: Carpdev,
        /// For which carpN.
        unit: Unit,
        /// For which vhost.
        vhid: Vhid,
        /// Reported back in [`Input::Sent`].
        family: Family,
        /// Destination and IP packet, header included.
        packets: Vec<(IpAddr, Vec<u8>)>,
    },
    /// Make carpN a MASTER's: exactly the configured addresses on it, carrier on and taken, no ff00::/8 route. Asked
    /// again with a higher number when the address list of a MASTER changes.
    Arm {
        /// Which carpN.
        unit: Unit,
        /// Comes back in [`Input::Armed`].
        attempt: u64,
    },
    /// Make carpN own nothing: carrier off, then the addresses off.
    Disarm {
        /// Which carpN.
        unit: Unit,
    },
    /// Set what the data plane may do.
    Gate {
        /// Which carpN.
        unit: Unit,
        /// Which vhost.
        vhid: Vhid,
        /// From now on.
        gate: Gate,
    },
    /// The data plane may serve this vhost until that moment and not after.
    Lease {
        /// Which carpN.
        unit: Unit,
        /// Which vhost.
        vhid: Vhid,
        /// The deadline.
        until: Instant,
    },
    /// A vhost changed its state.
    Transition {
        /// Which carpN.
        unit: Unit,
        /// Which vhost.
        vhid: Vhid,
        /// What it was.
        from: State,
        /// What it is.
        to: State,
        /// Why.
        reason: Reason,
    },
    /// Something worth a line in the log; bounded by the engine.
    Log(Notice),
    /// A destroyed or shut down carpN has served its last frame.
    Retired {
        /// Which carpN.
        unit: Unit,
    },
}

/// A line for the log. `Display` gives the text, without time and without the daemon's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Notice {
    /// Syslog level, 0 (emergency) to 7 (debug).
    pub level: u8,
    /// The text, escaped.
    pub text: String,
}
