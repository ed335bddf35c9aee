//! Hosts on one segment in memory, each with a carpN for every vhid or one carpN with all of them: frames arrive after a
//! millisecond, time jumps to what is due, and 64 askers ask whenever a test likes.

use crate::rig::{CARPDEV, Host, V4, V6, config, parent, vhid};
use carp::carp::config::{Balancing, Config, Node, Selector, Settings, State, Unit};
use carp::carp::{Input, Parent, Sending};
use carp::wire::arp::{self, Operation};
use carp::wire::{Frame, MacAddr, frame, nd};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const SHARED4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
pub const SHARED6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
const DELAY: f64 = 1.0;
/// Three advertisements' time and what the highest skew adds.
pub const DEAD: f64 = 3000.0 + 254.0 * 1000.0 / 256.0;

/// Somebody who asks for the shared address of its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asker(pub IpAddr);

impl Asker {
    /// 32 of each family, with consecutive addresses.
    pub fn all() -> Vec<Self> {
        let four = (101..=132).map(|n| IpAddr::from(Ipv4Addr::new(192, 0, 2, n)));
        let six = (0x101..=0x120).map(|n| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n).into());
        four.chain(six).map(Self).collect()
    }

    pub fn mac(self) -> MacAddr {
        match self.0 {
            IpAddr::V4(ip) => MacAddr([2, 4, 0, 0, 0, ip.octets()[3]]),
            IpAddr::V6(ip) => MacAddr([2, 6, 0, 0, 0, ip.octets()[15]]),
        }
    }

    /// To everybody, or as a probe to one Ethernet address.
    pub fn question(self, to: Option<MacAddr>) -> Vec<u8> {
        let mut bytes = match self.0 {
            IpAddr::V4(ip) => arp::request(self.mac(), ip, SHARED4),
            IpAddr::V6(ip) => nd::Solicitation::multicast(self.mac(), ip, SHARED6).emit(),
        };
        if let Some(to) = to {
            bytes[..6].copy_from_slice(&to.0);
        }
        bytes
    }
}

/// What an answer tells.
pub fn told(bytes: &[u8]) -> MacAddr {
    match frame::parse(bytes).unwrap() {
        Frame::Arp(reply) => {
            assert_eq!(reply.operation, Operation::Reply);
            assert_eq!(reply.src_mac, reply.sender_mac);
            reply.sender_mac
        }
        Frame::NeighbourAdvertisement(na) => {
            assert_eq!(Some(na.src_mac), na.target_link_layer);
            na.src_mac
        }
        other => panic!("{other:?}"),
    }
}

pub struct Segment {
    pub hosts: Vec<Host>,
    pub alive: Vec<bool>,
    /// Who does not hear whom: sender, receiver.
    pub cut: BTreeSet<(usize, usize)>,
    pub now: f64,
    /// Arrival, receiver, frame.
    wire: Vec<(f64, usize, Vec<u8>)>,
    /// Gratuitous ARP and unsolicited neighbour advertisements.
    pub announced: usize,
    vhids: u8,
    hash: Option<Selector>,
}

impl Segment {
    /// As many vhids as hosts, each preferred by one; a host configures its carpN in the order that `order` makes of them.
    pub fn new(hosts: usize, hash: Option<Selector>, order: impl Fn(usize, &mut Vec<u8>)) -> Self {
        let mut segment = Self::bare(hosts, hash);
        for host in 0..hosts {
            let mut units: Vec<u8> = (1..=segment.vhids).collect();
            order(host, &mut units);
            segment.begin(host, &units);
        }
        segment
    }

    fn bare(hosts: usize, hash: Option<Selector>) -> Self {
        Self {
            hosts: (0..hosts).map(|n| Host::new(n as u64 + 1)).collect(),
            alive: vec![true; hosts],
            cut: BTreeSet::new(),
            now: 0.0,
            wire: Vec::new(),
            announced: 0,
            vhids: hosts as u8,
            hash,
        }
    }

    /// One carpN with all vhids on each host.
    pub fn of_nodes(hosts: usize, balancing: Balancing, hash: Option<Selector>) -> Self {
        let mut segment = Self::bare(hosts, hash);
        for host in 0..hosts {
            segment.boot(host, false);
            let nodes = (1..=segment.vhids).map(|v| segment.node(host, v)).collect();
            let config = Config {
                nodes,
                balancing,
                hash,
                ..config(&[V4, V6], 1, 0)
            };
            segment.configure(host, Unit(1), Some(config));
        }
        segment
    }

    fn node(&self, host: usize, number: u8) -> Node {
        let away = (u8::try_from(host).unwrap() + 1 + self.vhids - number) % self.vhids;
        Node {
            vhid: vhid(number),
            advskew: away * 40,
        }
    }

    fn boot(&mut self, host: usize, arpbalance: bool) {
        let n = u8::try_from(host).unwrap() + 1;
        let own = Parent {
            mac: MacAddr([2, 0, 0, 0, 0, n]),
            inet: Some(Ipv4Addr::new(192, 0, 2, n)),
            inet6: Some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n.into())),
            ..parent()
        };
        let settings = Settings {
            preempt: true,
            arpbalance,
            ..Settings::default()
        };
        self.input(host, Input::Settings(settings));
        let parent = Some(own);
        let carpdev = CARPDEV;
        self.input(host, Input::Parent { carpdev, parent });
    }

    /// The host starts and configures these vhids in this order.
    pub fn begin(&mut self, host: usize, units: &[u8]) {
        self.boot(host, true);
        for number in units {
            let config = self.config(host, *number);
            self.configure(host, Unit((*number).into()), Some(config));
        }
    }

    pub fn config(&self, host: usize, number: u8) -> Config {
        Config {
            nodes: vec![self.node(host, number)],
            hash: self.hash,
            ..config(&[V4, V6], 1, 0)
        }
    }

    pub fn configure(&mut self, host: usize, unit: Unit, config: Option<Config>) {
        let config = config.map(|config| (config, Some(CARPDEV)));
        self.input(host, Input::Configure { unit, config });
    }

    /// It is gone without a word.
    pub fn kill(&mut self, host: usize) {
        self.alive[host] = false;
    }

    pub fn revive(&mut self, host: usize) {
        self.hosts[host] = Host::new(100 + host as u64);
        self.alive[host] = true;
        let units: Vec<u8> = (1..=self.vhids).collect();
        self.begin(host, &units);
    }

    /// Some of its interfaces; the others are still to come. A new engine if `anew` is not 0.
    pub fn revive_slowly(&mut self, host: usize, units: &[u8], anew: u64) {
        if anew > 0 {
            self.hosts[host] = Host::new(200 + anew);
            self.alive[host] = true;
        }
        self.begin(host, units);
    }

    pub fn input(&mut self, host: usize, input: Input<'_>) {
        self.hosts[host].input(self.now, input);
        let frames = std::mem::take(&mut self.hosts[host].frames);
        for (_, what, bytes) in frames {
            self.announced += usize::from(what == Sending::Announcement);
            for other in (0..self.hosts.len()).filter(|other| *other != host) {
                self.wire.push((self.now + DELAY, other, bytes.clone()));
                if self.cut.contains(&(host, other)) {
                    self.wire.pop();
                }
            }
        }
    }

    fn due(&self) -> Option<(f64, Option<usize>)> {
        let frames = self.wire.iter().map(|(at, ..)| (*at, None));
        let alive = (0..self.hosts.len()).filter(|host| self.alive[*host]);
        let timers = alive.filter_map(|host| Some((self.hosts[host].timeout()?, Some(host))));
        frames.chain(timers).min_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// Goes on for so many milliseconds.
    pub fn run(&mut self, milliseconds: f64) {
        let until = self.now + milliseconds;
        while let Some((at, who)) = self.due().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            if let Some(host) = who {
                self.input(host, Input::Time);
                continue;
            }
            let place = self.wire.iter().position(|(time, ..)| *time <= at).unwrap();
            let (_, host, bytes) = self.wire.remove(place);
            if self.alive[host] {
                let carpdev = CARPDEV;
                let bytes = &bytes;
                self.input(host, Input::Frame { carpdev, bytes });
            }
        }
        self.now = until;
    }

    /// The hosts that answer this question, and what they tell.
    pub fn asked(&mut self, question: &[u8]) -> Vec<(usize, MacAddr)> {
        let mut answers = Vec::new();
        for host in (0..self.hosts.len()).filter(|host| self.alive[*host]) {
            self.hosts[host].frame(self.now, question);
            for (_, what, bytes) in std::mem::take(&mut self.hosts[host].frames) {
                if what == Sending::Answer {
                    answers.push((host, told(&bytes)));
                }
            }
        }
        answers
    }

    /// The only answer to each asker.
    pub fn shares(&mut self) -> BTreeMap<Asker, (usize, MacAddr)> {
        let mut shares = BTreeMap::new();
        for asker in Asker::all() {
            let answers = self.asked(&asker.question(None));
            assert_eq!(answers.len(), 1, "{asker:?}: {answers:?} at {}", self.now);
            shares.insert(asker, answers[0]);
        }
        shares
    }

    /// How many askers have no answer now, or several.
    pub fn wrong(&mut self) -> (BTreeSet<Asker>, BTreeSet<Asker>) {
        let (mut none, mut several) = (BTreeSet::new(), BTreeSet::new());
        for asker in Asker::all() {
            match self.asked(&asker.question(None)).len() {
                0 => none.insert(asker),
                1 => false,
                _ => several.insert(asker),
            };
        }
        (none, several)
    }

    pub fn masters(&self, unit: u16, number: u8) -> Vec<usize> {
        let is = |host: &usize| {
            let mut vhosts = self.hosts[*host].engine.vhosts(Unit(unit));
            vhosts.any(|v| v.vhid.get() == number && v.state == State::Master)
        };
        let hosts = (0..self.hosts.len()).filter(|host| self.alive[*host]);
        hosts.filter(is).collect()
    }
}
