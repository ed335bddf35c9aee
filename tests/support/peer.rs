//! Debian's ucarp on a host of its own, as its users run it; must not know ours.

use super::hosts::{Host, SOON, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const UCARP: &str = "/usr/sbin/ucarp";

/// Whether ucarp is here; if not, says that the calling test is skipped.
pub fn installed() -> bool {
    let here = Path::new(UCARP).exists();
    if !here {
        let test = std::thread::current().name().unwrap_or("?").to_owned();
        // Past libtest's capture, so that it is seen.
        let _ = writeln!(std::io::stderr(), "skipped: {test}: ucarp not installed");
    }
    here
}

/// A running ucarp. Its host's end is its own.
pub struct Ucarp<'a> {
    host: &'a Host,
    process: Child,
}

/// How ucarp is to be run.
pub struct Options<'a> {
    pub source: &'a str,
    pub shared: &'a str,
    pub pass: &'a str,
    pub advskew: u8,
    pub preempt: bool,
}

impl<'a> Ucarp<'a> {
    /// Starts ucarp for vhid 1 on `eth0` of `host`, with scripts that note the last change.
    pub fn start(host: &'a Host, options: &Options<'_>) -> Self {
        let script = |name: &str, verb: &str| {
            let path = host.run.join(name);
            // There may be no `ip` here, and ucarp's host has only to be heard: the script leaves a mark.
            let mark = host.run.join("state");
            std::fs::write(
                &path,
                format!("#!/bin/sh\necho {verb} > {}\n", mark.display()),
            )
            .unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let (up, down) = (script("up", "up"), script("down", "down"));
        let mut command = Command::new(UCARP);
        command.args([
            "-i",
            "eth0",
            "-v",
            "1",
            "-f",
            "none",
            "-s",
            options.source,
            "-p",
            options.pass,
        ]);
        command.args(["-a", options.shared, "-k", &options.advskew.to_string()]);
        command.arg("-u").arg(up).arg("-d").arg(down);
        if options.preempt {
            command.arg("-P");
        }
        let log = std::fs::File::create(host.run.join("ucarp")).unwrap();
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let process = host.place.run(|| command.spawn().unwrap());
        let ucarp = Self { host, process };
        assert!(
            until(SOON, || !ucarp.said().is_empty()),
            "ucarp says nothing"
        );
        ucarp
    }

    /// What it printed.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.host.run.join("ucarp")).unwrap_or_default()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        kill(
            Pid::from_raw(i32::try_from(self.process.id()).unwrap()),
            Signal::SIGKILL,
        )
        .unwrap();
        let _ = self.process.wait();
    }
}

impl Drop for Ucarp<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("ucarp on {}:\n{}", self.host.name, self.said());
        }
    }
}
