//! A carpdev in use: its sockets, what is listened for, and the tasks that read it; must not know elections.

use super::Event;
use super::pace::{Pace, REST};
use crate::carp::config::Carpdev;
use crate::linux::clock;
use crate::linux::filter::Filter;
use crate::linux::frames::{Frames, MOST, Slots};
use crate::linux::packet::PacketSocket;
use crate::linux::readiness::Readiness;
use crate::wire::MacAddr;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;

/// What a carpdev listens for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listening {
    /// Multicast groups.
    pub groups: BTreeSet<IpAddr>,
    /// Virtual MACs.
    pub macs: BTreeSet<MacAddr>,
}

impl Listening {
    /// Both advertisement groups, nothing else.
    #[must_use]
    pub fn for_advertisements() -> Self {
        let groups = [
            IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18)),
            IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12)),
        ];
        Self {
            groups: groups.into(),
            macs: BTreeSet::new(),
        }
    }

    /// Adds the solicited-node group of a shared address (RFC 4291 section 2.7.1), needed in BACKUP too (T9).
    pub fn solicit(&mut self, address: IpAddr) {
        if let IpAddr::V6(ip) = address {
            let [.., a, b, c] = ip.octets();
            let group = Ipv6Addr::new(
                0xff02,
                0,
                0,
                0,
                0,
                1,
                0xff00 | u16::from(a),
                u16::from_be_bytes([b, c]),
            );
            self.groups.insert(IpAddr::V6(group));
        }
    }
}

/// One carpdev that is open.
#[derive(Debug)]
pub struct Attached {
    /// Its name when it was opened.
    pub name: String,
    /// Confirmed by the far end of the door.
    pub listening: Option<Listening>,
    /// The host forwards IPv6 there, as of the last promotion.
    pub router: bool,
    adverts: Rc<PacketSocket>,
    neighbours: Rc<PacketSocket>,
    readers: [JoinHandle<()>; 2],
    /// What the neighbours' filter lets through.
    asked_for: BTreeSet<IpAddr>,
}

impl Attached {
    /// Takes the sockets over and begins to read. `adverts` gets advertisements, `events` ARP and solicitations, so that
    /// a flood of the second never delays the first.
    ///
    /// # Errors
    /// A descriptor is no packet socket, or cannot be polled.
    pub fn new(
        index: u32,
        name: &str,
        sockets: [OwnedFd; 2],
        adverts: Sender<Event>,
        events: Sender<Event>,
    ) -> io::Result<Self> {
        let [first, second] = sockets.map(|socket| Rc::new(PacketSocket::from(socket)));
        first.set_filter(&Filter::advertisements())?;
        let [one, two] = [Rc::clone(&first), Rc::clone(&second)].map(Readiness::new);
        let readers = [
            tokio::task::spawn_local(read(index, one?, adverts)),
            tokio::task::spawn_local(read(index, two?, events)),
        ];
        let name = name.to_owned();
        Ok(Self {
            name,
            listening: None,
            router: false,
            adverts: first,
            neighbours: second,
            readers,
            asked_for: BTreeSet::new(),
        })
    }

    /// Lets one frame leave.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.adverts.send(frame)
    }

    /// Advertisements that found the queue full since the last call.
    pub fn missed(&self) -> u64 {
        self.adverts.missed().map_or(0, u64::from)
    }

    /// Lets through only ARP requests and solicitations for these addresses: nothing else wakes the daemon.
    ///
    /// # Errors
    /// The kernel refuses the filter.
    pub fn answer_for(&mut self, addresses: BTreeSet<IpAddr>) -> io::Result<()> {
        if addresses == self.asked_for {
            return Ok(());
        }
        let mut four = Vec::new();
        let mut six = Vec::new();
        for address in &addresses {
            match address {
                IpAddr::V4(ip) => four.push(*ip),
                IpAddr::V6(ip) => six.push(*ip),
            }
        }
        let filter = if addresses.is_empty() {
            Filter::none()
        } else {
            Filter::neighbours(&four, &six)
        };
        self.neighbours.set_filter(&filter)?;
        self.asked_for = addresses;
        Ok(())
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.readers.iter().for_each(JoinHandle::abort);
    }
}

/// Reads frames in batches until the socket is gone. An interface that went down reports that once; its link event tells
/// the rest. In a flood it looks by the clock, so that what arrives wakes nobody.
async fn read(index: u32, mut socket: Readiness<Rc<PacketSocket>>, events: Sender<Event>) {
    let mut slots = Slots::default();
    let mut pace = Pace::default();
    let mut paused = false;
    loop {
        let fetched = if paused {
            slots.fetch(socket.get_ref())
        } else {
            socket.read(|socket| slots.fetch(socket)).await
        };
        let frames = match fetched {
            Ok(frames) => frames,
            Err(e) if matches!(e.raw_os_error(), Some(libc::EBADF | libc::ENOTSOCK)) => return,
            Err(_) => Frames::default(),
        };
        let (flooded, drained) = (
            pace.flooded(clock::now(), frames.len()),
            frames.len() < MOST,
        );
        let event = Event::Frames(Carpdev(index), frames);
        if events.send(event).await.is_err() {
            return;
        }
        match (paused, flooded) {
            (false, true) => {
                socket.pause();
                paused = true;
            }
            // Without memory for it this goes on by the clock.
            (true, false) => paused = socket.resume().is_err(),
            _ => {}
        }
        if paused && drained {
            tokio::time::sleep(REST).await;
        }
    }
}
