//! What differs between the BSDs' ifconfig, as one table each; must not know how a line is carried out.
#![forbid(unsafe_code)]

use super::{address, freebsd, freebsd9, netbsd, openbsd};
use crate::carp::config::{Key, Unit};
use crate::cli::personality::Personality;
use crate::control::link::Link;
use crate::control::{Family, Interface, Refusal};
use std::collections::BTreeMap;

/// One system's manners (ifconfig-carp.md 2 and 3).
#[derive(Debug)]
pub struct Facts {
    /// Printed when a line makes no sense.
    pub usage: &'static str,
    /// A grammar reads the line: whatever is wrong with a word is told by the usage.
    pub grammar: bool,
    /// Words of others that this system takes for addresses.
    pub lacking: &'static [&'static str],
    /// Its own words for ours; an empty one says what is so anyway.
    pub synonyms: &'static [(&'static str, &'static str)],
    /// Words that are understood only after `vhid`, and what they are called in the error.
    pub after_vhid: &'static [(&'static str, &'static str)],
    /// Letters behind a minus, before all names, that a look is had with; `k` shows the passphrases.
    pub letters: &'static str,
    /// Whether a word, with what stands behind it, says what is so anyway; nothing where it is no word of the system alone.
    pub own: Own,
    /// What is wrong with a state that is none; nothing where such a one is ignored.
    pub states: States,
    /// The highest advbase.
    pub advbase_max: u8,
    /// Its texts for ours, the first that fits.
    pub texts: &'static [Text],
    /// Any word makes a missing interface.
    pub creates: bool,
    /// `carp create` chooses a unit and prints it.
    pub numbers: bool,
    /// What `-C` prints.
    pub cloners: &'static str,
    /// `-l` and `-g GROUP` list names.
    pub lists: bool,
    /// The name of a group shows its members.
    pub groups: bool,
    /// Without a carpdev the address finds one: an interface with an address of the same network.
    pub by_network: bool,
    /// The vhid is the parent's: no carpN is seen.
    pub on_parent: bool,
    /// The text of a carpN, its addresses only of this family when one is given.
    pub carp: fn(&Interface, Option<Family>) -> String,
    /// The text of an interface of the system, with the carp groups on it.
    pub link: fn(&Link, &[Interface], &Keys, Option<Family>) -> String,
}

/// See [`Facts::own`].
pub type Own = fn(word: &str, argument: Option<&str>) -> Option<Result<(), Refusal>>;

/// The passphrases that are shown.
pub type Keys = BTreeMap<Unit, Key>;

/// How the argument of `state` is read.
#[derive(Debug)]
pub enum States {
    /// In any case; what is no state is ignored.
    Ignored,
    /// In any case; what is no state is told with this text.
    Told(&'static str),
    /// In capitals, else it is no word of the grammar.
    Capitals,
}

impl States {
    /// What is wrong with it.
    fn wrong(&self, typed: &str) -> Option<String> {
        let states = ["INIT", "BACKUP", "MASTER"];
        let known = states.iter().any(|state| state.eq_ignore_ascii_case(typed));
        match self {
            Self::Ignored => None,
            Self::Told(text) => (!known).then(|| (*text).to_owned()),
            Self::Capitals => (!states.contains(&typed)).then(|| format!("state {typed}: invalid")),
        }
    }
}

/// A text of ours in another system's words.
#[derive(Debug)]
pub struct Text {
    /// Ours; `*` stands for anything.
    said: &'static str,
    /// Our reason, likewise; empty for any.
    why: &'static str,
    /// Theirs; `{}` stands for the interface's name.
    instead: &'static str,
}

/// Where ours is `said`, theirs is `instead`.
pub const fn text(said: &'static str, instead: &'static str) -> Text {
    Text {
        said,
        why: "",
        instead,
    }
}

/// As [`text`], where ours has that reason.
pub const fn reasoned(said: &'static str, why: &'static str, instead: &'static str) -> Text {
    Text { said, why, instead }
}

/// The table of a system.
#[must_use]
pub const fn of(personality: Personality) -> &'static Facts {
    match personality {
        Personality::Openbsd => &openbsd::FACTS,
        Personality::Freebsd9 => &freebsd9::FACTS,
        Personality::Freebsd => &freebsd::FACTS,
        Personality::Netbsd => &netbsd::FACTS,
    }
}

impl Facts {
    /// What is wrong with the argument of a word before its value is looked at.
    #[must_use]
    pub fn objection(&self, word: &str, argument: &str) -> Option<String> {
        match word {
            "state" => self.states.wrong(argument),
            "advbase" => {
                let wrong = address::number(argument, 0, self.advbase_max).err();
                wrong.map(|wrong| format!("advbase {argument}: {wrong}"))
            }
            _ => None,
        }
    }

    /// A refusal about the interface `name` in this system's words. What they hide stays as the reason.
    #[must_use]
    pub fn rephrase(&self, refusal: Refusal, name: &str) -> Refusal {
        let fits = |text: &&Text| {
            let why = refusal.why.as_deref().unwrap_or_default();
            like(&refusal.text, text.said) && (text.why.is_empty() || like(why, text.why))
        };
        let Some(found) = self.texts.iter().find(fits) else {
            return refusal;
        };
        let text = found.instead.replace("{}", name);
        let hidden = text.starts_with("SIOC")
            && !refusal.text.starts_with("SIOC")
            && !found.instead.contains("{}");
        let why = refusal.why.or_else(|| hidden.then_some(refusal.text));
        Refusal { text, why }
    }
}

/// The text has this pattern; `*` stands for anything.
fn like(text: &str, pattern: &str) -> bool {
    let Some((head, mut tail)) = pattern.split_once('*') else {
        return text == pattern;
    };
    let Some(mut rest) = text.strip_prefix(head) else {
        return false;
    };
    while let Some((part, more)) = tail.split_once('*') {
        let Some((_, behind)) = rest.split_once(part) else {
            return false;
        };
        (rest, tail) = (behind, more);
    }
    rest.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{because, plain};

    #[test]
    fn a_star_stands_for_anything() {
        for (text, pattern) in [
            ("vhid 0: too small", "vhid *: too small"),
            ("a b c", "a*b*c"),
            ("", "*"),
            ("x", "x"),
        ] {
            assert!(like(text, pattern), "{text}");
        }
        for (text, pattern) in [
            ("vhid 0: too large", "vhid *: too small"),
            ("ab", "b*"),
            ("ac", "a*b*c"),
        ] {
            assert!(!like(text, pattern), "{text}");
        }
    }

    #[test]
    fn what_other_words_hide_stays_as_the_reason() {
        let of = |personality, text: &str| of(personality).rephrase(plain(text), "carp0");
        let large = "advskew 255: too large";
        assert_eq!(of(Personality::Openbsd, large), plain(large));
        assert_eq!(
            of(Personality::Freebsd9, large),
            because("SIOCSVH: Invalid argument", large)
        );
        assert_eq!(
            of(Personality::Freebsd9, "SIOCIFCREATE: File exists"),
            plain("interface carp0 already exists")
        );
    }
}
