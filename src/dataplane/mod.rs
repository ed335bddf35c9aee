//! Moves frames between a carpdev and its carpN interfaces; must not know timers, authentication or elections.
//!
//! What a data plane does for a port (one carpN), whatever carries it out:
//!
//! * carpdev to carpN: unicast frames to the port's virtual MAC, while the gate is not [`Gate::Shut`] and the lease has not
//!   run out. No ARP request and no neighbour solicitation for a shared address: the engine answers those.
//! * carpN to carpdev: while the gate is [`Gate::Open`] unchanged; while it is [`Gate::Yielded`] with carpdev's own MAC as
//!   source, and no ARP, ND, MLD or IGMP; otherwise nothing. What carpN sends while the gate is [`Gate::Inward`] waits for
//!   the next gate: an ARP request lost there would hold up the answers to all that came in for a second.
//! * Tagged frames are never ours (T23), and checksum and segmentation offload pass through (T19).
//!
//! A port begins shut and without a lease: both a gate and a lease have to be set before anything passes. Where the
//! carpdev is missing, down or without room, frames are dropped and counted, never kept.
#![forbid(unsafe_code)]

pub mod bpf;
pub mod copy;
mod plane;

pub use plane::Plane;

use crate::wire::MacAddr;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// What may pass for a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Gate {
    /// Nothing.
    Shut,
    /// In; what leaves waits.
    Inward,
    /// Both ways.
    Open,
    /// In; out with carpdev's own MAC.
    Yielded,
}

/// Where the host sees what came in for a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Input {
    /// On carpN.
    #[default]
    Redirect,
    /// On the carpdev; carpN has the addresses only. The copier cannot do that.
    Accept,
}

/// Who moves the frames of a carpdev.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// The kernel, its programs attached by tcx links.
    Tcx,
    /// The kernel, its programs attached as filters of a clsact qdisc.
    Clsact,
    /// A thread of this process.
    Copy,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
            Self::Copy => "copy",
        })
    }
}

/// What an admin asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Choice {
    /// The first of tcx, clsact and copy that can be had.
    #[default]
    Auto,
    /// This one or none.
    Only(Kind),
}

/// What a data plane has to know of a carpdev itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// Its own MAC.
    pub mac: MacAddr,
    /// Its own IPv4 address, or that of the bridge that it is a port of.
    pub inet: Option<Ipv4Addr>,
    /// It is a port of a bridge, which passes on what is not for this host.
    pub bridged: bool,
}

/// A port: one carpN on one carpdev. `id` is carpN's interface index.
#[derive(Debug, Clone)]
pub struct Port {
    /// carpN's interface index.
    pub id: u32,
    /// carpdev's interface index.
    pub carpdev: u32,
    /// The virtual MAC.
    pub mac: MacAddr,
    /// Addresses whose ARP requests and solicitations never reach carpN.
    pub shared: Vec<IpAddr>,
    /// Where what comes in is seen.
    pub input: Input,
    /// A capture on carpN shows what leaves, too. The copier always does that.
    pub capture: bool,
}

/// What passed for a port (in the kernel: for a vhid) since it was added. A super-packet counts as one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Frames handed to carpN.
    pub in_frames: u64,
    /// Their bytes, without virtio headers.
    pub in_bytes: u64,
    /// Frames for the virtual MAC that carpN did not get.
    pub in_drops: u64,
    /// Frames sent from carpN.
    pub out_frames: u64,
    /// Their bytes, without virtio headers.
    pub out_bytes: u64,
    /// Frames from carpN that did not leave.
    pub out_drops: u64,
}
