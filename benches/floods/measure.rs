//! One flood and what it did to each system; must not know how it is shown.

use crate::garbage::{self, Form, Kind};
use crate::scene::{FLOODER, Scene, System, is_advert};
use carp::lab::beat::Beat;
use carp::lab::net::Host;
use carp::lab::stall::StallMeter;
use carp::linux::clock;
use carp::linux::packet::{PacketSocket, Vnet};
use carp::time::Instant;
use serde::Serialize;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// Bursts a second; between two of them a flooder sleeps.
const BURSTS: u32 = 3_000;
/// The queues drain after a flood; a host that is behind has the more CPU to spend.
const DRAIN: Duration = Duration::from_millis(300);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What one flood did to one system.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub kind: Kind,
    /// Packets a second, as asked for.
    pub rate: u32,
    pub system: System,
    /// Packets sent to it.
    pub packets: u64,
    /// Of those counted as refused by `netstat`; only ours tells.
    pub counted: Option<u64>,
    /// Of those counted as lost for want of room.
    pub unread: Option<u64>,
    /// CPU time above the idle one, per packet.
    pub cpu_us: f64,
    /// Advertisements seen at its port.
    pub adverts: usize,
    /// How many there should be.
    pub due: u64,
    /// The greatest difference between an interval and a second.
    pub jitter_ms: f64,
    /// Written meanwhile.
    pub log_lines: usize,
    /// Of the machine, meanwhile.
    pub stall_ms: f64,
}

/// CPU time of each system in a second without a flood.
pub fn idle(scene: &Scene, span: Duration) -> Result<Vec<(System, Duration)>> {
    let before: Vec<_> = scene
        .systems()
        .map(|one| (one, used(scene.host(one))))
        .collect();
    sleep(span);
    let per_second = |(one, before): (System, Duration)| {
        (
            one,
            (used(scene.host(one)) - before).div_f64(span.as_secs_f64()),
        )
    };
    Ok(before.into_iter().map(per_second).collect())
}

/// One flood in each form; of each system the one that is meant for it counts.
pub fn flood(
    scene: &Scene,
    idle: &[(System, Duration)],
    kind: Kind,
    rate: u32,
    span: Duration,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for form in [Form::Carp, Form::Vrrp] {
        let concerned: Vec<_> = idle.iter().filter(|(one, _)| one.form() == form).collect();
        if concerned.is_empty() {
            continue;
        }
        scene.capture.clear();
        let stall = StallMeter::start()?;
        let before: Vec<State> = concerned
            .iter()
            .map(|(one, _)| State::of(scene, *one))
            .collect();
        let from = clock::now();
        let packets = send(scene, &garbage::frames(kind, form), rate, span)?;
        let to = clock::now();
        sleep(DRAIN);
        let end = clock::now();
        for ((system, idle), before) in concerned.into_iter().zip(before) {
            let after = State::of(scene, *system);
            let cpu = (after.used - before.used)
                .saturating_sub(idle.mul_f64(end.since(from).as_secs_f64()));
            let grown = |of: fn((u64, u64)) -> u64| Some(of(after.bad?) - of(before.bad?));
            let adverts = adverts(scene, *system, from, to);
            rows.push(Row {
                kind,
                rate,
                system: *system,
                packets,
                counted: grown(|(refused, _)| refused),
                unread: grown(|(_, lost)| lost),
                cpu_us: cpu.as_secs_f64() * 1e6 / packets as f64,
                adverts: adverts.len(),
                due: span.as_secs(),
                jitter_ms: jitter(&adverts),
                log_lines: after.lines - before.lines,
                stall_ms: ms(stall.worst(from, end)),
            });
        }
    }
    Ok(rows)
}

/// Sends garbage from the flooding host; answers how many packets left.
fn send(scene: &Scene, frames: &[Vec<u8>], rate: u32, span: Duration) -> Result<u64> {
    let host = scene.lab.host(FLOODER);
    let socket = host.run(|| PacketSocket::open(host.ports()[0].index, Vnet::No))?;
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    let frames = frames.to_vec();
    let mut next = 0;
    let burst = (rate / BURSTS).max(1) as usize;
    let period = Duration::from_secs(1) * u32::try_from(burst)? / rate;
    let end = clock::now() + span;
    let beat = Beat::start("flood", period, move |due| {
        if due > end {
            return;
        }
        for _ in 0..burst {
            if socket.send(&frames[next]).is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
            next = (next + 1) % frames.len();
        }
    })?;
    sleep(end.since(clock::now()));
    drop(beat);
    Ok(sent.load(Ordering::Relaxed))
}

/// What a system has used, logged and counted so far.
struct State {
    used: Duration,
    lines: usize,
    /// Looked at and refused, and lost for want of room.
    bad: Option<(u64, u64)>,
}

impl State {
    fn of(scene: &Scene, system: System) -> Self {
        let log = fs::read(scene.log(system)).unwrap_or_default();
        Self {
            used: used(scene.host(system)),
            lines: log.iter().filter(|byte| **byte == b'\n').count(),
            bad: (system == System::Carp).then(|| {
                let output = scene.carp("netstat -s -v -p carp");
                let text = output.map_or(Vec::new(), |output| output.stdout);
                let text = String::from_utf8_lossy(&text);
                let refused = tally(&text, &["discarded", "shorter", "not even"]);
                (refused, tally(&text, &["full socket buffers"]))
            }),
        }
    }
}

/// The sum of the lines of `netstat` with one of these words.
fn tally(netstat: &str, words: &[&str]) -> u64 {
    let lines = netstat
        .lines()
        .filter(|line| words.iter().any(|word| line.contains(word)));
    lines
        .filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .sum()
}

/// CPU time of all threads of all processes on a host, to the nanosecond.
fn used(host: &Host) -> Duration {
    let place = format!("net:[{}]", host.namespace().inode());
    let lives_there = |path: &Path| {
        fs::read_link(path.join("ns/net")).is_ok_and(|link| link.as_os_str() == place.as_str())
    };
    let mut nanos = 0;
    let own = std::process::id().to_string();
    let me = Path::new("/proc").join(&own);
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        // An engine of ours has an empty network namespace, its parent the host's.
        let here = lives_there(&process.path())
            || parent(&process.path()).is_some_and(|path| path != me && lives_there(&path));
        if process.file_name() == own.as_str() || !here {
            continue;
        }
        for task in fs::read_dir(process.path().join("task"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let first = text
                .split(' ')
                .next()
                .and_then(|word| word.parse::<u64>().ok());
            nanos += first.unwrap_or(0);
        }
    }
    Duration::from_nanos(nanos)
}

/// Where the kernel shows the parent of a process.
fn parent(process: &Path) -> Option<PathBuf> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(Path::new("/proc").join(fields.split(' ').nth(1)?))
}

fn adverts(scene: &Scene, system: System, from: Instant, to: Instant) -> Vec<Instant> {
    let port = scene.port(system);
    let frames = scene.capture.frames(from, to);
    let own = frames
        .iter()
        .filter(|frame| frame.port == port && is_advert(system, &frame.bytes));
    own.map(|frame| frame.at).collect()
}

/// In milliseconds.
fn jitter(adverts: &[Instant]) -> f64 {
    let differences = adverts.windows(2).map(|pair| {
        let interval = pair[1].since(pair[0]).as_secs_f64();
        (interval - 1.0).abs() * 1e3
    });
    round(differences.fold(0.0, f64::max))
}

fn ms(span: Duration) -> f64 {
    round(span.as_secs_f64() * 1e3)
}

/// To the microsecond.
fn round(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}
