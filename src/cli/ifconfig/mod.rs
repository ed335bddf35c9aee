//! `ifconfig`: reads phrases and names, asks the daemon, prints, exits; must not know how the daemon works.
#![forbid(unsafe_code)]

pub mod address;
pub mod argument;
mod carry;
pub mod dataplane;
mod dialect;
pub mod facts;
mod freebsd;
mod freebsd9;
mod instead;
mod line;
pub mod lines;
mod netbsd;
mod openbsd;
mod parent;
pub mod parse;
pub mod print;
mod sense;
mod show;
mod system;
pub mod words;

use super::personality::Personality;
use super::{because, forwarding, plain, reason, refuse, say, start, warn};
use crate::carp::config::{Key, PASS_MAX, Unit};
use crate::control::Family;
use crate::control::link::{Hardware, Link};
use crate::control::{Change, Interface, Refusal, Reply, Request};
pub(super) use show::group_of;

use facts::{Facts, Keys};
use parse::{Phrase, Typed};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::process::ExitCode;
use system::Real;
use zeroize::Zeroizing;

/// Under this name errors are printed.
const NAME: &str = "ifconfig";
/// More than this of a first line is no passphrase.
const PHRASE_MAX: usize = 4096;

/// See [`Caller::links`].
type Links = fn(only: Option<&[&str]>) -> io::Result<Vec<Link>>;

/// By whom and where it is run.
#[derive(Debug)]
pub struct Caller {
    /// The name it was called by where that stands for the system's ifconfig: all that is not carp's is then the system's.
    pub instead: Option<OsString>,
    /// The personality in that name.
    pub called: Option<Personality>,
    /// Lists the interfaces of the system, or those of some names.
    pub links: Links,
    /// What else is known of the interface of this name.
    pub hardware: fn(&str) -> Hardware,
}

/// The system around carp's interfaces.
#[derive(Debug)]
struct Around {
    links: Links,
    hardware: fn(&str) -> Hardware,
    /// Interfaces of the system that have nothing to do with carp are shown, too.
    system: bool,
    /// Passphrases are shown, too.
    keys: bool,
}

impl Around {
    /// The text of an interface of the system, with the carp groups on it.
    fn text(
        &self,
        facts: &Facts,
        link: &Link,
        groups: &[Interface],
        keys: &Keys,
        family: Option<Family>,
    ) -> String {
        let hardware = (self.hardware)(&link.name);
        let link = Link {
            hardware,
            ..link.clone()
        };
        (facts.link)(&link, groups, keys, family)
    }

    /// All of them.
    fn links(&self) -> Result<Vec<Link>, Refusal> {
        self.listed(None)
    }

    /// The one of this name.
    fn link(&self, name: &str) -> Result<Option<Link>, Refusal> {
        Ok(self.listed(Some(&[name]))?.pop())
    }

    fn listed(&self, only: Option<&[&str]>) -> Result<Vec<Link>, Refusal> {
        let failed = |error| because("SIOCGIFCONF: Input/output error", reason(&error));
        (self.links)(only).map_err(failed)
    }
}

/// Why a line is not carried out.
#[derive(Debug)]
enum Wrong {
    /// The usage says it, the reason stands behind it.
    Usage(Option<Refusal>),
    /// This was wrong.
    Refused(Refusal),
}

impl From<Refusal> for Wrong {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<parse::Error> for Wrong {
    fn from(error: parse::Error) -> Self {
        match error {
            parse::Error::Usage => Self::Usage(None),
            parse::Error::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

/// Runs `ifconfig` with what stands after its name.
#[must_use]
pub fn run(arguments: &[OsString], caller: &Caller) -> ExitCode {
    let (personality, words) = match Personality::taken(arguments, caller.called) {
        Ok(taken) => taken,
        Err(refusal) => return refused(refusal),
    };
    let facts = facts::of(personality);
    let (keys, line) = dialect::without_letters(facts, words);
    let real = caller.instead.as_deref().and_then(Real::find);
    let around = Around {
        links: caller.links,
        hardware: caller.hardware,
        system: caller.instead.is_some(),
        keys,
    };
    match real {
        Some(real) => instead::run(facts, words, &line, &around, &real),
        None => ours(facts, &line, &around),
    }
}

/// Carried out here.
fn ours(facts: &Facts, words: &[OsString], around: &Around) -> ExitCode {
    let name = words.first().map(|word| word.to_string_lossy());
    match carry::out(facts, words, around) {
        Ok(text) => say(&text),
        Err(Wrong::Refused(refusal)) => {
            refused(facts.rephrase(refusal, name.as_deref().unwrap_or_default()))
        }
        Err(Wrong::Usage(why)) => {
            eprint!("{}", facts.usage);
            why.map_or(ExitCode::FAILURE, refused)
        }
    }
}

fn refused(refusal: Refusal) -> ExitCode {
    refuse(NAME, &refusal)
}

/// Names come from /etc/hosts or not at all: an address must not depend on a server that this host may be failing over.
pub(super) fn hosts(name: &str, family: Family) -> Option<IpAddr> {
    let text = fs::read("/etc/hosts").ok()?;
    address::in_hosts(&String::from_utf8_lossy(&text), name, family)
}

/// The interfaces, or the one asked for if it is there; none without a daemon.
pub fn interfaces(wanted: Option<Unit>) -> Result<Vec<Interface>, Refusal> {
    match start::look(&Request::Show(wanted))? {
        None => Ok(Vec::new()),
        Some(Reply::Interfaces(interfaces)) => Ok(interfaces),
        Some(Reply::Refused(refusal)) => Err(refusal),
        Some(_) => Err(plain("the carp daemon answered something else")),
    }
}

/// What stands behind a parent's name in FreeBSD's words, in ours.
pub(super) fn freebsds(words: &[OsString]) -> Result<Vec<OsString>, Refusal> {
    dialect::translated(facts::of(Personality::Freebsd), words)
}

/// The changes with every phrase fetched.
pub(super) fn keys(changes: Vec<Typed>) -> Result<Vec<Change>, Refusal> {
    let ready = changes.into_iter().map(|typed| match typed {
        Typed::Change(change) => Ok(change),
        Typed::Pass(phrase) => Ok(Change::Pass(key(phrase)?)),
    });
    ready.collect()
}

/// Sends the line as one request.
fn apply(unit: Unit, changes: &[Change]) -> Result<(), Refusal> {
    let request = Request::Apply {
        unit,
        changes: changes.to_vec(),
    };
    done(start::ask(&request))?;
    forwarding::warn_of_changes(NAME, changes);
    Ok(())
}

/// What a change was answered.
fn done(reply: Result<Reply, Refusal>) -> Result<(), Refusal> {
    match reply? {
        Reply::Done => Ok(()),
        Reply::Refused(refusal) => Err(refusal),
        _ => Err(plain("the carp daemon answered something else")),
    }
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
mod faces_tests;

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
