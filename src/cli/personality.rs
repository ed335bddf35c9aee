//! Whose manners a command has: chosen by option, name or variable; must not know what the manners are.
#![forbid(unsafe_code)]

use super::because;
use crate::control::Refusal;
use std::env;
use std::ffi::{OsStr, OsString};

/// A BSD whose words and texts are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Personality {
    /// OpenBSD 6 and later.
    #[default]
    Openbsd,
    /// FreeBSD up to 9, pfSense up to 2.1: carp interfaces.
    Freebsd9,
    /// FreeBSD from 10 on: the vhid is the parent's.
    Freebsd,
    /// NetBSD.
    Netbsd,
}

/// The names, as typed after `--as` and before `-ifconfig`.
pub const NAMES: [(&str, Personality); 4] = [
    ("openbsd", Personality::Openbsd),
    ("freebsd9", Personality::Freebsd9),
    ("freebsd", Personality::Freebsd),
    ("netbsd", Personality::Netbsd),
];
/// The option of all front ends, before any other word.
pub const OPTION: &str = "--as";
/// The variable that counts where nothing else was said.
pub const VARIABLE: &str = "CARP_PERSONALITY";

impl Personality {
    /// Reads a name.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn named(word: &str) -> Result<Self, Refusal> {
        let found = NAMES.iter().find(|(name, _)| *name == word);
        let unknown = || {
            let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
            because(
                format!("{word}: unknown personality"),
                format!("there are {}", names.join(", ")),
            )
        };
        found
            .map(|(_, personality)| *personality)
            .ok_or_else(unknown)
    }

    /// `freebsd-ifconfig` is ifconfig with FreeBSD's manners.
    #[must_use]
    pub fn of_program(name: &str) -> (Option<Self>, &str) {
        let split = name.split_once('-').and_then(|(prefix, program)| {
            let personality = Self::named(prefix).ok()?;
            Some((Some(personality), program))
        });
        split.unwrap_or((None, name))
    }

    /// What counts: the option, else the name called by, else the variable, else OpenBSD.
    ///
    /// # Errors
    /// An unknown name in the first of them that is there.
    pub fn chosen(option: Option<&str>, called: Option<Self>) -> Result<Self, Refusal> {
        Self::first(option, called, env::var_os(VARIABLE).as_deref())
    }

    fn first(
        option: Option<&str>,
        called: Option<Self>,
        variable: Option<&OsStr>,
    ) -> Result<Self, Refusal> {
        match (option, called, variable.filter(|word| !word.is_empty())) {
            (Some(word), ..) => Self::named(word),
            (None, Some(called), _) => Ok(called),
            (None, None, Some(word)) => Self::named(&word.to_string_lossy()),
            (None, None, None) => Ok(Self::default()),
        }
    }

    /// Takes `--as NAME` or `--as=NAME` off the beginning of a line.
    ///
    /// # Errors
    /// As [`Personality::chosen`], and an option without its name.
    pub fn taken(words: &[OsString], called: Option<Self>) -> Result<(Self, &[OsString]), Refusal> {
        let (option, rest) = match words {
            [first, rest @ ..] if first == OPTION => match rest {
                [name, rest @ ..] => (Some(name.to_string_lossy()), rest),
                [] => return Err(super::plain(format!("'{OPTION}' requires argument"))),
            },
            [first, rest @ ..] => {
                let text = first.to_string_lossy();
                match text.strip_prefix(OPTION).and_then(|t| t.strip_prefix('=')) {
                    Some(name) => (Some(name.to_owned().into()), rest),
                    None => (None, words),
                }
            }
            [] => (None, words),
        };
        Ok((Self::chosen(option.as_deref(), called)?, rest))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use Personality::{Freebsd, Freebsd9, Netbsd, Openbsd};

    #[test]
    fn the_option_counts_before_the_name_before_the_variable() {
        let first = |option, called, variable: Option<&str>| {
            Personality::first(option, called, variable.map(OsStr::new))
        };
        assert_eq!(first(None, None, None), Ok(Openbsd));
        assert_eq!(first(None, None, Some("")), Ok(Openbsd));
        assert_eq!(first(None, None, Some("netbsd")), Ok(Netbsd));
        assert_eq!(first(None, Some(Freebsd), Some("netbsd")), Ok(Freebsd));
        assert_eq!(
            first(Some("freebsd9"), Some(Freebsd), Some("x")),
            Ok(Freebsd9)
        );
        for (option, variable) in [(Some("linux"), None), (None, Some("linux"))] {
            let refusal = first(option, None, variable).unwrap_err();
            assert_eq!(refusal.text, "linux: unknown personality");
        }
    }

    #[test]
    fn a_programs_name_may_begin_with_one() {
        assert_eq!(
            Personality::of_program("freebsd9-netstat"),
            (Some(Freebsd9), "netstat")
        );
        for name in ["ifconfig", "x-ifconfig", "freebsd"] {
            assert_eq!(Personality::of_program(name), (None, name));
        }
    }

    #[test]
    fn the_option_stands_before_all_words() {
        let taken = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(Into::into).collect();
            Personality::taken(&words, Some(Netbsd)).map(|(p, rest)| (p, rest.len()))
        };
        assert_eq!(taken("--as freebsd -a"), Ok((Freebsd, 1)));
        assert_eq!(taken("--as=freebsd -a"), Ok((Freebsd, 1)));
        assert_eq!(taken("-a --as freebsd"), Ok((Netbsd, 3)));
        assert_eq!(taken("--as").unwrap_err().text, "'--as' requires argument");
    }
}
