//! The thread: waits for frames and carries them in batches, fair between descriptors; must not know what may pass.

use super::inward::{self, Roster};
use super::line::{Carpdev, Line};
use super::{Shared, outward};
use crate::dataplane::Gate;
use crate::linux::clock::now;
use crate::time::Instant;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Frames carried for one descriptor before the others have their turn.
const BATCH: usize = 64;

/// Longer than any super-packet of the usual kind (64 KiB of IP); a frame that fills it was cut, and is dropped.
const BUFFER: usize = 128 * 1024;

/// So many faults of one descriptor within [`FAULT_SPAN`], and we stop listening to it.
const FAULTS: u32 = 32;
const FAULT_SPAN: Duration = Duration::from_millis(100);

const WAKE: u64 = u64::MAX;
/// Set in the tokens of carpdevs; those of ports are the bare index.
const CARPDEV: u64 = 1 << 32;

#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    epoll: Epoll,
    /// The generation of the table that `inlets` and `outlets` stand for.
    seen: u64,
    inlets: BTreeMap<u32, Inlet>,
    outlets: BTreeMap<u32, Outlet>,
    buffer: Box<[u8]>,
}

#[derive(Debug)]
struct Inlet {
    carpdev: Arc<Carpdev>,
    roster: Roster,
    health: Health,
}

#[derive(Debug)]
struct Outlet {
    line: Arc<Line>,
    carpdev: Option<Arc<Carpdev>>,
    health: Health,
    /// Its frames wait in the TAP until the gate changes, and epoll does not report them.
    held: bool,
}

/// What came of one visit to a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visit {
    /// Frames, or none left.
    Fine,
    /// An error that may pass: the link went down.
    Fault,
    /// The interface is gone for good.
    Gone,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&shared.wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Ok(Self {
            shared,
            epoll,
            seen: 0,
            inlets: BTreeMap::new(),
            outlets: BTreeMap::new(),
            buffer,
        })
    }

    pub(super) fn run(mut self) {
        let mut events = [EpollEvent::empty(); 64];
        while !self.shared.stop.load(Ordering::Acquire) {
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(_) => {
                    // None of the others can happen to an epoll of ours; if one does, let it not burn a processor.
                    std::thread::sleep(Duration::from_millis(10));
                    continue;
                }
            };
            self.shared.wakeups.fetch_add(1, Ordering::Relaxed);
            for event in &events[..count] {
                self.visit(*event);
            }
        }
    }

    fn visit(&mut self, event: EpollEvent) {
        let token = event.data();
        if token == WAKE {
            let _ = self.shared.wake.read();
        }
        if self.shared.generation.load(Ordering::Acquire) != self.seen {
            self.reload();
        }
        let Ok(index) = u32::try_from(token & !CARPDEV) else {
            return;
        };
        let broken = event
            .events()
            .intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
        if token & CARPDEV != 0 {
            self.visit_carpdev(index, broken);
        } else {
            self.visit_port(index, broken);
        }
    }

    fn visit_carpdev(&mut self, index: u32, broken: bool) {
        let Some(inlet) = self.inlets.get_mut(&index) else {
            return;
        };
        let visit = drain(&self.shared, self.seen, broken, |now| {
            let length = inlet.carpdev.data.recv(&mut self.buffer)?;
            if length < BUFFER {
                inward::carry(&inlet.roster, &mut self.buffer[..length], now);
            }
            Ok(())
        });
        if inlet.health.ends_with(visit) {
            let _ = self.epoll.delete(&inlet.carpdev.data);
        }
    }

    fn visit_port(&mut self, index: u32, broken: bool) {
        let Some(outlet) = self.outlets.get_mut(&index) else {
            return;
        };
        if outlet.line.gate() == Gate::Inward && !broken {
            let silent = EpollEvent::new(EpollFlags::empty(), u64::from(index));
            outlet.held = self
                .epoll
                .modify(&*outlet.line.tap, &mut { silent })
                .is_ok();
            return;
        }
        let visit = drain(&self.shared, self.seen, broken, |now| {
            if outlet.line.gate() == Gate::Inward {
                return Err(Errno::EAGAIN.into());
            }
            let length = nix::unistd::read(&*outlet.line.tap, &mut self.buffer)?;
            if length < BUFFER {
                outward::carry(
                    &outlet.line,
                    outlet.carpdev.as_deref(),
                    &mut self.buffer[..length],
                    now,
                );
            }
            Ok(())
        });
        if outlet.health.ends_with(visit) {
            let _ = self.epoll.delete(&*outlet.line.tap);
        }
    }

    /// Takes over the table. A descriptor that stayed keeps its place in epoll and its health.
    fn reload(&mut self) {
        let table = self
            .shared
            .table
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.seen = self.shared.generation.load(Ordering::Acquire);
        let (carpdevs, lines) = (table.carpdevs.clone(), table.lines.clone());
        drop(table);

        let mut old_inlets = std::mem::take(&mut self.inlets);
        for (index, carpdev) in &carpdevs {
            let known = old_inlets.remove(index);
            let health = match known {
                Some(old) if Arc::ptr_eq(&old.carpdev, carpdev) => old.health,
                known => {
                    known.inspect(|old| self.forget(&old.carpdev.data));
                    self.watch(&carpdev.data, CARPDEV | u64::from(*index))
                }
            };
            let on_it = lines.values().filter(|line| line.port.carpdev == *index);
            let roster = Roster::new(on_it.map(Arc::clone));
            self.inlets.insert(
                *index,
                Inlet {
                    carpdev: Arc::clone(carpdev),
                    roster,
                    health,
                },
            );
        }
        old_inlets
            .values()
            .for_each(|old| self.forget(&old.carpdev.data));

        let mut old_outlets = std::mem::take(&mut self.outlets);
        for (id, line) in lines {
            let known = old_outlets.remove(&id);
            let health = match known {
                Some(old) if Arc::ptr_eq(&old.line.tap, &line.tap) => {
                    if old.held {
                        let mut heard = EpollEvent::new(EpollFlags::EPOLLIN, u64::from(id));
                        let _ = self.epoll.modify(&*line.tap, &mut heard);
                    }
                    old.health
                }
                known => {
                    known.inspect(|old| self.forget(&*old.line.tap));
                    self.watch(&*line.tap, u64::from(id))
                }
            };
            let carpdev = carpdevs.get(&line.port.carpdev).map(Arc::clone);
            self.outlets.insert(
                id,
                Outlet {
                    line,
                    carpdev,
                    health,
                    held: false,
                },
            );
        }
        old_outlets
            .values()
            .for_each(|old| self.forget(&*old.line.tap));
    }

    fn watch(&self, fd: impl AsFd, token: u64) -> Health {
        let _ = self
            .epoll
            .add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token));
        Health::default()
    }

    /// Not left to the last close: the door may hold a duplicate, and epoll would go on reporting it.
    fn forget(&self, fd: impl AsFd) {
        let _ = self.epoll.delete(fd);
    }
}

/// Carries frames until there are none left, the batch is full, or the table has changed.
fn drain(
    shared: &Shared,
    seen: u64,
    broken: bool,
    mut carry: impl FnMut(Instant) -> io::Result<()>,
) -> Visit {
    for turn in 0..BATCH {
        if shared.generation.load(Ordering::Relaxed) != seen {
            break;
        }
        // Read before every frame and not once a batch: the process may be stopped for any time between two frames.
        match carry(now()).map_err(|error| {
            error
                .raw_os_error()
                .map_or(Errno::UnknownErrno, Errno::from_raw)
        }) {
            Ok(()) | Err(Errno::EINTR | Errno::EINVAL) => {}
            Err(Errno::EAGAIN) => {
                return if broken && turn == 0 {
                    Visit::Fault
                } else {
                    Visit::Fine
                };
            }
            Err(Errno::EBADFD | Errno::EBADF | Errno::ENODEV) => return Visit::Gone,
            Err(_) => return Visit::Fault,
        }
    }
    Visit::Fine
}

/// Keeps a descriptor that reports errors without end from keeping the thread awake.
#[derive(Debug, Default)]
struct Health {
    since: Instant,
    faults: u32,
}

impl Health {
    /// True when the descriptor is not worth listening to any more.
    fn ends_with(&mut self, visit: Visit) -> bool {
        match visit {
            Visit::Fine => false,
            Visit::Gone => true,
            Visit::Fault => {
                let now = now();
                if now.since(self.since) > FAULT_SPAN {
                    *self = Self {
                        since: now,
                        faults: 0,
                    };
                }
                self.faults += 1;
                self.faults >= FAULTS
            }
        }
    }
}
