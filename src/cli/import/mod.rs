//! `carp import`: files of the BSDs as hostname.carpN files; executes nothing, asks no daemon.
#![forbid(unsafe_code)]

mod lines;
mod rc;

use super::files::write::{New, write};
use super::files::{self, Place, canonical, hostname};
use super::{because, dump, ifconfig, plain, reason, refuse, say, warn};
use crate::carp::config::{Key, Unit};
use crate::cli::ifconfig::address::Hosts;
use crate::cli::ifconfig::parse::{Phrase, Typed};
use crate::control::plan::{self, Plan};
use crate::control::{Change, Dumped, Refusal};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use zeroize::Zeroizing;

/// Under this name errors are printed.
const NAME: &str = "import";
/// The longest file that is read, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// What `carp import` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Write the files instead of printing them
    #[arg(short = 'w')]
    write: bool,
    /// With -w, replace files that differ
    #[arg(short = 'f', requires = "write")]
    replace: bool,
    /// The carpdev that em0 is called here, or that carpN is to have
    #[arg(short = 'c', value_name = "em0=eth0", value_parser = renaming)]
    carpdev: Vec<(String, String)>,
    #[command(flatten)]
    place: Place,
    /// An rc.conf of FreeBSD or NetBSD, an ifconfig.carpN of NetBSD, or a hostname.carpN of OpenBSD
    file: PathBuf,
}

fn renaming(typed: &str) -> Result<(String, String), String> {
    match typed.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => Ok((old.into(), new.into())),
        _ => Err("not NAME=CARPDEV".into()),
    }
}

/// What a file says of one carpN, in the words of its ifconfig.
#[derive(Debug, Default)]
struct Source {
    /// `!command` before the first line.
    before: Vec<Vec<u8>>,
    /// Each line with its number.
    lines: Vec<(usize, Vec<OsString>)>,
    /// `!command` after it.
    after: Vec<Vec<u8>>,
    /// The carpdev, where the words do not name it, and the line that this is from.
    carpdev: Option<String>,
}

/// Something to tell about a line; 0 means the whole file.
type Told = (usize, Refusal);

/// What a file comes to.
#[derive(Debug, Default)]
pub struct Imported {
    /// The new files.
    pub files: Vec<New>,
    /// Lines that cannot be had; their interfaces have no file.
    pub wrong: Vec<Told>,
    /// What was left out or is to be known.
    pub notes: Vec<Told>,
}

/// Runs `import`.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let text = match read(&args.file) {
        Ok(text) => text,
        Err(refusal) => return refuse(NAME, &refusal),
    };
    let name = args.file.file_name().unwrap_or_default().to_string_lossy();
    let renamed: BTreeMap<_, _> = args.carpdev.iter().cloned().collect();
    let imported = import(&name, &text, &renamed, &ifconfig::hosts);
    for (number, told) in imported.notes.iter().chain(&imported.wrong) {
        tell(&args.file, *number, told);
    }
    if !imported.wrong.is_empty() && args.write {
        warn(NAME, "nothing was written");
        return ExitCode::FAILURE;
    }
    let done = if args.write {
        write(&args.place.directory, &imported.files, args.replace)
    } else {
        Ok(dump::show(&args.place, &imported.files, false))
    };
    match done {
        Err(refusal) => refuse(NAME, &refusal),
        Ok(text) if imported.wrong.is_empty() => say(&text),
        Ok(text) => {
            say(&text);
            ExitCode::FAILURE
        }
    }
}

fn tell(file: &Path, number: usize, refusal: &Refusal) {
    let place = match number {
        0 => file.display().to_string(),
        number => format!("{}:{number}", file.display()),
    };
    warn(NAME, &format!("{place}: {}", refusal.text));
    if let Some(why) = &refusal.why {
        warn(NAME, &format!("{place}: {why}"));
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let wrong = |error| plain(format!("{}: {}", path.display(), reason(&error)));
    let mut text = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(wrong)?;
    file.take(FILE_MAX).read_to_end(&mut text).map_err(wrong)?;
    Ok(text)
}

/// The files that a text named `name` comes to; interfaces are called as in `renamed` from now on.
#[must_use]
pub fn import(
    name: &str,
    text: &[u8],
    renamed: &BTreeMap<String, String>,
    hosts: Hosts<'_>,
) -> Imported {
    let mut imported = Imported::default();
    let sources = match lines::named(name) {
        Some(file) => lines::read(file, text, &mut imported),
        None => rc::read(text, hosts, &mut imported),
    };
    for (unit, source) in sources {
        match converted(unit, &source, renamed, hosts) {
            Ok(file) => imported.files.push(file),
            Err(wrong) => imported.wrong.push(wrong),
        }
    }
    let nothing = imported.files.is_empty() && imported.wrong.is_empty();
    if nothing {
        imported.wrong.push((0, plain("nothing about carp")));
    }
    imported
}

/// The canonical file of one interface.
fn converted(
    unit: Unit,
    source: &Source,
    renamed: &BTreeMap<String, String>,
    hosts: Hosts<'_>,
) -> Result<New, Told> {
    let named = |name: &String| renamed.get(name).unwrap_or(name).clone();
    let given = renamed.get(&unit.to_string()).cloned();
    let (mut numbers, mut lines) = (vec![0], vec![Vec::new()]);
    let known = given.or_else(|| source.carpdev.as_ref().map(named));
    lines[0].extend(known.map(|name| Change::Carpdev(Some(name))));
    for (number, words) in &source.lines {
        let line = hostname::line(unit, words.clone(), hosts);
        let mut changes = line
            .and_then(changes)
            .map_err(|refusal| (*number, refusal))?;
        for change in &mut changes {
            if let Change::Carpdev(Some(carpdev)) = change {
                *carpdev = named(carpdev);
            }
        }
        numbers.push(*number);
        lines.push(changes);
    }
    let planned = plan::load(&lines, Ok);
    let config = match planned.map_err(|(line, refusal)| (numbers[line], refusal))? {
        Plan::Become { config, .. } => *config,
        Plan::Destroy => return Err((0, plain("'destroy' cannot stand in a file"))),
    };
    let gives = |line: &Vec<Change>| line.iter().any(|c| matches!(c, Change::Address { .. }));
    if let (None, Some(line)) = (&config.carpdev, lines.iter().position(gives)) {
        let why = format!("there is no carpdev; -c {unit}=NAME names it");
        return Err((numbers[line], because("SIOCAIFADDR: Invalid argument", why)));
    }
    let keyed = config.key != Key::default();
    let lines = canonical::lines(&Dumped {
        unit,
        config,
        keyed,
    });
    let command = |command: &Vec<u8>| escaped(command);
    let before = source.before.iter().map(command);
    let after = source.after.iter().map(command);
    let mut text = Zeroizing::new(String::new());
    for line in before.chain(lines).chain(after) {
        text.push_str(&line);
        text.push('\n');
    }
    let name = files::hostname(unit);
    Ok(New { name, text })
}

/// A line's changes. Only what stands in the file counts, and no BSD has `passfile`.
fn changes(line: Vec<Typed>) -> Result<Vec<Change>, Refusal> {
    if line
        .iter()
        .any(|typed| matches!(typed, Typed::Pass(Phrase::File(_))))
    {
        return Err(plain("passfile: bad value"));
    }
    ifconfig::keys(line)
}

/// A `!command` as it has to stand in a hostname.carpN file, where `read` takes the backslashes.
fn escaped(command: &[u8]) -> String {
    let text = String::from_utf8_lossy(command).replace('\\', "\\\\");
    // NetBSD's name for it.
    let int = text.contains("$int") || text.contains("${int}");
    format!("!{}{text}", if int { "int=$if; " } else { "" })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
