//! Chooses a front end by name or first word; exit codes, and nothing else.
#![forbid(unsafe_code)]

use carp::cli::ifconfig::{self, Caller};
use carp::cli::personality::Personality;
use carp::cli::{completions, demo, dump, import, netstart, netstat, sysctl, upgrade};
use carp::daemon::{self, Begin, Dataplane, Options};
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

/// carp(4) for Linux: hosts share an address, one of them answers for it
#[derive(Debug, Parser)]
#[command(name = "carp", version, max_term_width = 100)]
struct Carp {
    #[command(subcommand)]
    front: Front,
}

#[derive(Debug, Subcommand)]
enum Front {
    /// Show and configure carp interfaces, in OpenBSD's words
    #[command(disable_help_flag = true, after_help = ifconfig::words::help())]
    Ifconfig {
        /// What would stand after ifconfig(8)
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Show and set the names of net.inet.carp
    Sysctl(sysctl::Args),
    /// Show the counters of the protocol (-s) or of the interfaces (-i), or the hosts heard (peers)
    Netstat(netstat::Args),
    /// Make the interfaces what the files of /etc/carp say
    Netstart(netstart::Args),
    /// Show the running configuration as the files that netstart reads
    Dump(dump::Args),
    /// Turn files of the BSDs into hostname.carpN files
    Import(import::Args),
    /// Serve this network namespace, in the foreground, logging to standard error
    Daemon(Daemon),
    /// Have the running daemon go on as the program that is installed now, without a packet lost
    Upgrade(upgrade::Args),
    /// Build a network in namespaces and show a failover in it
    Demo(demo::Args),
    /// Print the completions for a shell
    #[command(hide = true)]
    Completions {
        /// Which
        shell: completions::Shell,
    },
    /// Serve a daemon's door on standard input
    #[command(hide = true)]
    Door,
    /// Be a daemon without privilege whose door is on standard input
    #[command(hide = true)]
    Engine(Daemon),
}

#[derive(Debug, Args)]
struct Daemon {
    /// A command started this: go to the background, report on standard output, end with the last interface
    #[arg(long, hide = true)]
    autostarted: bool,
    /// What moves frames, as net.inet.carp.dataplane: auto, tcx, clsact or copy
    #[arg(
        long,
        value_name = "word",
        default_value = "auto",
        hide_default_value = true
    )]
    dataplane: Dataplane,
    /// Say whether this program could go on as the letter under this number says
    #[arg(long, value_name = "number", hide = true)]
    tries: Option<i32>,
    /// Go on as it says
    #[arg(long, value_name = "number", hide = true)]
    takes_over: Option<i32>,
}

impl Daemon {
    fn options(&self) -> Options {
        let begin = match (self.tries, self.takes_over) {
            (Some(letter), _) => Begin::Trial(letter),
            (None, Some(letter)) => Begin::Succession(letter),
            (None, None) => Begin::Anew,
        };
        Options {
            autostarted: self.autostarted,
            dataplane: self.dataplane,
            begin,
        }
    }
}

/// Serve the carp interfaces of this network namespace, in the foreground, logging to standard error
#[derive(Debug, Parser)]
#[command(name = "carpd", version)]
struct Carpd {
    #[command(flatten)]
    daemon: Daemon,
}

/// Show and set net.inet.carp.*
#[derive(Debug, Parser)]
#[command(version)]
struct Sysctl {
    #[command(flatten)]
    args: sysctl::Args,
}

/// Show the counters of the protocol
#[derive(Debug, Parser)]
#[command(version)]
struct Netstat {
    #[command(flatten)]
    args: netstat::Args,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let path = arguments.next().unwrap_or_default();
    let name = Path::new(&path).file_name().and_then(OsStr::to_str);
    let (called, program) = Personality::of_program(name.unwrap_or_default());
    match (program, called) {
        ("ifconfig", _) => ifconfig(&arguments.collect::<Vec<_>>(), Some(path.clone()), called),
        // Without a personality these names are the system's.
        ("sysctl", Some(_)) => {
            Sysctl::try_parse().map_or_else(usage, |s| sysctl::run(&s.args, called))
        }
        ("netstat", Some(_)) => {
            Netstat::try_parse().map_or_else(usage, |n| netstat::run(&n.args, called))
        }
        ("carpd", None) => Carpd::try_parse().map_or_else(usage, |carpd| daemon(&carpd.daemon)),
        _ => Carp::try_parse().map_or_else(usage, |carp| run(carp.front)),
    }
}

fn run(front: Front) -> ExitCode {
    match front {
        Front::Ifconfig { words } => ifconfig(&words, None, None),
        Front::Sysctl(args) => sysctl::run(&args, None),
        Front::Netstat(args) => netstat::run(&args, None),
        Front::Netstart(args) => netstart::run(&args),
        Front::Dump(args) => dump::run(&args),
        Front::Import(args) => import::run(&args),
        Front::Daemon(args) => daemon(&args),
        Front::Upgrade(args) => upgrade::run(&args),
        Front::Demo(args) => demo::run(args),
        Front::Completions { shell } => completions::run(shell, &Carp::command()),
        Front::Door => daemon::door_process(),
        Front::Engine(args) => daemon::engine_process(args.options()),
    }
}

fn ifconfig(
    words: &[OsString],
    instead: Option<OsString>,
    called: Option<Personality>,
) -> ExitCode {
    ifconfig::run(
        words,
        &Caller {
            instead,
            called,
            links: daemon::links,
            hardware: daemon::hardware,
        },
    )
}

/// Help is a success; a line that was not understood ends with 1, as everywhere in BSD's ifconfig.
fn usage(error: clap::Error) -> ExitCode {
    // Nobody is left to be told when the output is closed.
    let _ = error.print();
    ExitCode::from(u8::from(error.use_stderr()))
}

fn daemon(args: &Daemon) -> ExitCode {
    daemon::daemon(args.options())
}
