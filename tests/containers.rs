//! Where less is granted than root of a whole host has, the daemon works with it or says in one line what is missing.
#![allow(clippy::unwrap_used)]

mod support;

use carp::linux::capabilities::{self, Capability};
use carp::linux::userns;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use support::hosts::{Host, SOON, Segment, until};
use support::privilege;
use support::scene::SHARED;

/// In a process that is to become a daemon: what is taken from it first.
const CASE: &str = "CARP_TEST_CONTAINER";
const TEST: &str = "a_daemon_works_with_what_it_is_granted_or_says_what_is_missing";

/// What comes of a daemon.
enum Expected {
    /// It serves, and of these its log has lines, and of the engine's lack no others.
    Serves(&'static [&'static str]),
    /// It ends, and says this.
    Ends(&'static str),
    /// It answers, but makes no interface, for this reason.
    Refuses(&'static str),
}

struct Case {
    name: &'static str,
    restrict: fn(),
    expected: Expected,
}

use Capability::{Kill, NetAdmin, NetRaw, Setgid, Setpcap, Setuid};

const CASES: &[Case] = &[
    Case {
        name: "no new privileges",
        restrict: || {},
        expected: Expected::Serves(&[]),
    },
    Case {
        name: "no programs in the kernel",
        restrict: || keep(&[Kill, NetAdmin, NetRaw, Setgid, Setuid, Setpcap]),
        expected: Expected::Serves(&["data plane: copy (", "the engine sees this network: "]),
    },
    Case {
        name: "two capabilities",
        restrict: || keep(&[NetAdmin, NetRaw]),
        expected: Expected::Serves(&[
            "data plane: copy (",
            "the engine sees this network: ",
            "the engine has no user of its own: ",
        ]),
    },
    Case {
        name: "no packet sockets",
        restrict: || keep(&[Kill, NetAdmin, Setgid, Setuid]),
        expected: Expected::Ends("needs CAP_NET_RAW"),
    },
    Case {
        name: "no capability",
        restrict: || keep(&[]),
        expected: Expected::Ends("needs CAP_NET_ADMIN and CAP_NET_RAW"),
    },
    Case {
        name: "no memfd",
        restrict: || refuse(&[libc::SYS_memfd_create], libc::ENOSYS),
        expected: Expected::Ends("record: Function not implemented"),
    },
    Case {
        name: "a kernel without Landlock",
        restrict: || refuse(&[libc::SYS_landlock_create_ruleset], libc::ENOSYS),
        expected: Expected::Serves(&["the engine may open files: "]),
    },
    Case {
        name: "a kernel without seccomp",
        restrict: || refuse(&[libc::SYS_seccomp], libc::ENOSYS),
        expected: Expected::Serves(&["the engine may use all system calls: "]),
    },
    Case {
        name: "no bpf(2)",
        restrict: || refuse(&[libc::SYS_bpf], libc::ENOSYS),
        expected: Expected::Serves(&["data plane: copy ("]),
    },
    Case {
        name: "no TAP",
        restrict: || cover("/dev/net", false),
        expected: Expected::Refuses("/dev/net/tun"),
    },
    Case {
        name: "settings that cannot be written",
        restrict: || cover("/proc/sys", true),
        expected: Expected::Refuses("Read-only file system"),
    },
];

fn keep(kept: &[Capability]) {
    capabilities::keep_only(kept).unwrap();
}

/// Has these system calls fail, as where they are not known or a container's profile forbids them.
fn refuse(calls: &[libc::c_long], errno: i32) {
    let rules: BTreeMap<i64, Vec<_>> = calls.iter().map(|call| (*call, Vec::new())).collect();
    let failing = SeccompAction::Errno(errno.cast_unsigned());
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, failing, arch).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    apply_filter(&program).unwrap();
}

/// Makes a directory read-only in a mount namespace of its own, or covers it with nothing.
fn cover(path: &str, itself: bool) {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let none = None::<&str>;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none).unwrap();
    if !itself {
        return mount(none, path, Some("tmpfs"), MsFlags::empty(), none).unwrap();
    }
    mount(Some(path), path, none, MsFlags::MS_BIND, none).unwrap();
    let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(none, path, none, read_only, none).unwrap();
}

/// Becomes the daemon that the case asks for, if this is such a process.
fn become_daemon() {
    let Ok(name) = std::env::var(CASE) else {
        return;
    };
    let case = CASES.iter().find(|case| case.name == name).unwrap();
    // What root executes would get everything again.
    prctl::set_no_new_privs().unwrap();
    (case.restrict)();
    let failed = Command::new(env!("CARGO_BIN_EXE_carp"))
        .arg("daemon")
        .env_remove(CASE)
        .exec();
    panic!("{failed}");
}

/// A daemon of this case on this host.
fn launch(host: &Host, name: &str) {
    let mut command = privilege::this_test(TEST);
    command.env(CASE, name).env("CARP_RUN", &host.run);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    host.launch(command);
}

#[test]
fn a_daemon_works_with_what_it_is_granted_or_says_what_is_missing() {
    become_daemon();
    if privilege::run_elsewhere() {
        return;
    }
    for (number, case) in CASES.iter().enumerate() {
        let segment = Segment::new();
        let host = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
        launch(&host, case.name);
        let over = until(SOON, || host.ended() || host.said().contains("ready\n"));
        let why = || format!("{number}, {}: {}", case.name, host.said());
        assert!(over, "{}", why());
        match case.expected {
            Expected::Ends(text) => {
                assert!(host.ended() && host.said().contains(text), "{}", why());
                assert!(host.said().lines().count() <= 2, "{}", why());
            }
            Expected::Refuses(text) => {
                let line = format!("ifconfig carp1 vhid 1 carpdev eth0 {SHARED}/24");
                let said = host.refused(&line);
                assert!(said.contains(text), "{said}{}", why());
                assert_eq!(host.carrier("carp1"), None);
            }
            Expected::Serves(lines) => {
                host.ok(&format!(
                    "ifconfig carp1 vhid 1 carpdev eth0 advbase 0 advskew 20 {SHARED}/24"
                ));
                assert!(
                    until(SOON, || host.has_address("carp1", SHARED)),
                    "{}",
                    why()
                );
                let said = host.said();
                assert!(lines.iter().all(|line| said.contains(line)), "{}", why());
                let told = said.lines().filter(|line| line.contains("the engine "));
                let expected = lines.iter().filter(|line| line.contains("the engine "));
                assert_eq!(told.count(), expected.count(), "{}", why());
                host.terminate();
                assert_eq!(host.carrier("carp1"), None, "{}", why());
            }
        }
    }
}

/// As rootless containers run: root is nobody else's root, and there is no other user to be.
#[test]
fn a_daemon_works_in_a_user_namespace_that_maps_one_user() {
    if privilege::run_elsewhere() {
        return;
    }
    if privilege::may_become_nobody() {
        let test = "a_daemon_works_in_a_user_namespace_that_maps_one_user";
        let mut inside = privilege::this_test(test);
        userns::become_root(&mut inside);
        match inside.output() {
            Ok(done) => {
                let said = String::from_utf8_lossy(&done.stdout);
                let why = String::from_utf8_lossy(&done.stderr);
                assert!(said.contains("1 passed"), "{said}{why}");
            }
            Err(e) => privilege::skip_here(&format!("user namespace: {e}")),
        }
        return;
    }
    let segment = Segment::new();
    let host = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    host.daemon();
    host.ok(&format!(
        "ifconfig carp1 vhid 1 carpdev eth0 advbase 0 advskew 20 {SHARED}/24"
    ));
    let serves = until(SOON, || host.has_address("carp1", SHARED));
    assert!(serves, "{}", host.said());
    let said = host.said();
    let told: Vec<&str> = said.lines().filter(|l| l.contains("the engine ")).collect();
    assert_eq!(told.len(), 1, "{said}");
    assert!(
        told[0].contains("the engine has no user of its own: "),
        "{said}"
    );
    host.terminate();
    assert_eq!(host.carrier("carp1"), None);
}
