//! Two hosts that share the addresses of both families, and eight clients that ask them one thing after the other; must not know
//! what is compared.

use crate::support::hosts::{Host, Segment};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const SHARED: &str = "192.0.2.1";
const SHARED6: &str = "2001:db8::1";
const PORT: u16 = 7100;
/// A request is given up after that.
const PATIENCE: Duration = Duration::from_millis(500);
/// What a move of a share may still stir up.
const SETTLE: Duration = Duration::from_millis(300);
const CLIENTS: [&str; 8] = ["c", "d", "e", "f", "g", "h", "i", "j"];

/// What the threads have in common.
#[derive(Debug, Default)]
struct Count {
    answered: AtomicU64,
    lost: AtomicU64,
    over: AtomicBool,
}

/// All of it ends when this is dropped.
pub struct Scene {
    hosts: [Host; 2],
    _clients: Vec<Host>,
    count: Arc<Count>,
    threads: Vec<JoinHandle<()>>,
}

impl Scene {
    /// Each host is MASTER of a vhid, serves in `service` for each request, and everybody asks.
    pub fn build(service: Duration) -> Self {
        let segment = Segment::new();
        let count = Arc::new(Count::default());
        let mut threads = Vec::new();
        let hosts = [("a", 11, [0, 100]), ("b", 12, [100, 0])].map(|(name, n, skews)| {
            let own = [format!("192.0.2.{n}/24"), format!("2001:db8::{n}/64")];
            let host = Host::on(&segment, name, n, &own.each_ref().map(String::as_str));
            host.daemon();
            host.ok("sysctl net.inet.carp.arpbalance=1 net.inet.carp.preempt=1");
            for (vhid, advskew) in [1, 2].into_iter().zip(skews) {
                let group = format!("ifconfig carp{vhid} vhid {vhid} pass secret carpdev eth0");
                host.ok(&format!("{group} advskew {advskew} {SHARED}/24"));
                host.ok(&format!("ifconfig carp{vhid} inet6 alias {SHARED6}/64"));
            }
            let socket = host.place.run(|| UdpSocket::bind(("::", PORT)).unwrap());
            let count = Arc::clone(&count);
            threads.push(thread::spawn(move || serve(&socket, service, &count)));
            host
        });
        let mut clients = Vec::new();
        for (number, name) in (100u8..).zip(CLIENTS) {
            // Four of each family with consecutive addresses.
            let (own, target): (IpAddr, &str) = match number % 8 < 4 {
                true => (Ipv4Addr::new(192, 0, 2, number).into(), SHARED),
                false => (
                    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, number.into()).into(),
                    SHARED6,
                ),
            };
            let prefix = if own.is_ipv4() { 24 } else { 64 };
            let client = Host::on(&segment, name, number, &[&format!("{own}/{prefix}")]);
            let socket = client.place.run(|| UdpSocket::bind((own, 0)).unwrap());
            let (target, count) = (
                SocketAddr::new(target.parse().unwrap(), PORT),
                Arc::clone(&count),
            );
            threads.push(thread::spawn(move || ask(&socket, target, &count)));
            clients.push(client);
        }
        let scene = Self {
            hosts,
            _clients: clients,
            count,
            threads,
        };
        scene.settle(true);
        // What was asked before anybody served is given up by then.
        thread::sleep(PATIENCE);
        scene.count.lost.store(0, Ordering::Relaxed);
        scene
    }

    /// Both hosts serve, or the first alone.
    pub fn share(&self, both: bool) {
        let word = if both { "-drain" } else { "drain" };
        for carp in ["carp1", "carp2"] {
            self.hosts[1].ok(&format!("ifconfig {carp} {word}"));
        }
        self.settle(both);
    }

    fn settle(&self, both: bool) {
        let [a, b] = &self.hosts;
        a.until_state("carp1", "MASTER");
        let (second, other) = if both { (b, a) } else { (a, b) };
        second.until_state("carp2", "MASTER");
        other.until_state("carp2", "BACKUP");
        thread::sleep(SETTLE);
    }

    /// Answers in a second.
    pub fn rate(&self, span: Duration) -> f64 {
        let answered = || self.count.answered.load(Ordering::Relaxed);
        let (from, before) = (Instant::now(), answered());
        thread::sleep(span);
        (answered() - before) as f64 / from.elapsed().as_secs_f64()
    }

    /// Requests without an answer so far.
    pub fn lost(&self) -> u64 {
        self.count.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.count.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// True when there is something to read.
fn readable(socket: &UdpSocket) -> bool {
    let patience = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
    poll(
        &mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)],
        patience,
    )
    .is_ok_and(|n| n > 0)
}

/// One request after the other.
fn serve(socket: &UdpSocket, service: Duration, count: &Count) {
    let mut bytes = [0; 8];
    while !count.over.load(Ordering::Relaxed) {
        if !readable(socket) {
            continue;
        }
        if let Ok((length, from)) = socket.recv_from(&mut bytes) {
            thread::sleep(service);
            // A client that has given up asks again.
            let _ = socket.send_to(&bytes[..length], from);
        }
    }
}

/// The next one when the last is answered.
fn ask(socket: &UdpSocket, target: SocketAddr, count: &Count) {
    let mut bytes = [0; 8];
    let mut number = 0_u64;
    while !count.over.load(Ordering::Relaxed) {
        number += 1;
        // Nobody is known there at first.
        let _ = socket.send_to(&number.to_be_bytes(), target);
        loop {
            if !readable(socket) {
                count.lost.fetch_add(1, Ordering::Relaxed);
                break;
            }
            // It comes from the host's own address. A late answer to what was given up is none.
            if socket.recv_from(&mut bytes).is_ok() && u64::from_be_bytes(bytes) == number {
                count.answered.fetch_add(1, Ordering::Relaxed);
                break;
            }
        }
    }
}
