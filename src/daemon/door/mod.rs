//! The door: what the daemon wants done to the system, as plain data, and what came of it; must not know the protocol.
//!
//! A message is JSON over a sequenced-packet socketpair, descriptors beside it. The far end ([`serve`]) performs effects in
//! the order in which they arrive and decides nothing; it may be a thread of the same process or a privileged parent.

use crate::carp::config::Dataplane;
use crate::dataplane::Counters;
use crate::wire::MacAddr;
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

mod check;
pub mod client;
pub mod handed;
mod parents;
mod planes;
pub(super) mod ready;
pub mod serve;
mod settings;
mod taps;

/// Counts the forms of orders and outcomes. A parent serves an engine of another version only if it has the same one.
pub const LANGUAGE: u32 = 2;

/// A numbered effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Comes back in [`Outcome::id`].
    pub id: u64,
    /// What to do.
    pub effect: Effect,
}

/// What is to be done. Each one is whole or not at all, and may be repeated without harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Take the instance lock, put back what a predecessor left changed, open the control socket.
    /// Descriptors: the listening socket, a netlink socket that hears link and address changes, a file for the records of the
    /// engine's state. Said: what an engine before has left.
    Open,
    /// Find out which data planes can be had beside `copy`. Said: them.
    Offer,
    /// Tell a service manager that the daemon answers.
    Ready,
    /// Read the counters of the data plane in the kernel. Said: them.
    Count,
    /// Make a TAP of this name with this MAC: carrier off, down, in our link group, the kernel's defaults replaced (T3, T10).
    /// Value: its index. Descriptors: the TAP.
    Create {
        /// carpN.
        name: String,
        /// Its Ethernet address.
        mac: MacAddr,
    },
    /// Remove a TAP that `Create` made; done when the name is free.
    Destroy {
        /// carpN.
        name: String,
    },
    /// MAC, MTU and the UP flag.
    Configure {
        /// carpN.
        name: String,
        /// Its Ethernet address.
        mac: MacAddr,
        /// Its MTU.
        mtu: u32,
        /// IFF_UP.
        up: bool,
    },
    /// Exactly these addresses on carpN (nodad, metric 40000), carrier on and taken (T33), no ff00::/8 route (T31),
    /// forwarding as on `like` for both families. Value: 1 when IPv6 is forwarded there.
    Arm {
        /// carpN.
        name: String,
        /// With their prefix lengths.
        addresses: Vec<IpNetwork>,
        /// The carpdev's name.
        like: String,
    },
    /// These addresses on an armed carpN again, as `Arm` adds them.
    PutBack {
        /// carpN.
        name: String,
        /// With their prefix lengths.
        addresses: Vec<IpNetwork>,
    },
    /// Carrier off, then all addresses off.
    Disarm {
        /// carpN.
        name: String,
    },
    /// Sockets on a carpdev, and its data plane: programs in the kernel, or arp_ignore and arp_announce raised there (T1, T2),
    /// the old values kept on disk. Value: its index. Descriptors: advertisements, neighbours (ARP and NS), the two again for
    /// IPv6 alone, data, two that send packets to IPv4 and IPv6 peers (T28), and with programs the map of their ports and what
    /// holds their links. The first four hear nothing before `Listen`. Said: which data plane.
    OpenCarpdev {
        /// Its name.
        name: String,
        /// Data planes to try, one after the other.
        planes: Vec<Dataplane>,
    },
    /// Hear advertisements and neighbours: with programs, and not on the port of a bridge, behind them, each kind by a socket
    /// of its own; otherwise on the wire, all by the first two. Join exactly these groups on an open carpdev, accept exactly
    /// these MACs (T8, T9, T27), keep exactly these addresses from the kernel's responders, and lead what exactly these carpN
    /// send to the carpdev. Where one of the MACs is a multicast one and no program takes its frames away, the stack takes no
    /// unicast packets in them on the carpdev.
    Listen {
        /// carpdev's index.
        index: u32,
        /// Its name: where that is a new one, its settings have moved.
        name: String,
        /// Multicast groups of both families.
        groups: Vec<IpAddr>,
        /// The MACs of vhosts, each with its vhid.
        macs: Vec<(MacAddr, u8)>,
        /// Shared addresses, each with a vhid that it belongs to.
        shared: Vec<(IpAddr, u8)>,
        /// carpN.
        units: Vec<String>,
        /// The index of the bridge that the carpdev is a port of.
        bridge: Option<u32>,
    },
    /// Leave the groups and put the settings of a carpdev back.
    CloseCarpdev {
        /// Its index.
        index: u32,
    },
    /// Remove every carpN in one request, then put every setting back, remove the control socket.
    Close,
}

/// What came of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The order's number.
    pub id: u64,
    /// The value (an interface index, else 0), or why nothing was done.
    pub result: Result<u32, Failure>,
    /// What else there is to say.
    #[serde(default)]
    pub said: Said,
}

/// What an effect has to say besides its value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Said {
    /// Nothing.
    #[default]
    Nothing,
    /// An engine was here before.
    Heir(Heir),
    /// Which data planes can be had beside `copy`, or why not.
    Offer {
        /// eBPF programs on tcx links.
        tcx: Result<(), String>,
        /// The same as filters of a clsact qdisc.
        clsact: Result<(), String>,
    },
    /// The data plane of a carpdev, and why it is none that was to be tried before.
    Plane(Dataplane, Option<String>),
    /// carpdev's index, vhid, what its programs have counted since the vhid came to it.
    Counted(Vec<(u32, u8, Counters)>),
}

/// What an engine has left to the next one. [`Effect::Create`] and [`Effect::OpenCarpdev`] give the descriptors again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heir {
    /// What is to become of it.
    pub how: How,
    /// The carpN that there are.
    pub taps: Vec<String>,
    /// The indices of open carpdevs.
    pub carpdevs: Vec<u32>,
}

/// What an engine makes of the state that it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// It goes on as if it were the one that wrote it.
    GoOn,
    /// It says goodbye and ends: too many have died of it.
    Leave,
    /// It takes the configuration, and demotes itself.
    Anew,
    /// It says whether it could go on, and ends: another one still does.
    Look,
}

/// Why an effect was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The errno, 0 where there is none.
    pub errno: i32,
    /// The reason in words, with the name of what failed.
    pub why: String,
}
