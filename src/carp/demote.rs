//! Demotion, OpenBSD's group model as far as one group `carp` goes; must not know packets.
//!
//! Every carpN that has a vhid and is up and whose carpdev is missing or down, or that the data plane cannot serve, counts
//! one in the group, and so does every carpN whose advertisements do not leave. Every member uses the group's count: a
//! machine that lost one network gives up all.

use super::config::Config;
use super::state::World;
use super::vhost::Vhost;
use crate::time::Instant;
use std::time::Duration;

/// The skew of a demoted vhost unless its own is higher, as UCARP and the BSDs without a demote byte send it.
const DEMOTED_SKEW: u8 = 240;

/// A carpdev just named is not lost before this: who attaches to it needs a moment, and the peers would take over from all
/// the others of this machine.
const GRACE: Duration = Duration::from_millis(500);

/// What is advertised and compared: any demotion makes a host worse than all that are healthy.
pub(super) fn effective_skew(advskew: u8, demotion: u8) -> u8 {
    if demotion > 0 {
        advskew.max(DEMOTED_SKEW)
    } else {
        advskew
    }
}

/// The count of group `carp`, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Demotion {
    /// carpN without their carpdev.
    carpdev: u8,
    /// carpN whose advertisements do not leave.
    senderrors: u8,
}

impl Demotion {
    /// What is told and compared, at most 255.
    pub(super) fn sum(self) -> u8 {
        self.carpdev.saturating_add(self.senderrors)
    }
}

/// The count as it follows from the state of everything.
pub(super) fn count(world: &World) -> Demotion {
    let living = || world.interfaces.iter().filter(|(_, i)| !i.retiring);
    let lost = living().filter(|(unit, interface)| {
        let counts = wanted(&interface.config) && interface.grace.is_none();
        counts && (!world.carpdev_up(interface.carpdev) || world.unserved.contains(unit))
    });
    let failing =
        living().filter(|(_, interface)| interface.vhosts.iter().any(Vhost::fails_to_send));
    let bounded = |count| u8::try_from(count).unwrap_or(u8::MAX);
    Demotion {
        carpdev: bounded(lost.count()),
        senderrors: bounded(failing.count()),
    }
}

/// A line for each cause that changed, with OpenBSD's words.
pub(super) fn told(old: Demotion, new: Demotion) -> impl Iterator<Item = String> {
    let between = Demotion {
        carpdev: new.carpdev,
        ..old
    };
    let failing = if new.senderrors > old.senderrors {
        "> snderrors"
    } else {
        "< snderrors"
    };
    let steps = [(old, between, "carpdev"), (between, new, failing)];
    steps.into_iter().filter_map(|(from, to, cause)| {
        let (from, sum) = (from.sum(), to.sum());
        let (verb, by) = if sum < from {
            ("undemoted", from - sum)
        } else {
            ("demoted", sum - from)
        };
        if by == 0 {
            return None;
        }
        Some(format!(
            "carp: {verb} group carp by {by} to {sum} ({cause})"
        ))
    })
}

/// The grace of a carpN that changes from `old` to `new`: anew when it begins to want this carpdev.
pub(super) fn grace(
    now: Instant,
    old: &Config,
    new: &Config,
    present: Option<Instant>,
) -> Option<Instant> {
    let begins = !wanted(old) || old.carpdev != new.carpdev;
    if begins { Some(now + GRACE) } else { present }
}

/// Ends each grace that is over or no longer needed.
pub(super) fn end_graces(now: Instant, world: &mut World) {
    let World {
        interfaces,
        parents,
        ..
    } = world;
    for interface in interfaces.values_mut() {
        let parent = interface.carpdev.and_then(|carpdev| parents.get(&carpdev));
        let up = parent.is_some_and(|parent| parent.up);
        if up || !wanted(&interface.config) || interface.grace.is_some_and(|at| at <= now) {
            interface.grace = None;
        }
    }
}

fn wanted(config: &Config) -> bool {
    config.up && config.carpdev.is_some() && !config.nodes.is_empty()
}
