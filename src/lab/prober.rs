//! Numbered ICMP echo probes to shared addresses, sent by the clock and never after the previous reply; must not know who
//! answers them. The kernel of whoever owns the address answers: no program of ours on the far side.
//!
//! Every second probe meets a freshly deleted neighbour entry, the others a warm one. The entry is deleted only when the
//! probe before was answered and the prober is not behind its clock: deleting an entry under resolution would drop
//! the probes that wait in it, a loss of our own making.

use super::beat::Beat;
use super::echo::Echo;
use super::figures::Probe;
use super::stamp::Epoch;
use crate::linux::netlink::Netlink;
use crate::linux::{self, clock, netns::Namespace};
use crate::time::Instant;
use crate::wire::Family;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Probes kept per family, oldest forgotten first: seventeen minutes at one a millisecond.
const KEPT: usize = 1 << 20;

/// The records of one family, read while the thread writes.
type Records = Mutex<VecDeque<Probe>>;

/// One family, as the thread sees it.
struct Lane {
    echo: Echo,
    records: Arc<Records>,
}

/// What the thread needs beside the lanes.
struct Road {
    netlink: Netlink,
    interface: u32,
    period: Duration,
    epoch: Epoch,
}

/// Runs until dropped.
#[derive(Debug)]
pub struct Prober {
    records: Vec<(Family, Arc<Records>)>,
    period: Duration,
    _beat: Beat,
}

impl Prober {
    /// Probes each of `targets`, at most one per family, every `period` from within `namespace`, where they are
    /// neighbours on the interface with this index.
    ///
    /// # Errors
    /// Those of raw sockets and netlink: no privilege.
    pub fn start(
        namespace: &Namespace,
        interface: u32,
        targets: &[IpAddr],
        period: Duration,
    ) -> linux::Result<Self> {
        let open = || {
            let echoes = targets
                .iter()
                .map(|target| Echo::open(*target))
                .collect::<linux::Result<Vec<_>>>()?;
            Ok::<_, linux::Error>((Netlink::open()?, echoes))
        };
        let (netlink, echoes) = namespace.try_run(open)??;
        let lane = |echo| Lane {
            echo,
            records: Arc::new(Records::default()),
        };
        let lanes: Vec<_> = echoes.into_iter().map(lane).collect();
        let records = lanes
            .iter()
            .map(|lane| (lane.echo.family(), Arc::clone(&lane.records)))
            .collect();
        let road = Road {
            netlink,
            interface,
            period,
            epoch: Epoch::measure(),
        };
        let beat = Beat::run("prober", move |stop| probe(stop, &lanes, &road))
            .map_err(|source| linux::Error::new("start thread", "prober", source))?;
        Ok(Self {
            records,
            period,
            _beat: beat,
        })
    }

    /// The time between two probes.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// The probes of a family that were sent from `from` on and before `to`, in the order of their numbers.
    #[must_use]
    pub fn probes(&self, family: Family, from: Instant, to: Instant) -> Vec<Probe> {
        let Some((_, records)) = self.records.iter().find(|(known, _)| *known == family) else {
            return Vec::new();
        };
        let records = lock(records);
        let start = records.partition_point(|probe| probe.sent < from);
        let end = records.partition_point(|probe| probe.sent < to);
        records.range(start..end.max(start)).copied().collect()
    }
}

fn lock(records: &Records) -> MutexGuard<'_, VecDeque<Probe>> {
    records.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends at each tick and receives until the next one.
fn probe(stop: &AtomicBool, lanes: &[Lane], road: &Road) {
    let mut due = clock::now() + road.period;
    while !stop.load(Ordering::Relaxed) {
        receive_until(due, lanes, road.epoch);
        let behind = clock::now().since(due) > road.period / 2;
        for lane in lanes {
            lane.send(road, behind);
        }
        due = due + road.period;
    }
}

fn receive_until(due: Instant, lanes: &[Lane], epoch: Epoch) {
    let mut ready: Vec<_> = lanes
        .iter()
        .map(|lane| PollFd::new(lane.echo.as_fd(), PollFlags::POLLIN))
        .collect();
    loop {
        let left = due.since(clock::now());
        // Interrupted or not: what is there is taken, and the clock decides.
        let _ = ppoll(&mut ready, Some(TimeSpec::from_duration(left)), None);
        for lane in lanes {
            lane.receive(epoch);
        }
        if left.is_zero() {
            return;
        }
    }
}

impl Lane {
    fn send(&self, road: &Road, behind: bool) {
        let last = lock(&self.records).back().copied();
        let number = last.map_or(0, |last| last.number + 1);
        let settled = last.is_some_and(|last| last.answered.is_some());
        let fresh = number % 2 == 1 && settled && !behind && self.forget(road);
        let mut records = lock(&self.records);
        if records.len() == KEPT {
            records.pop_front();
        }
        let sent = clock::now();
        records.push_back(Probe {
            number,
            sent,
            answered: None,
            fresh,
        });
        drop(records);
        // A probe that the kernel refuses (no route, no neighbour) is a lost one.
        let _ = self.echo.send(number);
    }

    fn forget(&self, road: &Road) -> bool {
        road.netlink
            .del_neighbour(road.interface, self.echo.target())
            .is_ok()
    }

    fn receive(&self, epoch: Epoch) {
        while let Some(reply) = self.echo.receive(epoch) {
            let Some((number, at)) = reply else { continue };
            let mut records = lock(&self.records);
            let first = records.front().map_or(0, |probe| probe.number);
            let index = number
                .checked_sub(first)
                .and_then(|index| usize::try_from(index).ok());
            if let Some(probe) = index.and_then(|index| records.get_mut(index)) {
                probe.answered.get_or_insert(at);
            }
        }
    }
}
