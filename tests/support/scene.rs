//! The usual scene: hosts a and b with group 1, and a client c, on one segment.

use super::hosts::{Host, Segment};
use std::sync::Arc;
use std::time::Duration;

/// The shared addresses of group 1.
pub const SHARED: &str = "192.0.2.1";
pub const SHARED6: &str = "2001:db8::1";

/// Two hosts and a client.
pub struct Scene {
    pub segment: Arc<Segment>,
    pub a: Host,
    pub b: Host,
    pub c: Host,
}

impl Scene {
    /// The hosts only, each with a foreground daemon where carp is to run, no carp interface yet.
    pub fn bare() -> Self {
        let scene = Self::unborn();
        scene.a.daemon();
        scene.b.daemon();
        scene
    }

    /// The hosts only, without daemons.
    pub fn unborn() -> Self {
        let segment = Segment::new();
        let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24", "2001:db8::11/64"]);
        let b = Host::on(&segment, "b", 0x0b, &["192.0.2.12/24", "2001:db8::12/64"]);
        let c = Host::on(&segment, "c", 0x0c, &["192.0.2.13/24", "2001:db8::13/64"]);
        Self { segment, a, b, c }
    }

    /// a is MASTER of carp1 (advskew 0), b is BACKUP (advskew 100), both families. b has been MASTER before, so that it could
    /// have kept something.
    pub fn new() -> Self {
        let scene = Self::bare();
        join(&scene.b, "eth0", 100);
        scene.b.master("carp1");
        join(&scene.a, "eth0", 0);
        scene.a.master("carp1");
        scene.b.until_state("carp1", "BACKUP");
        // Past b's linger.
        std::thread::sleep(Duration::from_millis(300));
        scene
    }
}

/// Configures carp1 of `host`: vhid 1, pass secret, both shared addresses.
#[track_caller]
pub fn join(host: &Host, carpdev: &str, advskew: u8) {
    join_timed(host, carpdev, 1, advskew);
}

/// The same with another advbase; 0 and an advskew of 20 make a group that settles in a quarter of a second.
#[track_caller]
pub fn join_timed(host: &Host, carpdev: &str, advbase: u8, advskew: u8) {
    let timers = format!("advbase {advbase} advskew {advskew}");
    host.ok(&format!(
        "ifconfig carp1 vhid 1 pass secret carpdev {carpdev} {timers} {SHARED}/24"
    ));
    host.ok(&format!("ifconfig carp1 inet6 alias {SHARED6}/64"));
}

/// Configures carp`number` of `host` as vhid `number` with the one address 192.0.2.`number`.
#[track_caller]
pub fn join_numbered(host: &Host, carpdev: &str, number: u8, advskew: u8) {
    let line = format!(
        "ifconfig carp{number} vhid {number} pass secret carpdev {carpdev} advskew {advskew}"
    );
    host.ok(&format!("{line} 192.0.2.{number}/24"));
}
