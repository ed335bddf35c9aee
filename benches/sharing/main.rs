//! How many requests two hosts answer in a second against one, when each can answer only so many: eight clients of both
//! families, divided by `net.inet.carp.arpbalance`.
//!
//! `cargo bench --bench sharing -- [--json] [--rounds N] [--seconds S] [--service MS]`; two minutes. All traffic is in
//! namespaces that this program makes.
//!
//! A host serves with one thread that takes its time for each request, asleep, so that two hosts on one machine are two. For
//! the measure of one host the other one is drained. Both are taken in every round, the other one first each time; ratios are
//! formed within a round. The interval is the percentile bootstrap's for their median, 95 %.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

#[path = "../../tests/support/mod.rs"]
mod support;

mod scene;
#[allow(dead_code)]
#[path = "../dataplane/statistics.rs"]
mod statistics;

use carp::lab::privilege;
use carp::lab::stall::StallMeter;
use carp::linux::clock;
use clap::Parser;
use scene::Scene;
use serde::Serialize;
use statistics::{Interval, bootstrap, median};
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

/// What can be asked for.
#[derive(Debug, Parser)]
struct Args {
    /// One line of JSON instead of the table
    #[arg(long)]
    json: bool,
    /// Paired rounds
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Length of each sample
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Milliseconds that a host takes for a request
    #[arg(long, default_value_t = 2.0)]
    service: f64,
    /// What cargo bench adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// The figures of a run, requests in a second, by round.
#[derive(Debug, Serialize)]
struct Report {
    bench: &'static str,
    one: Vec<f64>,
    two: Vec<f64>,
    ratio: Interval,
    /// Requests without an answer in time, over all.
    lost: u64,
    stall_ms: f64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if !args.bench {
        // Built and started by `cargo test --all-targets`: nothing to test here.
        return ExitCode::SUCCESS;
    }
    match run(&args) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("sharing: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<String, Box<dyn Error>> {
    privilege::obtain()?;
    let span = Duration::try_from_secs_f64(args.seconds)?;
    let scene = Scene::build(Duration::try_from_secs_f64(args.service / 1000.0)?);
    let stall = StallMeter::start()?;
    let from = clock::now();
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for round in 0..args.rounds {
        for both in [round % 2 == 0, round % 2 == 1] {
            scene.share(both);
            let rate = scene.rate(span);
            if both { &mut two } else { &mut one }.push(rate);
        }
    }
    let ratios: Vec<f64> = two.iter().zip(&one).map(|(two, one)| two / one).collect();
    let report = Report {
        bench: "sharing",
        ratio: bootstrap(&ratios),
        lost: scene.lost(),
        stall_ms: stall.worst(from, clock::now()).as_secs_f64() * 1e3,
        one,
        two,
    };
    Ok(if args.json {
        serde_json::to_string(&report)? + "\n"
    } else {
        table(&report)
    })
}

fn table(report: &Report) -> String {
    let Report {
        ratio,
        lost,
        stall_ms,
        ..
    } = report;
    let Interval {
        median: m,
        low,
        high,
    } = ratio;
    format!(
        "{:<10}{:>14}\n{:<10}{:>14.1}\n{:<10}{:>14.1}\n\n\
         medians of {} rounds; ratio {m:.3}, 95 % interval {low:.3} to {high:.3}\n\
         requests without an answer in time: {lost}; the machine's worst stall {stall_ms:.1} ms\n",
        "hosts",
        "requests/s",
        "one",
        median(&report.one),
        "two",
        median(&report.two),
        report.one.len(),
    )
}
