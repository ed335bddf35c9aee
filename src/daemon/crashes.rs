//! When engines died of late, and what becomes of their work; must not know how they are started.

use crate::time::Instant;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// So many engines may die within [`WHILE`] before the next ones wait.
const DEATHS: usize = 8;
const WHILE: Duration = Duration::from_secs(10);
/// The first wait and the longest; each is twice the one before.
const PAUSE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// What becomes of a dead engine's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    AtOnce,
    After(Duration),
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtOnce => f.write_str("another one goes on"),
            Self::After(pause) => write!(
                f,
                "that is too often: goodbye, and another one begins in {} s, demoted",
                pause.as_secs()
            ),
        }
    }
}

/// When engines died of late.
#[derive(Debug, Default)]
pub(super) struct Crashes {
    recent: VecDeque<Instant>,
    pause: Option<Duration>,
}

impl Crashes {
    pub(super) fn another(&mut self, now: Instant) -> Next {
        if self
            .recent
            .back()
            .is_some_and(|last| now.since(*last) > WHILE + PAUSE[1])
        {
            self.pause = None;
        }
        self.recent.retain(|at| now.since(*at) <= WHILE);
        self.recent.push_back(now);
        if self.recent.len() <= DEATHS {
            return Next::AtOnce;
        }
        self.recent.clear();
        let pause = self.pause.map_or(PAUSE[0], |last| PAUSE[1].min(last * 2));
        self.pause = Some(pause);
        Next::After(pause)
    }
}
