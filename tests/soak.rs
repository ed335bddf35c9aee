//! Failovers every few seconds under TCP load leave nothing behind: no descriptor, map or link, no memory, no address or
//! route, no warning of the kernel.
//!
//! `CARP_SOAK=600 cargo test --release --test soak tcx -- --nocapture` takes ten minutes; without the word the test is short.
#![allow(clippy::unwrap_used)]

mod support;

use carp::linux::clock;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use support::hosts::{Host, SOON, until};
use support::plane;
use support::scene::{SHARED, Scene};
use support::talk::{Service, bulk, who};

/// From one failover to the next, at least; a dead time is longer.
const PERIOD: Duration = Duration::from_secs(2);
/// Moved by one pair of connections, there and back.
const MEGABYTES: u64 = 8;
/// What an allocator may keep of a peak. Ten minutes make 200 failovers: a leak of 10 KB in each is over it.
const GROWTH_KB: u64 = 2_000;

/// How long the failovers go on: `CARP_SOAK` seconds, or a few.
fn length() -> Duration {
    let told = std::env::var("CARP_SOAK").ok().and_then(|n| n.parse().ok());
    Duration::from_secs(told.unwrap_or(if plane::first() { 10 } else { 6 }))
}

/// What the daemon of a host holds, and what its kernel holds for it.
#[derive(Debug, PartialEq, Eq)]
struct Holdings {
    /// By what they stand for: `anon_inode:bpf-map`, `socket:[` ... A tcx link is kept in a socket's queue and counts as
    /// that socket.
    descriptors: BTreeMap<String, usize>,
    threads: usize,
    links: usize,
    addresses: usize,
    routes: usize,
}

impl Holdings {
    fn of(host: &Host) -> Self {
        let (mut descriptors, mut threads) = (BTreeMap::new(), 0);
        for place in processes(host) {
            threads += fs::read_dir(place.join("task")).unwrap().count();
            for entry in fs::read_dir(place.join("fd")).unwrap().flatten() {
                // One that was closed since it was listed is none.
                let Ok(target) = fs::read_link(entry.path()) else {
                    continue;
                };
                // Without the number of a socket or pipe; `anon_inode:[eventfd]` has none.
                let target = target.display().to_string();
                let kind = target.trim_end_matches(|c: char| c == ']' || c.is_ascii_digit());
                *descriptors.entry(kind.to_owned()).or_default() += 1;
            }
        }
        host.net(|net| Self {
            descriptors,
            threads,
            links: net.links().unwrap().len(),
            addresses: net.addresses(None).unwrap().len(),
            routes: net.routes().unwrap().len(),
        })
    }
}

fn processes(host: &Host) -> Vec<std::path::PathBuf> {
    let pids = host.processes();
    assert!(!pids.is_empty(), "{}: no daemon", host.name);
    pids.iter()
        .map(|pid| Path::new("/proc").join(pid.to_string()))
        .collect()
}

/// Memory of the daemon's processes, in KB, each shared page counted by its share. The program itself is not: it is shared with
/// the daemons of other tests as long as those run.
fn pss(host: &Host) -> u64 {
    let one = |place: std::path::PathBuf| -> u64 {
        let text = fs::read_to_string(place.join("smaps_rollup")).unwrap();
        let of = |kind: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(kind));
            let word = line.and_then(|line| line.split_whitespace().next());
            word.unwrap().parse().unwrap()
        };
        of("Pss_Anon:") + of("Pss_Shmem:")
    };
    processes(host).into_iter().map(one).sum()
}

/// What the kernel says from now on.
struct KernelLog(File);

impl KernelLog {
    /// `None` where we may not listen.
    fn open() -> Option<Self> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NONBLOCK);
        let mut file = options.open("/dev/kmsg").ok()?;
        file.seek(SeekFrom::End(0)).ok()?;
        Some(Self(file))
    }

    /// The complaints since the last call. The machine's other users may have caused one as well.
    fn complaints(&mut self) -> Vec<String> {
        let words = [
            "WARNING:",
            "BUG:",
            "Call Trace",
            "refcount",
            "unregister_netdevice",
            "page allocation failure",
        ];
        let (mut found, mut record) = (Vec::new(), vec![0; 8192]);
        loop {
            match self.0.read(&mut record) {
                Ok(length) => {
                    let text = String::from_utf8_lossy(&record[..length]).into_owned();
                    found.extend(words.iter().any(|word| text.contains(word)).then_some(text));
                }
                // Records were overwritten before they were read.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(_) => return found,
            }
        }
    }
}

/// One after the other: the MASTER taken down and brought back, its link cut and mended.
fn fail_over(scene: &Scene, number: usize) {
    let (from, to) = if number.is_multiple_of(2) {
        (&scene.a, &scene.b)
    } else {
        (&scene.b, &scene.a)
    };
    let planned = (number / 2).is_multiple_of(2);
    if planned {
        from.ok("ifconfig carp1 down");
    } else {
        from.link("eth0", false);
    }
    to.until_state("carp1", "MASTER");
    if planned {
        from.ok("ifconfig carp1 up");
    } else {
        from.link("eth0", true);
    }
    from.until_state("carp1", "BACKUP");
}

/// Failovers until a is the MASTER again, and each kind was made in each direction.
const CYCLE: usize = 4;

/// Both hosts hold what they held; descriptors of commands that have just ended may take a moment to go.
#[track_caller]
fn as_before(hosts: [&Host; 2], before: &[Holdings; 2]) {
    let mut now = hosts.map(Holdings::of);
    until(SOON, || {
        now = hosts.map(Holdings::of);
        now == *before
    });
    assert_eq!(now, *before);
}

fn failovers_under_load_leave_nothing_behind() {
    let scene = Scene::new();
    let hosts = [&scene.a, &scene.b];
    let _services = hosts.map(Service::on);
    let mut log = KernelLog::open();
    // Each kind once in each direction: what is made only once is there then.
    (0..CYCLE).for_each(|number| fail_over(&scene, number));
    std::thread::sleep(PERIOD);
    let (before, memory) = (hosts.map(Holdings::of), hosts.map(pss));

    let (over, moved, mut number) = (AtomicBool::new(false), AtomicU64::new(0), 0_usize);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // A failover ends the connections: the successor knows nothing of them.
                match bulk(&scene.c, SHARED, MEGABYTES) {
                    Ok(intact) => {
                        assert!(intact);
                        moved.fetch_add(2 * MEGABYTES, Ordering::Relaxed);
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(20)),
                }
            }
        });
        let end = clock::now() + length();
        while clock::now() < end || !number.is_multiple_of(CYCLE) {
            let next = clock::now() + PERIOD;
            fail_over(&scene, number);
            number += 1;
            std::thread::sleep(next.since(clock::now()));
        }
        over.store(true, Ordering::Relaxed);
    });

    assert_eq!(who(&scene.c, SHARED, None).unwrap(), "a");
    as_before(hosts, &before);
    let after = hosts.map(pss);
    let moved = moved.load(Ordering::Relaxed);
    println!(
        "{}: {number} failovers, {moved} MB moved, memory {memory:?} KB before, {after:?} KB after, {:?}",
        plane::current(),
        before[0].descriptors
    );
    assert!(moved > 0, "no load");
    for (after, before) in after.into_iter().zip(memory) {
        assert!(after < before + GROWTH_KB, "{before} KB became {after} KB");
    }
    match &mut log {
        Some(log) => assert_eq!(log.complaints(), [""; 0]),
        None => println!("the kernel's log is not ours to read"),
    }
}

support::planes! {
    failovers_under_load_leave_nothing_behind,
}
