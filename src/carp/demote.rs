//! Demotion: OpenBSD's counts of interface groups, and FreeBSD's number that is added to the skew; must not know packets.
//!
//! Every carpN that has a vhid and is up and whose carpdev is missing or down, or that the data plane cannot serve, counts
//! one in each of its groups, and so does every carpN whose advertisements do not leave. A carpN uses the sum of its groups,
//! which are counted up by hand as well: with all of them in group `carp`, a machine that lost one network gives up all.

use super::config::{Carpdev, Config, DEMOTED, Settings, Unit};
use super::state::{Interface, World};
use super::vhost::Vhost;
use crate::time::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// The skew of a demoted vhost unless its own is higher, as UCARP and the BSDs without a demote byte send it.
const DEMOTED_SKEW: u8 = 240;

/// What `drain` adds to the count: as much as `carpdemote` does at once.
const DRAINED: u8 = 128;

/// A carpdev just named is not lost before this: who attaches to it needs a moment, and the peers would take over from all
/// the others of this machine.
const GRACE: Duration = Duration::from_millis(500);

/// By how much one carpN is demoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Demotion {
    /// The count that is told to the peers.
    pub(super) count: u8,
    /// Added to the skew.
    pub(super) added: i32,
}

impl Demotion {
    /// What is advertised and compared: a count makes a host worse than all that are healthy. Neither makes it 255.
    pub(super) fn skew(self, advskew: u8) -> u8 {
        let most = advskew.max(DEMOTED_SKEW);
        if self.count > 0 {
            return most;
        }
        let skew = i32::from(advskew).saturating_add(self.added);
        u8::try_from(skew.clamp(0, most.into())).unwrap_or(most)
    }
}

/// What a group or a carpN is demoted by, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Count {
    hand: u8,
    /// carpN without their carpdev.
    carpdev: u8,
    /// carpN whose advertisements do not leave.
    senderrors: u8,
}

impl Count {
    fn sum(self) -> u8 {
        let counted = self.carpdev.saturating_add(self.senderrors);
        self.hand.saturating_add(counted)
    }
}

/// The counts of everything. What is not demoted is not in the maps.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Demoted {
    groups: BTreeMap<String, Count>,
    own: BTreeMap<Unit, Count>,
    /// carpN with a carpdev lost or with send errors.
    events: u32,
    /// net.inet.carp.demotion: what was written and what the factors add.
    total: i32,
    /// What of that is not counted in groups.
    added: i32,
}

impl Demoted {
    pub(super) fn group(&self, name: &str) -> u8 {
        self.groups.get(name).copied().unwrap_or_default().sum()
    }

    /// OpenBSD's rule: the sum of its groups, or its own count when that is 0.
    pub(super) fn of(&self, unit: Unit, config: &Config) -> Demotion {
        let groups = config.groups.iter();
        let sum = groups.fold(0u8, |sum, name| sum.saturating_add(self.group(name)));
        let own = || self.own.get(&unit).copied().unwrap_or_default().sum();
        let count = if sum > 0 { sum } else { own() };
        let drained = if config.drain { DRAINED } else { 0 };
        Demotion {
            count: count.saturating_add(drained),
            added: self.added,
        }
    }

    pub(super) fn events(&self) -> u32 {
        self.events
    }

    pub(super) fn total(&self) -> i32 {
        self.total
    }
}

/// What is wrong with one carpN, as far as it demotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ailment {
    /// Without its carpdev, or not served.
    lost: bool,
    /// Its advertisements do not leave.
    failing: bool,
}

impl Ailment {
    pub(super) fn of(world: &World, unit: Unit, interface: &Interface) -> Self {
        if interface.retiring {
            return Self::default();
        }
        let wants = wanted(&interface.config) && interface.grace.is_none();
        let without = || !world.carpdev_up(interface.carpdev) || world.unserved.contains(&unit);
        Self {
            lost: wants && without(),
            failing: interface.vhosts.iter().any(Vhost::fails_to_send),
        }
    }
}

/// The counts as they follow from the state of everything.
pub(super) fn count(world: &World) -> Demoted {
    let Settings {
        demotion,
        senderr_demotion_factor,
        ifdown_demotion_factor,
        ..
    } = world.settings;
    let mut demoted = Demoted::default();
    let (mut down, mut failing) = (Vec::new(), Vec::new());
    let mut vhosts_down = 0i32;
    for (unit, interface) in &world.interfaces {
        let ailment = Ailment::of(world, *unit, interface);
        if ailment.lost {
            vhosts_down += i32::try_from(interface.vhosts.len()).unwrap_or(255);
            down.push(unit);
        }
        if ailment.failing {
            failing.push(unit);
        }
    }
    demoted.events = u32::try_from(down.len() + failing.len()).unwrap_or(u32::MAX);
    let failures = i32::try_from(failing.len()).unwrap_or(i32::MAX);
    let by_down = ifdown_demotion_factor.saturating_mul(vhosts_down);
    let by_failing = senderr_demotion_factor.saturating_mul(failures);
    demoted.total = demotion.saturating_add(by_down).saturating_add(by_failing);
    // What an admin took back by writing a negative number does not count.
    let forgiven = demotion < 0 && demoted.total <= 0;
    demoted.added = demotion;
    for (units, factor, sum, cause) in [
        (down, ifdown_demotion_factor, by_down, Cause::Carpdev),
        (
            failing,
            senderr_demotion_factor,
            by_failing,
            Cause::SendErrors,
        ),
    ] {
        if forgiven || factor < DEMOTED {
            demoted.added = demoted.added.saturating_add(sum);
            continue;
        }
        for unit in units {
            demoted.add(world, *unit, cause);
        }
    }
    for (name, hand) in &world.demotions {
        demoted.groups.entry(name.clone()).or_default().hand = *hand;
    }
    demoted
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Carpdev,
    SendErrors,
}

impl Demoted {
    fn add(&mut self, world: &World, unit: Unit, cause: Cause) {
        let Some(interface) = world.interfaces.get(&unit) else {
            return;
        };
        let one_more = |count: &mut Count| {
            let of_cause = match cause {
                Cause::Carpdev => &mut count.carpdev,
                Cause::SendErrors => &mut count.senderrors,
            };
            *of_cause = of_cause.saturating_add(1);
        };
        one_more(self.own.entry(unit).or_default());
        for name in &interface.config.groups {
            one_more(self.groups.entry(name.clone()).or_default());
        }
    }
}

/// A line for each group and cause that changed, with OpenBSD's words.
pub(super) fn told(old: &Demoted, new: &Demoted) -> Vec<String> {
    let mut names: Vec<&String> = old.groups.keys().chain(new.groups.keys()).collect();
    names.sort();
    names.dedup();
    let mut lines = Vec::new();
    for name in names {
        let of = |demoted: &Demoted| demoted.groups.get(name).copied().unwrap_or_default();
        let (old, new) = (of(old), of(new));
        let failing = if new.senderrors > old.senderrors {
            "> snderrors"
        } else {
            "< snderrors"
        };
        let by_hand = Count {
            hand: new.hand,
            ..old
        };
        let between = Count {
            carpdev: new.carpdev,
            ..by_hand
        };
        for (from, to, cause) in [
            (old, by_hand, "ifconfig"),
            (by_hand, between, "carpdev"),
            (between, new, failing),
        ] {
            let (from, sum) = (from.sum(), to.sum());
            let (verb, by) = if sum < from {
                ("undemoted", from - sum)
            } else {
                ("demoted", sum - from)
            };
            if by > 0 {
                lines.push(format!(
                    "carp: {verb} group {name} by {by} to {sum} ({cause})"
                ));
            }
        }
    }
    lines
}

/// Do the MASTERs of this carpN offer themselves to the others at once? As every BSD does when a count leaves 0, as OpenBSD
/// does when one was raised by hand, and as FreeBSD does whenever its number changes. Also when a count returns to 0: until
/// they are told, others believe themselves better than a host that no longer gives way to them. Not at each step between,
/// which changes less: of a hundred carpN that lose their networks one by one all others would tell it a hundred times.
pub(super) fn is_urgent(
    old: (&Demoted, Demotion),
    new: (&Demoted, Demotion),
    config: &Config,
) -> bool {
    let hand = |demoted: &Demoted| {
        let of = |name: &String| demoted.groups.get(name).map_or(0, |count| count.hand);
        config.groups.iter().map(of).fold(0, u8::saturating_add)
    };
    let ((before, from), (after, to)) = (old, new);
    let turned = (from.count == 0) != (to.count == 0);
    turned || from.added != to.added || hand(after) > hand(before)
}

/// The grace of a carpN that changes from `old` to `new`: anew when it begins to want a carpdev, or another one. A carpdev
/// that was renamed is none.
pub(super) fn grace(
    now: Instant,
    (old, before): (&Config, Option<Carpdev>),
    (new, after): (&Config, Option<Carpdev>),
    present: Option<Instant>,
) -> Option<Instant> {
    let begins = !wanted(old) || (old.carpdev != new.carpdev && before != after);
    if begins { Some(now + GRACE) } else { present }
}

/// Ends each grace of these carpN that is over or no longer needed: those of which.
pub(super) fn end_graces(
    now: Instant,
    world: &mut World,
    units: impl IntoIterator<Item = Unit>,
) -> Vec<Unit> {
    let World {
        interfaces,
        parents,
        ..
    } = world;
    let mut ended = Vec::new();
    for unit in units {
        let Some(interface) = interfaces.get_mut(&unit) else {
            continue;
        };
        let Some(until) = interface.grace else {
            continue;
        };
        let parent = interface.carpdev.and_then(|carpdev| parents.get(&carpdev));
        let up = parent.is_some_and(|parent| parent.up);
        if up || !wanted(&interface.config) || until <= now {
            interface.grace = None;
            ended.push(unit);
        }
    }
    ended
}

fn wanted(config: &Config) -> bool {
    config.up && config.carpdev.is_some() && !config.nodes.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_demotion_wraps_or_makes_a_goodbye() {
        let skew = |count, added, advskew| Demotion { count, added }.skew(advskew);
        for (count, added, advskew, expected) in [
            (0, 0, 100, 100),
            (0, 0, 254, 254),
            (1, 0, 0, 240),
            (1, -240, 0, 240),
            (3, 0, 254, 254),
            (0, 50, 100, 150),
            (0, 240, 100, 240),
            (0, 240, 254, 254),
            (0, -50, 100, 50),
            (0, -50, 0, 0),
            (0, -1024, 100, 0),
            (0, i32::MIN, 1, 0),
            (0, i32::MAX, 1, 240),
        ] {
            assert_eq!(
                skew(count, added, advskew),
                expected,
                "{count} {added} {advskew}"
            );
        }
    }
}
