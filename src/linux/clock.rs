//! CLOCK_BOOTTIME and one timer on it; must not know what is timed.

use super::{Error, Result};
use crate::time::Instant;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd as Inner, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// The present moment. It goes on while the machine sleeps.
#[must_use]
pub fn now() -> Instant {
    let spec = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
        .expect("clock_gettime fails only for an unknown clock or a bad pointer, and CLOCK_BOOTTIME is older than Rust's oldest kernel");
    let seconds = u64::try_from(spec.tv_sec()).unwrap_or(0);
    let nanos = u64::try_from(spec.tv_nsec()).unwrap_or(0);
    Instant::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// A timerfd on CLOCK_BOOTTIME: tokio's own timer is 1.2 ms late at the median, this one 0.06 ms.
#[derive(Debug)]
pub struct TimerFd(Inner);

impl TimerFd {
    /// A disarmed timer, non-blocking.
    pub fn new() -> Result<Self> {
        Inner::new(
            ClockId::CLOCK_BOOTTIME,
            TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
        )
        .map(Self)
        .map_err(|errno| Error::new("create timer", "", errno))
    }

    /// Fires once at `deadline` (at once if it is past), or never.
    pub fn set(&self, deadline: Option<Instant>) -> Result<()> {
        let armed = match deadline {
            None => self.0.unset(),
            Some(at) => {
                // An all-zero value would disarm.
                let span = Duration::from_nanos(at.as_nanos().clamp(1, i64::MAX.unsigned_abs()));
                self.0.set(
                    Expiration::OneShot(TimeSpec::from_duration(span)),
                    TimerSetTimeFlags::TFD_TIMER_ABSTIME,
                )
            }
        };
        armed.map_err(|errno| Error::new("set timer", "", errno))
    }

    /// Takes notice of the expiry; `WouldBlock` if it has not fired since it was last set or read.
    pub fn read(&self) -> io::Result<()> {
        self.0.wait().map_err(io::Error::from)
    }
}

impl AsFd for TimerFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
