//! A carpdev in use: its sockets, what is listened for, and the tasks that read it; must not know elections.

use super::Event;
use crate::carp::config::Carpdev;
use crate::linux::filter::Filter;
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

/// Frames read at one wake-up; what remains is read after the timers were looked at.
const BATCH: usize = 32;
/// An advertisement has at most 14 + 60 + 36 bytes, a solicitation some more; the rest of a frame is of no interest.
const FRAME_MAX: usize = 512;

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
    adverts: Rc<Readiness<PacketSocket>>,
    neighbours: Rc<Readiness<PacketSocket>>,
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
        let [first, second] = sockets.map(PacketSocket::from);
        first.set_filter(&Filter::advertisements())?;
        let first = Rc::new(Readiness::new(first)?);
        let second = Rc::new(Readiness::new(second)?);
        let readers = [
            tokio::task::spawn_local(read(index, Rc::clone(&first), adverts)),
            tokio::task::spawn_local(read(index, Rc::clone(&second), events)),
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
        self.adverts.get_ref().send(frame)
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
        self.neighbours.get_ref().set_filter(&filter)?;
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
/// the rest.
async fn read(index: u32, socket: Rc<Readiness<PacketSocket>>, events: Sender<Event>) {
    let mut buffer = [0; FRAME_MAX];
    loop {
        let batch = socket.read(|socket| take(socket, &mut buffer)).await;
        let frames = match batch {
            Ok(frames) => frames,
            Err(e) if matches!(e.raw_os_error(), Some(libc::EBADF | libc::ENOTSOCK)) => return,
            Err(_) => continue,
        };
        if events
            .send(Event::Frames(Carpdev(index), frames))
            .await
            .is_err()
        {
            return;
        }
    }
}

fn take(socket: &PacketSocket, buffer: &mut [u8]) -> io::Result<Vec<Vec<u8>>> {
    let mut frames = vec![buffer_of(socket.recv(buffer)?, buffer)];
    while frames.len() < BATCH {
        match socket.recv(buffer) {
            Ok(length) => frames.push(buffer_of(length, buffer)),
            Err(_) => break,
        }
    }
    Ok(frames)
}

fn buffer_of(length: usize, buffer: &[u8]) -> Vec<u8> {
    buffer[..length.min(buffer.len())].to_vec()
}
