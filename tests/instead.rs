//! Our executable in the place of the system's ifconfig: what is carp's is done here, everything else handed on untouched.
#![allow(clippy::unwrap_used)]

mod fake_daemon;

use carp::carp::config::{State, Unit};
use carp::control::{Change, Interface, Reply, Request};
use fake_daemon::{Directory, Fake, Ran, finish, interface, ran, run};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// The system's: tells what it was given, and for -a and nothing shows two interfaces, one of them carp's.
const SYSTEM: &str = r#"#!/bin/sh
case "$*" in
""|-a) printf 'carp1: flags=1\n\tnot ours to show\n\neth7: flags=2\n\tinet 192.0.2.7\n\n' ;;
*) echo "system's:" "$@"; echo "$SOME $PATH"; echo wrong >&2; exit 7 ;;
esac
"#;

/// A directory with `ours/ifconfig` linked to us and `system/ifconfig`.
struct Installed(Directory);

impl Installed {
    fn new() -> Self {
        let directory = Directory::new();
        std::fs::create_dir(directory.path().join("ours")).unwrap();
        symlink(
            env!("CARGO_BIN_EXE_carp"),
            directory.path().join("ours/ifconfig"),
        )
        .unwrap();
        // Written by another process: whoever is started meanwhile must not inherit it open for writing (ETXTBSY).
        let mut shell = Command::new("/bin/sh");
        shell.args([
            "-ec",
            "mkdir $1/system; printf %s \"$2\" >$1/system/ifconfig; chmod 755 $1/system/ifconfig",
            "sh",
        ]);
        shell.arg(directory.path()).arg(SYSTEM);
        assert!(shell.status().unwrap().success());
        Self(directory)
    }

    /// PATH with these directories of ours.
    fn path(&self, names: &[&str]) -> String {
        let of = |name: &&str| self.0.path().join(name).display().to_string();
        names.iter().map(of).collect::<Vec<_>>().join(":")
    }

    fn run(&self, run: &Path, path: &str, line: &str) -> Ran {
        let mut command = Command::new(self.0.path().join("ours/ifconfig"));
        command
            .args(line.split(' ').filter(|word| !word.is_empty()))
            .env_clear()
            .env("PATH", path)
            .env("SOME", "thing")
            .env("CARP_RUN", run);
        finish(command, b"")
    }
}

const CARP1: &str = "\
carp1: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> mtu 1500
\tlladdr 00:00:5e:00:01:01
\tindex 6 priority 15 llprio 3
\tcarp: MASTER carpdev eth0 vhid 1 advbase 1 advskew 100
\tgroups: carp ha
\tstatus: master
\tinet 192.0.2.1 netmask 0xffffff00 broadcast 192.0.2.255
";

fn shown() -> Reply {
    Reply::Interfaces(vec![Interface {
        groups: vec!["carp".into(), "ha".into()],
        ..interface(1, State::Master)
    }])
}

#[test]
fn what_is_not_carps_is_handed_on_untouched() {
    let installed = Installed::new();
    let path = installed.path(&["ours", "system"]);
    let nobody = Directory::new();
    for line in [
        "eth0",
        "eth0 192.0.2.9 netmask 255.255.255.0 up",
        "-s",
        "--version",
        "eth0 hw ether 02:00:00:00:00:01",
        "eth0 inet6 add 2001:db8::1/64",
    ] {
        let out = format!("system's: {line}\nthing {path}\n");
        assert_eq!(
            installed.run(nobody.path(), &path, line),
            ran(&out, "wrong\n", 7),
            "{line}"
        );
    }
}

#[test]
fn what_is_carps_is_done_here() {
    let installed = Installed::new();
    let path = installed.path(&["ours", "system"]);
    for (line, change) in [
        ("carp1 advskew 7", Change::Advskew(7)),
        ("carp1 down", Change::Down),
        ("carp1 create", Change::Create),
    ] {
        let fake = Fake::answering(vec![Reply::Done]);
        assert_eq!(
            installed.run(fake.directory.path(), &path, line),
            ran("", "", 0)
        );
        let unit = Unit(1);
        let changes = vec![change];
        assert_eq!(fake.asked(), [Request::Apply { unit, changes }], "{line}");
    }
    let nobody = Directory::new();
    let err = "ifconfig: SIOCGVH: Inappropriate ioctl for device\n\
        ifconfig: only carp interfaces are shown and configured here; the others are the system's, see ip(8)\n";
    assert_eq!(
        installed.run(nobody.path(), &path, "eth0 vhid 1"),
        ran("", err, 1)
    );
    assert_eq!(
        installed.run(nobody.path(), &path, "-C"),
        ran("carp\n", "", 0)
    );
}

#[test]
fn all_shows_both_and_carps_interfaces_once() {
    let installed = Installed::new();
    let path = installed.path(&["ours", "system"]);
    let expected = format!("eth7: flags=2\n\tinet 192.0.2.7\n\n{CARP1}");
    for line in ["-a", ""] {
        let fake = Fake::answering(vec![shown()]);
        assert_eq!(
            installed.run(fake.directory.path(), &path, line),
            ran(&expected, "", 0),
            "{line}"
        );
    }
    let inet6 = CARP1.replace(
        "\tinet 192.0.2.1 netmask 0xffffff00 broadcast 192.0.2.255\n",
        "",
    );
    let fake = Fake::answering(vec![shown()]);
    let told = installed.run(fake.directory.path(), &path, "-a inet6");
    assert!(
        told.out.contains(&inet6) && told.out.contains("\tinet6 ::1 "),
        "{told:?}"
    );
    // Asked once whether ha is a group, once for its members.
    let fake = Fake::answering(vec![shown(), shown()]);
    assert_eq!(
        installed.run(fake.directory.path(), &path, "ha"),
        ran(CARP1, "", 0)
    );
}

#[test]
fn several_of_us_never_call_each_other_in_a_circle() {
    let installed = Installed::new();
    let copies = installed.0.path().join("copy");
    let nobody = Directory::new();
    std::fs::create_dir(&copies).unwrap();
    let status = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_carp"))
        .arg(copies.join("ifconfig"))
        .status()
        .unwrap();
    assert!(status.success());
    for (names, line) in [
        (["ours", "copy", "system"], "eth0 mtu 1400"),
        (["copy", "ours", "system"], "eth0 mtu 1400"),
    ] {
        let path = installed.path(&names);
        let out = format!("system's: {line}\nthing {path}\n");
        assert_eq!(
            installed.run(nobody.path(), &path, line),
            ran(&out, "wrong\n", 7)
        );
    }
}

/// Hides the system's in a mount namespace of its own, then becomes what is named.
const HIDDEN: &str = r#"
for real in /sbin/ifconfig /usr/sbin/ifconfig; do
    [ ! -f $real ] || mount --bind /dev/null $real
done
exec "$@""#;

#[test]
fn without_the_systems_it_shows_the_system_itself() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("skipped: without_the_systems_it_shows_the_system_itself: only root can hide it");
        return;
    }
    let installed = Installed::new();
    let nobody = Directory::new();
    let alone = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args(["-m", "/bin/sh", "-ec", HIDDEN, "sh"])
            .arg(installed.0.path().join("ours/ifconfig"))
            .args(words);
        command.env_clear();
        command.env("PATH", installed.path(&["ours"]) + ":/usr/sbin:/usr/bin");
        command.env("CARP_RUN", nobody.path());
        finish(command, b"")
    };
    let shown = alone(&["lo"]);
    assert_eq!((shown.err.as_str(), shown.code), ("", 0), "{shown:?}");
    assert!(
        shown.out.starts_with("lo: flags=") && shown.out.contains("LOOPBACK"),
        "{shown:?}"
    );
    assert!(alone(&["-a"]).out.contains(&shown.out));
    let err = "ifconfig: lo: Operation not supported\n\
        ifconfig: only carp interfaces are shown and configured here; the others are the system's, see ip(8)\n";
    assert_eq!(alone(&["lo", "mtu", "1400"]), ran("", err, 1));
}

#[test]
fn the_systems_interfaces_are_shown_in_freebsds_form() {
    let nobody = Directory::new();
    let shown = run(nobody.path(), "ifconfig --as freebsd lo");
    assert_eq!((shown.err.as_str(), shown.code), ("", 0));
    assert!(
        shown.out.contains("LOOPBACK") && shown.out.contains(" metric 0 mtu "),
        "{shown:?}"
    );
    // Nothing but what carries a vhid without that name.
    assert_eq!(
        run(nobody.path(), "ifconfig --as freebsd -a"),
        ran("", "", 0)
    );
}
