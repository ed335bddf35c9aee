//! `carp netstart`: makes the interfaces what the files of /etc/carp say; must not know how the daemon does it.
//!
//! A file is one request. What is wrong in it changes nothing of its interface, and the others go on.
#![forbid(unsafe_code)]

mod group;
mod hook;
mod settings;

use super::files::hostname::{self, What};
use super::files::{self, Place, canonical};
use super::{escape, forwarding, ifconfig, plain, say, start, warn};
use crate::carp::config::{Config, FAMILY_GROUP, Unit};
use crate::control::plan::{self, Plan};
use crate::control::{Change, Dumped, Refusal, Reply, Request};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Under this name errors are printed.
const NAME: &str = "netstart";

/// What `carp netstart` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Change nothing: check, and show what would change
    #[arg(short = 'n')]
    check: bool,
    #[command(flatten)]
    place: Place,
    /// carpN; without any sysctl.conf, every hostname.carpN and group.GROUP
    interfaces: Vec<String>,
}

/// What went wrong with one file, said already.
#[derive(Debug)]
struct Failed;

/// Runs `netstart`.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let chosen = match chosen(args) {
        Ok(chosen) => chosen,
        Err(refusal) => return super::refuse(NAME, &refusal),
    };
    let (directory, check) = (&args.place.directory, args.check);
    let mut results = Vec::new();
    if args.interfaces.is_empty() {
        results.push(settings::start(directory, check));
    }
    // The family group is always there: what demotes it counts before an interface takes part.
    let (family, others): (Vec<_>, Vec<_>) = chosen
        .groups
        .iter()
        .partition(|group| group.as_str() == FAMILY_GROUP);
    let groups = |names: Vec<&String>| -> Vec<_> {
        let names = names.into_iter();
        names
            .map(|name| group::start(directory, name, check))
            .collect()
    };
    results.extend(groups(family));
    for unit in chosen.units {
        results.push(interface(args, unit));
    }
    results.extend(groups(others));
    let failed = chosen.failed || results.iter().any(Result::is_err);
    let shown: String = results.into_iter().flatten().collect();
    let said = say(&shown);
    if failed { ExitCode::FAILURE } else { said }
}

/// What is to be started.
#[derive(Debug, Default)]
struct Chosen {
    units: Vec<Unit>,
    groups: Vec<String>,
    /// Something is wrong already, and said.
    failed: bool,
}

/// By the command line, else by the names in the directory.
fn chosen(args: &Args) -> Result<Chosen, Refusal> {
    let directory = &args.place.directory;
    let listing = files::list(directory)?;
    if listing.is_none() && directory != Path::new(files::DIRECTORY) {
        let place = directory.display();
        return Err(plain(format!("{place}: No such file or directory")));
    }
    let mut chosen = Chosen::default();
    let mut wrong = |text: String| {
        chosen.failed = true;
        warn(NAME, &text);
    };
    if args.interfaces.is_empty() {
        let listing = listing.unwrap_or_default();
        for name in &listing.strange {
            let path = directory.join(name);
            let text = "the name of no interface, which is carp0 to carp";
            wrong(format!("{}: {text}{}", path.display(), Unit::MAX));
        }
        chosen.units = listing.units;
        chosen.groups = listing.groups;
        return Ok(chosen);
    }
    let mut units = Vec::new();
    for name in &args.interfaces {
        match Unit::from_name(name) {
            Some(unit) => units.push(unit),
            None => wrong(format!("{name}: no carp interface's name")),
        }
    }
    chosen.units = units;
    Ok(chosen)
}

/// One file, in three steps.
#[derive(Debug, Default)]
struct Start {
    /// Commands before the first line.
    before: Vec<(usize, OsString)>,
    /// The lines, and their numbers.
    lines: Vec<(usize, Vec<Change>)>,
    /// The commands after it.
    after: Vec<(usize, OsString)>,
}

/// Starts one interface, or says what starting it would change.
fn interface(args: &Args, unit: Unit) -> Result<String, Failed> {
    let path = args.place.directory.join(files::hostname(unit));
    let start = read(unit, &path)?;
    if args.check {
        let change = changes(&start, unit, &path)?;
        start.warn(unit, &path);
        return Ok(described(&start, &path, &change));
    }
    let mut failed = false;
    for (number, command) in &start.before {
        failed |= hook::run(&path, *number, unit, command).is_err();
    }
    load(&start, unit, &path)?;
    start.warn(unit, &path);
    for (number, command) in &start.after {
        failed |= hook::run(&path, *number, unit, command).is_err();
    }
    if failed {
        Err(Failed)
    } else {
        Ok(String::new())
    }
}

/// Reads the whole file before anything of it is done.
fn read(unit: Unit, path: &Path) -> Result<Start, Failed> {
    let text = files::read(path).map_err(refused)?;
    let entries = hostname::read(unit, &text.bytes, &ifconfig::hosts).map_err(|wrong| {
        for (number, refusal) in wrong {
            tell(path, number, &refusal);
        }
        Failed
    })?;
    let mut start = Start::default();
    for entry in entries {
        let number = entry.number;
        match entry.what {
            What::Command(command) if start.lines.is_empty() => {
                start.before.push((number, command));
            }
            What::Command(command) => start.after.push((number, command)),
            What::Line(typed) => {
                let changes = ifconfig::keys(typed);
                let changes = changes.map_err(|refusal| tell(path, number, &refusal))?;
                start.lines.push((number, changes));
            }
        }
    }
    let secret = |change: &Change| matches!(change, Change::Pass(_));
    if text.open_to_others && start.changes().any(secret) {
        let why = "holds a passphrase and is readable by everybody: chmod 0640";
        warn(NAME, &format!("{}: {why}", path.display()));
    }
    Ok(start)
}

impl Start {
    fn changes(&self) -> impl Iterator<Item = &Change> {
        self.lines.iter().flat_map(|(_, changes)| changes)
    }

    /// Tells what is right and may not be meant.
    fn warn(&self, unit: Unit, path: &Path) {
        let place = format!("{NAME}: {}", path.display());
        let gives = |change: &Change| matches!(change, Change::Address { .. });
        let carpdevs = self.changes().filter_map(|change| match change {
            Change::Carpdev(carpdev) => Some(carpdev),
            _ => None,
        });
        if carpdevs.last().is_none_or(Option::is_none) && self.changes().any(gives) {
            warn(&place, &format!("no carpdev: {unit} stays in INIT"));
        }
        forwarding::warn_of_changes(&place, self.changes());
    }

    /// Prints what is wrong with it, and where.
    fn refused(&self, path: &Path, reply: Reply) -> Failed {
        match reply {
            Reply::RefusedLine(line, refusal) => {
                let number = self.lines.get(line).map_or(0, |(number, _)| *number);
                tell(path, number, &refusal)
            }
            Reply::Refused(refusal) => at(path, &refusal),
            _ => refused(plain("the carp daemon answered something else")),
        }
    }

    fn bare(&self) -> Vec<Vec<Change>> {
        let lines = self.lines.iter();
        lines.map(|(_, changes)| changes.clone()).collect()
    }
}

/// Has the daemon make it so.
fn load(file: &Start, unit: Unit, path: &Path) -> Result<(), Failed> {
    let (lines, check) = (file.bare(), false);
    let request = Request::Load { unit, lines, check };
    match start::ask(&request).map_err(|refusal| at(path, &refusal))? {
        Reply::Done => Ok(()),
        reply => Err(file.refused(path, reply)),
    }
}

/// What it would be, if nothing is wrong. Only a daemon knows the whole; where none runs none is started, and nothing is there.
fn wanted(file: &Start, unit: Unit, path: &Path) -> Result<Config, Failed> {
    let (lines, check) = (file.bare(), true);
    let request = Request::Load { unit, lines, check };
    match start::look(&request).map_err(|refusal| at(path, &refusal))? {
        Some(Reply::Dumped(mut would_be)) => {
            Ok(would_be.pop().map(|held| held.config).unwrap_or_default())
        }
        Some(reply) => Err(file.refused(path, reply)),
        None => match plan::load(&file.bare(), Ok) {
            Ok(Plan::Become { config, .. }) => Ok(*config),
            Ok(Plan::Destroy) => Ok(Config::default()),
            Err((line, refusal)) => Err(file.refused(path, Reply::RefusedLine(line, refusal))),
        },
    }
}

/// What is to be changed, from the running configuration to the file's.
fn changes(file: &Start, unit: Unit, path: &Path) -> Result<String, Failed> {
    let config = wanted(file, unit, path)?;
    let running = super::dump::ask(Some(unit), true).map_err(|refusal| at(path, &refusal))?;
    let wanted = canonical::lines(&Dumped {
        unit,
        config,
        keyed: false,
    });
    Ok(match running.first() {
        Some(held) => canonical::difference(&canonical::lines(held), &wanted),
        None => format!("+create\n{}", canonical::difference(&[], &wanted)),
    })
}

/// The text of `netstart -n` for one file: nothing when nothing would be done.
fn described(start: &Start, path: &Path, change: &str) -> String {
    let commands = |commands: &[(usize, OsString)]| -> String {
        let lines = commands.iter();
        let line = |command: &OsString| format!("!{}\n", escape(&command.to_string_lossy()));
        lines.map(|(_, command)| line(command)).collect()
    };
    let text = format!(
        "{}{change}{}",
        commands(&start.before),
        commands(&start.after)
    );
    if text.is_empty() {
        text
    } else {
        format!("{}\n{text}", path.display())
    }
}

/// Prints what is wrong in one line of a file.
fn tell(path: &Path, number: usize, refusal: &Refusal) -> Failed {
    at(
        &PathBuf::from(format!("{}:{number}", path.display())),
        refusal,
    )
}

/// Prints what is wrong with a file.
fn at(path: &Path, refusal: &Refusal) -> Failed {
    warn(NAME, &format!("{}: {}", path.display(), refusal.text));
    if let Some(why) = &refusal.why {
        warn(NAME, &format!("{}: {why}", path.display()));
    }
    Failed
}

fn refused(refusal: Refusal) -> Failed {
    super::refuse(NAME, &refusal);
    Failed
}
