//! What the owner of the copier and its thread share of one port or carpdev; must not know epoll or frames.

use crate::dataplane::{Balancing, Counters, Gate, Port};
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
    /// In the order of the port's vhosts.
    seats: Vec<Arc<Seat>>,
}

impl Line {
    /// All shut.
    pub(super) fn new(port: Port, tap: OwnedFd) -> Self {
        let seats = port
            .vhosts
            .iter()
            .map(|vhost| Arc::new(Seat::new(vhost.vhid)));
        Self {
            seats: seats.collect(),
            tap: Arc::new(tap),
            live: Arc::default(),
            port,
        }
    }

    /// The same after a change; a vhost that stays keeps its gate and lease, and one that goes is shut.
    pub(super) fn changed(&self, port: Port) -> Self {
        let stays = |vhid| port.vhosts.iter().any(|vhost| vhost.vhid == vhid);
        for seat in self.seats.iter().filter(|seat| !stays(seat.vhid)) {
            self.shut(seat);
        }
        let seat = |vhid| {
            let known = self.seats.iter().find(|seat| seat.vhid == vhid);
            known.map_or_else(|| Arc::new(Seat::new(vhid)), Arc::clone)
        };
        Self {
            seats: port.vhosts.iter().map(|vhost| seat(vhost.vhid)).collect(),
            tap: Arc::clone(&self.tap),
            live: Arc::clone(&self.live),
            port,
        }
    }

    /// What may leave, whatever the leases are.
    pub(super) fn gate(&self) -> Gate {
        let gates = self.seats.iter().map(|seat| seat.gate());
        gates.max().unwrap_or_default()
    }

    /// The MACs whose frames may be somebody's here, whatever the leases are.
    pub(super) fn awaited(&self) -> impl Iterator<Item = MacAddr> + '_ {
        let by_mac = self.port.balancing == Balancing::Mac;
        let open = move |place: usize| match self.seats.get(place) {
            Some(seat) if by_mac => seat.gate() != Gate::Shut,
            _ => self.gate() != Gate::Shut,
        };
        let heard = self.port.heard();
        heard
            .filter(move |(_, place)| open(*place))
            .map(|(mac, _)| mac)
    }

    /// Sequentially consistent with [`enter`](Self::enter): either the thread sees the new gate or we see it in flight.
    pub(super) fn set_gate(&self, vhid: u8, gate: Gate) {
        if let Some(seat) = self.seats.iter().find(|seat| seat.vhid == vhid)
            && seat.gate.swap(gate.number(), Ordering::SeqCst) != gate.number()
        {
            self.live.settle();
        }
    }

    fn shut(&self, seat: &Seat) {
        if seat.gate.swap(Gate::Shut.number(), Ordering::SeqCst) != Gate::Shut.number() {
            self.live.settle();
        }
    }

    pub(super) fn shut_all(&self) {
        self.seats.iter().for_each(|seat| self.shut(seat));
    }

    pub(super) fn set_lease(&self, vhid: u8, until: Instant) {
        if let Some(seat) = self.seats.iter().find(|seat| seat.vhid == vhid) {
            seat.lease.store(until.as_nanos(), Ordering::SeqCst);
        }
    }

    /// Begins the handling of one frame: the gates as they are now hold until the passage is dropped.
    pub(super) fn enter(&self, now: Instant) -> Passage<'_> {
        self.live.in_flight.store(true, Ordering::SeqCst);
        Passage { line: self, now }
    }

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

/// What may pass for one vhost; changes while frames do.
#[derive(Debug)]
struct Seat {
    vhid: u8,
    gate: AtomicU8,
    /// Nanoseconds of CLOCK_BOOTTIME.
    lease: AtomicU64,
}

impl Seat {
    const fn new(vhid: u8) -> Self {
        Self {
            vhid,
            gate: AtomicU8::new(Gate::Shut.number()),
            lease: AtomicU64::new(0),
        }
    }

    fn gate(&self) -> Gate {
        gate(self.gate.load(Ordering::SeqCst))
    }

    /// Past the lease it is shut.
    fn gate_now(&self, now: Instant) -> Gate {
        if now.as_nanos() < self.lease.load(Ordering::SeqCst) {
            self.gate()
        } else {
            Gate::Shut
        }
    }
}

/// One frame on its way.
#[derive(Debug)]
pub(super) struct Passage<'a> {
    line: &'a Line,
    now: Instant,
}

impl Passage<'_> {
    /// What may be done with a frame of the vhost at that place.
    pub(super) fn gate_at(&self, place: usize) -> Gate {
        let seat = self.line.seats.get(place);
        seat.map_or(Gate::Shut, |seat| seat.gate_now(self.now))
    }

    /// The gate that lets most pass, and the place of the first vhost that has it.
    pub(super) fn widest(&self) -> (Gate, usize) {
        let mut widest = (self.gate_at(0), 0);
        for place in 1..self.line.seats.len() {
            if widest.0 == Gate::Open {
                break;
            }
            let gate = self.gate_at(place);
            if gate > widest.0 {
                widest = (gate, place);
            }
        }
        widest
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        self.line.live.in_flight.store(false, Ordering::Release);
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

/// What stays with a port through every change.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// The thread is between reading a gate and the end of a write.
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
    /// Waits until a frame that a former gate let pass has passed.
    fn settle(&self) {
        let since = std::time::Instant::now();
        while self.in_flight.load(Ordering::SeqCst) && since.elapsed() < IN_FLIGHT {
            std::thread::yield_now();
        }
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

const fn gate(number: u8) -> Gate {
    match number {
        1 => Gate::Yielded,
        2 => Gate::Inward,
        3 => Gate::Open,
        _ => Gate::Shut,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::dataplane::Vhost;

    fn line(vhids: &[u8]) -> Line {
        let vhosts = vhids.iter().map(|vhid| Vhost {
            vhid: *vhid,
            mac: MacAddr::of_vhid(*vhid),
        });
        let port = Port {
            id: 1,
            carpdev: 2,
            mac: MacAddr::of_vhid(vhids[0]),
            vhosts: vhosts.collect(),
            balancing: Balancing::Mac,
            probes: false,
            shared: Vec::new(),
            accept: false,
            capture: false,
        };
        let nothing = std::fs::File::open("/dev/null").unwrap();
        Line::new(port, nothing.into())
    }

    #[test]
    fn a_vhost_without_a_lease_is_shut_whatever_its_gate() {
        let line = line(&[1]);
        for gate in [Gate::Inward, Gate::Open, Gate::Yielded, Gate::Shut] {
            line.set_gate(1, gate);
            line.set_lease(1, Instant::from_nanos(100));
            assert_eq!(line.enter(Instant::from_nanos(99)).gate_at(0), gate);
            assert_eq!(line.enter(Instant::from_nanos(100)).gate_at(0), Gate::Shut);
            assert_eq!(line.enter(Instant::from_nanos(99)).gate_at(1), Gate::Shut);
        }
    }

    #[test]
    fn the_widest_gate_of_the_leased_vhosts_counts() {
        let line = line(&[1, 2, 3]);
        for (vhid, until) in [(1, 100), (2, 300), (3, 200)] {
            line.set_gate(vhid, Gate::Open);
            line.set_lease(vhid, Instant::from_nanos(until));
        }
        line.set_gate(2, Gate::Yielded);
        for (now, widest) in [
            (99, (Gate::Open, 0)),
            (100, (Gate::Open, 2)),
            (200, (Gate::Yielded, 1)),
            (300, (Gate::Shut, 0)),
        ] {
            assert_eq!(
                line.enter(Instant::from_nanos(now)).widest(),
                widest,
                "{now}"
            );
        }
        // A vhost that stays keeps both, and one that goes is shut for whoever still has the old line.
        let mut port = line.port.clone();
        port.vhosts.remove(0);
        let changed = line.changed(port);
        let widest = |line: &Line| line.enter(Instant::from_nanos(99)).widest();
        assert_eq!(widest(&changed), (Gate::Open, 1));
        assert_eq!(widest(&line), (Gate::Open, 2));
    }

    #[test]
    fn a_gate_waits_for_the_frame_in_flight_but_not_for_ever() {
        let line = line(&[1]);
        line.set_lease(1, Instant::from_nanos(100));
        line.set_gate(1, Gate::Open);
        let passage = line.enter(Instant::ZERO);
        let since = std::time::Instant::now();
        line.set_gate(1, Gate::Shut);
        assert!(since.elapsed() >= IN_FLIGHT);
        drop(passage);
        assert_eq!(line.enter(Instant::ZERO).gate_at(0), Gate::Shut);
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
