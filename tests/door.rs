//! The door as two processes over a socketpair, and what happens when it answers late, out of order, or not as hoped.
#![allow(clippy::unwrap_used)]

mod support;

use carp::daemon::door::{Effect, Failure, Order, Outcome, Said};
use carp::linux::channel::Channel;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::hosts::{Host, SOON, Segment, until};
use support::scene::{SHARED, SHARED6, join_timed};

/// How the relay between the two processes treats what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Not at all.
    None,
    /// Every outcome comes 50 ms after it was given.
    Late,
    /// Outcomes that are under way together change places.
    Shuffled,
    /// The first order of this kind is answered «failed» and never carried out.
    Fails(&'static str),
}

/// The kinds of effects by their names, so that a table can speak of them.
fn kind(effect: &Effect) -> &'static str {
    match effect {
        Effect::Open => "Open",
        Effect::Offer => "Offer",
        Effect::Ready => "Ready",
        Effect::Count => "Count",
        Effect::Create { .. } => "Create",
        Effect::Destroy { .. } => "Destroy",
        Effect::Configure { .. } => "Configure",
        Effect::Arm { .. } => "Arm",
        Effect::PutBack { .. } => "PutBack",
        Effect::Disarm { .. } => "Disarm",
        Effect::OpenCarpdev { .. } => "OpenCarpdev",
        Effect::Listen { .. } => "Listen",
        Effect::CloseCarpdev { .. } => "CloseCarpdev",
        Effect::Close => "Close",
    }
}

/// A door process and an engine process on one host, with the test in between.
struct Apart {
    host: Arc<Host>,
    door: Mutex<Child>,
    engine: Mutex<Child>,
    failed: Arc<AtomicU32>,
}

impl Apart {
    fn start(host: Host, fault: Fault) -> Self {
        let (door_near, door_far) = Channel::pair().unwrap();
        let (engine_near, engine_far) = Channel::pair().unwrap();
        let failed = Arc::new(AtomicU32::new(0));
        relay(door_near, engine_near, fault, Arc::clone(&failed));
        let host = Arc::new(host);
        let spawn = |word: &str, channel: Channel| {
            let log = std::fs::File::create(host.run.join(format!("{word}.log"))).unwrap();
            let mut command = host.command(&[word]);
            command
                .stdin(OwnedFd::from(channel))
                .stdout(Stdio::null())
                .stderr(log);
            Mutex::new(host.place.run(|| command.spawn().unwrap()))
        };
        let door = spawn("door", door_far);
        let engine = spawn("engine", engine_far);
        Self {
            host,
            door,
            engine,
            failed,
        }
    }

    fn up(&self) -> bool {
        let shown = self.host.command(&["ifconfig", "-a"]);
        until(SOON, || {
            let mut again = self.host.command(&["ifconfig", "-a"]);
            let socket = std::fs::read_dir(&self.host.run)
                .unwrap()
                .flatten()
                .any(|e| e.path().join("ctl").exists());
            let _ = &shown;
            socket && self.host.finish(&mut again).code == Some(0)
        })
    }

    fn engine_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.engine.lock().unwrap().id()).unwrap())
    }

    fn ended(&self) -> bool {
        let gone = |child: &Mutex<Child>| child.lock().unwrap().try_wait().unwrap().is_some();
        gone(&self.door) && gone(&self.engine)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        for child in [&self.engine, &self.door] {
            let mut child = child.lock().unwrap();
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Carries messages both ways until either side is gone, then hangs up on the other.
fn relay(door: Channel, engine: Channel, fault: Fault, failed: Arc<AtomicU32>) {
    let (door, engine) = (Arc::new(door), Arc::new(engine));
    let (to_door, from_engine) = (Arc::clone(&door), Arc::clone(&engine));
    std::thread::spawn(move || {
        while let Ok(Some((bytes, _))) = from_engine.recv() {
            let order: Order = serde_json::from_slice(&bytes).unwrap();
            let refuse =
                fault == Fault::Fails(kind(&order.effect)) && failed.load(Ordering::SeqCst) == 0;
            if refuse {
                failed.fetch_add(1, Ordering::SeqCst);
                let result = Err(Failure {
                    errno: libc::EIO,
                    why: "the test says no".into(),
                });
                let outcome = serde_json::to_vec(&Outcome {
                    id: order.id,
                    result,
                    said: Said::Nothing,
                })
                .unwrap();
                let _ = from_engine.send(&outcome, &[]);
            } else if to_door.send(&bytes, &[]).is_err() {
                break;
            }
        }
        let _ = nix::sys::socket::shutdown(
            std::os::fd::AsRawFd::as_raw_fd(&to_door.as_fd()),
            nix::sys::socket::Shutdown::Both,
        );
    });
    std::thread::spawn(move || {
        let (give, take) = std::sync::mpsc::channel::<(Vec<u8>, Vec<OwnedFd>)>();
        let out = Arc::clone(&engine);
        let carrier = std::thread::spawn(move || {
            while let Ok(first) = take.recv() {
                match fault {
                    Fault::Late => {
                        // Each one is late by itself; they do not wait for each other longer than that.
                        std::thread::sleep(Duration::from_millis(50));
                        hand_on(&out, &first);
                    }
                    Fault::Shuffled => {
                        if let Ok(second) = take.recv_timeout(Duration::from_millis(20)) {
                            hand_on(&out, &second);
                        }
                        hand_on(&out, &first);
                    }
                    _ => hand_on(&out, &first),
                }
            }
        });
        while let Ok(Some(message)) = door.recv() {
            if give.send(message).is_err() {
                break;
            }
        }
        drop(give);
        let _ = carrier.join();
        let _ = nix::sys::socket::shutdown(
            std::os::fd::AsRawFd::as_raw_fd(&engine.as_fd()),
            nix::sys::socket::Shutdown::Both,
        );
    });
}

fn hand_on(engine: &Channel, (bytes, descriptors): &(Vec<u8>, Vec<OwnedFd>)) {
    let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    let _ = engine.send(bytes, &borrowed);
}

/// The kernel has what the daemon shows, and nothing else: addresses and carrier with a MASTER only.
fn consistent(host: &Host) -> Result<(), String> {
    let shown = host.finish(&mut host.command(&["ifconfig", "-a"])).out;
    let listed: Vec<String> = shown
        .lines()
        .filter(|l| l.starts_with("carp"))
        .filter_map(|l| Some(l.split(':').next()?.to_owned()))
        .collect();
    let present: Vec<String> = host.net(|net| {
        let names = net.links().unwrap().into_iter().map(|link| link.name);
        names.filter(|name| name.starts_with("carp")).collect()
    });
    if listed != present {
        return Err(format!("shown {listed:?}, there {present:?}"));
    }
    for name in &listed {
        let master = host.state(name) == "MASTER";
        let address = host.has_address(name, SHARED);
        let carrier = host.carrier(name) == Some(true);
        if master != address || master != carrier {
            return Err(format!(
                "{name}: master {master}, address {address}, carrier {carrier}"
            ));
        }
    }
    Ok(())
}

#[track_caller]
fn settles(host: &Host, when: &str) {
    let mut last = Ok(());
    let so = until(SOON, || {
        last = consistent(host);
        last.is_ok()
    });
    assert!(
        so,
        "{when}: {last:?}\n{}",
        std::fs::read_to_string(host.run.join("engine.log")).unwrap_or_default()
    );
}

/// Says a line until it is done: what failed once must work the next time.
#[track_caller]
fn insist(host: &Host, line: &str) {
    let words: Vec<_> = line.split_whitespace().collect();
    let mut last = None;
    let so = until(SOON, || {
        let done = host.finish(&mut host.command(&words));
        if done.code != Some(0) {
            assert!(!done.err.is_empty(), "refused without a word: {done:?}");
            settles(host, &format!("after a refused «{line}»"));
        }
        let ok = done.code == Some(0);
        last = Some(done);
        ok
    });
    assert!(so, "carp {line}: {last:?}");
}

/// A life: made, configured, MASTER, another address, down, up, gone, made again; then SIGTERM.
fn life(fault: Fault) {
    let segment = Segment::new();
    let host = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    let arp_ignore = host.sysctl_value("net/ipv4/conf/eth0/arp_ignore");
    let apart = Apart::start(host, fault);
    assert!(apart.up(), "{fault:?}: no daemon");
    let host = &*apart.host;
    insist(host, "ifconfig carp1 create");
    settles(host, "created");
    insist(
        host,
        &format!("ifconfig carp1 vhid 1 pass secret carpdev eth0 advbase 0 advskew 20 {SHARED}/24"),
    );
    host.until_state("carp1", "MASTER");
    settles(host, "MASTER");
    insist(host, &format!("ifconfig carp1 inet6 alias {SHARED6}/64"));
    assert!(
        until(SOON, || host.has_address("carp1", SHARED6)),
        "{fault:?}: the new address is missing"
    );
    insist(host, "ifconfig carp1 down");
    host.until_state("carp1", "INIT");
    settles(host, "down");
    insist(host, "ifconfig carp1 up");
    host.until_state("carp1", "MASTER");
    settles(host, "up again");
    insist(host, "ifconfig carp1 destroy");
    settles(host, "destroyed");
    insist(
        host,
        &format!("ifconfig carp2 vhid 2 carpdev eth0 advbase 0 advskew 20 {SHARED}/24"),
    );
    host.until_state("carp2", "MASTER");
    settles(host, "made again");
    nix::sys::signal::kill(apart.engine_pid(), Signal::SIGTERM).unwrap();
    assert!(
        until(SOON, || apart.ended()),
        "{fault:?}: still there after SIGTERM"
    );
    assert_eq!(
        host.carrier("carp2"),
        None,
        "{fault:?}: carp2 is left behind"
    );
    let now = host.sysctl_value("net/ipv4/conf/eth0/arp_ignore");
    assert_eq!(
        now, arp_ignore,
        "{fault:?}: a setting of the host is left changed"
    );
    if let Fault::Fails(kind) = fault {
        assert_eq!(
            apart.failed.load(Ordering::SeqCst),
            1,
            "no {kind} was ever ordered"
        );
    }
}

#[test]
fn a_life_through_two_processes() {
    life(Fault::None);
}

#[test]
fn a_door_that_answers_late() {
    life(Fault::Late);
}

#[test]
fn a_door_that_answers_out_of_order() {
    life(Fault::Shuffled);
}

#[test]
fn a_door_that_fails_once_for_each_effect() {
    let kinds = [
        "Create",
        "Destroy",
        "Configure",
        "Arm",
        "Disarm",
        "OpenCarpdev",
        "Listen",
        "CloseCarpdev",
        "Close",
    ];
    std::thread::scope(|scope| {
        for kind in kinds {
            scope.spawn(move || life(Fault::Fails(kind)));
        }
    });
}

#[test]
fn a_door_that_cannot_open_ends_the_engine() {
    let segment = Segment::new();
    let host = Host::on(&segment, "a", 0x0a, &[]);
    let apart = Apart::start(host, Fault::Fails("Open"));
    assert!(
        until(SOON, || apart.ended()),
        "the processes go on without a control socket"
    );
    let said = std::fs::read_to_string(apart.host.run.join("engine.log")).unwrap();
    assert!(said.contains("the test says no"), "{said}");
}

#[test]
fn the_engine_process_holds_no_privilege_and_sees_no_network() {
    let segment = Segment::new();
    let host = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    let apart = Apart::start(host, Fault::None);
    assert!(apart.up());
    let proc = format!("/proc/{}", apart.engine_pid());
    let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let line = status.lines().find(|l| l.starts_with(set)).unwrap();
        assert!(line.ends_with("\t0000000000000000"), "{line}");
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let theirs = std::fs::read_link(format!("{proc}/ns/net")).unwrap();
    let hosts = format!("net:[{}]", apart.host.place.inode());
    assert_ne!(
        theirs.to_str(),
        Some(hosts.as_str()),
        "it is in the host's namespace"
    );
}

#[test]
fn a_killed_engine_leaves_nothing_and_a_killed_door_ends_with_a_goodbye() {
    for victim in ["engine", "door"] {
        let segment = Segment::new();
        let host = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
        let wire = host.sends("eth0");
        let apart = Apart::start(host, Fault::None);
        assert!(apart.up());
        join_timed(&apart.host, "eth0", 0, 20);
        apart.host.until_state("carp1", "MASTER");
        let child = if victim == "engine" {
            &apart.engine
        } else {
            &apart.door
        };
        child.lock().unwrap().kill().unwrap();
        assert!(
            until(SOON, || apart.ended()),
            "killed {victim}: the other one goes on"
        );
        assert!(
            until(SOON, || apart.host.carrier("carp1").is_none()),
            "killed {victim}: carp1 is still there"
        );
        if victim == "door" {
            let goodbye = |frame: &[u8]| {
                frame.len() >= 70 && frame[12..14] == [8, 0] && frame[23] == 112 && frame[39] == 255
            };
            assert!(
                until(SOON, || wire.frames().iter().any(|f| goodbye(&f.bytes))),
                "no goodbye"
            );
        }
    }
}
