//! How the engine of another program gives way to one of ours; must not know how either is started.

use crate::time::Instant;
use std::time::Duration;

/// It finishes what it has in hand: longer than it allows itself.
const PATIENCE: Duration = Duration::from_secs(3);
/// Its orders are not understood, so it can finish nothing.
const BRIEF: Duration = Duration::from_millis(200);
/// So often an engine of ours is started before it goes on with the other one.
const TRIES: u8 = 3;

/// One change of engines.
#[derive(Debug)]
pub(super) struct Relief {
    speaks: bool,
    tries: u8,
    /// It was told to give way, and is ended then.
    until: Option<Instant>,
}

impl Relief {
    /// `speaks`: its orders are understood.
    pub(super) const fn new(speaks: bool) -> Self {
        Self {
            speaks,
            tries: TRIES,
            until: None,
        }
    }

    pub(super) const fn speaks(&self) -> bool {
        self.speaks
    }

    /// It was told, and has so long from now on.
    pub(super) fn tell(&mut self, now: Instant) {
        self.until = Some(now + if self.speaks { PATIENCE } else { BRIEF });
    }

    pub(super) const fn told(&self) -> bool {
        self.until.is_some()
    }

    /// When it has to have ended.
    pub(super) const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// One of ours has died before it could begin. False: enough of them.
    pub(super) const fn again(&mut self) -> bool {
        self.tries -= 1;
        self.tries > 0
    }
}
