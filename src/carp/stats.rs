//! What `netstat -s -p carp` counts, under its BSD names; must not know why anything happened.

use serde::{Deserialize, Serialize};

/// The counters of one engine. One that another version did not have begins at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Advertisements received over IPv4.
    pub ipackets: u64,
    /// Advertisements received over IPv6.
    pub ipackets6: u64,
    /// For no carp interface: an unknown carpdev, or another destination than the group.
    pub badif: u64,
    /// TTL or hop limit other than 255.
    pub badttl: u64,
    /// Shorter than a header: BSD's cannot linearise, never ours.
    pub hdrops: u64,
    /// Wrong checksum.
    pub badsum: u64,
    /// Not version 2.
    pub badver: u64,
    /// Shorter than 36 bytes.
    pub badlen: u64,
    /// Wrong digest.
    pub badauth: u64,
    /// No such vhid here, or it is in INIT.
    pub badvhid: u64,
    /// Never counted by any BSD.
    pub badaddrs: u64,
    /// Advertisements sent over IPv4.
    pub opackets: u64,
    /// Advertisements sent over IPv6.
    pub opackets6: u64,
    /// Never ours: sends fail outside the engine.
    pub onomem: u64,
    /// Never counted by any BSD.
    pub ostates: u64,
    /// Transitions to MASTER, as OpenBSD counts them.
    pub preempt: u64,
    /// Broken below carp: IP header, length, extension header, ARP, neighbour solicitation. Not in any netstat.
    pub malformed: u64,
    /// Right, but old: heard before, or recorded earlier. Not in any netstat.
    pub badreplay: u64,
    /// Found the socket's queue full: nobody looked at them. Counted outside the engine. Not in any netstat.
    pub fullsock: u64,
    /// Our own advertisements that came back. Not in any netstat.
    pub echoes: u64,
    /// Advertisements that did not leave. Not in any netstat.
    pub senderrors: u64,
    /// ARP requests and neighbour solicitations answered. Not in any netstat.
    pub answers: u64,
}
