//! A command that configures finds a daemon or starts one, however many of them come at once or one after the other.
#![allow(clippy::unwrap_used)]

mod fake_daemon;
mod support;

use carp::control::socket::{REQUEST_MAX, read_frame, reply_frame};
use carp::control::{Reply, Request};
use carp::linux::netns::Namespace;
use fake_daemon::{Directory, Ran, copied, ran, run};
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// A network namespace and its run directory.
struct Place {
    net: Namespace,
    directory: Directory,
}

impl Place {
    fn new() -> Self {
        Self {
            net: Namespace::new().unwrap(),
            directory: Directory::new(),
        }
    }

    fn run(&self, line: &str) -> Ran {
        self.net.run(|| run(self.directory.path(), line))
    }

    /// The names of the interfaces.
    fn names(&self) -> Vec<String> {
        let shown = self.run("ifconfig").out;
        let heads = shown.lines().filter(|line| !line.starts_with('\t'));
        heads
            .map(|head| head.split(':').next().unwrap().to_owned())
            .collect()
    }

    /// The daemon ends with its last interface, and its run directory with it.
    fn is_left_empty(&self) {
        let until = Instant::now() + Duration::from_secs(5);
        while std::fs::read_dir(self.directory.path()).unwrap().count() != 0 {
            assert!(Instant::now() < until, "the daemon goes on");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Place {
    /// A test that failed leaves no daemon behind either.
    fn drop(&mut self) {
        if thread::panicking() {
            for number in 1..=6 {
                let _ = self.run(&format!("ifconfig carp{number} destroy"));
            }
        }
    }
}

#[test]
fn a_line_may_meet_a_daemon_on_its_way_out() {
    support::privileged!();
    let place = Place::new();
    for round in 0..15 {
        assert_eq!(
            place.run("ifconfig carp1 create"),
            ran("", "", 0),
            "{round}"
        );
        assert_eq!(place.names(), ["carp1"], "{round}");
        assert_eq!(
            place.run("ifconfig carp1 destroy"),
            ran("", "", 0),
            "{round}"
        );
    }
    place.is_left_empty();
}

/// A daemon that hangs up on who asks first, and answers the others with these; its socket stays behind, as of one killed.
fn hangs_up(place: &Place, replies: Vec<Reply>) -> thread::JoinHandle<Vec<Request>> {
    let socket = place.net.run(|| place.directory.place().socket());
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        let asked = |stream: &mut UnixStream| {
            serde_json::from_slice(&read_frame(stream, REQUEST_MAX).unwrap()).unwrap()
        };
        let mut requests = vec![asked(&mut listener.accept().unwrap().0)];
        for reply in replies {
            let (mut stream, _) = listener.accept().unwrap();
            requests.push(asked(&mut stream));
            stream.write_all(&reply_frame(&reply).unwrap()).unwrap();
        }
        requests
    })
}

#[test]
fn a_line_may_meet_a_daemon_that_is_killed() {
    support::privileged!();
    let place = Place::new();
    let killed = hangs_up(&place, Vec::new());
    assert_eq!(
        place.run("ifconfig carp1"),
        ran("", "ifconfig: carp1: no such interface\n", 1)
    );
    killed.join().unwrap();
    let killed = hangs_up(&place, Vec::new());
    assert_eq!(place.run("ifconfig carp1 create"), ran("", "", 0));
    killed.join().unwrap();
    assert_eq!(place.names(), ["carp1"]);
    assert_eq!(place.run("ifconfig carp1 destroy"), ran("", "", 0));
    place.is_left_empty();
}

#[test]
fn a_look_is_repeated_for_the_next_engine_and_a_change_is_not() {
    support::privileged!();
    let place = Place::new();
    let shown = hangs_up(&place, vec![Reply::Interfaces(Vec::new())]);
    assert_eq!(place.run("ifconfig -a"), ran("", "", 0));
    assert_eq!(
        shown.join().unwrap(),
        [Request::Show(None), Request::Show(None)]
    );
    let changed = hangs_up(&place, vec![Reply::Done]);
    let told = "ifconfig: the carp daemon: the connection was closed early\n";
    assert_eq!(place.run("ifconfig carp1 create"), ran("", told, 1));
    assert_eq!(changed.join().unwrap()[1..], [Request::Settings]);
}

#[test]
fn commands_at_once_share_one_daemon() {
    support::privileged!();
    let place = Place::new();
    let lines = |words: fn(usize) -> String| {
        thread::scope(|scope| {
            let place = &place;
            let runs: Vec<_> = (1..=6)
                .map(|n| scope.spawn(move || place.run(&words(n))))
                .collect();
            for run in runs {
                assert_eq!(run.join().unwrap(), ran("", "", 0));
            }
        });
    };
    for _ in 0..3 {
        lines(|n| format!("ifconfig carp{n} create"));
        assert_eq!(
            place.names(),
            ["carp1", "carp2", "carp3", "carp4", "carp5", "carp6"]
        );
        lines(|n| format!("ifconfig carp{n} destroy"));
        assert_eq!(place.names(), [""; 0]);
    }
    place.is_left_empty();
}

#[test]
fn why_no_daemon_came_up_is_told() {
    support::privileged!();
    let place = Place::new();
    let nowhere = place.directory.path().join("missing/run");
    let told = place.net.run(|| run(&nowhere, "ifconfig carp1 create"));
    assert_eq!((told.out.as_str(), told.code), ("", 1));
    assert!(
        told.err
            .starts_with("ifconfig: SIOCIFCREATE: No such file or directory\nifconfig: "),
        "{}",
        told.err
    );
    assert_eq!(told.err.lines().count(), 2, "{}", told.err);
}

#[test]
fn a_daemon_holds_nothing_of_its_caller() {
    support::privileged!();
    let place = Place::new();
    // The test waits for the end of both pipes, and the shell hands them on under other numbers.
    let carp = env!("CARGO_BIN_EXE_carp");
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args([
        "-c",
        &format!("exec 7>&1 8>&2; umask 077; {carp} ifconfig carp1 create"),
    ]);
    shell.env("CARP_RUN", place.directory.path());
    let before = Instant::now();
    assert_eq!(
        place.net.run(|| fake_daemon::finish(shell, b"")),
        ran("", "", 0)
    );
    assert!(
        before.elapsed() < Duration::from_secs(5),
        "{:?}",
        before.elapsed()
    );
    // Others may look whatever the caller's umask was.
    let inside = std::fs::read_dir(place.directory.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&inside.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o755);
    assert_eq!(place.run("ifconfig carp1 destroy"), ran("", "", 0));
    place.is_left_empty();
}

#[test]
fn root_changes_and_others_look() {
    support::privileged!();
    if !fake_daemon::may_become_others() {
        eprintln!("skipped: root_changes_and_others_look: nobody else can be become here");
        return;
    }
    let place = Place::new();
    assert_eq!(place.run("ifconfig carp1 create"), ran("", "", 0));
    let copy = copied(Path::new(env!("CARGO_BIN_EXE_carp")), &place.directory);
    let as_nobody = |line: &str| {
        let mut command = std::process::Command::new(&copy);
        command
            .env_clear()
            .env("CARP_RUN", place.directory.path())
            .args(line.split(' '));
        command.uid(65534).gid(65534);
        place.net.run(|| fake_daemon::finish(command, b""))
    };
    assert_eq!(as_nobody("ifconfig carp1"), place.run("ifconfig carp1"));
    for (program, rest, call) in [
        ("ifconfig", "carp1 vhid 1", "SIOCSVH"),
        ("ifconfig", "carp1 down", "SIOCSIFFLAGS"),
        ("ifconfig", "carp1 destroy", "SIOCIFDESTROY"),
        ("ifconfig", "carp2 create", "SIOCIFCREATE"),
        ("sysctl", "net.inet.carp.allow=0", "net.inet.carp.allow"),
    ] {
        let err = format!("{program}: {call}: Operation not permitted\n");
        assert_eq!(as_nobody(&format!("{program} {rest}")), ran("", &err, 1));
    }
    assert_eq!(place.names(), ["carp1"]);
    assert_eq!(
        place.run("sysctl -n net.inet.carp.allow"),
        ran("1\n", "", 0)
    );
    std::fs::remove_file(copy).unwrap();
    assert_eq!(place.run("ifconfig carp1 destroy"), ran("", "", 0));
    place.is_left_empty();
}
