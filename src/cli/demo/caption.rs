//! What a capture file must say so that its table row can be computed again from its frames; must not know the lab.

use super::event::{Event, Side};
use crate::lab::figures::Question;
use crate::lab::sight::Shared;
use crate::time::Instant;
use crate::wire::Family;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The probes of one family that belong to an event: numbers without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The family.
    pub family: Family,
    /// The first one's number.
    pub first: u64,
    /// How many.
    pub count: u64,
}

/// The comment of a file, as JSON. Times are nanoseconds since 1970, as those of the frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caption {
    /// What happened.
    pub event: Event,
    /// When.
    pub at: u64,
    /// The MASTER before.
    pub old: Side,
    /// What the protocol's rule allows, in nanoseconds.
    pub rule: u64,
    /// The group.
    pub vhid: u8,
    /// Its IPv4 address.
    pub inet: Ipv4Addr,
    /// Its IPv6 address.
    pub inet6: Ipv6Addr,
    /// Nanoseconds between two probes.
    pub period: u64,
    /// The probes.
    pub probes: Vec<Sent>,
}

impl Caption {
    /// What the frames are asked, once the old MASTER's port is known as `old`.
    #[must_use]
    pub fn question(&self, family: Family, old: usize) -> Question {
        Question {
            family,
            at: Instant::from_nanos(self.at),
            old,
            rule: Duration::from_nanos(self.rule),
        }
    }

    /// The group whose frames count.
    #[must_use]
    pub fn shared(&self) -> Shared {
        Shared {
            vhid: self.vhid,
            inet: self.inet,
            inet6: self.inet6,
        }
    }
}
