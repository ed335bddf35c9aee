//! What passes at one interface, recorded with the kernel's time stamps; must not know what the frames mean.

use super::frames::Frame;
use carp::linux::clock;
use carp::linux::filter::Filter;
use carp::linux::netlink::Netlink;
use carp::linux::netns::Namespace;
use carp::linux::packet::{PacketSocket, Vnet};
use carp::time::Instant;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt::ReceiveTimestampns,
};
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A recording of what arrives at an interface. At a bridge port that is what the host behind it sends.
pub struct Wire {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    frames: Mutex<Vec<Frame>>,
    more: Condvar,
    over: AtomicBool,
}

impl Wire {
    /// Starts to record at `interface` of `place`.
    pub fn at(place: &Namespace, interface: &str) -> Self {
        let socket = tap(place, interface);
        setsockopt(&socket.as_fd(), ReceiveTimestampns, &true).unwrap();
        let shared = Arc::new(Shared {
            frames: Mutex::default(),
            more: Condvar::new(),
            over: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&shared);
        Self {
            shared,
            thread: Some(std::thread::spawn(move || record(&socket, &theirs))),
        }
    }

    /// All that was heard so far.
    pub fn frames(&self) -> Vec<Frame> {
        self.shared.frames.lock().unwrap().clone()
    }

    /// All that was heard after `mark` and suits `want`.
    pub fn after(&self, mark: Instant, want: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        self.shared
            .frames
            .lock()
            .unwrap()
            .iter()
            .filter(|f| f.at > mark && want(f))
            .cloned()
            .collect()
    }

    /// The first frame after `mark` that suits; panics when none came within `bound` from now.
    #[track_caller]
    pub fn expect(
        &self,
        mark: Instant,
        bound: Duration,
        what: &str,
        want: impl Fn(&Frame) -> bool,
    ) -> Frame {
        if let Some(found) = self.seek(mark, bound, want) {
            return found;
        }
        let tail: Vec<_> = self
            .after(mark, |_| true)
            .into_iter()
            .rev()
            .take(30)
            .rev()
            .collect();
        panic!("no {what} within {bound:?}; heard since: {tail:#?}");
    }

    /// The same, or `None`.
    pub fn seek(
        &self,
        mark: Instant,
        bound: Duration,
        want: impl Fn(&Frame) -> bool,
    ) -> Option<Frame> {
        let end = clock::now() + bound;
        let mut frames = self.shared.frames.lock().unwrap();
        let mut looked = 0;
        loop {
            if let Some(found) = frames[looked..].iter().find(|f| f.at > mark && want(f)) {
                return Some(found.clone());
            }
            looked = frames.len();
            let left = end.since(clock::now());
            if left.is_zero() {
                return None;
            }
            frames = self.shared.more.wait_timeout(frames, left).unwrap().0;
        }
    }

    /// Panics when anything after `mark` that suits was heard or is heard within `bound`.
    #[track_caller]
    pub fn silence(
        &self,
        mark: Instant,
        bound: Duration,
        what: &str,
        want: impl Fn(&Frame) -> bool,
    ) {
        if let Some(found) = self.seek(mark, bound, want) {
            panic!("{what}: {found:?}");
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A packet socket on `interface` of `place` that hears everything that arrives there and nothing that leaves.
pub fn tap(place: &Namespace, interface: &str) -> PacketSocket {
    place.run(move || {
        let link = Netlink::open()
            .unwrap()
            .link(interface)
            .unwrap()
            .expect("the interface is there");
        let socket = PacketSocket::open(link.index, Vnet::No).unwrap();
        socket.set_filter(&Filter::everything()).unwrap();
        socket
    })
}

fn record(socket: &PacketSocket, shared: &Shared) {
    // The kernel stamps with CLOCK_REALTIME; the tests' clock is CLOCK_BOOTTIME.
    let real = nix::time::clock_gettime(nix::time::ClockId::CLOCK_REALTIME).unwrap();
    let shift = i128::from(clock::now().as_nanos()) - nanos(real);
    let mut buffer = vec![0; 70_000];
    let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
    while !shared.over.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::from(50u8)).unwrap_or(0) == 0 {
            continue;
        }
        let mut batch = Vec::new();
        loop {
            let (length, stamp) = {
                let mut parts = [IoSliceMut::new(&mut buffer)];
                let flags = MsgFlags::MSG_DONTWAIT;
                let Ok(got) = recvmsg::<()>(
                    socket.as_fd().as_raw_fd(),
                    &mut parts,
                    Some(&mut control),
                    flags,
                ) else {
                    break;
                };
                let stamp = got.cmsgs().unwrap().find_map(|c| match c {
                    ControlMessageOwned::ScmTimestampns(at) => Some(nanos(at)),
                    _ => None,
                });
                (got.bytes, stamp)
            };
            let at = match stamp {
                Some(real) => Instant::from_nanos(u64::try_from(real + shift).unwrap()),
                None => clock::now(),
            };
            batch.push(Frame {
                at,
                bytes: buffer[..length].to_vec(),
            });
        }
        shared.frames.lock().unwrap().append(&mut batch);
        shared.more.notify_all();
    }
}

fn nanos(at: nix::sys::time::TimeSpec) -> i128 {
    i128::from(at.tv_sec()) * 1_000_000_000 + i128::from(at.tv_nsec())
}
