//! What a data plane promises to the host that it runs on: its words and counters, what firewalls and captures see, whose
//! company it bears, what it leaves alone, and what it does when its daemon stands still or dies.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod balancing;
mod life;
mod looks;
mod settings;
mod stall;
mod words;

use carp::wire::MacAddr;
use support::hosts::{Host, Segment};
use support::scene::join;

/// The virtual MAC of group 1.
const VIRTUAL: MacAddr = MacAddr::of_vhid(1);

/// a, MASTER of carp1 on an eth0 without addresses, so that all that is sent leaves by carpN; and a client.
fn bare() -> (Host, Host) {
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &[]);
    let c = Host::on(&segment, "c", 0x0c, &["192.0.2.13/24", "2001:db8::13/64"]);
    a.daemon();
    join(&a, "eth0", 0);
    a.master("carp1");
    (a, c)
}
