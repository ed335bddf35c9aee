//! What happens to host a, and what the protocol's rules expect of it; must not know how it is made to happen.

use super::plan::Plan;
use crate::lab::figures::{dead_time, interval};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// A host that may be MASTER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The preferred host, to which everything happens.
    A,
    /// The other one.
    B,
}

impl Side {
    /// The host's name in the lab.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

/// One event, in the order in which they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// `kill -9` of a's daemon.
    Kill,
    /// a's daemon is started and configured again.
    Return,
    /// a's port of the bridge goes down.
    Link,
    /// It comes up again.
    LinkReturn,
    /// `ifconfig carp1 down` on a.
    Down,
    /// `ifconfig carp1 up` on a.
    Up,
}

impl Event {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [
        Self::Kill,
        Self::Return,
        Self::Link,
        Self::LinkReturn,
        Self::Down,
        Self::Up,
    ];

    /// As in the table and in file names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Return => "return",
            Self::Link => "link",
            Self::LinkReturn => "link-return",
            Self::Down => "down",
            Self::Up => "up",
        }
    }

    /// What it does, for somebody who watches.
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::Kill => "kill -9 of a's daemon, all its processes",
            Self::Return => "a's daemon starts and is configured again",
            Self::Link => "a's carpdev loses its link",
            Self::LinkReturn => "the link returns",
            Self::Down => "ifconfig carp1 down on a",
            Self::Up => "ifconfig carp1 up on a",
        }
    }

    /// a leaves, or it comes back.
    const fn leaves(self) -> bool {
        matches!(self, Self::Kill | Self::Link | Self::Down)
    }

    /// Who is MASTER afterwards, by the rules.
    #[must_use]
    pub fn successor(self, master: Side, plan: &Plan) -> Side {
        match (self.leaves(), master) {
            (true, _) => Side::B,
            (false, _) if plan.preempts() => Side::A,
            (false, stays) => stays,
        }
    }

    /// The time that the rule allows between the last advertisement of the old MASTER and the first of the new one: the
    /// master-down time of b if a falls silent, nothing after a goodbye and in a preemption.
    #[must_use]
    pub fn rule(self, plan: &Plan) -> Duration {
        match self {
            Self::Kill | Self::Link => dead_time(plan.advbase, plan.skews.b),
            _ => Duration::ZERO,
        }
    }

    /// After this time the successor is due: the rule, or for a host that comes back the next advertisement of b, which
    /// it must hear, and the time in which a daemon starts.
    #[must_use]
    pub fn due(self, plan: &Plan) -> Duration {
        match self {
            Self::Kill | Self::Link => self.rule(plan),
            Self::Down => Duration::from_millis(100),
            Self::Return | Self::LinkReturn | Self::Up => {
                interval(plan.advbase, plan.skews.b) + Duration::from_millis(500)
            }
        }
    }

    /// Why nobody takes over, where the rules want that.
    #[must_use]
    pub fn note(self, master: Side, plan: &Plan) -> Option<&'static str> {
        match (self.successor(master, plan) == master, self.leaves()) {
            (false, _) => None,
            (true, true) => Some("a was not MASTER"),
            (true, false) => Some("equal advskew: nobody preempts"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
