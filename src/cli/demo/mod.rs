//! `carp demo`: a failover that anybody can watch, in a lab that leaves nothing behind; drives the executable as a user
//! would and must not know how the daemon works.
#![forbid(unsafe_code)]

mod balance;
pub mod caption;
mod enter;
pub mod event;
mod json;
mod live;
mod node;
mod observe;
pub mod plan;
pub mod report;
#[cfg(test)]
mod report_tests;
pub mod scenario;
mod scratch;
mod stage;
mod table;

use super::warn;
use crate::lab::interrupt::Interrupt;
use crate::lab::privilege;
use live::Live;
use plan::{Families, Plan, Skews};
use report::{Error, Report};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// What a shell reports for a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Scenario {
    /// Two hosts, one MASTER, six events.
    Failover,
    /// Three hosts that share an address by asker.
    Balance,
}

/// What `carp demo` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// What is shown: a failover, or three hosts that share an address
    #[arg(
        value_enum,
        default_value = "failover",
        value_name = "failover|balance",
        hide_possible_values = true
    )]
    scenario: Scenario,
    /// Which addresses the group shares
    #[arg(
        long,
        value_enum,
        default_value = "both",
        value_name = "inet|inet6|both",
        hide_possible_values = true
    )]
    family: Families,
    /// Seconds between advertisements, 0 to 254
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=254))]
    advbase: u8,
    /// Skews of a and b, each 0 to 254; with equal ones nobody preempts
    #[arg(long, default_value = "0,100", value_name = "A,B")]
    advskew: Skews,
    /// Write one pcapng per event, with one interface block per bridge port
    #[arg(long, value_name = "DIR")]
    pcap: Option<PathBuf>,
    /// Print one JSON object on standard output instead of the table
    #[arg(long)]
    json: bool,
    /// At the end, leave the lab up until Ctrl-C and print how to enter it
    #[arg(long)]
    keep: bool,
}

/// Runs the demo.
#[must_use]
pub fn run(args: Args) -> ExitCode {
    match demo(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            for line in error.to_string().lines() {
                warn("carp", &format!("demo: {line}"));
            }
            ExitCode::FAILURE
        }
    }
}

fn demo(args: &Args) -> Result<(), Error> {
    privilege::obtain()?;
    let interrupt = Interrupt::new().map_err(Error::io("wait for signals"))?;
    if args.scenario == Scenario::Balance {
        if args.pcap.is_some() || args.keep {
            return Err(Error::Option("--pcap and --keep"));
        }
        return balance(args.json, interrupt);
    }
    let plan = Plan {
        program: std::env::current_exe().map_err(Error::io("find own executable"))?,
        families: args.family.list(),
        advbase: args.advbase,
        skews: args.advskew,
        pcap: args.pcap.clone(),
        seed: None,
    };
    let mut live = Live::new(interrupt);
    let mut stage = scenario::build(&plan, &mut live)?;
    let (report, outcome) = scenario::play(&plan, &mut stage, &mut live);
    live.end();
    // What was measured is shown even if the rest failed; whoever interrupts does not want it.
    if !matches!(outcome, Err(Error::Interrupted)) {
        say(&report, args.json)?;
    }
    outcome?;
    if args.keep {
        enter::explain(&plan, &stage, args.json);
        stage.stay(&mut live)?;
    }
    Ok(())
}

fn balance(json: bool, interrupt: Interrupt) -> Result<(), Error> {
    let program = std::env::current_exe().map_err(Error::io("find own executable"))?;
    let outcome = balance::run(&program, interrupt)?;
    print(&if json {
        balance::json(&outcome)
    } else {
        balance::table(&outcome)
    })
}

fn say(report: &Report, json: bool) -> Result<(), Error> {
    print(&if json {
        json::text(report)
    } else {
        table::text(report)
    })
}

fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // As in any pipe, a reader that went away is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::io("write")(error)),
        _ => Ok(()),
    }
}

/// True when a person looks at standard error.
fn watched() -> bool {
    io::stderr().is_terminal()
}
