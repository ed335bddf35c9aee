//! One sample of one measure on one plane, with its CPU time and the machine's stalls; must not know how it is shown.

use crate::load::{self, Flow, Way};
use crate::scene::{SERVER, SHARED, Scene};
use crate::statistics::{median, percentile};
use carp::lab::stall::StallMeter;
use carp::linux::clock;
use clap::ValueEnum;
use nix::unistd::{SysconfVar, sysconf};
use serde::Serialize;
use std::error::Error;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What TCP needs to open its window, and what is not counted.
const SETTLE: Duration = Duration::from_millis(250);
/// So long the machine is watched before anything is measured.
const IDLE: Duration = Duration::from_secs(2);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// One TCP stream from the client to the shared address.
    TcpIn,
    /// One from the shared address to the client.
    TcpOut,
    /// One from the client to the server, the shared addresses being the gateways.
    Forward,
    /// Datagrams of 18 bytes that reach the shared address.
    UdpIn,
    /// Those from it that reach the client.
    UdpOut,
    /// Echoes at 1 kHz.
    Latency,
}

/// A kind of figure.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    pub name: &'static str,
    pub unit: &'static str,
    /// Compared by ratio, or by difference.
    pub ratio: bool,
}

const fn figure(name: &'static str, unit: &'static str, ratio: bool) -> Figure {
    Figure { name, unit, ratio }
}

/// Figures of each measure.
pub const FIGURES: usize = 2;

/// The figures of one measure, in its order.
#[derive(Debug, Clone)]
pub struct Sample {
    pub figures: Vec<f64>,
    /// The machine's own worst.
    pub stall: Duration,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::TcpIn,
        Self::TcpOut,
        Self::Forward,
        Self::UdpIn,
        Self::UdpOut,
        Self::Latency,
    ];

    /// What [`take`](Self::take) answers.
    pub const fn figures(self) -> [Figure; FIGURES] {
        match self {
            Self::TcpIn => [
                figure("TCP in", "Gb/s", true),
                figure("CPU of it", "s/GB", true),
            ],
            Self::TcpOut => [
                figure("TCP out", "Gb/s", true),
                figure("CPU of it", "s/GB", true),
            ],
            Self::Forward => [
                figure("forwarding", "Gb/s", true),
                figure("CPU of it", "s/GB", true),
            ],
            Self::UdpIn => [
                figure("UDP in", "kpps", true),
                figure("CPU of it", "us each", true),
            ],
            Self::UdpOut => [
                figure("UDP out", "kpps", true),
                figure("CPU of it", "us each", true),
            ],
            Self::Latency => [figure("echo", "us", false), figure("echo p99", "us", false)],
        }
    }

    /// One sample of about this length.
    pub fn take(self, scene: &Scene, span: Duration, stall: &StallMeter) -> Result<Sample> {
        let Scene {
            client,
            host,
            server,
            ..
        } = scene;
        let from = clock::now();
        let figures = match self {
            Self::TcpIn => bytes(&Flow::tcp(client, host, SHARED, Way::In)?, span)?,
            Self::TcpOut => bytes(&Flow::tcp(client, host, SHARED, Way::Out)?, span)?,
            Self::Forward => bytes(&Flow::tcp(client, server, SERVER, Way::In)?, span)?,
            Self::UdpIn => packets(&Flow::udp(client, host, Way::In)?, span)?,
            Self::UdpOut => packets(&Flow::udp(client, host, Way::Out)?, span)?,
            Self::Latency => {
                let trips = load::echoes(client, span)?;
                let us: Vec<f64> = trips.iter().map(|trip| trip.as_secs_f64() * 1e6).collect();
                vec![median(&us), percentile(&us, 99)]
            }
        };
        let stall = stall.worst(from, clock::now());
        Ok(Sample { figures, stall })
    }
}

/// Gb/s and CPU seconds for 10^9 bytes.
fn bytes(flow: &Flow, span: Duration) -> Result<Vec<f64>> {
    let (count, seconds, cpu) = watch(flow, span)?;
    Ok(vec![count * 8.0 / 1e9 / seconds, cpu / count * 1e9])
}

/// Thousands a second and CPU microseconds for each.
fn packets(flow: &Flow, span: Duration) -> Result<Vec<f64>> {
    let (count, seconds, cpu) = watch(flow, span)?;
    Ok(vec![count / 1e3 / seconds, cpu / count * 1e6])
}

/// What arrived in `span`, how long that was in the end, and the CPU seconds of the machine.
fn watch(flow: &Flow, span: Duration) -> Result<(f64, f64, f64)> {
    sleep(SETTLE);
    let (count, since, cpu) = (flow.arrived(), Instant::now(), Cpu::read()?);
    sleep(span);
    let (arrived, used) = (flow.arrived() - count, Cpu::read()?.since(cpu));
    if arrived == 0 {
        return Err("nothing arrives".into());
    }
    Ok((arrived as f64, since.elapsed().as_secs_f64(), used))
}

/// The share of the machine that is busy when nothing is measured.
pub fn idle() -> Result<f64> {
    let (since, cpu) = (Instant::now(), Cpu::read()?);
    sleep(IDLE);
    let cpus = std::thread::available_parallelism()?.get() as f64;
    Ok(Cpu::read()?.since(cpu) / since.elapsed().as_secs_f64() / cpus)
}

/// What TCP senders here use. It decides much: BBR paces, and a paced stream costs more of a processor on every plane.
pub fn congestion_control() -> String {
    carp::linux::sysctl::read("net/ipv4/tcp_congestion_control").unwrap_or_default()
}

/// Ticks that the machine's processors were busy since it started.
#[derive(Debug, Clone, Copy)]
struct Cpu(u64);

impl Cpu {
    fn read() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        let line = text.lines().next().ok_or("empty /proc/stat")?;
        let ticks: Vec<u64> = line.split_whitespace().flat_map(str::parse).collect();
        // proc(5): user nice system idle iowait irq softirq steal, then guest times, which user contains already.
        let busy = [0, 1, 2, 5, 6].map(|at| ticks.get(at).copied().unwrap_or(0));
        Ok(Self(busy.iter().sum()))
    }

    /// In seconds.
    fn since(self, before: Self) -> f64 {
        let rate = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
        (self.0 - before.0) as f64 / rate as f64
    }
}
