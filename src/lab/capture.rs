//! What each bridge port received, with the kernel's times: one packet socket a port, ingress only, so that the port is
//! the host. Bounded memory; must not know the daemon.

use super::beat::Beat;
use super::figures::Sighting;
use super::pcapng::{Packet, Writer};
use super::sight::{self, Shared};
use super::stamp::{self, Epoch};
use crate::linux::clock;
use crate::linux::filter::Filter;
use crate::linux::packet::{PacketSocket, Vnet};
use crate::linux::{self, netns::Namespace};
use crate::time::Instant;
use crate::wire::Family;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes kept of a frame: all of every advertisement, ARP, ND and probe.
const SNAP: usize = 192;
/// Frames kept since the last [`Capture::clear`]; of those, the last sixteenth only for what is no probe.
const KEPT: usize = 1 << 19;
const KEPT_PROBES: usize = KEPT / 16 * 15;
const QUEUE_BYTES: usize = 8 << 20;

/// One received frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The kernel's receive time.
    pub at: Instant,
    /// The port's number, in the order given to [`Capture::start`].
    pub port: usize,
    /// Its length on the wire.
    pub length: u32,
    /// Its first bytes, from the destination address on.
    pub bytes: Box<[u8]>,
}

/// When a port last advertised for a family (goodbyes excepted).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The port.
    pub port: usize,
    /// For which family.
    pub family: Family,
    /// When.
    pub at: Instant,
}

#[derive(Debug)]
struct Kept {
    epoch: Epoch,
    frames: Vec<Frame>,
    dropped: u64,
    heard: Vec<Heard>,
}

/// Runs until dropped.
#[derive(Debug)]
pub struct Capture {
    kept: Arc<Mutex<Kept>>,
    names: Vec<String>,
    shared: Shared,
    _beat: Beat,
}

impl Capture {
    /// Listens on `ports`, interface index and name, in `namespace`.
    ///
    /// # Errors
    /// Those of packet sockets: no privilege, no such interface.
    pub fn start(
        namespace: &Namespace,
        ports: &[(u32, String)],
        shared: Shared,
    ) -> linux::Result<Self> {
        let open = || {
            ports
                .iter()
                .map(|(index, name)| open(*index, name))
                .collect::<linux::Result<Vec<_>>>()
        };
        let sockets = namespace.try_run(open)??;
        let kept = Kept {
            epoch: Epoch::measure(),
            frames: Vec::new(),
            dropped: 0,
            heard: Vec::new(),
        };
        let kept = Arc::new(Mutex::new(kept));
        let sink = Arc::clone(&kept);
        let beat = Beat::run("capture", move |stop| {
            listen(stop, &sockets, &sink, &shared)
        })
        .map_err(|source| linux::Error::new("start thread", "capture", source))?;
        let names = ports.iter().map(|(_, name)| name.clone()).collect();
        Ok(Self {
            kept,
            names,
            shared,
            _beat: beat,
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }

    /// Forgets all frames; not who was heard last.
    pub fn clear(&self) {
        let mut kept = self.kept();
        kept.frames.clear();
        kept.dropped = 0;
        kept.epoch = Epoch::measure();
    }

    /// Every (port, family) that advertised since the start, with the last time.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.kept().heard.clone()
    }

    /// The port that advertised last for a family.
    #[must_use]
    pub fn master(&self, family: Family) -> Option<usize> {
        let kept = self.kept();
        kept.heard
            .iter()
            .filter(|heard| heard.family == family)
            .max_by_key(|heard| heard.at)
            .map(|heard| heard.port)
    }

    /// Frames that did not fit into the memory since the last [`Capture::clear`].
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.kept().dropped
    }

    /// A copy of the frames from `from` to `to`, by time.
    #[must_use]
    pub fn frames(&self, from: Instant, to: Instant) -> Vec<Frame> {
        let within = |frame: &&Frame| (from..=to).contains(&frame.at);
        let mut frames: Vec<Frame> = self.kept().frames.iter().filter(within).cloned().collect();
        frames.sort_by_key(|frame| frame.at);
        frames
    }

    /// What `frames` show about the shared addresses.
    #[must_use]
    pub fn sightings(&self, frames: &[Frame]) -> Vec<Sighting> {
        let read = |frame: &Frame| {
            let sight = sight::sight(&frame.bytes, &self.shared)?;
            Some(Sighting {
                at: frame.at,
                port: frame.port,
                sight,
            })
        };
        frames.iter().filter_map(read).collect()
    }

    /// Nanoseconds since 1970, as in the files.
    #[must_use]
    pub fn real(&self, at: Instant) -> u64 {
        self.kept().epoch.real(at)
    }

    /// Writes `frames` as a pcapng file with one interface block a port.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, frames: &[Frame], comment: &str, out: impl Write) -> io::Result<()> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let snap = u32::try_from(SNAP).unwrap_or(u32::MAX);
        let epoch = self.kept().epoch;
        let mut writer = Writer::new(out, comment, &names, snap)?;
        for frame in frames {
            let Frame {
                at,
                port,
                length,
                bytes,
            } = frame;
            writer.packet(&Packet {
                interface: *port,
                time: epoch.real(*at),
                length: *length,
                bytes: bytes.to_vec(),
            })?;
        }
        writer.finish().map(drop)
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(index: u32, name: &str) -> linux::Result<PacketSocket> {
    let failed = |source| linux::Error::new("listen on bridge port", name, source);
    let socket = PacketSocket::open(index, Vnet::No)?;
    stamp::enable(&socket).map_err(failed)?;
    if setsockopt(&socket, sockopt::RcvBufForce, &QUEUE_BYTES).is_err() {
        // Without privilege over the machine the limit of the system holds.
        let _ = setsockopt(&socket, sockopt::RcvBuf, &QUEUE_BYTES);
    }
    socket.set_filter(&Filter::everything()).map_err(failed)?;
    Ok(socket)
}

fn listen(stop: &AtomicBool, sockets: &[PacketSocket], kept: &Mutex<Kept>, shared: &Shared) {
    let mut ready: Vec<PollFd<'_>> = sockets
        .iter()
        .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
        .collect();
    while !stop.load(Ordering::Relaxed) {
        if poll(&mut ready, PollTimeout::from(50u8)).is_err() {
            continue;
        }
        for (port, socket) in sockets.iter().enumerate() {
            drain(port, socket, kept, shared);
        }
    }
}

/// Takes what is queued. ENETDOWN, once for a port whose link went down, ends it as `WouldBlock` does.
fn drain(port: usize, socket: &PacketSocket, kept: &Mutex<Kept>, shared: &Shared) {
    let mut buffer = [0; SNAP];
    let epoch = lock(kept).epoch;
    while let Ok((length, at)) = stamp::receive(socket, &mut buffer, epoch) {
        let bytes = &buffer[..length.min(SNAP)];
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        lock(kept).keep(
            Frame {
                at,
                port,
                length,
                bytes: bytes.into(),
            },
            shared,
        );
    }
}

impl Kept {
    fn keep(&mut self, frame: Frame, shared: &Shared) {
        let seen = sight::sight(&frame.bytes, shared);
        if let Some(seen) = seen.filter(|seen| seen.advert.is_some_and(|advert| !advert.goodbye()))
        {
            self.hear(Heard {
                port: frame.port,
                family: seen.family,
                at: frame.at,
            });
        }
        let room = if sight::echo(&frame.bytes).is_some() {
            KEPT_PROBES
        } else {
            KEPT
        };
        if self.frames.len() < room {
            self.frames.push(frame);
        } else {
            self.dropped += 1;
        }
    }

    fn hear(&mut self, heard: Heard) {
        match self
            .heard
            .iter_mut()
            .find(|old| (old.port, old.family) == (heard.port, heard.family))
        {
            Some(old) => old.at = heard.at,
            None => self.heard.push(heard),
        }
    }
}

/// The present moment on the clock of all records.
#[must_use]
pub fn now() -> Instant {
    clock::now()
}
