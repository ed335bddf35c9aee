//! The timers of one vhost, as a table of moments; must not know what happens when one is due.

use crate::time::Instant;

/// What a moment stands for. In this order timers are served that are due together: a MASTER that slept past its lease
/// must not send the advertisement that was due meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Timer {
    /// A MASTER may own the addresses until now and not longer.
    Lease,
    /// A former MASTER serves its last frames until now.
    Linger,
    /// The answer to `Action::Arm` is overdue.
    Arming,
    /// No IPv4 advertisement for the dead time.
    MasterDown,
    /// No IPv6 advertisement for the dead time.
    MasterDown6,
    /// The next advertisement.
    Advertise,
    /// A carpdev that has not come up since it was named counts as lost from now on.
    Grace,
}

impl Timer {
    /// Those that a vhost has; [`Timer::Linger`] belongs to what it left behind, [`Timer::Grace`] to its carpN.
    const OF_VHOST: [Self; 5] = [
        Self::Lease,
        Self::Arming,
        Self::MasterDown,
        Self::MasterDown6,
        Self::Advertise,
    ];
}

/// At most one moment for each timer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Timers([Option<Instant>; 7]);

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize] = Some(at);
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub(super) fn stop_all(&mut self) {
        *self = Self::default();
    }

    pub(super) fn get(&self, timer: Timer) -> Option<Instant> {
        self.0[timer as usize]
    }

    /// The first in serving order that is due at `now`, its own moment included.
    pub(super) fn due(&self, now: Instant) -> Option<Timer> {
        Timer::OF_VHOST
            .into_iter()
            .find(|timer| self.get(*timer).is_some_and(|at| at <= now))
    }

    /// The earliest moment, and the first in serving order that waits for it.
    pub(super) fn next(&self) -> Option<(Instant, Timer)> {
        Timer::OF_VHOST
            .into_iter()
            .filter_map(|timer| Some((self.get(timer)?, timer)))
            .min()
    }

    /// The same moments counted from `origin`.
    pub(super) fn rebase(&mut self, origin: Instant) {
        for at in self.0.iter_mut().flatten() {
            *at = Instant::ZERO + at.since(origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_due_at_its_own_moment() {
        let mut timers = Timers::default();
        timers.set(Timer::Advertise, Instant::from_nanos(10));
        assert_eq!(timers.due(Instant::from_nanos(9)), None);
        assert_eq!(timers.due(Instant::from_nanos(10)), Some(Timer::Advertise));
    }

    #[test]
    fn the_lease_is_served_before_an_earlier_advertisement() {
        let mut timers = Timers::default();
        timers.set(Timer::Advertise, Instant::from_nanos(10));
        timers.set(Timer::Lease, Instant::from_nanos(20));
        assert_eq!(
            timers.next(),
            Some((Instant::from_nanos(10), Timer::Advertise))
        );
        assert_eq!(timers.due(Instant::from_nanos(30)), Some(Timer::Lease));
    }
}
