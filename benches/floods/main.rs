//! Floods of bad packets against carp, ucarp and keepalived on one segment, each MASTER of a group of its own: does it
//! still advertise in time, what does a packet cost it, how much does it log?
//!
//! `cargo bench --bench floods -- [--json] [--seconds N] [--rate N]... [--kind NAME]...`; a carp only, where the others
//! are not installed. All traffic is in namespaces that this program makes.
#![forbid(unsafe_code)]

mod garbage;
mod measure;
mod report;
mod scene;

use carp::lab::privilege;
use clap::Parser;
use garbage::Kind;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

/// What can be asked for.
#[derive(Debug, Parser)]
struct Args {
    /// One line of JSON instead of the table
    #[arg(long)]
    json: bool,
    /// Length of each flood
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Packets a second; may be given several times
    #[arg(long, default_values_t = [3_000, 30_000])]
    rate: Vec<u32>,
    /// Only these kinds; may be given several times
    #[arg(long)]
    kind: Vec<Kind>,
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
            eprintln!("floods: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<String, Box<dyn Error>> {
    privilege::obtain()?;
    let mut scene = scene::Scene::build()?;
    scene.wait_for_masters()?;
    let span = Duration::from_secs(args.seconds);
    let kinds = if args.kind.is_empty() {
        Kind::ALL.to_vec()
    } else {
        args.kind.clone()
    };
    let idle = measure::idle(&scene, span)?;
    let mut rows = Vec::new();
    for rate in &args.rate {
        for kind in &kinds {
            rows.extend(measure::flood(&scene, &idle, *kind, *rate, span)?);
        }
    }
    Ok(if args.json {
        report::json(&rows)
    } else {
        report::table(&rows)
    })
}
