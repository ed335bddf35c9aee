//! The deciding half: gates and leases in memory that the programs read; must not know descriptors of programs.

use crate::dataplane::{Gate, Own, Port};
use crate::linux::Error;
use crate::linux::bpf::Words;
use crate::time::Instant;
use crate::wire::MacAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

/// Words of `struct port` in carp.bpf.c: the head, index and address, the lease.
const ENTRY: usize = 3;
const ENTRIES: usize = 256;

// Flags of a port, and of entry 0.
const ACCEPT: u8 = 1;
const CAPTURE: u8 = 2;
const BRIDGED: u8 = 1;

/// The map of one carpdev.
#[derive(Debug)]
pub(in crate::dataplane) struct Ports(Words);

impl Ports {
    /// Maps what the far end of the door has opened.
    pub(in crate::dataplane) fn new(map: OwnedFd) -> Result<Self, Error> {
        Words::map(map, ENTRY * ENTRIES).map(Self)
    }

    /// The carpdev itself.
    pub(in crate::dataplane) fn set_own(&self, index: u32, own: Own) {
        let address = own.inet.map_or(0, |ip| u32::from_ne_bytes(ip.octets()));
        let flags = if own.bridged { BRIDGED } else { 0 };
        self.store(0, 1, pair(index, address));
        self.store(0, 0, head(own.mac, 0, flags));
    }

    /// The gate of a port; its lease stays. A port without a vhid has no entry.
    pub(in crate::dataplane) fn set(&self, port: &Port, gate: Gate, capture: bool) {
        let Some(slot) = slot(port.mac) else {
            return;
        };
        let mut flags = 0;
        if port.accept {
            flags |= ACCEPT;
        }
        if capture {
            flags |= CAPTURE;
        }
        self.store(slot, 1, pair(port.id, 0));
        self.store(slot, 0, head(port.mac, number(gate), flags));
    }

    pub(in crate::dataplane) fn set_lease(&self, port: &Port, until: Instant) {
        if let Some(slot) = slot(port.mac) {
            self.store(slot, 2, until.as_nanos());
        }
    }

    /// Nobody has this MAC any more.
    pub(in crate::dataplane) fn clear(&self, mac: MacAddr) {
        if let Some(slot) = slot(mac) {
            for word in 0..ENTRY {
                self.store(slot, word, 0);
            }
        }
    }

    fn store(&self, slot: usize, word: usize, value: u64) {
        if let Some(at) = self.0.words().get(slot * ENTRY + word) {
            at.store(value, Ordering::SeqCst);
        }
    }
}

/// The last byte of a virtual MAC; 0 is no vhid.
fn slot(mac: MacAddr) -> Option<usize> {
    let vhid = mac.0[5];
    (vhid != 0 && mac == MacAddr::of_vhid(vhid)).then_some(usize::from(vhid))
}

/// As the bytes lie in memory.
fn head(mac: MacAddr, gate: u8, flags: u8) -> u64 {
    let [a, b, c, d, e, f] = mac.0;
    u64::from_le_bytes([a, b, c, d, e, f, gate, flags])
}

fn pair(index: u32, address: u32) -> u64 {
    u64::from(index) | u64::from(address) << 32
}

const fn number(gate: Gate) -> u8 {
    match gate {
        Gate::Shut => 0,
        Gate::Inward => 1,
        Gate::Open => 2,
        Gate::Yielded => 3,
    }
}
