//! The deciding half: gates and leases in memory that the programs read; must not know descriptors of programs.

use crate::dataplane::{Balancing, Gate, Own, Port, VHOSTS};
use crate::linux::Error;
use crate::linux::bpf::Words;
use crate::time::Instant;
use crate::wire::MacAddr;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

/// Words of `struct port` in carp.bpf.c.
const ENTRY: usize = 8;
const ENTRIES: usize = 256;

// Their places.
const HEAD: usize = 0;
const INDEX: usize = 1;
const LEASE: usize = 2;
const UNIT: usize = 3;
const MEMBERS: usize = 4;

// Flags of a vhost, and of entry 0.
const ACCEPT: u8 = 1;
const CAPTURE: u8 = 2;
const FOLD: u8 = 4;
const UNLEARNT: u8 = 8;
const PROBES: u8 = 16;
const BRIDGED: u8 = 1;
const ODD: u8 = 2;

/// What a vhost was last given.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::dataplane) struct Seat {
    pub(in crate::dataplane) gate: Gate,
    pub(in crate::dataplane) lease: Instant,
}

/// The map of one carpdev.
#[derive(Debug)]
pub(in crate::dataplane) struct Ports {
    words: Words,
    own: (u32, Own),
    /// The vhids whose MAC does not tell them: the programs look those up only when there are any.
    odd: BTreeSet<u8>,
}

impl Ports {
    /// Maps what the far end of the door has opened.
    pub(in crate::dataplane) fn new(map: OwnedFd) -> Result<Self, Error> {
        let nobody = Own {
            mac: MacAddr::ZERO,
            inet: None,
            bridged: false,
        };
        Ok(Self {
            words: Words::map(map, ENTRY * ENTRIES)?,
            own: (0, nobody),
            odd: BTreeSet::new(),
        })
    }

    /// The carpdev itself.
    pub(in crate::dataplane) fn set_own(&mut self, index: u32, own: Own) {
        self.own = (index, own);
        self.publish_own();
    }

    fn publish_own(&self) {
        let (index, own) = self.own;
        let address = own.inet.map_or(0, |ip| u32::from_ne_bytes(ip.octets()));
        let flags = flag(BRIDGED, own.bridged) | flag(ODD, !self.odd.is_empty());
        self.store(0, INDEX, pair(index, address));
        self.store(0, HEAD, head(own.mac, 0, flags));
    }

    /// All of a port, its vhosts in the port's order. A vhost that no frame is addressed to has no entry. The lease comes
    /// before the gate: it must not open on an old one.
    pub(in crate::dataplane) fn set(&mut self, port: &Port, seats: &[Seat], capture: bool) {
        let folds = port.balancing != Balancing::Mac;
        let flags = flag(ACCEPT, port.accept)
            | flag(CAPTURE, capture)
            | flag(FOLD, folds)
            | flag(UNLEARNT, port.balancing == Balancing::Unlearnt)
            | flag(PROBES, port.probes);
        let members = members(port);
        for (place, (vhost, seat)) in port.vhosts.iter().zip(seats).enumerate() {
            if vhost.mac == MacAddr::ZERO {
                continue;
            }
            let told = vhost.mac == MacAddr::of_vhid(vhost.vhid) || vhost.mac.is_multicast();
            let differs = if told {
                self.odd.remove(&vhost.vhid)
            } else {
                self.odd.insert(vhost.vhid)
            };
            if differs {
                self.publish_own();
            }
            let slot = usize::from(vhost.vhid);
            for (at, word) in members.iter().enumerate() {
                self.store(slot, MEMBERS + at, *word);
            }
            self.store(slot, UNIT, unit(port, seats));
            self.store(slot, INDEX, pair(port.id, port.carpdev));
            self.store_lease(slot, seat.lease);
            // The others have no frames of their own.
            let mac = if folds && place > 0 {
                MacAddr::ZERO
            } else {
                vhost.mac
            };
            self.store(slot, HEAD, head(mac, seat.gate.number(), flags));
        }
    }

    /// The lease of one vhost of a port has changed to what its seat says.
    pub(in crate::dataplane) fn set_lease(&self, port: &Port, vhid: u8, seats: &[Seat]) {
        for (vhost, seat) in port.vhosts.iter().zip(seats) {
            if vhost.mac == MacAddr::ZERO {
                continue;
            }
            let slot = usize::from(vhost.vhid);
            if vhost.vhid == vhid {
                self.store_lease(slot, seat.lease);
            }
            // Another one may be the best deputy now.
            if seats.len() > 1 {
                self.store(slot, UNIT, unit(port, seats));
            }
        }
    }

    /// Nobody has this vhid any more.
    pub(in crate::dataplane) fn clear(&mut self, vhid: u8) {
        for word in 0..ENTRY {
            self.store(usize::from(vhid), word, 0);
        }
        if self.odd.remove(&vhid) {
            self.publish_own();
        }
    }

    /// The carpdev's is the latest of all.
    fn store_lease(&self, slot: usize, until: Instant) {
        self.store(slot, LEASE, until.as_nanos());
        if let Some(latest) = self.words.words().get(LEASE) {
            latest.fetch_max(until.as_nanos(), Ordering::SeqCst);
        }
    }

    fn store(&self, slot: usize, word: usize, value: u64) {
        // Entry 0 is no vhid's.
        if let Some(at) = self.words.words().get(slot * ENTRY + word) {
            at.store(value, Ordering::SeqCst);
        }
    }
}

const fn flag(flag: u8, set: bool) -> u8 {
    if set { flag } else { 0 }
}

/// The vhids in their order, one a byte.
fn members(port: &Port) -> [u64; VHOSTS / 8] {
    let mut bytes = [0; VHOSTS];
    for (byte, vhost) in bytes.iter_mut().zip(&port.vhosts) {
        *byte = vhost.vhid;
    }
    let (words, _) = bytes.as_chunks();
    std::array::from_fn(|at| u64::from_le_bytes(words[at]))
}

/// carpN's MAC, the number of vhosts, and the deputy: of those but the first that let most pass the one that does so longest.
fn unit(port: &Port, seats: &[Seat]) -> u64 {
    let count = u8::try_from(port.vhosts.len().min(VHOSTS)).unwrap_or_default();
    let others = port.vhosts.iter().zip(seats).skip(1);
    let deputy = others
        .max_by_key(|(_, seat)| (seat.gate, seat.lease))
        .map_or(0, |(vhost, _)| vhost.vhid);
    head(port.mac, count, deputy)
}

/// As the bytes lie in memory.
fn head(mac: MacAddr, seventh: u8, eighth: u8) -> u64 {
    let [a, b, c, d, e, f] = mac.0;
    u64::from_le_bytes([a, b, c, d, e, f, seventh, eighth])
}

fn pair(index: u32, beside: u32) -> u64 {
    u64::from(index) | u64::from(beside) << 32
}
