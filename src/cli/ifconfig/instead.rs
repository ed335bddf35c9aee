//! In the place of the system's ifconfig: what is carp's is done here, the rest handed on; must not know how either is done.
#![forbid(unsafe_code)]

use super::facts::Facts;
use super::system::Real;
use super::{Around, dialect, interfaces, ours, parent, refused, show};
use crate::carp::config::Unit;
use crate::cli::{plain, reason};
use crate::control::Interface;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

/// Beside the system's ifconfig: what is not carp's goes there, with all `words`; `line` is without letters of ours.
pub fn run(
    facts: &Facts,
    words: &[OsString],
    line: &[OsString],
    around: &Around,
    real: &Real,
) -> ExitCode {
    let of_both = matches!(words, []) || matches!(words, [all] if all == "-a");
    if of_both && !facts.on_parent {
        return both(facts, words, real);
    }
    if of_both || carps(facts, line) {
        return ours(facts, line, around);
    }
    let error = real.become_it(words);
    refused(plain(format!("the system's ifconfig: {}", reason(&error))))
}

/// Theirs without carp's interfaces, then those.
fn both(facts: &Facts, words: &[OsString], real: &Real) -> ExitCode {
    let done = interfaces(None).and_then(|carp| {
        let names: Vec<_> = carp.iter().map(|i| i.unit.to_string()).collect();
        let (mut text, code) = real
            .without(words, &names)
            .map_err(|error| plain(format!("the system's ifconfig: {}", reason(&error))))?;
        for interface in &carp {
            text.extend_from_slice(show::text(facts, interface, None, false).as_bytes());
        }
        Ok((text, code))
    });
    match done {
        // A reader that went away is a success.
        Ok((text, code)) => {
            let _ = io::stdout().lock().write_all(&text);
            code
        }
        Err(refusal) => refused(refusal),
    }
}

/// The line is about carp.
fn carps(facts: &Facts, words: &[OsString]) -> bool {
    // Both have it; what stands behind it decides.
    let words = words.strip_prefix(&["-v".into()]).unwrap_or(words);
    let Some((first, rest)) = words.split_first() else {
        return false;
    };
    let name = first.to_string_lossy();
    if name.starts_with('-') {
        let all = name == "-a" && rest.iter().all(|word| show::family(word).is_some());
        return all || matches!(name.as_ref(), "-C" | "-l" | "-g" | "-A");
    }
    let texts: Vec<_> = rest.iter().map(|word| word.to_string_lossy()).collect();
    let shown = show::named(words).is_some();
    let group = || {
        let member = |all: Vec<Interface>| all.iter().any(|i| i.groups.iter().any(|g| *g == name));
        interfaces(None).is_ok_and(member)
    };
    let address = || {
        let shared = |all: Vec<Interface>| {
            let mut held = parent::on(&name, all).into_iter().flat_map(|i| i.addresses);
            let ends = |c| c == '/' || c == '%';
            held.any(|net| {
                let ip = net.ip().to_string();
                texts
                    .iter()
                    .any(|text| text.split(ends).next() == Some(&ip))
            })
        };
        interfaces(None).is_ok_and(shared)
    };
    name == "carp"
        || Unit::from_name(&name).is_some()
        || texts.iter().any(|word| dialect::is_carps(word))
        || (facts.on_parent && (shown || address()))
        || (facts.groups && shown && !name.ends_with(|c: char| c.is_ascii_digit()) && group())
}
