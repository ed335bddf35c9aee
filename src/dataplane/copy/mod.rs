//! The data plane that always works: one thread that copies frames in user space; must not know why a gate is set.
//!
//! The owner of a [`Copier`] changes a table under a lock that is held for moments only; the thread takes over a new
//! table between two frames. What may pass is not in the table but in atomics that the thread reads before every single
//! write, so a gate that closes is closed when [`Copier::set_gate`] returns. The virtual MACs of vhosts that are shut are not
//! in the filter of the carpdev's socket: a BACKUP is not woken by the MASTER's traffic.

mod frame;
mod inward;
mod line;
mod outward;
mod worker;

use super::{Counters, Gate, Port};
use crate::linux::filter::Filter;
use crate::linux::packet::PacketSocket;
use crate::linux::tap;
use crate::time::Instant;
use crate::wire::MacAddr;
use line::{Carpdev, Line};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// The copying thread and its table. Dropping it ends the thread; what it held is closed then.
#[derive(Debug)]
pub struct Copier {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What owner and thread have in common.
#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    /// Counts the tables; the thread compares it before each frame.
    generation: AtomicU64,
    wake: EventFd,
    stop: AtomicBool,
    wakeups: AtomicU64,
}

/// Who is connected to whom. Entries are replaced, never changed, but for their atomics.
#[derive(Debug, Default)]
struct Table {
    carpdevs: BTreeMap<u32, Arc<Carpdev>>,
    lines: BTreeMap<u32, Arc<Line>>,
    /// For which MACs each carpdev's socket wakes us.
    heard: BTreeMap<u32, Vec<MacAddr>>,
    /// The thread is not to see it yet.
    held: bool,
}

impl Copier {
    /// Starts the thread, with nothing to copy.
    ///
    /// # Errors
    /// Those of epoll, eventfd and thread creation.
    pub fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            table: Mutex::default(),
            generation: AtomicU64::new(0),
            wake: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            stop: AtomicBool::new(false),
            wakeups: AtomicU64::new(0),
        });
        let worker = worker::Worker::new(Arc::clone(&shared))?;
        let begun = Arc::new(Barrier::new(2));
        let there = Arc::clone(&begun);
        let run = move || {
            there.wait();
            worker.run();
        };
        let thread = std::thread::Builder::new()
            .name("copy".to_owned())
            .spawn(run)?;
        // What a thread does to begin may be forbidden a moment later.
        begun.wait();
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// From now on the thread leaves everything that is added to wait in its socket or TAP, and sockets hear what they heard.
    pub(super) fn hold(&self) {
        self.table().held = true;
    }

    /// The end of that: what has waited is carried as gates and leases say now.
    pub(super) fn release(&self) {
        self.change(|table| {
            table.held = false;
            for index in table.carpdevs.keys().copied().collect::<Vec<_>>() {
                table.listen(index);
            }
        });
    }

    /// Adds a carpdev with its own MAC and its data socket (opened with virtio headers, filter still shut, not mute),
    /// or replaces the one of this index.
    pub fn add_carpdev(&self, index: u32, mac: MacAddr, data: PacketSocket) {
        self.plug(index, Carpdev::new(mac, data, false));
    }

    /// The same for a carpdev whose frames the kernel moves: only what carpN sends into its TAP is carried, and the socket
    /// may stay mute.
    pub(super) fn add_deaf_carpdev(&self, index: u32, mac: MacAddr, data: PacketSocket) {
        self.plug(index, Carpdev::new(mac, data, true));
    }

    fn plug(&self, index: u32, carpdev: Carpdev) {
        self.change(|table| {
            table.carpdevs.insert(index, Arc::new(carpdev));
            table.heard.remove(&index);
            table.listen(index);
        });
    }

    /// The carpdev's own MAC has changed.
    pub fn carpdev_mac(&self, index: u32, mac: MacAddr) {
        if let Some(carpdev) = self.table().carpdevs.get(&index) {
            carpdev.set_mac(mac);
        }
    }

    /// Forgets a carpdev; its ports stay and drop what they are given.
    pub fn remove_carpdev(&self, index: u32) {
        self.change(|table| {
            table.carpdevs.remove(&index);
            table.heard.remove(&index);
        });
    }

    /// Adds a port, shut and without a lease, or replaces the one of this id. `tap` carries virtio headers.
    pub fn add_port(&self, port: Port, tap: OwnedFd) {
        self.change(|table| {
            let (id, carpdev) = (port.id, port.carpdev);
            if let Some(old) = table.lines.insert(id, Arc::new(Line::new(port, tap))) {
                old.shut_all();
                table.listen(old.port.carpdev);
            }
            table.listen(carpdev);
        });
    }

    /// Changes vhosts, shared addresses or carpdev of a port; its counters and TAP stay, and gate and lease of each vhost that
    /// stays.
    pub fn change_port(&self, port: Port) {
        self.change(|table| {
            let Some(old) = table.lines.get(&port.id) else {
                return;
            };
            let (before, after) = (old.port.carpdev, port.carpdev);
            let line = old.changed(port);
            table.lines.insert(line.port.id, Arc::new(line));
            table.listen(before);
            table.listen(after);
        });
    }

    /// Shuts and forgets a port. The thread closes the TAP as soon as it has noticed.
    pub fn remove_port(&self, id: u32) {
        self.change(|table| {
            if let Some(line) = table.lines.remove(&id) {
                line.shut_all();
                table.listen(line.port.carpdev);
            }
        });
    }

    /// What may pass from now on: a frame that the former gate let through has left when this returns.
    pub fn set_gate(&self, id: u32, vhid: u8, gate: Gate) {
        let mut table = self.table();
        let Some(line) = table.lines.get(&id).map(Arc::clone) else {
            return;
        };
        let before = line.gate();
        if before == Gate::Shut && gate == Gate::Inward {
            line.discard();
        }
        line.set_gate(vhid, gate);
        let waits = before == Gate::Inward && line.gate() != Gate::Inward;
        table.listen(line.port.carpdev);
        drop(table);
        if waits {
            self.change(|_| ());
        }
    }

    /// The vhost is served until that moment of CLOCK_BOOTTIME and not after.
    pub fn set_lease(&self, id: u32, vhid: u8, until: Instant) {
        if let Some(line) = self.table().lines.get(&id) {
            line.set_lease(vhid, until);
        }
    }

    /// Whether a port's TAP is to throw away what carpN sends. Where the kernel refuses, the copier sees it and drops it.
    pub(super) fn deafen(&self, id: u32, deaf: bool) {
        if let Some(line) = self.table().lines.get(&id) {
            let _ = tap::set_deaf(&*line.tap, deaf);
        }
    }

    /// What passed for a port; `None` when there is no such port.
    #[must_use]
    pub fn counters(&self, id: u32) -> Option<Counters> {
        self.table().lines.get(&id).map(|line| line.live.counters())
    }

    /// How often the thread was woken.
    #[must_use]
    pub fn wakeups(&self) -> u64 {
        self.shared.wakeups.load(Ordering::Relaxed)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.shared
            .table
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the table and tells the thread.
    fn change(&self, change: impl FnOnce(&mut Table)) {
        let mut table = self.table();
        change(&mut table);
        if table.held {
            return;
        }
        self.shared.generation.fetch_add(1, Ordering::Release);
        drop(table);
        self.wake();
    }

    fn wake(&self) {
        // Fails only when the counter is full, and then the thread is being woken anyway.
        let _ = self.shared.wake.write(1);
    }
}

impl Copier {
    /// Ends the thread between two frames. What comes from now on waits for another copier, if there is one.
    pub(super) fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.generation.fetch_add(1, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Table {
    /// Lets the carpdev's socket hear the MACs of its vhosts that are not shut, and no other.
    fn listen(&mut self, index: u32) {
        let hears = |found: &&Arc<Carpdev>| !found.deaf && !self.held;
        let Some(carpdev) = self.carpdevs.get(&index).filter(hears) else {
            return;
        };
        let on_it = self
            .lines
            .values()
            .filter(|line| line.port.carpdev == index);
        let macs: Vec<MacAddr> = on_it.flat_map(|line| line.awaited()).collect();
        if self.heard.get(&index) == Some(&macs) {
            return;
        }
        // Should the kernel refuse (no memory), the next change tries again; a closed gate stays closed without it.
        if carpdev.data.set_filter(&Filter::unicast_to(&macs)).is_ok() {
            self.heard.insert(index, macs);
        }
    }
}
