//! Programs that a host may be upgraded to; must not know what an upgrade does.

use super::hosts::{Host, Segment};
use super::plane;
use super::scene::join;
use carp::carp::config::Dataplane;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A place for programs that nobody else can write to, as an installed one has it, and this version in it.
pub struct Installed(pub PathBuf);

impl Installed {
    pub fn on(host: &Host) -> Self {
        let directory = host.run.join("bin");
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
        let installed = Self(fs::canonicalize(directory).unwrap());
        fs::copy(env!("CARGO_BIN_EXE_carp"), installed.path("carp")).unwrap();
        installed.mode("carp", 0o755);
        installed
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    /// A program that is a shell script; `$carp` in it is this version.
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        let carp = self.path("carp");
        let text = format!("#!/bin/sh\ncarp={}\n{text}\n", carp.display());
        fs::write(self.path(name), text).unwrap();
        self.mode(name, 0o755);
        self.path(name)
    }

    /// A host with a MASTER on whatever data plane there is, and its programs.
    pub fn one() -> Option<(Host, Self)> {
        if !plane::begin(Dataplane::Auto) {
            return None;
        }
        let segment = Segment::new();
        let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24", "2001:db8::11/64"]);
        a.daemon();
        join(&a, "eth0", 0);
        a.master("carp1");
        let installed = Self::on(&a);
        Some((a, installed))
    }
}

/// What the daemon of a host runs.
pub fn program(host: &Host) -> PathBuf {
    fs::read_link(format!("/proc/{}/exe", host.pid())).unwrap()
}

/// Upgrades and waits for the answer; how long that took.
#[track_caller]
pub fn upgrade(host: &Host, path: &Path) -> Duration {
    let begun = Instant::now();
    host.ok(&format!("upgrade {}", path.display()));
    begun.elapsed()
}
