//! A new version takes the place of the old one: nothing is lost, nothing is told twice, and what cannot take over changes
//! nothing. `CARP_UPGRADES=20` makes more of them.
#![allow(clippy::unwrap_used)]

mod support;

use carp::lab::figures::{self, interval};
use carp::lab::prober::Prober;
use carp::lab::stall::StallMeter;
use carp::linux::clock;
use carp::wire::Family;
use nix::sys::signal::{Signal, kill};
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::frames::Frame;
use support::hosts::{Host, SOON, Segment, until};
use support::installed::{Installed, program, upgrade};
use support::plane;
use support::scene::{SHARED, SHARED6, Scene, join};

/// A busy machine takes its time to run what is ready.
const LATE: Duration = Duration::from_millis(100);
const STILL: Duration = Duration::from_millis(50);

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn advert(frame: &Frame) -> bool {
    frame.advert().is_some() && frame.ethertype() == 0x0800
}

fn rounds() -> usize {
    plane::rounds("CARP_UPGRADES")
}

/// The MASTER and the BACKUP are upgraded in turn under probes.
fn upgrades_cost_no_packet_and_move_nothing() {
    let scene = Scene::new();
    let installed = [&scene.a, &scene.b].map(Installed::on);
    let targets: [IpAddr; 2] = [SHARED.parse().unwrap(), SHARED6.parse().unwrap()];
    let (from_a, from_b) = (scene.a.sends("eth0"), scene.b.sends("eth0"));
    let stalls = StallMeter::start().unwrap();
    let period = Duration::from_millis(1);
    let prober = Prober::start(&scene.c.place, scene.c.index("eth0"), &targets, period).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let pids = [scene.a.pid(), scene.b.pid()];
    let begun = clock::now();
    let mut took = Vec::new();
    for _ in 0..rounds() {
        for (host, installed) in [&scene.a, &scene.b].into_iter().zip(&installed) {
            let old = host.engine();
            took.push(upgrade(host, &installed.path("carp")));
            assert_ne!(host.engine(), old, "another engine: {}", host.said());
            std::thread::sleep(Duration::from_millis(300));
        }
    }
    std::thread::sleep(Duration::from_millis(500));
    let end = clock::now();
    // Until the last replies are in.
    std::thread::sleep(Duration::from_secs(1));
    let adverts = from_a.after(begun, |f| advert(f) && f.at < end);
    let gaps = adverts.windows(2).map(|two| two[1].at.since(two[0].at));
    let late = gaps
        .max()
        .unwrap_or_default()
        .saturating_sub(interval(1, 0));
    let reaches = [Family::Inet, Family::Inet6]
        .map(|family| figures::reach(&prober.probes(family, begun, end), period));
    let lost: u64 = reaches.iter().map(|reach| reach.lost).sum();
    let stall = stalls.worst(begun, end);
    took.sort_unstable();
    eprintln!(
        "{}: {} upgrades of each: {lost} lost of {}, advertisements at most {late:?} late, longest stall {stall:?}, median {:?}, longest {:?}",
        plane::current(),
        rounds(),
        reaches.iter().map(|reach| reach.sent).sum::<u64>(),
        took[took.len() / 2],
        took[took.len() - 1],
    );
    let told = from_b.after(begun, |f| f.advert().is_some());
    assert!(told.is_empty(), "b advertised: {told:?}");
    for (host, state) in [(&scene.a, "MASTER"), (&scene.b, "BACKUP")] {
        assert_eq!(host.state("carp1"), state);
        let said = host.said();
        let (_, after) = said.split_once(" goes on for version ").unwrap();
        assert!(!after.contains("state transition"), "{}: {said}", host.name);
        assert!(!after.contains("the engine ended"), "{}: {said}", host.name);
    }
    assert_eq!([scene.a.pid(), scene.b.pid()], pids);
    assert_eq!(program(&scene.a), installed[0].path("carp"));
    // What a machine loses that stands still for longer says nothing of us: queues overflow, questions stay without an answer.
    if stall < STILL {
        assert!(late <= LATE, "{late:?} late, stall {stall:?}");
        assert_eq!(lost, 0, "{reaches:?}, stall {stall:?}");
    }
    // The BACKUP does what it is there for.
    scene.a.kill();
    scene.b.until_state("carp1", "MASTER");
}

/// The numbers in a text, in order.
fn numbers(text: &str) -> Vec<u64> {
    let words = text.split(|c: char| !c.is_ascii_digit());
    words.filter_map(|word| word.parse().ok()).collect()
}

/// Whatever the old version knew the new one knows, also what its engine counted by itself.
fn the_next_version_knows_what_the_last_one_knew() {
    let scene = Scene::new();
    let a = &scene.a;
    let installed = Installed::on(a);
    a.ok("ifconfig carp3 vhid 3 pass other carpdev eth0 advbase 2 192.0.2.3/24 group dmz description hello");
    a.ok("ifconfig -g dmz carpdemote 5");
    a.ok("sysctl -q net.inet.carp.preempt=1");
    a.master("carp3");
    let targets: [IpAddr; 1] = [SHARED.parse().unwrap()];
    let probes = Duration::from_millis(5);
    let prober = Prober::start(&scene.c.place, scene.c.index("eth0"), &targets, probes).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    drop(prober);
    std::thread::sleep(Duration::from_millis(200));
    let kept = |text: String| {
        let passed = |line: &&str| !line.contains("packet") && !line.contains("bytes");
        text.lines().filter(passed).collect::<Vec<_>>().join("\n")
    };
    let shown = || {
        [
            a.ok("dump -k"),
            kept(a.ok("ifconfig -a")),
            a.ok("ifconfig -g dmz"),
            a.ok("sysctl net.inet.carp"),
        ]
    };
    let counted = || ["netstat -s -p carp", "netstat -I carp1"].map(|line| numbers(&a.ok(line)));
    let (before, counts) = (shown(), counted());
    let probed = counts[1]
        .iter()
        .any(|frames| (100..10_000).contains(frames));
    assert!(probed, "frames were counted: {counts:?}");
    for _ in 0..2 {
        upgrade(a, &installed.path("carp"));
        assert_eq!(shown(), before, "{}", a.said());
        let now = counted();
        let (old, new) = (counts.concat(), now.concat());
        assert_eq!(old.len(), new.len());
        let on = old
            .iter()
            .zip(&new)
            .all(|(old, new)| new >= old && *new < old + 500);
        assert!(on, "{old:?} became {new:?}");
    }
    // And it can do what the old one could.
    a.ok("ifconfig carp3 inet alias 192.0.2.33/24");
    assert!(
        until(SOON, || a.has_address("carp3", "192.0.2.33")),
        "{}",
        a.said()
    );
    a.ok("ifconfig carp3 destroy");
    assert_eq!(a.carrier("carp3"), None);
    a.terminate();
    assert_eq!(a.carrier("carp1"), None, "{}", a.said());
}

/// Commands come without a pause while the version changes: none of them fails, or is done twice.
fn no_command_notices_an_upgrade() {
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24", "2001:db8::11/64"]);
    a.daemon();
    join(&a, "eth0", 0);
    a.master("carp1");
    let installed = Installed::on(&a);
    let over = AtomicBool::new(false);
    let done = std::thread::scope(|scope| {
        let typing = scope.spawn(|| {
            let (mut lines, begun) = (0, Instant::now());
            while !over.load(Ordering::Relaxed) && begun.elapsed() < 6 * SOON {
                a.ok("ifconfig carp5 create vhid 5 pass secret carpdev eth0 192.0.2.5/24");
                a.ok("ifconfig carp5 inet alias 192.0.2.55/24");
                a.ok("ifconfig carp5 destroy");
                a.ok("ifconfig carp1");
                lines += 4;
            }
            lines
        });
        for _ in 0..5 {
            upgrade(&a, &installed.path("carp"));
        }
        over.store(true, Ordering::Relaxed);
        typing.join().unwrap()
    });
    assert!(done > 4, "{done} lines");
    assert_eq!(a.state("carp1"), "MASTER", "{}", a.said());
    assert_eq!(a.carrier("carp5"), None);
}

/// What cannot take over, and a part of the reason.
fn misfits(installed: &Installed, slow: bool) -> Vec<(PathBuf, &'static str)> {
    let doctored = |key: &str| {
        let change = format!(
            "s/\"{key}\":{{\"version\":[0-9]*,\"least\":[0-9]*/\"{key}\":{{\"version\":9,\"least\":9/"
        );
        let letter = installed.path("doctored");
        let letter = letter.display();
        format!("sed '{change}' </proc/self/fd/3 >{letter}; exec 3<{letter}; exec $carp \"$@\"")
    };
    fs::write(installed.path("garbage"), "\x7fELF, but no more").unwrap();
    installed.mode("garbage", 0o755);
    fs::write(installed.path("text"), "no program").unwrap();
    installed.mode("text", 0o644);
    let open = installed.script("open", "exec $carp \"$@\"");
    installed.mode("open", 0o777);
    let mut all = vec![
        (installed.path("missing"), "No such file or directory"),
        (installed.0.clone(), "it is no regular file"),
        (installed.path("text"), "it is not executable"),
        (installed.path("garbage"), "garbage"),
        (open, "writable by others"),
        (
            installed.script("true", "exit 0"),
            "it did not say that it can",
        ),
        (
            installed.script(
                "old",
                "echo \"error: unexpected argument '$4'\" >&2; exit 1",
            ),
            "unexpected argument '--tries'",
        ),
        (installed.script("crash", "kill -SEGV $$"), "SIGSEGV"),
        (installed.script("yes", "exec yes"), "it says too much"),
        (
            installed.script("state", &doctored("state")),
            "the state is of version 9",
        ),
        (
            installed.script("letter", &doctored("letter")),
            "the description is of version 9",
        ),
        (
            installed.script("torn", "exec 3</dev/null; exec $carp \"$@\""),
            "the description",
        ),
        (
            installed.script("blind", "exec 4<&-; exec $carp \"$@\""),
            "take descriptor 4",
        ),
    ];
    if slow {
        all.push((
            installed.script("sleep", "exec sleep 60"),
            "it did not say in",
        ));
    }
    all
}

/// Of every kind; the daemon, its engine and its interfaces are as before.
fn what_cannot_take_over_leaves_everything_as_it_was() {
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24", "2001:db8::11/64"]);
    a.daemon();
    join(&a, "eth0", 0);
    a.master("carp1");
    let installed = Installed::on(&a);
    let before = (a.pid(), a.engine(), program(&a), a.index("carp1"));
    let wire = a.sends("eth0");
    for (path, reason) in misfits(&installed, plane::first()) {
        let said = a.refused(&format!("upgrade {}", path.display()));
        assert!(said.contains(reason), "{}: {said}", path.display());
        assert!(said.starts_with("upgrade: /"), "{said}");
        let after = (a.pid(), a.engine(), program(&a), a.index("carp1"));
        assert_eq!(after, before, "{}: {}", path.display(), a.said());
    }
    assert_eq!(a.state("carp1"), "MASTER", "{}", a.said());
    assert!(!a.said().contains("the engine ended"), "{}", a.said());
    assert!(until(SOON, || wire.frames().iter().any(advert)));
    assert!(
        !wire
            .frames()
            .iter()
            .any(|f| f.advert().is_some_and(|seen| seen.goodbye()))
    );
    // And that was no harm to it.
    upgrade(&a, &installed.path("carp"));
    assert_eq!((a.pid(), a.index("carp1")), (before.0, before.3));
    assert_eq!(a.state("carp1"), "MASTER", "{}", a.said());
}

/// When it fails after all, it is as if the parent was killed: a goodbye, and all is gone.
fn a_program_that_fails_in_the_old_ones_place_takes_everything_along() {
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24", "2001:db8::11/64"]);
    a.daemon();
    join(&a, "eth0", 0);
    a.master("carp1");
    let installed = Installed::on(&a);
    let traitor = installed.script(
        "traitor",
        "case \"$*\" in *--takes-over*) exit 7;; esac; exec $carp \"$@\"",
    );
    let wire = a.sends("eth0");
    let said = a.refused(&format!("upgrade {}", traitor.display()));
    assert!(said.contains("the carp daemon has ended"), "{said}");
    assert!(
        until(SOON, || a.ended() && a.processes().is_empty()),
        "{:?}",
        a.processes()
    );
    assert_eq!(a.carrier("carp1"), None);
    let goodbye = |f: &Frame| f.advert().is_some_and(|seen| seen.goodbye());
    assert!(
        until(SOON, || wire.frames().iter().any(goodbye)),
        "{}",
        a.said()
    );
}

#[test]
fn two_that_ask_at_once_are_served_one_after_the_other() {
    let Some((a, installed)) = Installed::one() else {
        return;
    };
    let path = installed.path("carp");
    std::thread::scope(|scope| {
        let asking = [(); 3].map(|()| scope.spawn(|| upgrade(&a, &path)));
        for one in asking {
            one.join().unwrap();
        }
    });
    assert_eq!(a.state("carp1"), "MASTER", "{}", a.said());
    assert_eq!(
        a.said().matches(" goes on for version ").count(),
        3,
        "{}",
        a.said()
    );
}

#[test]
fn the_path_it_was_started_from_is_followed_anew_each_time() {
    let Some((a, installed)) = Installed::one() else {
        return;
    };
    fs::copy(installed.path("carp"), installed.path("carp-2")).unwrap();
    let link = installed.path("carpd");
    let lead = |to: &str| {
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(installed.path(to), &link).unwrap();
    };
    lead("carp");
    upgrade(&a, &link);
    assert_eq!(program(&a), installed.path("carp"));
    let engine = a.engine();
    a.ok("upgrade --changed");
    assert_eq!(a.engine(), engine, "it runs this file already");
    lead("carp-2");
    a.ok("upgrade --changed");
    assert_eq!(program(&a), installed.path("carp-2"));
    assert_ne!(a.engine(), engine);
    // A file that was replaced, as packages are.
    fs::copy(installed.path("carp"), installed.path("new")).unwrap();
    fs::rename(installed.path("new"), installed.path("carp-2")).unwrap();
    let engine = a.engine();
    a.ok("upgrade");
    assert_ne!(a.engine(), engine);
    assert_eq!(program(&a), installed.path("carp-2"));
    // The command line stays what it was, but for the letter.
    let line = fs::read(format!("/proc/{}/cmdline", a.pid())).unwrap();
    let words: Vec<_> = line
        .split(|byte| *byte == 0)
        .map(String::from_utf8_lossy)
        .collect();
    assert_eq!(
        words[..4],
        [
            env!("CARGO_BIN_EXE_carp"),
            "daemon",
            "--dataplane",
            a.plane.word()
        ]
    );
    assert_eq!(words.len(), 7, "{words:?}");
}

#[test]
fn only_who_started_it_and_root_may_ask() {
    let Some((a, installed)) = Installed::one() else {
        return;
    };
    let socket = a.run.join(a.place.inode().to_string()).join("upgrade");
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    if support::may_become_nobody() {
        let mut command = a.command(&["upgrade", text(&installed.path("carp"))]);
        command.uid(65534).gid(65534);
        let done = a.finish(&mut command);
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.err.contains("Permission denied"), "{done:?}");
    }
    assert_eq!(program(&a), Path::new(env!("CARGO_BIN_EXE_carp")));
    a.terminate();
    assert!(!socket.exists());
    let said = a.refused("upgrade");
    assert_eq!(
        said,
        "upgrade: the carp daemon: no carp daemon is running here\n"
    );
}

#[test]
fn a_service_manager_hears_of_it() {
    support::privileged!();
    let a = Host::alone("a");
    let installed = Installed::on(&a);
    let path = a.run.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut daemon = a.command(&["daemon"]);
    daemon.env("NOTIFY_SOCKET", &path).stderr(Stdio::null());
    let mut child = a.place.run(|| daemon.spawn().unwrap());
    let heard = || {
        let mut text = [0; 128];
        let length = socket.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    assert_eq!(heard(), "READY=1");
    upgrade(&a, &installed.path("carp"));
    let reloading = heard();
    let since = reloading
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .unwrap();
    assert!(
        since.parse::<u64>().is_ok_and(|usec| usec > 0),
        "{reloading}"
    );
    assert_eq!(heard(), "READY=1");
    kill(
        nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_daemon_that_a_command_started_ends_by_itself_as_before() {
    support::privileged!();
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24", "2001:db8::11/64"]);
    let installed = Installed::on(&a);
    a.ok("ifconfig carp1 create");
    upgrade(&a, &installed.path("carp"));
    upgrade(&a, &installed.path("carp"));
    join(&a, "eth0", 0);
    a.master("carp1");
    a.ok("ifconfig carp1 destroy");
    assert!(
        until(SOON, || a.processes().is_empty()),
        "{:?}",
        a.processes()
    );
}

support::planes! {
    upgrades_cost_no_packet_and_move_nothing,
    the_next_version_knows_what_the_last_one_knew,
    no_command_notices_an_upgrade,
    what_cannot_take_over_leaves_everything_as_it_was,
    a_program_that_fails_in_the_old_ones_place_takes_everything_along,
}
