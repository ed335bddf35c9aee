//! A TAP beside an interface, joined by two threads that read frames and write them and look at none: the least that
//! copying in a process can cost; must not know carp's own copier.

use crate::support::hosts::Host;
use carp::lab::beat::Beat;
use carp::linux::filter::Filter;
use carp::linux::netlink::Netlink;
use carp::linux::packet::{PacketSocket, Vnet};
use carp::linux::tap::Tap;
use carp::wire::MacAddr;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// More than a super-packet has.
const BUFFER: usize = 128 << 10;
/// Milliseconds between two looks whether it is over.
const LOOK: u16 = 50;

/// Frames pass until this is dropped.
pub struct Bare {
    _threads: [Beat; 2],
}

impl Bare {
    /// Makes `name` with this MAC, up and with a carrier, beside `interface` of `host`.
    pub fn lay(host: &Host, interface: &str, name: &str, mac: MacAddr) -> Self {
        host.place.run(|| {
            let net = Netlink::open().unwrap();
            let carpdev = net.link(interface).unwrap().unwrap().index;
            let tap = Arc::new(Tap::create(name).unwrap());
            net.set_mac(tap.index(), mac).unwrap();
            net.set_up(tap.index(), true).unwrap();
            tap.set_carrier(true).unwrap();
            let socket = Arc::new(PacketSocket::open(carpdev, Vnet::Yes).unwrap());
            socket.set_filter(&Filter::everything()).unwrap();
            socket.accept_unicast(mac).unwrap();
            let (from, to) = (Arc::clone(&socket), Arc::clone(&tap));
            let inward = Beat::run("inward", move |over| {
                let read = |buffer: &mut [u8]| from.recv(buffer);
                carry(over, &from, read, |frame| {
                    nix::unistd::write(&*to, frame).is_ok()
                });
            });
            let outward = Beat::run("outward", move |over| {
                let read = |buffer: &mut [u8]| Ok(nix::unistd::read(&*tap, buffer)?);
                carry(over, &tap, read, |frame| socket.send(frame).is_ok());
            });
            Self {
                _threads: [inward.unwrap(), outward.unwrap()],
            }
        })
    }
}

/// Reads and writes while there is something, else waits for it.
fn carry(
    over: &AtomicBool,
    source: &impl AsFd,
    read: impl Fn(&mut [u8]) -> io::Result<usize>,
    write: impl Fn(&[u8]) -> bool,
) {
    let mut buffer = vec![0; BUFFER];
    while !over.load(Ordering::Relaxed) {
        while let Ok(length) = read(&mut buffer) {
            // What is refused is lost, as on a wire.
            let _ = write(&buffer[..length]);
        }
        let mut readable = [PollFd::new(source.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut readable, PollTimeout::from(LOOK));
    }
}
