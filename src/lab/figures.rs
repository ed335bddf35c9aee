//! From records to figures: outage, takeover, excess, overlap; pure, must not know sockets or where records come from.

use super::sight::Sight;
use crate::time::Instant;
use crate::wire::Family;
use std::time::Duration;

/// An answered probe is late from this round trip on.
pub const LATE: Duration = Duration::from_millis(50);
/// A probe is lost when no reply came within this time.
pub const LOST: Duration = Duration::from_secs(1);
/// A longer round trip means that the probe waited, in the client's own neighbour queue for one, until somebody answered
/// for the address: it proves reachability at the time of its reply, not of its sending.
const WAITED: Duration = Duration::from_millis(5);

/// One numbered probe of the shared address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Counts from 0, without a gap.
    pub number: u64,
    /// When it was handed to the kernel.
    pub sent: Instant,
    /// When the first reply arrived.
    pub answered: Option<Instant>,
    /// The client's neighbour entry was deleted just before.
    pub fresh: bool,
}

impl Probe {
    /// The round trip, if the reply came within [`LOST`].
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.answered
            .map(|at| at.since(self.sent))
            .filter(|time| *time <= LOST)
    }

    /// When this probe shows the address reached; `None` for a lost one.
    fn reached(&self) -> Option<Instant> {
        let time = self.round_trip()?;
        Some(if time <= WAITED {
            self.sent
        } else {
            self.sent + time
        })
    }
}

/// What the probes of one event say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// Probes sent.
    pub sent: u64,
    /// Without a reply within [`LOST`].
    pub lost: u64,
    /// Answered, after more than [`LATE`].
    pub late: u64,
    /// Send time of the first answered probe after the longest run of lost ones minus that of the last answered before
    /// it, minus one period; zero if none was lost. A run that reaches an end of the record counts up to that end.
    pub outage: Duration,
}

/// Counts `probes`, which are in the order of their numbers.
#[must_use]
pub fn reach(probes: &[Probe], period: Duration) -> Reach {
    let trips = || probes.iter().map(Probe::round_trip);
    let count = |wanted: fn(&Option<Duration>) -> bool| trips().filter(wanted).count() as u64;
    Reach {
        sent: probes.len() as u64,
        lost: count(|trip| trip.is_none()),
        late: count(|trip| trip.is_some_and(|time| time > LATE)),
        outage: outage(probes, period),
    }
}

fn outage(probes: &[Probe], period: Duration) -> Duration {
    let (Some(first), Some(last)) = (probes.first(), probes.last()) else {
        return Duration::ZERO;
    };
    let mut before = first.sent - period;
    let mut losing = false;
    let mut longest = Duration::ZERO;
    for probe in probes {
        if let Some(at) = probe.reached() {
            if losing {
                longest = longest.max(at.since(before));
            }
            losing = false;
            before = before.max(at);
        } else {
            losing = true;
        }
    }
    if losing {
        longest = longest.max((last.sent + period).since(before));
    }
    longest.saturating_sub(period)
}

/// A frame that shows something, and where the bridge received it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// The kernel's receive time.
    pub at: Instant,
    /// The bridge port, which is the host: both hosts use the same virtual MAC.
    pub port: usize,
    /// What it shows.
    pub sight: Sight,
}

/// What the bridge ports say about one event and family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Takeover {
    /// The port that advertised last; `None` when nobody did. A goodbye does not count.
    pub master: Option<usize>,
    /// From the event to the first advertisement of the new MASTER; `None` when the MASTER did not change.
    pub takeover: Option<Duration>,
    /// First advertisement of the new MASTER minus last of the old one, minus the rule, in nanoseconds.
    pub excess: Option<i64>,
    /// How long two ports sent owner frames: last from the one minus first from the other, zero if negative.
    pub overlap: Duration,
}

/// The question that [`takeover`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// For which family.
    pub family: Family,
    /// The moment of the event.
    pub at: Instant,
    /// The port of the MASTER before it.
    pub old: usize,
    /// The time the protocol's rule allows between the last advertisement of the old and the first of the new MASTER.
    pub rule: Duration,
}

/// Reads the sightings of one event, in the order of time, among them the last advertisement before it.
#[must_use]
pub fn takeover(sightings: &[Sighting], question: &Question) -> Takeover {
    let ours: Vec<&Sighting> = sightings
        .iter()
        .filter(|seen| seen.sight.family == question.family)
        .collect();
    let adverts = || {
        ours.iter()
            .filter_map(|seen| seen.sight.advert.map(|advert| (*seen, advert)))
    };
    let master = adverts()
        .rfind(|(_, advert)| !advert.goodbye())
        .map(|(seen, _)| seen.port);
    let mut figures = Takeover {
        master,
        overlap: overlap(&ours, question),
        ..Takeover::default()
    };
    let new = master.filter(|port| *port != question.old);
    let first = adverts().find(|(seen, _)| Some(seen.port) == new && seen.at >= question.at);
    if let Some((first, _)) = first {
        let last = adverts().rfind(|(seen, _)| seen.port == question.old && seen.at <= first.at);
        figures.takeover = Some(first.at.since(question.at));
        figures.excess =
            last.map(|(last, _)| nanos(first.at.since(last.at)) - nanos(question.rule));
    }
    figures
}

/// The longest time during which the old port and another one both sent owner frames after the event.
fn overlap(ours: &[&Sighting], question: &Question) -> Duration {
    let owners = || {
        ours.iter()
            .filter(|seen| seen.sight.owner && seen.at >= question.at)
    };
    let span = |port: usize| {
        let mut frames = owners().filter(|seen| seen.port == port);
        let first = frames.next()?.at;
        Some((first, frames.next_back().map_or(first, |seen| seen.at)))
    };
    let Some((first_old, last_old)) = span(question.old) else {
        return Duration::ZERO;
    };
    owners()
        .map(|seen| seen.port)
        .filter(|port| *port != question.old)
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .filter_map(span)
        .map(|(first, last)| last.min(last_old).since(first.max(first_old)))
        .max()
        .unwrap_or_default()
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// The time after which a BACKUP of this configuration takes a silent MASTER for dead.
#[must_use]
pub fn dead_time(advbase: u8, advskew: u8) -> Duration {
    let skew = |n: u32| Duration::from_secs(1) * n / 256;
    match (advbase, advskew) {
        (0, skewed) => skew(3 * u32::from(skewed.max(1))),
        (base, skewed) => Duration::from_secs(3) * u32::from(base) + skew(u32::from(skewed)),
    }
}

/// The time between two advertisements of a MASTER of this configuration.
#[must_use]
pub fn interval(advbase: u8, advskew: u8) -> Duration {
    match (advbase, advskew) {
        (0, 0) => Duration::from_secs(1) / 256,
        (base, skew) => {
            Duration::from_secs(1) * u32::from(base)
                + Duration::from_secs(1) * u32::from(skew) / 256
        }
    }
}

#[cfg(test)]
#[path = "figures_tests.rs"]
mod tests;
