//! Moves frames between a carpdev and its carpN interfaces; must not know timers, authentication or elections.
//!
//! A port is one carpN. It has a vhost or several, each with a gate and a lease of its own; past the lease a gate counts as
//! shut. What a data plane does for a port, whatever carries it out:
//!
//! * carpdev to carpN: unicast frames for a vhost whose gate is not [`Gate::Shut`]; [`Balancing`] says whose a frame is. They
//!   arrive with carpN's own MAC as destination. No ARP request and no neighbour solicitation for a shared address: the
//!   engine answers those.
//! * carpN to carpdev: as the gate that lets most pass says, and of equal ones the first. While it is [`Gate::Open`], see
//!   [`Balancing`]; while it is [`Gate::Yielded`] with carpdev's own MAC as source, and no ARP, ND, MLD or IGMP; otherwise
//!   nothing. What carpN sends while it is [`Gate::Inward`] waits for the next gate: an ARP request lost there would hold up
//!   the answers to all that came in for a second.
//! * Tagged frames are never ours (T23), and checksum and segmentation offload pass through (T19).
//!
//! A vhost begins shut and without a lease: both a gate and a lease have to be set before anything passes. Where the
//! carpdev is missing, down or without room, frames are dropped and counted, never kept.
#![forbid(unsafe_code)]

pub mod bpf;
pub mod copy;
mod plane;
mod share;

pub use plane::Plane;
pub use share::{fold, share};

use crate::wire::MacAddr;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};

/// What may pass for a vhost. Ordered by how much of the port it makes the vhost's.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub enum Gate {
    /// Nothing.
    #[default]
    Shut,
    /// In; out with carpdev's own MAC.
    Yielded,
    /// In; what leaves waits.
    Inward,
    /// Both ways.
    Open,
}

impl Gate {
    /// As the programs and the copier's atomics have it.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Shut => 0,
            Self::Yielded => 1,
            Self::Inward => 2,
            Self::Open => 3,
        }
    }
}

/// The most vhosts of a port.
pub const VHOSTS: usize = 32;

/// One vhost of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vhost {
    /// Its number: no other on the same carpdev has it.
    pub vhid: u8,
    /// The MAC that frames for it are addressed to; none are for [`MacAddr::ZERO`].
    pub mac: MacAddr,
}

/// Whose a frame is, where a port has several vhosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balancing {
    /// That of the vhost to whose MAC it is addressed: OpenBSD's `balancing arp`, and a single vhost. What leaves is unchanged
    /// while the first vhost's gate is open, else it carries the MAC of the vhost that lets it pass.
    #[default]
    Mac,
    /// All hosts hear what is sent to the first vhost's MAC, which may be a multicast one, and to no other. An IP packet is
    /// that of the vhost that its addresses select ([`share`]), anything else everybody's. What leaves carries carpdev's own
    /// MAC, so that no switch learns the virtual one: `ip` and `ip-stealth`.
    Unlearnt,
    /// The same, but what leaves is unchanged: `ip-unicast`.
    Learnt,
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
    /// carpN's own MAC, never a multicast one.
    pub mac: MacAddr,
    /// At most [`VHOSTS`], ascending by vhid.
    pub vhosts: Vec<Vhost>,
    /// Whose frames are whose.
    pub balancing: Balancing,
    /// What leaves names no shared address as the asker in ARP: whoever hears such a request takes its MAC for all of the
    /// address, also who belongs to another vhost. It leaves as a probe (RFC 5227), which the asked one answers as well.
    pub probes: bool,
    /// Addresses whose ARP requests and solicitations never reach carpN.
    pub shared: Vec<IpAddr>,
    /// Frames for the virtual MAC are left to the stack on carpdev instead of handed to carpN.
    pub accept: bool,
    /// What leaves carpN is to be seen by who listens there.
    pub capture: bool,
}

impl Port {
    /// The MACs of its vhosts on the wire, each with the vhost's place. Where the first one has all, its unicast form is one,
    /// too: that is what a neighbour is told in solicitations that carpN sends.
    pub(crate) fn heard(&self) -> impl Iterator<Item = (MacAddr, usize)> + '_ {
        let folds = self.balancing != Balancing::Mac;
        let heard = if folds {
            self.vhosts.get(..1).unwrap_or_default()
        } else {
            &self.vhosts[..]
        };
        let macs = heard.iter().map(|vhost| vhost.mac).enumerate();
        let plain = heard
            .first()
            .filter(|vhost| folds && vhost.mac.is_multicast())
            .map(|_| (0, self.mac));
        macs.chain(plain)
            .filter(|(_, mac)| *mac != MacAddr::ZERO)
            .map(|(place, mac)| (mac, place))
    }
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
