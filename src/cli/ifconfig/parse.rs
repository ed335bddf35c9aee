//! A command line of ifconfig to a command: what is looked at, and which interface is changed; must not know files or the daemon.
#![forbid(unsafe_code)]

use super::address::Hosts;
use super::argument::{self, NAME_MAX};
use super::line;
use super::words::{self, Sense};
use crate::carp::config::Unit;
use crate::cli::{because, plain};
use crate::control::Family;
use crate::control::{Change, Refusal};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// What OpenBSD's words about another interface hide.
pub const ONLY_CARP: &str =
    "only carp interfaces are shown and configured here; the others are the system's, see ip(8)";

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// `--help`.
    Help,
    /// `-C`: the kinds of interfaces that `create` makes.
    Cloners,
    /// `-l`: the names, of all or of a group's members.
    List(Option<String>),
    /// `-g GROUP`: its demotion.
    Group(String),
    /// `-g GROUP [-]carpdemote [n]`.
    Demote {
        group: String,
        /// What is added.
        by: i16,
    },
    /// `-g GROUP drain`, `-g GROUP undrain`.
    Drain {
        group: String,
        /// Its members leave the addresses to other hosts.
        on: bool,
    },
    /// To be shown.
    Show {
        /// Which interfaces.
        which: Which,
        /// Only addresses of this family.
        family: Option<Family>,
        /// `-v`: the data plane and its counters, too.
        verbose: bool,
    },
    /// To be done.
    Apply {
        /// To which interface.
        unit: Unit,
        /// In the order typed, the address last.
        changes: Vec<Typed>,
    },
}

/// Which interfaces are shown.
#[derive(Debug, PartialEq, Eq)]
pub enum Which {
    /// All of them; none is no error.
    All,
    /// That one.
    One(Unit),
    /// The members of a group: a name without final digit.
    Group(String),
}

/// A change, or a phrase that must be fetched first.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// Ready to be sent.
    Change(Change),
    /// Becomes a key.
    Pass(Phrase),
}

/// Where a passphrase is.
#[derive(PartialEq, Eq)]
pub enum Phrase {
    /// On the command line.
    Here(Zeroizing<Vec<u8>>),
    /// On standard input.
    StandardInput,
    /// In this file.
    File(PathBuf),
}

impl std::fmt::Debug for Phrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Here(_) => f.write_str("Here(..)"),
            Self::StandardInput => f.write_str("StandardInput"),
            Self::File(path) => write!(f, "File({path:?})"),
        }
    }
}

/// Why a line was not understood.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// The usage says it.
    Usage,
    /// A word was wrong.
    Refused(Refusal),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Reads what stands after `ifconfig`.
pub fn parse(arguments: &[OsString], hosts: Hosts<'_>) -> Result<Command, Error> {
    let (verbose, arguments) = match arguments.split_first() {
        Some((first, rest)) if first == "-v" => (true, rest),
        _ => (false, arguments),
    };
    let show = |which, family| Command::Show {
        which,
        family,
        verbose,
    };
    let Some((first, rest)) = arguments.split_first() else {
        return Ok(show(Which::All, None));
    };
    let name = first.to_string_lossy();
    if let Some(letters) = name.strip_prefix('-') {
        return option(letters, rest, verbose);
    }
    if first.len() > NAME_MAX {
        return Err(plain(format!("interface name '{name}' too long")).into());
    }
    match rest {
        [] => Ok(show(shown(&name)?, None)),
        [word] if family(word).is_some() => Ok(show(shown(&name)?, family(word))),
        _ if verbose => Err(Error::Usage),
        _ => {
            let changes = line::read(&name, rest, hosts)?;
            let unit = Unit::from_name(&name).ok_or_else(|| foreign(&name, changes.first()))?;
            Ok(Command::Apply { unit, changes })
        }
    }
}

/// A word with a minus before any interface.
fn option(letters: &str, rest: &[OsString], verbose: bool) -> Result<Command, Error> {
    let all = |family| {
        Ok(Command::Show {
            which: Which::All,
            family,
            verbose,
        })
    };
    match (letters, rest) {
        ("h" | "-help", []) => Ok(Command::Help),
        ("C", []) => Ok(Command::Cloners),
        ("a" | "A" | "aA" | "Aa", []) => all(None),
        ("a" | "A" | "aA" | "Aa", [word]) if family(word).is_some() => all(family(word)),
        ("l", []) => Ok(Command::List(None)),
        ("l", [group]) if !group.to_string_lossy().starts_with('-') => {
            Ok(Command::List(Some(group.to_string_lossy().into_owned())))
        }
        ("g", [group, rest @ ..]) => interface_group(group, rest),
        _ => Err(Error::Usage),
    }
}

fn interface_group(name: &OsStr, rest: &[OsString]) -> Result<Command, Error> {
    let group = name.to_string_lossy().into_owned();
    if rest.is_empty() {
        return Ok(Command::Group(group));
    }
    let words: Option<Vec<&str>> = rest.iter().map(|word| word.to_str()).collect();
    match words.as_deref() {
        Some(["drain"]) => Ok(Command::Drain { group, on: true }),
        Some(["undrain" | "-drain"]) => Ok(Command::Drain { group, on: false }),
        words => {
            let by = argument::demote(words.unwrap_or_default()).ok_or(Error::Usage)??;
            Ok(Command::Demote { group, by })
        }
    }
}

fn family(word: &OsStr) -> Option<Family> {
    match words::find(word.to_str()?)? {
        (
            words::Word {
                sense: Sense::Family(family),
                ..
            },
            _,
        ) => Some(*family),
        _ => None,
    }
}

/// A name without final digit is a group's.
fn shown(name: &str) -> Result<Which, Refusal> {
    if let Some(unit) = Unit::from_name(name) {
        return Ok(Which::One(unit));
    }
    if name.ends_with(|c: char| c.is_ascii_digit()) {
        Err(missing(name))
    } else {
        Ok(Which::Group(name.to_owned()))
    }
}

/// There is no such interface, or none of ours.
pub fn missing(name: &str) -> Refusal {
    let text = format!("{name}: no such interface");
    if name.starts_with("carp") {
        plain(text)
    } else {
        because(text, ONLY_CARP)
    }
}

/// What OpenBSD's kernel answers to a change of something that is no carpN.
fn foreign(name: &str, first: Option<&Typed>) -> Refusal {
    let text = match first {
        // Its cloners take a unit, from 0 and without leading zero, and never choose one.
        first if name.starts_with("carp") => {
            let call = match first {
                Some(Typed::Change(Change::Destroy)) => "SIOCIFDESTROY",
                _ => "SIOCIFCREATE",
            };
            return because(
                format!("{call}: Invalid argument"),
                format!("{name} is not carp0 to carp{}", Unit::MAX),
            );
        }
        Some(Typed::Change(Change::Create)) => "SIOCIFCREATE: Invalid argument",
        Some(Typed::Change(Change::Destroy)) => "SIOCIFDESTROY: Invalid argument",
        Some(Typed::Change(change)) if change.call() != "SIOCSVH" => return missing(name),
        Some(_) => "SIOCGVH: Inappropriate ioctl for device",
        None => return missing(name),
    };
    because(text, ONLY_CARP)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
