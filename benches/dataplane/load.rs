//! Traffic with plain sockets and threads: a TCP stream, a flood of small datagrams, echoes; must not know what carries it.

use crate::scene::{CLIENT, SHARED};
use crate::support::hosts::Host;
use carp::lab::beat::Beat;
use carp::lab::echo::Echo;
use carp::lab::stamp::Epoch;
use carp::linux::clock;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Bytes of one write and of one read.
const BLOCK: usize = 128 << 10;
/// The smallest Ethernet frame.
const SMALL: [u8; 18] = [0x5a; 18];
/// A receiver looks so often whether it is over.
const LOOK: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(5);
/// A receiver of datagrams looks again so soon. It never sleeps: waking it up would cost several times what is measured.
const DOZE: Duration = Duration::from_micros(20);
/// Between two echoes.
const PACE: Duration = Duration::from_millis(1);

/// The processors of the two ends.
const SENDER: usize = 0;
const RECEIVER: usize = 1;

/// Which way the data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the shared address.
    In,
    /// From the shared address to the client.
    Out,
}

/// Runs until dropped.
pub struct Flow {
    arrived: Arc<AtomicU64>,
    _ends: [Beat; 2],
}

impl Flow {
    /// What has arrived: bytes of a stream, datagrams of a flood.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// One TCP stream between `client` and a service at `address` on `server`.
    pub fn tcp(client: &Host, server: &Host, address: &str, way: Way) -> Result<Self> {
        let listener = server.place.run(|| TcpListener::bind("0.0.0.0:0"))?;
        let target = SocketAddr::new(address.parse()?, listener.local_addr()?.port());
        let dialled = client
            .place
            .run(|| TcpStream::connect_timeout(&target, PATIENCE))?;
        let (accepted, _) = listener.accept()?;
        let (from, to) = match way {
            Way::In => (dialled, accepted),
            Way::Out => (accepted, dialled),
        };
        Self::stream(from, to)
    }

    fn stream(mut from: TcpStream, mut to: TcpStream) -> Result<Self> {
        from.set_write_timeout(Some(LOOK))?;
        to.set_read_timeout(Some(LOOK))?;
        let arrived = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&arrived);
        let receiver = Beat::run("receive", move |over| {
            let mut block = vec![0; BLOCK];
            while !over.load(Ordering::Relaxed) {
                match to.read(&mut block) {
                    Ok(0) => return,
                    Ok(bytes) => drop(count.fetch_add(bytes as u64, Ordering::Relaxed)),
                    Err(error) if passing(&error) => {}
                    Err(_) => return,
                }
            }
        })?;
        let sender = Beat::run("send", move |over| {
            let block = vec![0x5a; BLOCK];
            while !over.load(Ordering::Relaxed) {
                match from.write(&block) {
                    Err(error) if !passing(&error) => return,
                    _ => {}
                }
            }
        })?;
        Ok(Self {
            arrived,
            _ends: [sender, receiver],
        })
    }

    /// Datagrams of 18 bytes between client and shared address, as many as one thread can send.
    pub fn udp(client: &Host, host: &Host, way: Way) -> Result<Self> {
        let outside = client.place.run(|| UdpSocket::bind((CLIENT, 0)))?;
        let inside = host.place.run(|| UdpSocket::bind((SHARED, 0)))?;
        let (from, to) = match way {
            Way::In => (outside, inside),
            Way::Out => (inside, outside),
        };
        from.connect(to.local_addr()?)?;
        to.set_nonblocking(true)?;
        let arrived = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&arrived);
        let receiver = Beat::run("receive", move |over| {
            pin(RECEIVER);
            let mut datagram = [0; 64];
            while !over.load(Ordering::Relaxed) {
                if to.recv(&mut datagram).is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                } else {
                    let again = Instant::now() + DOZE;
                    while Instant::now() < again {
                        std::hint::spin_loop();
                    }
                }
            }
        })?;
        let sender = Beat::run("send", move |over| {
            pin(SENDER);
            while !over.load(Ordering::Relaxed) {
                // A full queue refuses it: one that does not arrive.
                let _ = from.send(&SMALL);
            }
        })?;
        Ok(Self {
            arrived,
            _ends: [sender, receiver],
        })
    }
}

/// Keeps this thread on one processor: which two threads share one decides more than the data plane does.
fn pin(processor: usize) {
    let mut only = CpuSet::new();
    // A machine with one processor refuses the second.
    if only.set(processor).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(0), &only);
    }
}

fn passing(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

/// Round trips of echoes to the shared address, one each millisecond, by the kernel's receive time; lost ones are missing.
pub fn echoes(client: &Host, span: Duration) -> Result<Vec<Duration>> {
    let target: IpAddr = SHARED.parse()?;
    let echo = client.place.run(|| Echo::open(target))?;
    let epoch = Epoch::measure();
    let mut trips = Vec::new();
    let mut asked = Vec::new();
    let end = clock::now() + span;
    while clock::now() < end {
        let sent = clock::now();
        let number = asked.len() as u64;
        asked.push(sent);
        echo.send(number)?;
        sleep(PACE);
        while let Some(reply) = echo.receive(epoch) {
            if let Some((number, at)) = reply {
                trips.push(at.since(asked[usize::try_from(number)?]));
            }
        }
    }
    Ok(trips)
}
