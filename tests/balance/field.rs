//! Hosts on a segment, each with a carpN for every vhid, and a client that asks and pings in the name of 64 askers.

use crate::support::frames::{self, Frame, echo_request};
use crate::support::hosts::{Host, SOON, Segment, own_mac, until};
use crate::support::wire::Wire;
use carp::linux::clock;
use carp::linux::packet::PacketSocket;
use carp::time::Instant;
use carp::wire::MacAddr;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const SHARED4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub const SHARED6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const NAMES: [&str; 4] = ["a", "b", "d", "e"];
const CLIENT: u8 = 99;
/// What is not answered by then is lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// 32 askers of each family, with consecutive addresses.
pub fn askers() -> Vec<IpAddr> {
    let four = (101..=132).map(|n| IpAddr::from(Ipv4Addr::new(192, 0, 2, n)));
    let six = (0x101..=0x120).map(|n| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n).into());
    four.chain(six).collect()
}

/// The vhid that the rule of both families names.
pub fn named(asker: IpAddr, vhids: usize) -> u8 {
    let last = match asker {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    };
    u8::try_from(last % vhids as u128).unwrap() + 1
}

pub fn shared(asker: IpAddr) -> IpAddr {
    match asker {
        IpAddr::V4(_) => SHARED4.into(),
        IpAddr::V6(_) => SHARED6.into(),
    }
}

pub struct Field {
    pub hosts: Vec<Host>,
    pub client: Host,
    outlet: PacketSocket,
    /// What each host sends.
    wires: Vec<Wire>,
}

impl Field {
    /// As many vhids as hosts, host 0 preferred for vhid 1 and so on, configured on each host in another order.
    pub fn new(count: usize) -> Self {
        let field = Self::bare(count);
        for host in 0..count {
            field.configure(host);
        }
        field.settle();
        field
    }

    /// Nothing is configured.
    pub fn bare(count: usize) -> Self {
        Self::on(&Segment::new(), count, true)
    }

    /// The same where the hosts have the shared addresses alone: what they begin to send comes from those.
    pub fn of_bare_carpdevs(count: usize) -> Self {
        let field = Self::on(&Segment::new(), count, false);
        (0..count).for_each(|host| field.configure(host));
        field.settle();
        field
    }

    fn on(segment: &Arc<Segment>, count: usize, addresses: bool) -> Self {
        let hosts = NAMES.iter().zip(11u8..).take(count).map(|(name, n)| {
            let own = [format!("192.0.2.{n}/24"), format!("2001:db8::{n}/64")];
            let own = own.each_ref().map(String::as_str);
            let own = if addresses { &own[..] } else { &[] };
            let host = Host::on(segment, name, n, own);
            host.daemon();
            host
        });
        let hosts: Vec<Host> = hosts.collect();
        let client = Host::on(segment, "c", CLIENT, &[]);
        for asker in askers() {
            let prefix = if asker.is_ipv4() { 24 } else { 64 };
            client.address("eth0", &format!("{asker}/{prefix}"));
        }
        Self {
            outlet: client.outlet("eth0"),
            wires: hosts.iter().map(|host| host.sends("eth0")).collect(),
            hosts,
            client,
        }
    }

    /// Two hosts, each with one carpN of two vhids that is balanced so.
    pub fn of_nodes(balancing: &str) -> Self {
        let field = match balancing {
            // A switch would learn who sends with the shared MAC.
            "ip-unicast" => Self::on(&Segment::hub(), 2, true),
            _ => Self::bare(2),
        };
        for (host, skews) in field.hosts.iter().zip([[0, 100], [100, 0]]) {
            host.ok("sysctl net.inet.carp.preempt=1");
            let nodes = format!("carpnodes 1:{},2:{}", skews[0], skews[1]);
            let line = format!("ifconfig carp1 {nodes} pass secret carpdev eth0");
            host.ok(&format!("{line} balancing {balancing} {SHARED4}/24"));
            host.ok(&format!("ifconfig carp1 inet6 alias {SHARED6}/64"));
        }
        for (host, expected) in field
            .hosts
            .iter()
            .zip([["MASTER", "BACKUP"], ["BACKUP", "MASTER"]])
        {
            assert!(
                until(SOON, || field.nodes(host) == expected),
                "{}",
                host.name
            );
        }
        std::thread::sleep(Duration::from_millis(300));
        field
    }

    /// The states that a host's carp1 shows, by vhid.
    pub fn nodes(&self, host: &Host) -> Vec<String> {
        let text = host.ok("ifconfig carp1");
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix("\t\tstate "));
        let states = lines.filter_map(|line| line.split(' ').next());
        states.map(str::to_owned).collect()
    }

    /// Each asker pings this MAC once; the hosts that reply.
    pub fn ping(&self, to: MacAddr) -> BTreeMap<IpAddr, Vec<usize>> {
        let mark = clock::now();
        let mut replies: BTreeMap<IpAddr, Vec<usize>> = BTreeMap::new();
        for asker in askers() {
            replies.insert(asker, Vec::new());
            let from = (own_mac(CLIENT), asker);
            let frame = echo_request(from, (to, shared(asker)), 7, 7);
            self.outlet.send(&frame).unwrap();
        }
        let reply = |f: &Frame| f.echo().is_some_and(|echo| !echo.request);
        let count = || self.wires.iter().map(|wire| wire.after(mark, reply).len());
        until(SOON, || count().sum::<usize>() >= 64);
        std::thread::sleep(Duration::from_millis(200));
        for (host, wire) in self.wires.iter().enumerate() {
            for echo in wire.after(mark, reply).iter().filter_map(Frame::echo) {
                replies.entry(echo.destination).or_default().push(host);
            }
        }
        replies
    }

    pub fn configure(&self, host: usize) {
        let count = self.hosts.len();
        let carp = &self.hosts[host];
        carp.ok("sysctl net.inet.carp.arpbalance=1 net.inet.carp.preempt=1");
        for turn in 0..count {
            let vhid = (host + turn) % count + 1;
            let advskew = (host + 1 + count - vhid) % count * 40;
            let line = format!("ifconfig carp{vhid} vhid {vhid} pass secret carpdev eth0");
            carp.ok(&format!("{line} advskew {advskew} {SHARED4}/24"));
            carp.ok(&format!("ifconfig carp{vhid} inet6 alias {SHARED6}/64"));
        }
    }

    /// Every host is MASTER of its own vhid alone.
    pub fn settle(&self) {
        let count = self.hosts.len();
        for (n, host) in self.hosts.iter().enumerate() {
            host.until_state(&format!("carp{}", n + 1), "MASTER");
            let others = (1..=count).filter(|vhid| *vhid != n + 1);
            others.for_each(|vhid| host.until_state(&format!("carp{vhid}"), "BACKUP"));
        }
        // Past every linger.
        std::thread::sleep(Duration::from_millis(300));
    }

    /// Lets every asker ask once, to all or its vhid's MAC, and gives back who answered what: host and MAC told.
    pub fn ask(&self, probe: bool) -> BTreeMap<IpAddr, Vec<(usize, MacAddr)>> {
        let mut answers: BTreeMap<IpAddr, Vec<(usize, MacAddr)>> = BTreeMap::new();
        let mark = clock::now();
        for asker in askers() {
            answers.insert(asker, Vec::new());
            let to = probe.then(|| MacAddr::of_vhid(named(asker, self.hosts.len())));
            self.outlet.send(&question(asker, to)).unwrap();
        }
        let answered = |wire: &Wire| wire.after(mark, |f| answer(f).is_some()).len();
        until(SOON, || {
            self.wires.iter().map(answered).sum::<usize>() >= 64
        });
        // And whoever else would like to.
        std::thread::sleep(Duration::from_millis(200));
        for (host, wire) in self.wires.iter().enumerate() {
            for frame in wire.after(mark, |f| answer(f).is_some()) {
                let (asker, told) = answer(&frame).unwrap();
                answers.entry(asker).or_default().push((host, told));
            }
        }
        answers
    }

    /// What somebody sent that would tell a neighbour where the shared addresses are, unasked.
    pub fn repainting(&self, since: Instant) -> Vec<Frame> {
        let tells = |f: &Frame| {
            let arp = f.arp().is_some_and(|arp| arp.op == 1 && arp.spa == SHARED4);
            let nd = f
                .nd()
                .is_some_and(|nd| nd.kind == 136 && nd.flags & 0x40 == 0);
            arp || nd
        };
        self.wires
            .iter()
            .flat_map(|wire| wire.after(since, tells))
            .collect()
    }
}

/// What an asker tells of itself: a MAC of its own.
pub fn told_mac(asker: IpAddr) -> MacAddr {
    let last = match asker {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(ip) => ip.octets()[15],
    };
    MacAddr([2, 0, 0, 1 + u8::from(asker.is_ipv6()), last, CLIENT])
}

fn question(asker: IpAddr, to: Option<MacAddr>) -> Vec<u8> {
    let mac = told_mac(asker);
    match asker {
        IpAddr::V4(ip) => frames::arp_request((mac, ip), SHARED4, to.unwrap_or(MacAddr([0xff; 6]))),
        IpAddr::V6(ip) => frames::solicitation((mac, ip), SHARED6, to),
    }
}

/// To whom a frame says where the shared address is, and where.
fn answer(frame: &Frame) -> Option<(IpAddr, MacAddr)> {
    if let Some(arp) = frame.arp() {
        return (arp.op == 2 && arp.spa == SHARED4).then_some((arp.tpa.into(), arp.sha));
    }
    let nd = frame
        .nd()
        .filter(|nd| nd.kind == 136 && nd.target == SHARED6)?;
    Some((frame.ip_destination()?, nd.lladdr?))
}

/// One echo request.
#[derive(Debug, Clone, Copy)]
pub struct Ping {
    pub asker: IpAddr,
    pub sent: Instant,
    /// Of the reply, if it came in time.
    pub replied: Option<Instant>,
}

/// Echo requests to each vhid's MAC at 200 Hz, in turn from its askers; runs until it is asked for what came of them.
pub struct Pinging {
    over: Arc<AtomicBool>,
    sent: Arc<Mutex<Vec<(IpAddr, u32, Instant)>>>,
    thread: std::thread::JoinHandle<()>,
    heard: Wire,
}

impl Pinging {
    pub fn start(field: &Field) -> Self {
        let vhids = field.hosts.len();
        let (heard, outlet) = (field.client.hears("eth0"), field.client.outlet("eth0"));
        let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (ends, log) = (Arc::clone(&over), Arc::clone(&sent));
        let thread = std::thread::spawn(move || send(&outlet, vhids, &ends, &log));
        Self {
            over,
            sent,
            thread,
            heard,
        }
    }

    pub fn stop(self) -> Vec<Ping> {
        std::thread::sleep(PATIENCE);
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        std::thread::sleep(PATIENCE);
        let mut replies: BTreeMap<(IpAddr, u32), Instant> = BTreeMap::new();
        for frame in self.heard.frames() {
            if let Some(echo) = frame.echo().filter(|echo| !echo.request) {
                let number = u32::from(echo.ident) << 16 | u32::from(echo.seq);
                replies
                    .entry((echo.destination, number))
                    .or_insert(frame.at);
            }
        }
        let sent = self.sent.lock().unwrap();
        let ping = |(asker, number, sent): &(IpAddr, u32, Instant)| Ping {
            asker: *asker,
            sent: *sent,
            replied: replies.get(&(*asker, *number)).copied(),
        };
        let known = sent.iter().map(ping);
        known.map(in_time).collect()
    }
}

fn in_time(mut ping: Ping) -> Ping {
    ping.replied = ping.replied.filter(|at| at.since(ping.sent) <= PATIENCE);
    ping
}

fn send(
    outlet: &PacketSocket,
    vhids: usize,
    over: &AtomicBool,
    log: &Mutex<Vec<(IpAddr, u32, Instant)>>,
) {
    let shares: Vec<Vec<IpAddr>> = (1..=vhids)
        .map(|vhid| {
            let mine = |asker: &IpAddr| usize::from(named(*asker, vhids)) == vhid;
            askers().into_iter().filter(mine).collect()
        })
        .collect();
    let mut due = clock::now();
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        for (share, vhid) in shares.iter().zip(1..) {
            let asker = share[number as usize % share.len()];
            let from = (own_mac(CLIENT), asker);
            let to = (MacAddr::of_vhid(vhid), shared(asker));
            let (ident, seq) = ((number >> 16) as u16, number as u16);
            let frame = echo_request(from, to, ident, seq);
            let now = clock::now();
            if outlet.send(&frame).is_ok() {
                log.lock().unwrap().push((asker, number, now));
            }
        }
        due = due + Duration::from_millis(5);
        std::thread::sleep(due.since(clock::now()));
    }
}
