//! A carpdev in use: its sockets, what is listened for, and the tasks that read it; must not know elections.

use super::Event;
use super::pace::{self, Pace};
use crate::carp::config::{Carpdev, Config, Lladdr, Node, Unit};
use crate::dataplane::bpf::BEHIND;
use crate::linux::bpf::LastingLink;
use crate::linux::clock;
use crate::linux::filter::{Filter, Vantage};
use crate::linux::frames::{Frames, MOST, Slots};
use crate::linux::packet::PacketSocket;
use crate::linux::raw::RawSocket;
use crate::linux::readiness::Readiness;
use crate::wire::MacAddr;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinHandle;

/// What a carpdev listens for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listening {
    /// Its name.
    pub name: String,
    /// Multicast groups.
    pub groups: BTreeSet<IpAddr>,
    /// The MACs of vhosts, each with its vhid.
    pub macs: BTreeSet<(MacAddr, u8)>,
    /// Shared addresses, each with the lowest vhid that it belongs to.
    pub shared: BTreeMap<IpAddr, u8>,
    /// The carpN on it.
    pub units: BTreeSet<Unit>,
    /// The bridge that it is a port of.
    pub bridge: Option<u32>,
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
            ..Self::default()
        }
    }

    /// Adds what one carpN needs.
    pub fn serve(&mut self, unit: Unit, config: &Config) {
        self.units.insert(unit);
        // Frames to its own address reach a carpdev anyway.
        if config.lladdr != Lladdr::Carpdev {
            let of = |node: &Node| (config.mac(node.vhid, None), node.vhid.get());
            let told = |node: &Node| (config.told_mac(node.vhid, None), node.vhid.get());
            let nodes = config.nodes.iter();
            self.macs
                .extend(nodes.flat_map(|node| [of(node), told(node)]));
        }
        // Joined for real, so that a switch which looks at reports brings what is sent to its MAC.
        if let Some(leader) = config.nodes.first()
            && let MacAddr([1, 0, 0x5e, b, c, d]) = config.told_mac(leader.vhid, None)
            && b < 0x80
        {
            self.groups.insert(Ipv4Addr::new(224, b, c, d).into());
        }
        let lowest = config.nodes.iter().map(|node| node.vhid.get()).min();
        for address in config.addresses.iter().map(ipnetwork::IpNetwork::ip) {
            self.solicit(address);
            if let Some(vhid) = lowest {
                let held = self.shared.entry(address).or_insert(vhid);
                *held = vhid.min(*held);
            }
        }
    }

    /// Adds the solicited-node group of a shared address (RFC 4291 section 2.7.1), needed in BACKUP too (T9).
    fn solicit(&mut self, address: IpAddr) {
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
    /// The second one of each hears IPv6, unless the first one hears everything.
    adverts: [Rc<PacketSocket>; 2],
    neighbours: [Rc<PacketSocket>; 2],
    /// Programs move its frames.
    programs: bool,
    vantage: Vantage,
    /// One for each family that the kernel has.
    routed: Vec<RawSocket>,
    readers: Vec<JoinHandle<()>>,
    /// How long the readers rest in a flood.
    rest: Rc<Cell<Duration>>,
    /// Programs that must not go before the TAPs (T30).
    _links: Vec<LastingLink>,
    /// What the neighbours' filter lets through.
    asked_for: BTreeSet<IpAddr>,
}

impl Attached {
    /// Takes the sockets over, in the door's order, and begins to read. The first of `events` gets advertisements, the second
    /// ARP and solicitations, so that a flood of the second never delays the first. `links` are those of `programs`, if any.
    ///
    /// # Errors
    /// A descriptor is no packet socket, or cannot be polled.
    pub fn new(
        index: u32,
        name: &str,
        sockets: [OwnedFd; 4],
        routed: Vec<OwnedFd>,
        (programs, links): (bool, Vec<LastingLink>),
        events: [Sender<Event>; 2],
    ) -> io::Result<Self> {
        let [first, second, third, fourth] =
            sockets.map(|socket| Rc::new(PacketSocket::from(socket)));
        let (adverts, neighbours) = ([first, third], [second, fourth]);
        let vantage = vantage(programs, None);
        for socket in &adverts {
            socket.set_filter(&Filter::advertisements(vantage))?;
        }
        let rest = Rc::new(Cell::new(pace::rest(Duration::ZERO)));
        let reader = |socket: &Rc<PacketSocket>, events| {
            let socket = Readiness::new(Rc::clone(socket))?;
            let rest = Rc::clone(&rest);
            let reader = Reader::new(index, socket, rest, events);
            io::Result::Ok(tokio::task::spawn_local(reader.read()))
        };
        let mut readers = Vec::new();
        for (sockets, events) in [&adverts, &neighbours].into_iter().zip(&events) {
            for socket in sockets {
                readers.push(reader(socket, events.clone())?);
            }
        }
        let name = name.to_owned();
        Ok(Self {
            name,
            listening: None,
            router: false,
            adverts,
            neighbours,
            programs,
            vantage,
            routed: routed.into_iter().map(RawSocket::from).collect(),
            readers,
            rest,
            _links: links,
            asked_for: BTreeSet::new(),
        })
    }

    /// The far end of the door listens for that.
    ///
    /// # Errors
    /// The kernel refuses a filter.
    pub fn listens(&mut self, listening: Listening) -> io::Result<()> {
        let vantage = vantage(self.programs, listening.bridge);
        self.listening = Some(listening);
        if vantage == self.vantage {
            return Ok(());
        }
        self.vantage = vantage;
        for socket in &self.adverts {
            socket.set_filter(&Filter::advertisements(vantage))?;
        }
        self.filter_neighbours(&self.asked_for)
    }

    /// Lets one frame leave.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.adverts[0].send(frame)
    }

    /// Lets each packet go to its host. True when one has left, or there is none to send.
    #[must_use]
    pub fn send_to_peers(&self, packets: &[(IpAddr, Vec<u8>)]) -> bool {
        let left = |(to, packet): &(IpAddr, Vec<u8>)| {
            // The socket of the other family refuses.
            let mut sockets = self.routed.iter();
            sockets.any(|socket| socket.send(*to, packet).is_ok())
        };
        let left = packets.iter().filter(|packet| left(packet)).count();
        left > 0 || packets.is_empty()
    }

    /// In a flood its readers look so often that no advertisement of the shortest `interval` is read too late.
    pub fn rest_for(&self, interval: Duration) {
        self.rest.set(pace::rest(interval));
    }

    /// Advertisements that found the queue full since the last call.
    pub fn missed(&self) -> u64 {
        let missed = |socket: &Rc<PacketSocket>| socket.missed().map_or(0, u64::from);
        self.adverts.iter().map(missed).sum()
    }

    /// Lets through only ARP requests and solicitations for these addresses: nothing else wakes the daemon.
    ///
    /// # Errors
    /// The kernel refuses the filter.
    pub fn answer_for(&mut self, addresses: BTreeSet<IpAddr>) -> io::Result<()> {
        if addresses == self.asked_for {
            return Ok(());
        }
        self.filter_neighbours(&addresses)?;
        self.asked_for = addresses;
        Ok(())
    }

    fn filter_neighbours(&self, addresses: &BTreeSet<IpAddr>) -> io::Result<()> {
        let mut four = Vec::new();
        let mut six = Vec::new();
        for address in addresses {
            match address {
                IpAddr::V4(ip) => four.push(*ip),
                IpAddr::V6(ip) => six.push(*ip),
            }
        }
        let filter = Filter::neighbours(self.vantage, &four, &six);
        let mut sockets = self.neighbours.iter();
        sockets.try_for_each(|socket| socket.set_filter(&filter))
    }
}

/// Where the sockets of a carpdev hear, as the far end of the door binds them.
fn vantage(programs: bool, bridge: Option<u32>) -> Vantage {
    if programs && bridge.is_none() {
        BEHIND
    } else {
        Vantage::Wire
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.readers.iter().for_each(JoinHandle::abort);
    }
}

/// What one reading task holds.
struct Reader {
    index: u32,
    socket: Readiness<Rc<PacketSocket>>,
    rest: Rc<Cell<Duration>>,
    events: Sender<Event>,
    /// This is a flood: it looks by the clock, so that what arrives wakes nobody.
    paused: bool,
}

impl Reader {
    fn new(
        index: u32,
        socket: Readiness<Rc<PacketSocket>>,
        rest: Rc<Cell<Duration>>,
        events: Sender<Event>,
    ) -> Self {
        Self {
            index,
            socket,
            rest,
            events,
            paused: false,
        }
    }

    /// Reads frames in batches until the socket is gone. An interface that went down reports that once; its link event
    /// tells the rest.
    async fn read(mut self) {
        let mut slots = Slots::default();
        let mut pace = Pace::default();
        loop {
            let fetched = if self.paused {
                slots.fetch(self.socket.get_ref())
            } else {
                self.socket.read(|socket| slots.fetch(socket)).await
            };
            let frames = match fetched {
                Ok(frames) => frames,
                Err(e) if matches!(e.raw_os_error(), Some(libc::EBADF | libc::ENOTSOCK)) => return,
                Err(_) => Frames::default(),
            };
            let flooded = pace.flooded(clock::now(), frames.len());
            let drained = frames.len() < MOST;
            let event = Event::Frames(Carpdev(self.index), frames);
            if self.events.send(event).await.is_err() {
                return;
            }
            if flooded != self.paused {
                self.pause(flooded);
            }
            if self.paused && drained {
                tokio::time::sleep(self.rest.get()).await;
            }
        }
    }

    /// Where the kernel refuses, all stays as it is.
    fn pause(&mut self, yes: bool) {
        if yes {
            self.socket.pause();
            self.paused = true;
        } else {
            self.paused = self.socket.resume().is_err();
        }
    }
}
