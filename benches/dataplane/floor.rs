//! A TAP beside an interface, joined by two programs that redirect every frame and look at none: the least that moving
//! frames this way can cost; must not know carp's own programs.

use crate::support::hosts::Host;
use aya::EbpfLoader;
use aya::programs::SchedClassifier;
use carp::linux::bpf::{Hook, Place, attach_tcx};
use carp::linux::netlink::Netlink;
use carp::linux::tap::Tap;
use carp::wire::MacAddr;
use std::os::fd::{AsFd, OwnedFd};

/// Compiled from `floor.bpf.c` as carp's own programs are; a test compares.
const OBJECT: &[u8] = include_bytes!("floor.bpf.o");

/// Frames pass until this is dropped.
pub struct Floor {
    _tap: Tap,
    _links: [OwnedFd; 2],
}

impl Floor {
    /// Makes `name` with this MAC, up and with a carrier, beside `interface` of `host`.
    pub fn lay(host: &Host, interface: &str, name: &str, mac: MacAddr) -> Self {
        host.place.run(|| {
            let net = Netlink::open().unwrap();
            let carpdev = net.link(interface).unwrap().unwrap().index;
            let tap = Tap::create(name).unwrap();
            net.set_mac(tap.index(), mac).unwrap();
            net.set_up(tap.index(), true).unwrap();
            tap.set_carrier(true).unwrap();
            let links = [
                redirect("inward", (carpdev, Hook::Ingress), tap.index()),
                redirect("outward", (tap.index(), Hook::Egress), carpdev),
            ];
            Self {
                _tap: tap,
                _links: links,
            }
        })
    }
}

/// All that comes by the hook goes to `target`, until the link is closed.
fn redirect(program: &str, (index, hook): (u32, Hook), target: u32) -> OwnedFd {
    let mut loader = EbpfLoader::new();
    loader.btf(None).override_global("target", &target, true);
    let mut loaded = loader.load(OBJECT).unwrap();
    let program: &mut SchedClassifier = loaded.program_mut(program).unwrap().try_into().unwrap();
    program.load().unwrap();
    attach_tcx(program.fd().unwrap().as_fd(), index, hook, Place::First).unwrap()
}
