//! What a frame costs on its way to and from a shared address: on an alias of carpdev, on a macvlan, and on carpN over
//! each of our data planes, in paired rounds; and on a TAP with programs that do nothing but redirect, and on one with
//! threads that do nothing but read and write, the floors under ours.
//!
//! `cargo bench --bench dataplane -- [--json] [--rounds N] [--seconds S] [--groups N]... [--plane NAME]...
//! [--measure NAME]...`; all of it takes half an hour on a machine that has nothing else to do, `--rounds 1 --groups 1` a
//! minute. All traffic is in namespaces that this program makes.
//!
//! In every round each measure is taken on every plane, one after the other, the first one a different one each time, so
//! that figures of one round are neighbours in time; ratios are formed within a round. The interval is the percentile
//! bootstrap's for the median of the rounds' ratios, 95 %.
//!
//! Where the kernel groups tasks by session, nice alone does not keep other sessions away: write to /proc/self/autogroup, too.
//!
//! The carpdev has no address of its own, so that carpN (or the macvlan) carries both directions.
//!
//! CPU time is the whole machine's, from /proc/stat: all that is not idle, waiting or stolen. Softirqs and the copying
//! thread do most of the work here and would be missed in the account of the two ends; the price is that whatever else
//! runs counts too, hence the idle machine's share below the table.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

#[path = "../../tests/support/mod.rs"]
mod support;

mod bare;
mod floor;
mod load;
mod measure;
mod report;
mod scene;
mod statistics;

use carp::lab::privilege;
use carp::lab::stall::StallMeter;
use clap::Parser;
use measure::{Measure, Sample};
use report::Series;
use scene::{Plane, Scene};
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

/// A sample with a longer stall of the machine is taken again.
const STALL: Duration = Duration::from_millis(10);
/// So often at most.
const AGAIN: usize = 3;

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
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Groups on the carpdev, 1 to 255; may be given several times
    #[arg(long, default_values_t = [1, 255], value_parser = clap::value_parser!(u8).range(1..))]
    groups: Vec<u8>,
    /// Only these planes; may be given several times
    #[arg(long)]
    plane: Vec<Plane>,
    /// Only these measures; may be given several times
    #[arg(long)]
    measure: Vec<Measure>,
    /// What cargo bench adds
    #[arg(long, hide = true)]
    bench: bool,
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
            eprintln!("dataplane: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<String, Box<dyn Error>> {
    privilege::obtain()?;
    let span = Duration::try_from_secs_f64(args.seconds)?;
    let planes = chosen(&args.plane, &Plane::ALL);
    let measures = chosen(&args.measure, &Measure::ALL);
    let mut report = report::Report::new(measure::idle()?, measure::congestion_control());
    let stall = StallMeter::start()?;
    for groups in &args.groups {
        let scenes: Vec<Scene> = planes
            .iter()
            .filter_map(|plane| Scene::build(*plane, *groups))
            .collect();
        for measure in &measures {
            let mut series: Vec<Series> = scenes
                .iter()
                .map(|scene| Series::new(*groups, *measure, scene.plane))
                .collect();
            for round in 0..args.rounds {
                for turn in 0..scenes.len() {
                    let number = (round + turn) % scenes.len();
                    let sample = steady(&scenes[number], *measure, span, &stall, &mut report)?;
                    series[number].add(sample);
                }
            }
            report.add(series);
        }
    }
    Ok(if args.json {
        report.json()
    } else {
        report.table()
    })
}

/// One sample, taken again while the machine stalled.
fn steady(
    scene: &Scene,
    measure: Measure,
    span: Duration,
    stall: &StallMeter,
    report: &mut report::Report,
) -> Result<Sample, Box<dyn Error>> {
    for _ in 0..AGAIN {
        let sample = measure.take(scene, span, stall)?;
        if sample.stall <= STALL {
            return Ok(sample);
        }
        report.repeated += 1;
    }
    measure.take(scene, span, stall)
}

fn chosen<T: Copy>(wanted: &[T], all: &[T]) -> Vec<T> {
    if wanted.is_empty() { all } else { wanted }.to_vec()
}
