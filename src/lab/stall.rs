//! The machine's own worst stall: a thread that sleeps one millisecond by the clock and notes how late it woke; must not
//! know what is measured beside it.

use super::beat::Beat;
use crate::linux::clock;
use crate::time::Instant;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const PERIOD: Duration = Duration::from_millis(1);
/// Shorter ones are the ordinary slack of a timer.
const NOTED: Duration = Duration::from_micros(200);
/// Oldest forgotten first: at one a millisecond more than a minute.
const KEPT: usize = 1 << 16;

type Noted = Mutex<VecDeque<(Instant, Duration)>>;

/// Runs until dropped.
#[derive(Debug)]
pub struct StallMeter {
    noted: Arc<Noted>,
    _beat: Beat,
}

impl StallMeter {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start() -> io::Result<Self> {
        let noted = Arc::new(Noted::default());
        let sink = Arc::clone(&noted);
        let beat = Beat::start("stall", PERIOD, move |due| note(&sink, due))?;
        Ok(Self { noted, _beat: beat })
    }

    /// The worst stall of which any part lay between `from` and `to`; zero if all were shorter than 0.2 ms.
    #[must_use]
    pub fn worst(&self, from: Instant, to: Instant) -> Duration {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let within = |(due, late): &&(Instant, Duration)| *due <= to && *due + *late >= from;
        noted
            .iter()
            .filter(within)
            .map(|(_, late)| *late)
            .max()
            .unwrap_or_default()
    }
}

fn note(noted: &Noted, due: Instant) {
    let late = clock::now().since(due);
    if late >= NOTED {
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() == KEPT {
            noted.pop_front();
        }
        noted.push_back((due, late));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_stall_counts_for_every_span_it_touches() {
        let meter = StallMeter::start().unwrap();
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let long = Duration::from_millis(30);
        meter
            .noted
            .lock()
            .unwrap()
            .extend([(at(100), long), (at(500), PERIOD)]);
        assert_eq!(meter.worst(at(120), at(125)), long);
        assert_eq!(meter.worst(at(131), at(499)), Duration::ZERO);
        assert_eq!(meter.worst(at(131), at(500)), PERIOD);
    }
}
