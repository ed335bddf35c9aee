//! Carries a line out that was typed in whatever dialect; must not know how lines are read or printed.
#![forbid(unsafe_code)]

use super::facts::Facts;
use super::parse::{self, Command, Which};
use super::{Around, Wrong, apply, dialect, done, hosts, interfaces, keys, parent, show, words};
use crate::carp::config::Unit;
use crate::cli::{because, plain, start};
use crate::control::link::Link;
use crate::control::{Change, Refusal, Request};
use std::ffi::OsString;

/// The last lines of the help.
const CHOICE: &str = "\
--as openbsd, freebsd9, freebsd or netbsd before all words chooses whose words and texts are used;
else the variable CARP_PERSONALITY does.
";
/// How often a unit is chosen anew that somebody else took meanwhile.
const TRIES: usize = 16;

/// Does what the line says; the text is what is to be printed.
pub fn out(facts: &Facts, words: &[OsString], around: &Around) -> Result<String, Wrong> {
    if let Some(text) = show::list(facts, words, around)? {
        return Ok(text);
    }
    if let (true, Some((name, family))) = (facts.on_parent || around.system, show::named(words))
        && let Some(text) = show::link(facts, name, family, around)?
    {
        return Ok(text);
    }
    if let ([name, _, ..], true) = (words, around.system && !facts.on_parent) {
        others(&name.to_string_lossy(), words, around)?;
    }
    let mut line: Vec<_> = words.iter().take(1).cloned().collect();
    line.extend(read(
        facts,
        dialect::translated(facts, words.get(1..).unwrap_or_default()),
    )?);
    if let ([name, rest @ ..], true) = (line.as_slice(), facts.on_parent)
        && !name.to_string_lossy().starts_with('-')
    {
        return on_parent(&name.to_string_lossy(), rest, around);
    }
    if facts.numbers
        && matches!(line.as_slice(), [name, word, ..] if name == "carp" && word == "create")
    {
        line[0] = "carp0".into();
        let Command::Apply { changes, .. } = parse::parse(&line, &hosts)? else {
            return Err(Wrong::Usage(None));
        };
        let unit = lowest(&around.links()?, &keys(changes)?)?;
        return Ok(format!("{unit}\n"));
    }
    match read(facts, parse::parse(&line, &hosts))? {
        Command::Help => Ok(format!("{}\n{}\n{CHOICE}", facts.usage, words::help())),
        Command::List(group) => show::list_of_carp(group.as_deref()),
        Command::Group(name) => Ok(show::group(&name)?),
        Command::Demote { group, by } => {
            done(start::ask(&Request::Demote { group, by }))?;
            Ok(String::new())
        }
        Command::Drain { group, on } => {
            done(start::ask(&Request::Drain { group, on }))?;
            Ok(String::new())
        }
        Command::Cloners => Ok(format!("{}\n", facts.cloners)),
        Command::Show {
            which: Which::All,
            family,
            verbose,
        } if facts.on_parent || around.system => Ok(show::all(facts, family, verbose, around)?),
        Command::Show {
            which,
            family,
            verbose,
        } => Ok(show::carp(facts, &which, family, verbose)?),
        Command::Apply { unit, changes } => {
            let changes = keys(changes)?;
            let changes = completed(facts, unit, changes, around)?;
            apply(unit, &changes)?;
            Ok(String::new())
        }
    }
}

/// In the place of the system's ifconfig, but with none behind us: what that would have done is not done.
fn others(name: &str, typed: &[OsString], around: &Around) -> Result<(), Refusal> {
    let carps = Unit::from_name(name).is_some()
        || typed
            .iter()
            .any(|word| dialect::is_carps(&word.to_string_lossy()));
    if !carps && around.link(name)?.is_some() {
        return Err(because(
            format!("{name}: Operation not supported"),
            parse::ONLY_CARP,
        ));
    }
    Ok(())
}

/// Where a grammar reads the line its refusal of a word is the usage.
fn read<T, E: Into<Wrong>>(facts: &Facts, outcome: Result<T, E>) -> Result<T, Wrong> {
    outcome.map_err(|wrong| match wrong.into() {
        Wrong::Refused(refusal)
            if facts.grammar
                && !refusal.text.starts_with("SIOC")
                && !refusal.text.ends_with("no such interface") =>
        {
            Wrong::Usage(Some(refusal))
        }
        wrong => wrong,
    })
}

/// The personality without carpN.
fn on_parent(name: &str, words: &[OsString], around: &Around) -> Result<String, Wrong> {
    let there = || Ok::<_, Refusal>(around.link(name)?.is_some());
    match words {
        [] => Err(parent::missing(name).into()),
        [word] if word == "create" || word == "destroy" => {
            let text = match word.to_str() {
                Some("create") => "SIOCIFCREATE: Invalid argument",
                _ if Unit::from_name(name).is_none() && there()? => {
                    "SIOCIFDESTROY: Invalid argument"
                }
                _ => "SIOCIFDESTROY: Device not configured",
            };
            Err(plain(text).into())
        }
        _ if Unit::from_name(name).is_some() => Err(parent::missing(name).into()),
        _ => parent::configure(name, words, around).map(|()| String::new()),
    }
}

/// The changes with what the system adds: no interface is made by the way, and the address finds its carpdev.
fn completed(
    facts: &Facts,
    unit: Unit,
    mut changes: Vec<Change>,
    around: &Around,
) -> Result<Vec<Change>, Refusal> {
    if facts.creates
        || changes
            .iter()
            .any(|c| matches!(c, Change::Create | Change::Destroy))
            && changes.len() == 1
    {
        return Ok(changes);
    }
    let created = changes.contains(&Change::Create);
    let held = interfaces(Some(unit))?;
    if held.is_empty() && !created {
        return Err(parse::missing(&unit.to_string()));
    }
    let named = changes.iter().any(|c| matches!(c, Change::Carpdev(_)))
        || held.iter().any(|interface| interface.carpdev.is_some());
    let address = changes.iter().find_map(|change| match change {
        Change::Address { address, .. } => Some(address.ip()),
        _ => None,
    });
    if let (true, false, Some(address)) = (facts.by_network, named, address) {
        let links = around.links()?;
        let near = links.iter().find(|link| {
            let near = link.addresses.iter().any(|held| held.net.contains(address));
            near && usable(link) && Unit::from_name(&link.name).is_none()
        });
        let Some(near) = near else {
            return Err(because(
                "SIOCAIFADDR: Can't assign requested address",
                format!(
                    "no interface has an address of the network of {address}; carpdev names one"
                ),
            ));
        };
        changes.push(Change::Carpdev(Some(near.name.clone())));
    }
    Ok(changes)
}

/// Carp runs on it.
pub fn usable(link: &Link) -> bool {
    const LOOPBACK: u32 = 0x8;
    link.lladdr.is_some() && link.flags & LOOPBACK == 0
}

/// Makes an interface of the lowest unit that is free.
pub fn lowest(links: &[Link], changes: &[Change]) -> Result<Unit, Refusal> {
    let none = || plain("SIOCIFCREATE: No space left on device");
    let mut taken = links.to_vec();
    for _ in 0..TRIES {
        let unit = parent::free(&taken, &interfaces(None)?).ok_or_else(none)?;
        match apply(unit, changes) {
            // Somebody was faster.
            Err(refusal) if refusal.text == "SIOCIFCREATE: File exists" => {
                taken.extend(links.first().map(|link| Link {
                    name: unit.to_string(),
                    ..link.clone()
                }));
            }
            done => return done.map(|()| unit),
        }
    }
    Err(none())
}
