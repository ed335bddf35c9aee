//! hostname.carpN in the form of OpenBSD's hostname.if(5): a text to the lines of ifconfig it stands for, and its commands;
//! must not run them.
#![forbid(unsafe_code)]

use super::shell::Reader;
use crate::carp::config::Unit;
use crate::cli::ifconfig::address::Hosts;
use crate::cli::ifconfig::parse::{self, Phrase, Typed};
use crate::cli::ifconfig::words;
use crate::cli::{because, plain};
use crate::control::{Change, Refusal};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;

/// One thing that a file says.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it begins, from 1.
    pub number: usize,
    /// What it is.
    pub what: What,
}

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub enum What {
    /// Words for ifconfig.
    Line(Vec<Typed>),
    /// `!command`, for a shell in which `$if` is the interface.
    Command(OsString),
}

/// What is wrong in a file, and in which line.
pub type Wrong = (usize, Refusal);

/// Reads the file of `unit`.
///
/// # Errors
/// Every line that is wrong by itself.
pub fn read(unit: Unit, text: &[u8], hosts: Hosts<'_>) -> Result<Vec<Entry>, Vec<Wrong>> {
    let (mut entries, mut wrong) = (Vec::new(), Vec::new());
    let mut reader = Reader::new(text);
    while let Some(number) = reader.begin() {
        let what = if reader.peek() == Some(b'!') {
            let command = reader.raw().split_off(1);
            if command.contains(&0) {
                Err(plain("!: a byte 0"))
            } else {
                Ok(What::Command(OsString::from_vec(command)))
            }
        } else {
            let words = reader.words().map_err(plain);
            words
                .and_then(|words| line(unit, words, hosts))
                .map(What::Line)
        };
        match what {
            Ok(what) => entries.push(Entry { number, what }),
            Err(refusal) => wrong.push((number, refusal)),
        }
    }
    if wrong.is_empty() {
        Ok(entries)
    } else {
        Err(wrong)
    }
}

/// The changes of one line.
///
/// # Errors
/// The first word that is wrong, or cannot stand in a file.
pub fn line(unit: Unit, words: Vec<OsString>, hosts: Hosts<'_>) -> Result<Vec<Typed>, Refusal> {
    let mut arguments = vec![OsString::from(unit.to_string())];
    arguments.extend(rewritten(words)?);
    let changes = match parse::parse(&arguments, hosts) {
        Ok(parse::Command::Apply { changes, .. }) => changes,
        Ok(_) | Err(parse::Error::Usage) => return Err(plain("no address given")),
        Err(parse::Error::Refused(refusal)) => return Err(refusal),
    };
    for typed in &changes {
        match typed {
            Typed::Change(Change::Destroy) => {
                return Err(plain("'destroy' cannot stand in a file"));
            }
            Typed::Pass(Phrase::StandardInput) => {
                return Err(because(
                    "pass -: bad value",
                    "a file has no standard input; passfile names a file of its own",
                ));
            }
            _ => {}
        }
    }
    Ok(changes)
}

/// `inet ADDRESS MASK BROADCAST ...` and `inet6 ADDRESS LENGTH ...` in the words of ifconfig; other lines as they are.
fn rewritten(words: Vec<OsString>) -> Result<Vec<OsString>, Refusal> {
    let mut words = words.into_iter().peekable();
    let mut out = Vec::new();
    let family = match words.peek().and_then(|word| word.to_str()) {
        Some(family @ ("inet" | "inet6")) => family.to_owned(),
        Some("dest") => {
            return Err(because(
                "dest: bad value",
                "a carp interface has no destination address",
            ));
        }
        _ => return Ok(words.collect()),
    };
    out.extend(words.next());
    let among = |word: &OsString| {
        let fates = ["alias", "-alias", "delete"];
        word.to_str().is_some_and(|word| fates.contains(&word))
    };
    out.extend(words.next_if(among));
    let Some(address) = words.next_if(|word| !is_word(word)) else {
        out.extend(words);
        return Ok(out);
    };
    out.push(address);
    if let Some(mask) = words.next_if(|word| !is_word(word)) {
        let length = mask.to_str().is_some_and(|mask| mask.parse::<u8>().is_ok());
        let name = if family == "inet6" || length {
            "prefixlen"
        } else {
            "netmask"
        };
        // Beside ADDRESS/LENGTH some write it as well.
        if mask != "NONE" {
            out.extend([name.into(), mask]);
        }
    }
    if family == "inet"
        && let Some(broadcast) = words.next_if(|word| !is_word(word))
        && broadcast != "NONE"
    {
        out.extend(["broadcast".into(), broadcast]);
    }
    out.extend(words);
    Ok(out)
}

fn is_word(typed: &OsString) -> bool {
    let typed: &OsStr = typed;
    typed
        .to_str()
        .is_some_and(|typed| words::find(typed).is_some())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reads(text: &str) -> Result<Vec<Entry>, Vec<Wrong>> {
        read(Unit(0), text.as_bytes(), &|_, _| None)
    }

    /// The changes of a line as they are typed at ifconfig.
    fn typed(line: &str) -> What {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        match parse::parse(&arguments, &|_, _| None) {
            Ok(parse::Command::Apply { changes, .. }) => What::Line(changes),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn lines_of_hostname_if_are_lines_of_ifconfig() {
        for (file, line) in [
            ("up", "carp0 up"),
            (
                "inet 192.168.1.1 255.255.255.0 192.168.1.255 vhid 42 carpdev vlan42 advskew 100 pass secret",
                "carp0 inet 192.168.1.1 netmask 255.255.255.0 broadcast 192.168.1.255 vhid 42 carpdev vlan42 advskew 100 pass secret",
            ),
            ("inet 192.0.2.1 0xffffff00 NONE", "carp0 192.0.2.1/24"),
            ("inet 192.0.2.1 255.255.255.0", "carp0 192.0.2.1/24"),
            ("inet 192.0.2.1 24 vhid 1", "carp0 192.0.2.1/24 vhid 1"),
            ("inet 192.0.2.1/24 NONE vhid 1", "carp0 192.0.2.1/24 vhid 1"),
            ("inet 192.0.2.1/24 vhid 1", "carp0 192.0.2.1/24 vhid 1"),
            (
                "inet alias 192.0.2.2 255.255.255.0 192.0.2.255",
                "carp0 alias 192.0.2.2/24",
            ),
            ("inet6 2001:db8::1 64", "carp0 inet6 2001:db8::1/64"),
            (
                "inet6 alias 2001:db8:a::1 64",
                "carp0 inet6 alias 2001:db8:a::1/64",
            ),
            (
                "vhid 1 carpdev em0 \\\n\tadvskew 3 # c",
                "carp0 vhid 1 carpdev em0 advskew 3",
            ),
            ("  192.0.2.1/24", "carp0 192.0.2.1/24"),
            ("pass 'a b'", "carp0 pass a b"),
        ] {
            let entries = reads(file).unwrap();
            assert_eq!(entries.len(), 1, "{file}");
            if !file.contains('\'') {
                assert_eq!(entries[0].what, typed(line), "{file}");
            }
        }
        let Entry { number, what } = &reads("\n# x\n!route add \\$if 'a b' # c\n").unwrap()[0];
        assert_eq!(*number, 3);
        assert_eq!(*what, What::Command("route add $if 'a b' # c".into()));
    }

    #[test]
    fn every_wrong_line_is_named() {
        let text = "vhid 300\nup\nvhid 1 bogus 2 3\ninet\ndestroy\npass -\ndest 192.0.2.1\npass a$b\nbalancing";
        let wrong: Vec<_> = reads(text)
            .unwrap_err()
            .into_iter()
            .map(|(number, refusal)| (number, refusal.text))
            .collect();
        let texts: Vec<_> = wrong.iter().map(|(n, t)| (*n, t.as_str())).collect();
        assert_eq!(texts[0], (1, "vhid 300: too large"));
        assert_eq!(texts[1], (3, "bogus: bad value"));
        assert_eq!(texts[2], (4, "no address given"));
        assert_eq!(texts[3], (5, "'destroy' cannot stand in a file"));
        assert_eq!(texts[4], (6, "pass -: bad value"));
        assert_eq!(texts[5], (7, "dest: bad value"));
        assert_eq!(
            texts[6],
            (8, "pass: '$' means nothing here, put it in single quotes")
        );
        assert_eq!(texts[7].0, 9);
        assert_eq!(texts.len(), 8);
    }
}
