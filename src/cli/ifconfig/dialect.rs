//! A line in a system's own words, put into ours; must not know what the words do.
#![forbid(unsafe_code)]

use super::facts::Facts;
use super::words;
use crate::cli::plain;
use crate::control::Refusal;
use std::ffi::OsString;

/// The words behind an interface's name as OpenBSD would have them.
///
/// # Errors
/// A word that the system does not have, or not there.
pub fn translated(facts: &Facts, typed: &[OsString]) -> Result<Vec<OsString>, Refusal> {
    let link = |word: &OsString| ["ether", "link", "lladdr"].iter().any(|name| word == name);
    if facts.on_parent && typed.first().is_some_and(link) && typed.iter().any(|word| word == "vhid")
    {
        return Err(plain("af_link doesn't support carp(4)"));
    }
    let mut out = Vec::with_capacity(typed.len());
    let mut vhid = false;
    let mut rest = typed.iter();
    while let Some(word) = rest.next() {
        let text = word.to_string_lossy();
        if facts.lacking.contains(&text.as_ref()) {
            return Err(plain(format!("{text}: bad value")));
        }
        let early = facts.after_vhid.iter().find(|(early, _)| *early == text);
        if let (Some((_, called)), false) = (early, vhid) {
            return Err(plain(format!("{called} requires vhid")));
        }
        let argument_of = rest.as_slice().first().map(|next| next.to_string_lossy());
        if let Some(judged) = (facts.own)(&text, argument_of.as_deref()) {
            judged?;
            rest.next();
            continue;
        }
        vhid |= text == "vhid";
        match facts.synonyms.iter().find(|(theirs, _)| *theirs == text) {
            Some((_, "")) => {}
            Some((_, ours)) => out.push(ours.into()),
            None => out.push(word.clone()),
        }
        if argument(&text) {
            let value = rest.next();
            let wrong = value.and_then(|value| facts.objection(&text, &value.to_string_lossy()));
            if let Some(wrong) = wrong {
                return Err(plain(wrong));
            }
            out.extend(value.cloned());
        }
    }
    Ok(out)
}

/// The line without the letters before all names that say how to look; and whether passphrases are to be shown.
pub fn without_letters(facts: &Facts, typed: &[OsString]) -> (bool, Vec<OsString>) {
    let letters = |word: &OsString| {
        let letters = word.to_str()?.strip_prefix('-')?;
        let known = |letter: char| letter == 'a' || facts.letters.contains(letter);
        let all = !letters.is_empty() && letters.chars().all(known);
        all.then(|| letters.to_owned())
    };
    let told: String = typed.iter().map_while(letters).collect();
    let behind = typed.iter().skip_while(|word| letters(word).is_some());
    let all = told.contains('a').then(|| OsString::from("-a"));
    let line = all.into_iter().chain(behind.cloned()).collect();
    (told.contains('k'), line)
}

/// The word takes the next one with it.
pub fn argument(word: &str) -> bool {
    words::find(word).is_some_and(|(word, negated)| !negated && !word.argument.is_empty())
}

/// No other interface has this word.
#[must_use]
pub fn is_carps(typed: &str) -> bool {
    const OWN: [&str; 14] = [
        "vhid",
        "pass",
        "passfile",
        "advbase",
        "advskew",
        "state",
        "carpdev",
        "carpnodes",
        "balancing",
        "carppeer",
        "peer",
        "peer6",
        "mcast",
        "mcast6",
    ];
    OWN.contains(&typed.trim_start_matches('-'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::facts::of;
    use super::*;
    use crate::cli::personality::Personality::{self, Freebsd, Freebsd9, Netbsd, Openbsd};

    fn put(personality: Personality, line: &str) -> Result<String, String> {
        let words: Vec<OsString> = line.split(' ').map(Into::into).collect();
        let out = translated(of(personality), &words).map_err(|refusal| refusal.text)?;
        let out: Vec<_> = out.iter().map(|word| word.to_str().unwrap()).collect();
        Ok(out.join(" "))
    }

    #[test]
    fn freebsds_words_become_ours() {
        let line = "inet6 add vhid 1 2001:db8::1/64 no_dad";
        let ours = Ok("inet6 alias vhid 1 2001:db8::1/64".to_owned());
        assert_eq!(put(Freebsd, line), ours);
        assert_eq!(put(Openbsd, line), Ok(line.to_owned()));
    }

    #[test]
    fn a_vhid_comes_before_what_needs_it() {
        for (line, text) in [
            ("pass x vhid 1", "passwd requires vhid"),
            ("advskew 1", "advskew requires vhid"),
            ("state master vhid 1", "state requires vhid"),
        ] {
            assert_eq!(put(Freebsd, line), Err(text.to_owned()));
            assert!(put(Openbsd, line).is_ok());
        }
        assert!(put(Freebsd, "vhid 1 pass x advskew 1 state master").is_ok());
    }

    #[test]
    fn letters_are_taken_off_where_the_system_has_them() {
        for (personality, line, keys, left) in [
            (Freebsd, "-k em0", true, "em0"),
            (Freebsd, "-v -kL em0 inet", true, "em0 inet"),
            (Freebsd, "-ak", true, "-a"),
            (Freebsd, "-a -m inet", false, "-a inet"),
            (Freebsd, "em0 -alias", false, "em0 -alias"),
            (Freebsd, "-l ether", false, "-l ether"),
            (Freebsd9, "-v carp0", false, "-v carp0"),
            (Openbsd, "-k carp0", false, "-k carp0"),
            (Netbsd, "-a", false, "-a"),
        ] {
            let words: Vec<OsString> = line.split(' ').map(Into::into).collect();
            let left: Vec<OsString> = left.split(' ').map(Into::into).collect();
            let told = without_letters(of(personality), &words);
            assert_eq!(told, (keys, left), "{personality:?} {line}");
        }
    }

    #[test]
    fn a_state_is_told_ignored_or_no_word() {
        for (personality, state, expected) in [
            (Openbsd, "foo", Ok(())),
            (Freebsd, "Master", Ok(())),
            (Freebsd, "foo", Err("unknown state")),
            (Netbsd, "MASTER", Ok(())),
            (Netbsd, "master", Err("state master: invalid")),
        ] {
            let done = put(personality, &format!("vhid 1 state {state}")).map(drop);
            assert_eq!(
                done,
                expected.map_err(str::to_owned),
                "{personality:?} {state}"
            );
        }
    }

    #[test]
    fn what_a_system_lacks_is_an_address_to_it() {
        for (personality, word) in [
            (Freebsd, "carpdev"),
            (Freebsd9, "carpnodes"),
            (Netbsd, "carppeer"),
        ] {
            assert_eq!(
                put(personality, &format!("vhid 1 {word} x")),
                Err(format!("{word}: bad value"))
            );
            // A phrase may be anything.
            assert!(put(personality, &format!("vhid 1 pass {word}")).is_ok());
        }
    }
}
