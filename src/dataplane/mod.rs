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
    /// Frames for the virtual MAC are left to the stack on carpdev instead of handed to carpN.
    pub accept: bool,
    /// What leaves carpN is to be seen by who listens there.
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

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, more: Self) {
        self.in_frames += more.in_frames;
        self.in_bytes += more.in_bytes;
        self.in_drops += more.in_drops;
        self.out_frames += more.out_frames;
        self.out_bytes += more.out_bytes;
        self.out_drops += more.out_drops;
    }
}
