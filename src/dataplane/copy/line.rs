//! What the owner of the copier and its thread share of one port or carpdev; must not know epoll or frames.

use crate::dataplane::{Counters, Gate, Port};
use crate::linux::packet::PacketSocket;
use crate::time::Instant;
use crate::wire::MacAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// How long closing a gate waits for the frame that is just being written.
const IN_FLIGHT: Duration = Duration::from_millis(5);

/// More frames than a TAP's queue holds: txqueuelen is 1000 by default.
const DEEPEST: usize = 4096;

/// A port and its TAP.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) port: Port,
    pub(super) tap: Arc<OwnedFd>,
    pub(super) live: Arc<Live>,
}

impl Line {
    /// Drops what stands in the TAP: what a host sent while it owned nothing must not wait until it does (T14).
    pub(super) fn discard(&self) {
        // A read takes a whole frame, however little of it fits.
        let mut scrap = [0; 64];
        for _ in 0..DEEPEST {
            match nix::unistd::read(&*self.tap, &mut scrap) {
                Ok(_) => self.live.dropped(Way::Out),
                Err(_) => return,
            }
        }
    }
}

/// A carpdev: its own MAC and the socket that carries its data.
#[derive(Debug)]
pub(super) struct Carpdev {
    mac: AtomicU64,
    pub(super) data: PacketSocket,
    /// What arrives is moved by the kernel.
    pub(super) deaf: bool,
}

impl Carpdev {
    pub(super) fn new(mac: MacAddr, data: PacketSocket, deaf: bool) -> Self {
        Self {
            mac: AtomicU64::new(packed(mac)),
            data,
            deaf,
        }
    }

    pub(super) fn mac(&self) -> MacAddr {
        let [_, _, a, b, c, d, e, f] = self.mac.load(Ordering::Relaxed).to_be_bytes();
        MacAddr([a, b, c, d, e, f])
    }

    pub(super) fn set_mac(&self, mac: MacAddr) {
        self.mac.store(packed(mac), Ordering::Relaxed);
    }
}

fn packed(mac: MacAddr) -> u64 {
    let [a, b, c, d, e, f] = mac.0;
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// To carpN.
    In,
    /// From carpN.
    Out,
}

/// The part of a port that changes while frames pass.
#[derive(Debug)]
pub(super) struct Live {
    gate: AtomicU8,
    /// Nanoseconds of CLOCK_BOOTTIME.
    lease: AtomicU64,
    /// The thread is between reading the gate and the end of a write.
    in_flight: AtomicBool,
    inward: Tally,
    outward: Tally,
}

#[derive(Debug, Default)]
struct Tally {
    frames: AtomicU64,
    bytes: AtomicU64,
    drops: AtomicU64,
}

impl Live {
    pub(super) fn new() -> Self {
        Self {
            gate: AtomicU8::new(number(Gate::Shut)),
            lease: AtomicU64::new(0),
            in_flight: AtomicBool::new(false),
            inward: Tally::default(),
            outward: Tally::default(),
        }
    }

    pub(super) fn gate(&self) -> Gate {
        gate(self.gate.load(Ordering::SeqCst))
    }

    /// Sequentially consistent with [`enter`](Self::enter): either the thread sees the new gate or we see it in flight.
    pub(super) fn set_gate(&self, gate: Gate) {
        if self.gate.swap(number(gate), Ordering::SeqCst) == number(gate) {
            return;
        }
        let since = std::time::Instant::now();
        while self.in_flight.load(Ordering::SeqCst) && since.elapsed() < IN_FLIGHT {
            std::thread::yield_now();
        }
    }

    pub(super) fn set_lease(&self, until: Instant) {
        self.lease.store(until.as_nanos(), Ordering::SeqCst);
    }

    /// Begins the handling of one frame; the gate in the passage holds until it is dropped. Past the lease it is shut.
    pub(super) fn enter(&self, now: Instant) -> Passage<'_> {
        self.in_flight.store(true, Ordering::SeqCst);
        let leased = now.as_nanos() < self.lease.load(Ordering::SeqCst);
        let gate = if leased { self.gate() } else { Gate::Shut };
        Passage { live: self, gate }
    }

    /// A frame of that many bytes has passed.
    pub(super) fn passed(&self, way: Way, bytes: usize) {
        let tally = self.tally(way);
        tally.frames.fetch_add(1, Ordering::Relaxed);
        tally
            .bytes
            .fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A frame was dropped.
    pub(super) fn dropped(&self, way: Way) {
        self.tally(way).drops.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            in_frames: read(&self.inward.frames),
            in_bytes: read(&self.inward.bytes),
            in_drops: read(&self.inward.drops),
            out_frames: read(&self.outward.frames),
            out_bytes: read(&self.outward.bytes),
            out_drops: read(&self.outward.drops),
        }
    }

    fn tally(&self, way: Way) -> &Tally {
        match way {
            Way::In => &self.inward,
            Way::Out => &self.outward,
        }
    }
}

/// One frame on its way.
#[derive(Debug)]
pub(super) struct Passage<'a> {
    live: &'a Live,
    /// What may be done with it.
    pub(super) gate: Gate,
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        self.live.in_flight.store(false, Ordering::Release);
    }
}

const fn number(gate: Gate) -> u8 {
    match gate {
        Gate::Shut => 0,
        Gate::Inward => 1,
        Gate::Open => 2,
        Gate::Yielded => 3,
    }
}

const fn gate(number: u8) -> Gate {
    match number {
        1 => Gate::Inward,
        2 => Gate::Open,
        3 => Gate::Yielded,
        _ => Gate::Shut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_without_a_lease_is_shut_whatever_its_gate() {
        let live = Live::new();
        for gate in [Gate::Inward, Gate::Open, Gate::Yielded, Gate::Shut] {
            live.set_gate(gate);
            live.set_lease(Instant::from_nanos(100));
            assert_eq!(live.enter(Instant::from_nanos(99)).gate, gate);
            assert_eq!(live.enter(Instant::from_nanos(100)).gate, Gate::Shut);
        }
    }

    #[test]
    fn a_gate_waits_for_the_frame_in_flight_but_not_for_ever() {
        let live = Live::new();
        live.set_lease(Instant::from_nanos(100));
        live.set_gate(Gate::Open);
        let passage = live.enter(Instant::ZERO);
        let since = std::time::Instant::now();
        live.set_gate(Gate::Shut);
        assert!(since.elapsed() >= IN_FLIGHT);
        drop(passage);
        assert_eq!(live.enter(Instant::ZERO).gate, Gate::Shut);
    }

    #[test]
    fn a_mac_survives_its_packing() {
        for mac in [
            MacAddr([1, 2, 3, 4, 5, 6]),
            MacAddr::BROADCAST,
            MacAddr::ZERO,
        ] {
            assert_eq!(packed(mac).to_be_bytes()[2..], mac.0);
        }
    }
}
