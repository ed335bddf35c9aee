//! What a parent tells the program that takes its place, and which versions of it understand each other; must not know how it
//! gets there.

use crate::daemon::door::{self, handed::Holdings};
use crate::dataplane::bpf;
use crate::linux::pass::{self, Number};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// The form of a letter.
const LETTER: Format = Format {
    version: 2,
    least: 2,
};
/// That of the state that engines keep. What a reader does not know it passes over. What it lacks it takes as it is at the start
/// where a field has a default; where it has none, an engine says so when it is tried. A field that comes later has one unless
/// that would do harm; `least` grows when passing one over would.
const STATE: Format = Format {
    version: 1,
    least: 1,
};

/// One form of data, and the oldest one that means the same to who reads this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Format {
    version: u32,
    least: u32,
}

impl Format {
    /// What keeps a reader with this format from what was written with `theirs`.
    fn hinders(self, what: &str, theirs: Self) -> Result<(), String> {
        if theirs.least <= self.version && self.least <= theirs.version {
            return Ok(());
        }
        let (ours, theirs) = (self.version, theirs.version);
        Err(format!(
            "{what} is of version {theirs}, this program understands version {ours}"
        ))
    }
}

/// What can be read of a letter of any version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The release that wrote it.
    pub(super) build: String,
    letter: Format,
    state: Format,
    /// The layout of the maps of programs in the kernel.
    programs: u32,
    /// The language that engine and parent speak.
    orders: u32,
}

impl Head {
    fn ours() -> Self {
        Self {
            build: env!("CARGO_PKG_VERSION").to_owned(),
            letter: LETTER,
            state: STATE,
            programs: bpf::LAYOUT,
            orders: door::LANGUAGE,
        }
    }

    /// Whether this program can go on from there, or why not.
    fn check(&self) -> Result<(), String> {
        LETTER.hinders("the description", self.letter)?;
        STATE.hinders("the state", self.state)?;
        if self.programs != bpf::LAYOUT {
            return Err(format!(
                "the programs in the kernel are of layout {}, this program's of layout {}",
                self.programs,
                bpf::LAYOUT
            ));
        }
        Ok(())
    }

    /// The writer's engine and this parent understand each other.
    pub(super) fn speaks(&self) -> bool {
        self.orders == door::LANGUAGE
    }
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Letter {
    pub(super) head: Head,
    /// The program that is taken when none is named.
    pub(super) path: PathBuf,
    /// The engine that serves until another one does: its number, and its channel.
    pub(super) engine: (i32, Number),
    /// The empty network namespace.
    #[serde(default)]
    pub(super) nowhere: Option<Number>,
    /// Where upgrades are asked for.
    pub(super) listener: Number,
    /// Who has asked for this one.
    pub(super) asker: Number,
    pub(super) holdings: Holdings,
}

/// Without the rest, which may be of any form.
#[derive(Deserialize)]
struct Headed {
    head: Head,
}

impl Letter {
    pub(super) fn new(
        (path, engine): (PathBuf, (i32, Number)),
        nowhere: Option<Number>,
        [listener, asker]: [Number; 2],
        holdings: Holdings,
    ) -> Self {
        Self {
            head: Head::ours(),
            path,
            engine,
            nowhere,
            listener,
            asker,
            holdings,
        }
    }

    /// In a file that nobody changes any more.
    pub(super) fn seal(&self) -> io::Result<OwnedFd> {
        pass::letter(&serde_json::to_vec(self)?).map_err(io::Error::other)
    }

    /// Reads one of another program, if this one may go on from there.
    pub(super) fn open(letter: OwnedFd) -> io::Result<Self> {
        let text = pass::read_letter(letter).map_err(io::Error::other)?;
        Self::read(&text).map_err(io::Error::other)
    }

    fn read(text: &[u8]) -> Result<Self, String> {
        let headed: Headed =
            serde_json::from_slice(text).map_err(|e| format!("the description: {e}"))?;
        headed.head.check()?;
        serde_json::from_slice(text).map_err(|e| format!("the description: {e}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::carp::kept::{Common, Single, Whole};
    use crate::daemon::door::{Order, Outcome};
    use crate::daemon::keep::Counted;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    /// It is read, and written as it was.
    fn same<T: Serialize + DeserializeOwned>(form: &Value) {
        let read: Result<T, _> = serde_json::from_value(form.clone());
        assert_eq!(
            read.map(|read| json!(read)).map_err(|e| e.to_string()),
            Ok(form.clone()),
            "another form of what versions tell each other: raise its version, and record it in forms.json"
        );
    }

    /// `forms.json` has every field of it filled, with whatever.
    #[test]
    fn another_form_has_another_version() {
        let forms: Value = serde_json::from_str(include_str!("forms.json")).unwrap();
        let of = |what: &str, version: u32| {
            assert_eq!(forms[what]["version"], version, "{what}");
            &forms[what]["form"]
        };
        same::<Letter>(of("letter", LETTER.version));
        let state = of("state", STATE.version);
        same::<Whole>(&state["whole"]);
        same::<Common>(&state["unit"]);
        same::<Single>(&state["vhost"]);
        same::<Counted>(&state["counted"]);
        let orders = of("orders", door::LANGUAGE);
        same::<Vec<Order>>(&orders["orders"]);
        same::<Vec<Outcome>>(&orders["outcomes"]);
    }

    fn letter() -> Value {
        json!({
            "head": Head::ours(), "path": "/usr/sbin/carpd", "engine": [7, 5], "listener": 6, "asker": 7,
            "holdings": {"base": "/run/carp", "group": 9, "lock": 10, "listener": 11, "records": 12, "taps": [], "carpdevs": []},
        })
    }

    fn read(value: &Value) -> Result<Letter, String> {
        Letter::read(&serde_json::to_vec(value).unwrap())
    }

    #[test]
    fn what_is_not_known_is_passed_over_and_what_may_lack_has_a_default() {
        let plain = read(&letter()).unwrap();
        assert_eq!(plain.nowhere, None);
        let mut later = letter();
        later["head"]["letter"] = json!({"version": 9, "least": 1});
        later["head"]["build"] = json!("9.0");
        later["colour"] = json!("green");
        later["holdings"]["colour"] = json!("green");
        let read = read(&later).unwrap();
        assert_eq!(read.holdings, plain.holdings);
    }

    #[test]
    fn what_would_be_misunderstood_is_refused_with_its_reason() {
        let with = |path: &[&str], value: Value| {
            let mut doctored = letter();
            let place = path.iter().fold(&mut doctored, |v, key| &mut v[*key]);
            *place = value;
            read(&doctored).unwrap_err()
        };
        let much_later = json!({"version": 9, "least": 8});
        assert_eq!(
            with(&["head", "state"], much_later.clone()),
            "the state is of version 9, this program understands version 1"
        );
        assert!(with(&["head", "letter"], much_later).starts_with("the description is of version"));
        assert!(with(&["head", "programs"], json!(77)).contains("layout 77"));
        assert!(with(&["engine"], Value::Null).starts_with("the description: invalid"));
        assert!(with(&["holdings"], json!({})).contains("missing field"));
        // Whatever the rest is, the head counts first.
        let odd = json!({"head": {"build": "2", "letter": {"version": 9, "least": 9}, "state": {"version": 9, "least": 9},
            "programs": 1, "orders": 2}, "holdings": 5});
        assert!(read(&odd).unwrap_err().starts_with("the description is of"));
        assert!(Letter::read(b"#!/bin/sh").is_err());
    }

    #[test]
    fn an_engine_of_another_language_is_not_served() {
        let mut other = letter();
        assert!(read(&other).unwrap().head.speaks());
        other["head"]["orders"] = json!(99);
        assert!(!read(&other).unwrap().head.speaks());
    }
}
