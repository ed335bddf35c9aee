//! `carp dump`: the running configuration as the files that netstart reads; must not know how it came about.
#![forbid(unsafe_code)]

use super::files::write::{New, write};
use super::files::{Place, SYSCTLS, canonical, hostname};
use super::{ifconfig, plain, refuse, say, start, sysctl};
use crate::carp::config::{FAMILY_GROUP, Key, Unit};
use crate::control::{Dumped, Refusal, Reply, Request};
use std::collections::BTreeSet;
use std::process::ExitCode;
use zeroize::Zeroizing;

/// Under this name errors are printed.
const NAME: &str = "dump";

/// What `carp dump` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// With the passphrases, for root
    #[arg(short = 'k')]
    keys: bool,
    /// Write the files; needs -k where there is a passphrase
    #[arg(short = 'w')]
    write: bool,
    /// With -w, replace files that differ
    #[arg(short = 'f', requires = "write")]
    replace: bool,
    #[command(flatten)]
    place: Place,
    /// carpN; without one all interfaces and the variables that are not as at the start
    interface: Option<String>,
}

/// Runs `dump`.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match text(args) {
        Ok(text) => say(&text),
        Err(refusal) => refuse(NAME, &refusal),
    }
}

fn text(args: &Args) -> Result<Zeroizing<String>, Refusal> {
    let wanted = args.interface.as_deref().map(unit).transpose()?;
    let dumped = ask(wanted, args.keys)?;
    if let (Some(unit), true) = (wanted, dumped.is_empty()) {
        return Err(plain(format!("{unit}: no such interface")));
    }
    let hidden = |dumped: &&Dumped| dumped.keyed && dumped.config.key == Key::default();
    if args.keys && dumped.iter().any(|dumped| hidden(&dumped)) {
        return Err(plain("-k: Operation not permitted"));
    }
    let mut files: Vec<New> = dumped.iter().map(file).collect();
    if wanted.is_none() {
        files.extend(groups(&dumped)?);
        let settings = sysctl::file::changed(&sysctl::read()?.settings);
        if !settings.is_empty() {
            let name = SYSCTLS.to_owned();
            let text = Zeroizing::new(settings.join("\n") + "\n");
            files.push(New { name, text });
        }
    }
    if args.write {
        if let Some(dumped) = dumped.iter().find(hidden) {
            let why = "has a passphrase: -k writes it";
            return Err(plain(format!("{} {why}", dumped.unit)));
        }
        return write(&args.place.directory, &files, args.replace).map(Zeroizing::new);
    }
    let alone = wanted.is_some();
    Ok(Zeroizing::new(show(&args.place, &files, alone)))
}

/// The files one after the other, each under its name unless it is the only one that can be.
pub fn show(place: &Place, files: &[New], alone: bool) -> String {
    let mut text = String::new();
    for file in files {
        if !alone {
            let path = place.directory.join(&file.name);
            text.push_str(&format!("# {}\n", path.display()));
        }
        text.push_str(&file.text);
    }
    text
}

/// A file for each group that was demoted by hand.
fn groups(dumped: &[Dumped]) -> Result<Vec<New>, Refusal> {
    let joined = dumped.iter().flat_map(|dumped| &dumped.config.groups);
    let mut names: BTreeSet<&str> = joined.map(String::as_str).collect();
    names.insert(FAMILY_GROUP);
    let mut files = Vec::new();
    for name in names {
        let lines = canonical::demotion(ifconfig::group_of(name)?.by_hand);
        if !lines.is_empty() {
            let text = Zeroizing::new(lines.join("\n") + "\n");
            let name = super::files::group(name);
            files.push(New { name, text });
        }
    }
    Ok(files)
}

fn file(dumped: &Dumped) -> New {
    let mut text = Zeroizing::new(String::new());
    for line in canonical::lines(dumped) {
        text.push_str(&line);
        text.push('\n');
    }
    let name = hostname(dumped.unit);
    New { name, text }
}

fn unit(name: &str) -> Result<Unit, Refusal> {
    Unit::from_name(name).ok_or_else(|| plain(format!("{name}: no such interface")))
}

/// The configurations, by unit. Where no daemon runs there are none.
pub fn ask(unit: Option<Unit>, keys: bool) -> Result<Vec<Dumped>, Refusal> {
    match start::look(&Request::Dump { unit, keys })? {
        None => Ok(Vec::new()),
        Some(Reply::Dumped(dumped)) => Ok(dumped),
        Some(Reply::Refused(refusal)) => Err(refusal),
        Some(_) => Err(plain("the carp daemon answered something else")),
    }
}
