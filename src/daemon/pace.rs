//! Tells a flood from traffic by its pace; must not know what the frames are.
//!
//! Waking up costs more than ten frames. So in a flood the reader looks every few milliseconds and finds many frames at
//! once; a good advertisement among them is read late by at most one interval and 1 ms, which no timer of the protocol
//! feels: the shortest dead time, 11.7 ms, is that of three advertisements.

use crate::time::Instant;
use std::time::Duration;

/// How often the reader looks, whatever the timers; tokio's clock makes it 1 ms more.
const SHORTEST: Duration = Duration::from_millis(3);
/// ARP and solicitations wait as long, and the kernel's queue must hold what comes meanwhile.
const LONGEST: Duration = Duration::from_millis(15);
/// Frames that come closer than this are too many.
const SPACING: Duration = Duration::from_micros(500);
/// So many of them are no coincidence.
const CERTAIN: Duration = SPACING.saturating_mul(24);
/// More are not remembered: a flood is soon forgotten, and a late reader does not forget it.
const MOST: Duration = CERTAIN.saturating_mul(4);

/// How long a reader rests where the shortest interval between advertisements is this.
#[must_use]
pub fn rest(interval: Duration) -> Duration {
    interval.clamp(SHORTEST, LONGEST)
}

/// How fast frames came lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    last: Instant,
    /// The time that the frames would have taken at that spacing, beyond what they took.
    ahead: Duration,
}

impl Pace {
    /// Takes note of a batch. True: this is a flood.
    pub fn flooded(&mut self, now: Instant, frames: usize) -> bool {
        let passed = now.since(self.last);
        self.last = now;
        let frames = u32::try_from(frames).unwrap_or(u32::MAX);
        let due = self.ahead.saturating_sub(passed);
        self.ahead = due.saturating_add(SPACING.saturating_mul(frames)).min(MOST);
        self.ahead >= CERTAIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In how many of `batches`, of `frames` each, every `micros`, there was a flood.
    fn run(pace: &mut Pace, now: &mut Instant, batches: u32, frames: usize, micros: u64) -> u32 {
        let floods = (0..batches).map(|_| {
            *now = *now + Duration::from_micros(micros);
            u32::from(pace.flooded(*now, frames))
        });
        floods.sum()
    }

    #[test]
    fn the_fastest_peer_is_no_flood() {
        let (mut pace, mut now) = (Pace::default(), Instant::ZERO);
        // advbase 0, advskew 1, both families at once, and a neighbour's answer to them.
        assert_eq!(run(&mut pace, &mut now, 1000, 3, 3_906), 0);
        assert_eq!(run(&mut pace, &mut now, 20, 1, 10), 0);
        assert_eq!(run(&mut pace, &mut now, 1000, 3, 3_906), 0);
    }

    #[test]
    fn a_flood_is_found_soon_and_forgotten_soon() {
        let (mut pace, mut now) = (Pace::default(), Instant::ZERO);
        assert!(run(&mut pace, &mut now, 1000, 1, 333) > 850);
        // Rested, in batches as they are fetched, and once late.
        for micros in [15_200, 17_000, 15_200, 29_000, 15_200] {
            assert_eq!(run(&mut pace, &mut now, 1, 32, micros), 1, "{micros}");
            assert_eq!(run(&mut pace, &mut now, 1, 13, 20), 1, "{micros}");
        }
        assert!(run(&mut pace, &mut now, 100, 1, 15_200) < 4);
    }
}
