//! A command line of ifconfig to a command: OpenBSD's rules over the table of words; must not know files or the daemon.
//!
//! The first wrong word ends it, with OpenBSD's text. Nothing is sent before the whole line was read.
#![forbid(unsafe_code)]

use super::address::{self, Hosts};
use super::argument::{self, NAME_MAX};
use super::words::{self, Sense};
use crate::carp::config::{InputMode, State, Unit};
use crate::cli::{because, plain};
use crate::control::Family;
use crate::control::{Change, Refusal};
use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::ffi::OsStrExt;
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
    /// `-l`: the names.
    List,
    /// `-g GROUP`: its demotion.
    Group(String),
    /// `-g GROUP [-]carpdemote [n]`.
    Demote {
        group: String,
        /// What is added.
        by: i16,
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
    if name.starts_with('-') {
        return option(&name, rest, verbose);
    }
    if first.len() > NAME_MAX {
        return Err(plain(format!("interface name '{name}' too long")).into());
    }
    match rest {
        [] => Ok(show(shown(&name)?, None)),
        [word] if family(word).is_some() => Ok(show(shown(&name)?, family(word))),
        _ if verbose => Err(Error::Usage),
        _ => {
            let changes = Line::read(&name, rest, hosts)?;
            let unit = Unit::from_name(&name).ok_or_else(|| foreign(&name, changes.first()))?;
            Ok(Command::Apply { unit, changes })
        }
    }
}

/// A word with a minus before any interface.
fn option(name: &str, rest: &[OsString], verbose: bool) -> Result<Command, Error> {
    let letters = &name[1..];
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
        ("l", []) => Ok(Command::List),
        ("g", [group, rest @ ..]) => interface_group(group, rest),
        ("k", _) => Err(plain(format!("{name}: not supported yet")).into()),
        _ => Err(Error::Usage),
    }
}

fn interface_group(name: &OsStr, rest: &[OsString]) -> Result<Command, Error> {
    let group = name.to_string_lossy().into_owned();
    if rest.is_empty() {
        return Ok(Command::Group(group));
    }
    let words: Option<Vec<&str>> = rest.iter().map(|word| word.to_str()).collect();
    let by = argument::demote(&words.unwrap_or_default()).ok_or(Error::Usage)??;
    Ok(Command::Demote { group, by })
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
        _ if name.starts_with("carp") => {
            return because(
                "SIOCIFCREATE: Invalid argument",
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

/// What happens to the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Replace,
    Beside,
    Delete,
}

/// A line as far as it was read.
struct Line<'a> {
    name: &'a str,
    hosts: Hosts<'a>,
    changes: Vec<Typed>,
    family: Family,
    address: Option<IpAddr>,
    /// The prefix length, however it was typed; the last one counts.
    length: Option<u8>,
    broadcast: Option<Ipv4Addr>,
    second: bool,
    fate: Fate,
}

impl<'a> Line<'a> {
    fn read(name: &'a str, words: &[OsString], hosts: Hosts<'a>) -> Result<Vec<Typed>, Refusal> {
        let mut line = Self {
            name,
            hosts,
            changes: Vec::new(),
            family: Family::Inet,
            address: None,
            length: None,
            broadcast: None,
            second: false,
            fate: Fate::Replace,
        };
        let mut words = words.iter();
        while let Some(typed) = words.next() {
            let text = typed
                .to_str()
                .ok_or_else(|| plain(format!("{}: bad value", typed.to_string_lossy())))?;
            match words::find(text) {
                Some((word, negated)) => line.word(word, text, negated, &mut words)?,
                None => line.address(text)?,
            }
        }
        line.finish()
    }

    fn word<'w>(
        &mut self,
        word: &words::Word,
        typed: &str,
        negated: bool,
        rest: &mut impl Iterator<Item = &'w OsString>,
    ) -> Result<(), Refusal> {
        let mut argument = || {
            rest.next()
                .ok_or_else(|| plain(format!("'{typed}' requires argument")))
        };
        match word.sense {
            Sense::Alias => self.fate = if negated { Fate::Delete } else { Fate::Beside },
            Sense::Switch(make) => self.change(make(!negated)),
            Sense::Later => return Err(plain(format!("{typed}: not supported yet"))),
            _ if negated => return Err(plain(format!("{typed}: not supported yet"))),
            Sense::Delete => self.fate = Fate::Delete,
            Sense::Family(family) => self.family(family)?,
            Sense::Plain(make) => self.change(make()),
            Sense::Number { least, most, make } => {
                let value = argument()?.to_string_lossy();
                let number = address::number(&value, least, most);
                self.change(make(
                    number.map_err(|wrong| plain(format!("{typed} {value}: {wrong}")))?,
                ));
            }
            Sense::Argument(read) => {
                let value = argument()?;
                let value = value
                    .to_str()
                    .ok_or_else(|| plain(format!("{}: bad value", value.to_string_lossy())))?;
                self.change(read(typed, value)?);
            }
            Sense::Nothing => {}
            Sense::Refused(why) => return Err(because(format!("{typed}: bad value"), why)),
            Sense::Input => {
                let value = argument()?.to_string_lossy();
                let modes = [InputMode::Redirect, InputMode::Accept];
                let mode = modes.into_iter().find(|mode| mode.to_string() == value);
                let wrong = || {
                    because(
                        format!("{typed} {value}: invalid"),
                        "it is redirect or accept",
                    )
                };
                self.change(Change::Input(mode.ok_or_else(wrong)?));
            }
            Sense::Carpdev => {
                let device = argument::carpdev(argument()?)?;
                self.change(Change::Carpdev(device));
            }
            Sense::Pass => {
                let phrase = argument()?.as_bytes();
                let here = || Phrase::Here(Zeroizing::new(phrase.to_vec()));
                self.changes.push(Typed::Pass(if phrase == b"-" {
                    Phrase::StandardInput
                } else {
                    here()
                }));
            }
            Sense::Passfile => self
                .changes
                .push(Typed::Pass(Phrase::File(PathBuf::from(argument()?)))),
            Sense::State => {
                // OpenBSD ignores a state it does not know.
                let wanted = argument()?.to_string_lossy().to_ascii_uppercase();
                let states = [State::Init, State::Backup, State::Master];
                if let Some(state) = states.into_iter().find(|state| state.to_string() == wanted) {
                    self.change(Change::State(state));
                }
            }
            Sense::Netmask => {
                self.length = Some(address::mask(&argument()?.to_string_lossy(), self.family)?)
            }
            Sense::Prefixlen => {
                self.length = Some(address::prefix(
                    &argument()?.to_string_lossy(),
                    self.family,
                )?)
            }
            Sense::Broadcast => {
                let value = argument()?.to_string_lossy();
                self.broadcast = Some(
                    value
                        .parse()
                        .map_err(|_| plain(format!("{value}: bad value")))?,
                );
            }
        }
        Ok(())
    }

    fn change(&mut self, change: Change) {
        self.changes.push(Typed::Change(change));
    }

    /// OpenBSD takes a family only directly after the name; here it may stand anywhere before what it is said of.
    fn family(&mut self, family: Family) -> Result<(), Refusal> {
        if self.address.is_some() || self.length.is_some() {
            let why = "one address per command line, and its family before it";
            return Err(because(format!("{family}: bad value"), why));
        }
        self.family = family;
        Ok(())
    }

    /// A word that is none of the table: the address, then what it is sent to, then wrong.
    fn address(&mut self, typed: &str) -> Result<(), Refusal> {
        if self.second {
            return Err(plain(format!("{typed}: bad value")));
        }
        let (address, length) = address::read(typed, self.family, self.name, self.hosts)?;
        self.length = length.or(self.length);
        if self.address.is_none() {
            self.address = Some(address);
            return Ok(());
        }
        // On a broadcast interface the kernel's field for the destination is that of the broadcast address.
        self.second = true;
        let IpAddr::V4(address) = address else {
            return Err(because(
                "SIOCAIFADDR: Invalid argument",
                "a carp interface has no destination address",
            ));
        };
        self.broadcast = Some(address);
        Ok(())
    }

    /// The address comes last, whatever stood behind it.
    fn finish(mut self) -> Result<Vec<Typed>, Refusal> {
        match (self.fate, self.address) {
            (Fate::Delete, None) if self.family == Family::Inet6 => {
                return Err(plain("SIOCDIFADDR: Can't assign requested address"));
            }
            (Fate::Delete, address) => self.change(Change::Delete(address)),
            (_, Some(address)) => {
                let network = address::network(address, self.length)?;
                let right = address::broadcast(network);
                if self.broadcast.is_some() && self.broadcast != right {
                    let why = right.map_or(
                        "this network has no broadcast address".to_owned(),
                        |right| format!("the broadcast address of {network} is {right}"),
                    );
                    return Err(because("SIOCAIFADDR: Invalid argument", why));
                }
                self.change(Change::Address {
                    address: network,
                    alias: self.fate == Fate::Beside,
                });
            }
            (_, None)
                if self.fate == Fate::Beside
                    || self.length.is_some()
                    || self.broadcast.is_some() =>
            {
                return Err(plain("no address given"));
            }
            (_, None) => {}
        }
        if self.changes.len() > 1 && self.changes.contains(&Typed::Change(Change::Destroy)) {
            return Err(plain("'destroy' stands alone"));
        }
        Ok(self.changes)
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
