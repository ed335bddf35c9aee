//! Tells a flood from traffic by its pace; must not know what the frames are.
//!
//! Waking up costs more than ten frames. So in a flood the reader looks every few milliseconds and finds many frames at
//! once; a good advertisement among them is read late by at most 4 ms, which no timer of the protocol feels: the
//! shortest dead time is 11.7 ms, of three advertisements.

use crate::time::Instant;
use std::time::Duration;

/// How often the reader looks.
pub const REST: Duration = Duration::from_millis(4);
/// Frames that come closer than this are too many.
const SPACING: Duration = Duration::from_micros(500);
/// So many batches in a row are no coincidence.
const CERTAIN: u32 = 8;

/// How fast frames came lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    last: Instant,
    /// Batches that came too fast; one that did not takes back half of them.
    fast: u32,
}

impl Pace {
    /// Takes note of a batch. True: this is a flood.
    pub fn flooded(&mut self, now: Instant, frames: usize) -> bool {
        let passed = now.since(self.last);
        self.last = now;
        let frames = u32::try_from(frames).unwrap_or(u32::MAX);
        self.fast = if passed < SPACING * frames {
            (self.fast + 1).min(2 * CERTAIN)
        } else {
            self.fast / 2
        };
        self.fast >= CERTAIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `batches` of `frames` each, every `micros`.
    fn run(pace: &mut Pace, now: &mut Instant, batches: u32, frames: usize, micros: u64) -> u32 {
        let rests = (0..batches).map(|_| {
            *now = *now + Duration::from_micros(micros);
            u32::from(pace.flooded(*now, frames))
        });
        rests.sum()
    }

    #[test]
    fn the_fastest_peer_is_no_flood() {
        let (mut pace, mut now) = (Pace::default(), Instant::ZERO);
        // advbase 0, advskew 1, both families at once, and a neighbour's answer to them.
        assert_eq!(run(&mut pace, &mut now, 1000, 2, 3_906), 0);
        assert_eq!(run(&mut pace, &mut now, CERTAIN - 1, 1, 10), 0);
        assert_eq!(run(&mut pace, &mut now, 1000, 2, 3_906), 0);
    }

    #[test]
    fn a_flood_is_found_soon_and_forgotten_soon() {
        let (mut pace, mut now) = (Pace::default(), Instant::ZERO);
        assert_eq!(run(&mut pace, &mut now, 100, 1, 333), 100 - CERTAIN + 1);
        // Rested: one late batch is forgiven.
        assert_eq!(run(&mut pace, &mut now, 100, 10, 3_500), 100);
        assert_eq!(run(&mut pace, &mut now, 1, 1, 3_500), 1);
        assert_eq!(run(&mut pace, &mut now, 100, 1, 3_500), 0);
    }
}
