//! What is shown of carp's interfaces and of the system's, one, all or listed; must not know how a text looks.
#![forbid(unsafe_code)]

use super::facts::{Facts, Keys};
use super::parse::{self, Which};
use super::{Around, Wrong, dataplane, interfaces, parent, print, words};
use crate::carp::config::{FAMILY_GROUP, Unit};
use crate::cli::{dump, plain, start};
use crate::control::link::Link;
use crate::control::{Family, Group, Interface, Refusal, Reply, Request};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

/// IFF_UP.
const UP: u32 = 1;

/// `ifconfig NAME [FAMILY]`: the name of something of the system.
pub fn named(words: &[OsString]) -> Option<(&str, Option<Family>)> {
    let (name, family) = match words {
        [name] => (name, None),
        [name, word] => (name, Some(family(word)?)),
        _ => return None,
    };
    let name = name.to_str()?;
    (Unit::from_name(name).is_none() && !name.starts_with('-')).then_some((name, family))
}

/// The family that a word means.
pub fn family(word: &OsString) -> Option<Family> {
    match words::find(word.to_str()?)?.0.sense {
        words::Sense::Family(family) => Some(family),
        _ => None,
    }
}

/// One interface of the system, if there is one of this name.
pub fn link(
    facts: &Facts,
    name: &str,
    family: Option<Family>,
    around: &Around,
) -> Result<Option<String>, Refusal> {
    let Some(link) = around.link(name)? else {
        return Ok(None);
    };
    let groups = if facts.on_parent {
        parent::on(name, interfaces(None)?)
    } else {
        Vec::new()
    };
    let keys = passphrases(around.keys && !groups.is_empty())?;
    Ok(Some(around.text(facts, &link, &groups, &keys, family)))
}

/// The passphrases where they are wanted: the daemon gives them to root only, to others it gives none.
fn passphrases(wanted: bool) -> Result<Keys, Refusal> {
    let dumped = if wanted {
        dump::ask(None, true)?
    } else {
        Vec::new()
    };
    let keyed = dumped.into_iter();
    Ok(keyed.map(|held| (held.unit, held.config.key)).collect())
}

/// The carp interfaces that are meant. A look never starts a daemon: without one there is none.
pub fn carp(
    facts: &Facts,
    which: &Which,
    family: Option<Family>,
    verbose: bool,
) -> Result<String, Refusal> {
    let wanted = match which {
        Which::One(unit) => Some(*unit),
        Which::All | Which::Group(_) => None,
    };
    let all = interfaces(wanted)?;
    let chosen: Vec<_> = all.iter().filter(|i| is_meant(facts, i, which)).collect();
    match which {
        Which::One(unit) if chosen.is_empty() => Err(parse::missing(&unit.to_string())),
        Which::Group(name) if chosen.is_empty() => Err(parse::missing(name)),
        _ => Ok(chosen
            .into_iter()
            .map(|i| text(facts, i, family, verbose))
            .collect()),
    }
}

/// A carpN in the system's words, then in ours.
pub fn text(facts: &Facts, interface: &Interface, family: Option<Family>, verbose: bool) -> String {
    (facts.carp)(interface, family) + &dataplane::lines(interface, verbose)
}

fn is_meant(facts: &Facts, interface: &Interface, which: &Which) -> bool {
    match which {
        Which::All => true,
        Which::One(unit) => interface.unit == *unit,
        Which::Group(name) => facts.groups && (name == "carp" || interface.groups.contains(name)),
    }
}

/// All of carp and of the system, in the order of the kernel.
pub fn all(
    facts: &Facts,
    family: Option<Family>,
    verbose: bool,
    around: &Around,
) -> Result<String, Refusal> {
    let carp = interfaces(None)?;
    let links = if around.system {
        others(around, &carp)?
    } else {
        let parents: BTreeSet<_> = carp.iter().filter_map(|i| i.carpdev.as_deref()).collect();
        around.listed(Some(&Vec::from_iter(parents)))?
    };
    let mut texts: Vec<(u32, String)> = Vec::new();
    let mut parents = BTreeMap::new();
    if facts.on_parent {
        parents = parent::by_parent(carp);
    } else {
        let texts_of = |i: &Interface| (i.index, text(facts, i, family, verbose));
        texts.extend(carp.iter().map(texts_of));
    }
    let keys = passphrases(around.keys && !parents.is_empty())?;
    for link in &links {
        let groups = parents.remove(&link.name).unwrap_or_default();
        if around.system || !groups.is_empty() {
            let text = around.text(facts, link, &groups, &keys, family);
            texts.push((link.index, text));
        }
    }
    texts.sort_by_key(|(index, _)| *index);
    Ok(texts.into_iter().map(|(_, text)| text).collect())
}

/// The system's interfaces without carp's.
fn others(around: &Around, carp: &[Interface]) -> Result<Vec<Link>, Refusal> {
    let mut links = around.links()?;
    let ours: BTreeSet<Unit> = carp.iter().map(|i| i.unit).collect();
    links.retain(|link| Unit::from_name(&link.name).is_none_or(|unit| !ours.contains(&unit)));
    Ok(links)
}

/// `-l` and `-g`, where the system has them.
pub fn list(facts: &Facts, typed: &[OsString], around: &Around) -> Result<Option<String>, Wrong> {
    let words: Vec<_> = typed.iter().map(|word| word.to_string_lossy()).collect();
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.as_slice() {
        ["-C"] => Ok(Some(format!("{}\n", facts.cloners))),
        ["-l", rest @ ..] if facts.lists => {
            let (mut up, mut ether, mut group) = (None, false, None);
            for word in rest {
                match *word {
                    "-u" => up = Some(true),
                    "-d" => up = Some(false),
                    "ether" | "link" | "lladdr" => ether = true,
                    // Whether one has such an address is not asked there.
                    "inet" | "inet6" => {}
                    name if group.is_none() && !facts.on_parent && !name.starts_with('-') => {
                        group = Some(name);
                    }
                    _ => return Err(Wrong::Usage(None)),
                }
            }
            // No BSD has it, and who looks for the members of a group types it.
            if let Some(group) = group {
                return list_of_carp(Some(group)).map(Some);
            }
            let names = names(facts, up, ether, around)?;
            Ok(Some(format!("{}\n", names.join(" "))))
        }
        ["-g", group] if facts.lists => {
            let all = interfaces(None)?;
            let member = |i: &&Interface| i.groups.iter().any(|g| g == group);
            // Where no carpN is seen none is in a group.
            let members = all.iter().filter(|i| !facts.on_parent && member(i));
            Ok(Some(members.map(|i| format!("{}\n", i.unit)).collect()))
        }
        _ => Ok(None),
    }
}

/// The names of all interfaces that are (`up`) or of Ethernet, in the order of the kernel.
fn names(
    facts: &Facts,
    up: Option<bool>,
    ether: bool,
    around: &Around,
) -> Result<Vec<String>, Refusal> {
    let carp = interfaces(None)?;
    let links = others(around, &carp)?;
    let of_link = |link: &Link| {
        (
            link.index,
            link.name.clone(),
            link.flags & UP != 0,
            link.lladdr.is_some(),
        )
    };
    let of_carp = |i: &Interface| (i.index, i.unit.to_string(), i.up, true);
    let mut all: Vec<_> = links.iter().map(of_link).collect();
    if !facts.on_parent {
        all.extend(carp.iter().map(of_carp));
    }
    all.sort();
    let wanted = all.into_iter().filter(|(_, _, is_up, ethernet)| {
        up.is_none_or(|up| up == *is_up) && (*ethernet || !ether)
    });
    Ok(wanted
        .map(|(_, name, ..)| super::lines::name(&name))
        .collect())
}

/// The names of carp's interfaces on one line, or of those in a group; nothing without one.
pub fn list_of_carp(group: Option<&str>) -> Result<String, Wrong> {
    let all = interfaces(None)?;
    let member = |i: &&Interface| group.is_none_or(|name| i.groups.iter().any(|g| g == name));
    let members = all.iter().filter(member);
    let names: Vec<_> = members.map(|i| i.unit.to_string()).collect();
    match (names.as_slice(), group) {
        ([], None | Some(FAMILY_GROUP)) => Ok(String::new()),
        // Nobody is in it.
        ([], Some(_)) => Err(Wrong::Usage(None)),
        (names, _) => Ok(format!("{}\n", names.join(" "))),
    }
}

/// A group's line.
pub fn group(name: &str) -> Result<String, Refusal> {
    group_of(name).map(|group| print::group(&group.name, group.demotion))
}

/// A group. Without a daemon only the family group is there, and not demoted.
pub fn group_of(name: &str) -> Result<Group, Refusal> {
    match start::look(&Request::Group(name.to_owned()))? {
        None if name == FAMILY_GROUP => Ok(Group {
            name: name.to_owned(),
            demotion: 0,
            by_hand: 0,
            members: Vec::new(),
        }),
        None => Err(plain("SIOCGIFGATTR: No such file or directory")),
        Some(Reply::Group(group)) => Ok(group),
        Some(Reply::Refused(refusal)) => Err(refusal),
        Some(_) => Err(plain("the carp daemon answered something else")),
    }
}
