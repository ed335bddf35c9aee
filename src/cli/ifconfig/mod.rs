//! `ifconfig`: reads phrases and names, asks the daemon, prints, exits; must not know how the daemon works.
#![forbid(unsafe_code)]

pub mod address;
pub mod argument;
pub mod parse;
pub mod print;
pub mod words;

use super::{because, plain, reason, refuse, say, start, unanswered, warn};
use crate::carp::config::{FAMILY_GROUP, Key, PASS_MAX, Unit};
use crate::control::Family;
use crate::control::socket::{Client, Error};
use crate::control::{Change, Interface, Refusal, Reply, Request};
use parse::{Command, Phrase, Typed, Which};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::process::ExitCode;
use zeroize::Zeroizing;

/// Under this name errors are printed.
const NAME: &str = "ifconfig";
/// What is printed when the line makes no sense.
pub const USAGE: &str = "usage: ifconfig [-v] [-AaCl] [interface] [inet | inet6] [address] [words ...]\n       \
    ifconfig -g group [[-]carpdemote [number]]\n";
/// More than this of a first line is no passphrase.
const PHRASE_MAX: usize = 4096;

/// Runs `ifconfig` with what stands after its name.
#[must_use]
pub fn run(arguments: &[OsString]) -> ExitCode {
    match parse::parse(arguments, &hosts) {
        Ok(Command::Help) => say(&format!("{USAGE}\n{}", words::help())),
        Ok(Command::Cloners) => say("carp\n"),
        Ok(Command::List) => list().map_or_else(refused, |text| say(&text)),
        Ok(Command::Group(name)) => group(name).map_or_else(refused, |text| say(&text)),
        Ok(Command::Demote { group, by }) => done(start::ask(&Request::Demote { group, by }))
            .map_or_else(refused, |()| ExitCode::SUCCESS),
        Ok(Command::Show {
            which,
            family,
            verbose,
        }) => show(&which, family, verbose).map_or_else(refused, |text| say(&text)),
        Ok(Command::Apply { unit, changes }) => {
            apply(unit, changes).map_or_else(refused, |()| ExitCode::SUCCESS)
        }
        Err(parse::Error::Refused(refusal)) => refused(refusal),
        Err(parse::Error::Usage) => {
            eprint!("{USAGE}");
            ExitCode::FAILURE
        }
    }
}

fn refused(refusal: Refusal) -> ExitCode {
    refuse(NAME, &refusal)
}

/// Names come from /etc/hosts or not at all: an address must not depend on a server that this host may be failing over.
fn hosts(name: &str, family: Family) -> Option<IpAddr> {
    let text = fs::read("/etc/hosts").ok()?;
    address::in_hosts(&String::from_utf8_lossy(&text), name, family)
}

/// The text of what is to be shown. A look never starts a daemon: without one there is no interface.
fn show(which: &Which, family: Option<Family>, verbose: bool) -> Result<String, Refusal> {
    let wanted = if let Which::One(unit) = which {
        Some(*unit)
    } else {
        None
    };
    let interfaces = interfaces(wanted)?;
    let chosen: Vec<_> = interfaces
        .iter()
        .filter(|interface| shown(interface, which))
        .collect();
    match which {
        Which::One(unit) if chosen.is_empty() => Err(parse::missing(&unit.to_string())),
        Which::Group(name) if chosen.is_empty() => Err(parse::missing(name)),
        _ => Ok(chosen
            .into_iter()
            .map(|interface| print::interface(interface, family, verbose))
            .collect()),
    }
}

fn shown(interface: &Interface, which: &Which) -> bool {
    match which {
        Which::All => true,
        Which::One(unit) => interface.unit == *unit,
        Which::Group(name) => name == "carp" || interface.groups.contains(name),
    }
}

/// The interfaces, or the one asked for if it is there; none without a daemon.
pub fn interfaces(wanted: Option<Unit>) -> Result<Vec<Interface>, Refusal> {
    let client = match Client::find() {
        Err(Error::NotRunning) => return Ok(Vec::new()),
        client => client.map_err(|error| unanswered(&error))?,
    };
    match client
        .ask(&Request::Show(wanted))
        .map_err(|error| unanswered(&error))?
    {
        Reply::Interfaces(interfaces) => Ok(interfaces),
        Reply::Refused(refusal) => Err(refusal),
        _ => Err(plain("the carp daemon answered something else")),
    }
}

/// All names on one line.
fn list() -> Result<String, Refusal> {
    let names: Vec<_> = interfaces(None)?
        .iter()
        .map(|i| i.unit.to_string())
        .collect();
    Ok(if names.is_empty() {
        String::new()
    } else {
        format!("{}\n", names.join(" "))
    })
}

/// A group's line. Without a daemon only the family group is there, and not demoted.
fn group(name: String) -> Result<String, Refusal> {
    let client = match Client::find() {
        Err(Error::NotRunning) if name == FAMILY_GROUP => return Ok(print::group(&name, 0)),
        Err(Error::NotRunning) => return Err(plain("SIOCGIFGATTR: No such file or directory")),
        client => client.map_err(|error| unanswered(&error))?,
    };
    match client
        .ask(&Request::Group(name))
        .map_err(|error| unanswered(&error))?
    {
        Reply::Group(group) => Ok(print::group(&group.name, group.demotion)),
        Reply::Refused(refusal) => Err(refusal),
        _ => Err(plain("the carp daemon answered something else")),
    }
}

/// What a change was answered.
fn done(reply: Result<Reply, Refusal>) -> Result<(), Refusal> {
    match reply? {
        Reply::Done => Ok(()),
        Reply::Refused(refusal) => Err(refusal),
        _ => Err(plain("the carp daemon answered something else")),
    }
}

/// Sends the line as one request.
fn apply(unit: Unit, changes: Vec<Typed>) -> Result<(), Refusal> {
    let mut ready = Vec::with_capacity(changes.len());
    for typed in changes {
        ready.push(match typed {
            Typed::Change(change) => change,
            Typed::Pass(phrase) => Change::Pass(key(phrase)?),
        });
    }
    done(start::ask(&Request::Apply {
        unit,
        changes: ready,
    }))
}

/// The key of a phrase, wherever it is.
fn key(phrase: Phrase) -> Result<Key, Refusal> {
    let phrase = match phrase {
        Phrase::Here(phrase) => phrase,
        // Not through Rust's stdin: its buffer keeps a copy.
        Phrase::StandardInput => {
            let stdin = io::stdin().as_fd().try_clone_to_owned();
            let stdin = stdin.map_err(|error| plain(format!("pass -: {}", reason(&error))))?;
            first_line(File::from(stdin), "pass -")?
        }
        Phrase::File(path) => {
            let name = format!("passfile {}", path.display());
            let file =
                File::open(&path).map_err(|error| plain(format!("{name}: {}", reason(&error))))?;
            first_line(file, &name)?
        }
    };
    if phrase.len() > PASS_MAX {
        warn(
            NAME,
            &format!("pass: only the first {PASS_MAX} bytes count"),
        );
    }
    Ok(Key::from_pass(&phrase))
}

/// The first line without its newline; `name` is for the error.
fn first_line(mut from: impl Read, name: &str) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    // All room from the start: a vector that grows leaves its old bytes behind.
    let mut line = Zeroizing::new(Vec::with_capacity(PHRASE_MAX));
    // Byte by byte: what follows the line stays for whoever reads the same input next.
    let mut byte = [0];
    while line.len() < PHRASE_MAX {
        match from.read(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(plain(format!("{name}: {}", reason(&error)))),
            Ok(0) if line.is_empty() => {
                return Err(because(
                    format!("{name}: nothing there"),
                    "an empty line is an empty passphrase",
                ));
            }
            Ok(1) if byte[0] != b'\n' => line.push(byte[0]),
            Ok(_) => break,
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_phrase_is_the_first_line() {
        let read = |text: &[u8]| first_line(text, "pass -").map(|line| line.to_vec());
        assert_eq!(read(b"secret\nmore\n").unwrap(), b"secret");
        assert_eq!(read(b"secret").unwrap(), b"secret");
        assert_eq!(read(b" se cret \r\n").unwrap(), b" se cret \r");
        assert_eq!(read(b"\n").unwrap(), b"");
        assert_eq!(read(b"").unwrap_err().text, "pass -: nothing there");
        assert_eq!(read(&[b'x'; 9000]).unwrap().len(), 4096);
    }
}
