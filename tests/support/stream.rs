//! A TCP transfer that goes on while something else happens: how fast it is, how long it stood still, what was sent again.

use super::hosts::Host;
use carp::lab::beat::Beat;
use carp::linux::clock;
use carp::time::Instant;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Sent each time, in bytes.
const BLOCK: usize = 20_000;
/// From one block to the next: together 20 MB/s, which leaves the processors some rest.
const PACE: Duration = Duration::from_millis(1);
const LOOK: Duration = Duration::from_millis(50);

/// Runs until dropped.
pub struct Stream {
    /// When how many bytes came.
    arrived: Arc<Mutex<Vec<(Instant, usize)>>>,
    _ends: [Beat; 2],
}

/// What a stream did for a while.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    /// Bytes a second.
    pub rate: f64,
    /// The longest time in which nothing came.
    pub pause: Duration,
}

impl Stream {
    /// From `client` to `address`, which `server` has.
    pub fn start(client: &Host, server: &Host, address: &str) -> Self {
        let listener = server.place.run(|| TcpListener::bind("0.0.0.0:0").unwrap());
        let port = listener.local_addr().unwrap().port();
        let target = SocketAddr::new(address.parse().unwrap(), port);
        let soon = Duration::from_secs(5);
        let dial = || TcpStream::connect_timeout(&target, soon).unwrap();
        let mut from = client.place.run(dial);
        let (mut to, _) = listener.accept().unwrap();
        from.set_write_timeout(Some(LOOK)).unwrap();
        to.set_read_timeout(Some(LOOK)).unwrap();
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&arrived);
        let receiver = Beat::run("receive", move |over: &AtomicBool| {
            let mut block = vec![0; 1 << 17];
            while !over.load(Ordering::Relaxed) {
                match to.read(&mut block) {
                    Ok(0) => return,
                    Ok(bytes) => sink.lock().unwrap().push((clock::now(), bytes)),
                    Err(e) if waits(&e) => {}
                    Err(_) => return,
                }
            }
        });
        let sender = Beat::start("send", PACE, move |_| {
            // What does not fit is not sent later.
            let _ = from.write(&[0x5a; BLOCK]);
        });
        Self {
            arrived,
            _ends: [sender.unwrap(), receiver.unwrap()],
        }
    }

    /// What it did between two moments.
    pub fn course(&self, from: Instant, to: Instant) -> Course {
        let arrived = self.arrived.lock().unwrap();
        let within = arrived.iter().filter(|(at, _)| (from..to).contains(at));
        let bytes: usize = within.clone().map(|(_, bytes)| bytes).sum();
        let moments = within.map(|(at, _)| *at).chain([to]);
        let pauses = moments.scan(from, |last, at| Some(at.since(std::mem::replace(last, at))));
        Course {
            rate: bytes as f64 / to.since(from).as_secs_f64(),
            pause: pauses.max().unwrap_or_default(),
        }
    }
}

fn waits(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Segments that this host has sent more than once since it is there.
pub fn sent_again(host: &Host) -> u64 {
    let read = || std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let text = host.place.run(read);
    let mut tcp = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (tcp.next().unwrap(), tcp.next().unwrap());
    let at = names.split(' ').position(|name| name == "RetransSegs");
    values.split(' ').nth(at.unwrap()).unwrap().parse().unwrap()
}
