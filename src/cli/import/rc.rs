//! rc.conf of FreeBSD, and of NetBSD where it has `ifconfig_carpN`: assignments as sh reads them; must not run anything.
//!
//! FreeBSD 9 has carpN interfaces without carpdev: it is the one with an address in the same network. Since FreeBSD 10 a
//! vhid belongs to addresses of the carpdev: each of them becomes a carpN, numbered like the vhid where that is free.

use super::{Imported, Source};
use crate::carp::config::Unit;
use crate::cli::files::shell::Reader;
use crate::cli::ifconfig::address::Hosts;
use crate::cli::ifconfig::parse::{self, Typed};
use crate::cli::{because, ifconfig, plain};
use crate::control::Change;
use ipnetwork::IpNetwork;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What an interface's variable holds: one list of words for each run of ifconfig.
struct Variable {
    number: usize,
    interface: String,
    /// More addresses beside the first.
    alias: bool,
    lists: Vec<Vec<OsString>>,
}

/// Reads the text.
pub fn read(text: &[u8], hosts: Hosts<'_>, imported: &mut Imported) -> BTreeMap<Unit, Source> {
    let variables = variables(text, imported);
    let networks = networks(&variables, hosts);
    let mut sources: BTreeMap<Unit, Source> = BTreeMap::new();
    for variable in &variables {
        if let Some(unit) = Unit::from_name(&variable.interface) {
            let source = sources.entry(unit).or_default();
            for words in &variable.lists {
                source
                    .lines
                    .push((variable.number, aliased(words, variable.alias)));
            }
        }
    }
    for (unit, source) in &mut sources {
        source.carpdev = parent(source, &networks, hosts);
        if source.carpdev.is_none() && !names_carpdev(source) {
            let text = format!("{unit}: no interface has an address in its network");
            let why = format!("-c {unit}=NAME names the carpdev");
            imported.notes.push((0, because(text, why)));
        }
    }
    on_parents(&variables, &mut sources, imported);
    sources
}

/// The variables that are about interfaces, in order; a later assignment takes the place of an earlier one.
fn variables(text: &[u8], imported: &mut Imported) -> Vec<Variable> {
    let mut found: Vec<(Vec<u8>, usize, Vec<u8>)> = Vec::new();
    let mut reader = Reader::with_variables(text);
    while let Some(number) = reader.begin() {
        let before = reader.rest();
        let words = reader.words();
        let line = &before[..before.len() - reader.rest().len()];
        let ours = [&b"carp"[..], b"vhid"]
            .iter()
            .any(|word| line.windows(word.len()).any(|part| part == *word));
        match words {
            Ok(words) => match words.as_slice() {
                [word] if assignment(word.as_bytes()).is_some() => {
                    let (name, value) = assignment(word.as_bytes()).unwrap_or_default();
                    reader.assign(name, value);
                    found.retain(|(known, ..)| known != name);
                    found.push((name.to_vec(), number, value.to_vec()));
                }
                _ if ours => {
                    let text = "no assignment, left out";
                    imported.notes.push((number, plain(text)));
                }
                _ => {}
            },
            Err(wrong) if ours => imported.wrong.push((number, plain(wrong))),
            Err(_) => {}
        }
    }
    let about = |(name, number, value): (Vec<u8>, usize, Vec<u8>)| {
        let name = String::from_utf8(name).ok()?;
        described(&name, number, &value)
    };
    let cloned = found
        .iter()
        .filter(|(name, ..)| name == b"cloned_interfaces");
    let cloned: Vec<Variable> = cloned.flat_map(|(_, n, value)| clones(*n, value)).collect();
    cloned
        .into_iter()
        .chain(found.into_iter().filter_map(about))
        .collect()
}

/// `name=value`.
fn assignment(word: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = word.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (&word[..at], &word[at + 1..]);
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let right = name.first().is_some_and(|byte| !byte.is_ascii_digit()) && name.iter().all(part);
    right.then_some((name, value))
}

/// The carp interfaces of `cloned_interfaces`.
fn clones(number: usize, value: &[u8]) -> Vec<Variable> {
    let words = split(value).into_iter();
    let named = words.filter_map(|word| Unit::from_name(word.to_str()?));
    named
        .map(|unit| Variable {
            number,
            interface: unit.to_string(),
            alias: false,
            lists: Vec::new(),
        })
        .collect()
}

/// `ifconfig_IF`, `ifconfig_IF_aliasN`, `ifconfig_IF_aliases`, `ifconfig_IF_ipv6`, `ipv6_ifconfig_IF`, `ipv6_ifconfig_IF_aliasN`.
fn described(name: &str, number: usize, value: &[u8]) -> Option<Variable> {
    let (rest, inet6) = match name.strip_prefix("ipv6_ifconfig_") {
        Some(rest) => (rest, true),
        None => (name.strip_prefix("ifconfig_")?, false),
    };
    let (interface, kind) = match rest.rsplit_once('_') {
        Some((interface, "ipv6")) => (interface, "ipv6"),
        Some((interface, "aliases")) => (interface, "aliases"),
        Some((interface, last))
            if last
                .strip_prefix("alias")
                .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) =>
        {
            (interface, "alias")
        }
        _ => (rest, ""),
    };
    let mut lists = match kind {
        "aliases" => families(split(value)),
        // NetBSD puts several runs of ifconfig into one variable.
        _ => value.split(|byte| *byte == b';').map(split).collect(),
    };
    lists.retain(|words| !words.is_empty() && words.iter().any(|word| word != "create"));
    for words in &mut lists {
        if inet6 && words.first().is_none_or(|word| word != "inet6") {
            words.insert(0, "inet6".into());
        }
    }
    Some(Variable {
        number,
        interface: interface.to_owned(),
        alias: !kind.is_empty() || inet6,
        lists,
    })
}

fn split(value: &[u8]) -> Vec<OsString> {
    let words = value.split(|byte| byte.is_ascii_whitespace());
    let words = words.filter(|word| !word.is_empty());
    words
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect()
}

/// `inet ... inet6 ... inet ...` as one list each.
fn families(words: Vec<OsString>) -> Vec<Vec<OsString>> {
    let mut lists: Vec<Vec<OsString>> = Vec::new();
    for word in words {
        match lists.last_mut() {
            Some(list) if word != "inet" && word != "inet6" => list.push(word),
            _ => lists.push(vec![word]),
        }
    }
    lists
}

/// rc.d says `alias` itself.
fn aliased(words: &[OsString], alias: bool) -> Vec<OsString> {
    let mut words = words.to_vec();
    if alias && !words.iter().any(|word| word == "alias") {
        words.push("alias".into());
    }
    words
}

/// The addresses of a list of words, read as ifconfig does.
fn address(words: &[OsString], hosts: Hosts<'_>) -> Option<IpNetwork> {
    let mut line = vec![OsString::from("carp0")];
    line.extend_from_slice(words);
    let Ok(parse::Command::Apply { changes, .. }) = parse::parse(&line, hosts) else {
        return None;
    };
    changes.into_iter().find_map(|typed| match typed {
        Typed::Change(Change::Address { address, .. }) => Some(address),
        _ => None,
    })
}

/// The networks of the interfaces that are no carpN.
fn networks(variables: &[Variable], hosts: Hosts<'_>) -> Vec<(String, IpNetwork)> {
    let others = variables
        .iter()
        .filter(|variable| Unit::from_name(&variable.interface).is_none());
    let addresses = others.flat_map(|variable| {
        let lists = variable.lists.iter();
        lists.filter_map(|words| Some((variable.interface.clone(), address(words, hosts)?)))
    });
    addresses.collect()
}

/// The interface with an address in the network of one of this carpN's.
fn parent(source: &Source, networks: &[(String, IpNetwork)], hosts: Hosts<'_>) -> Option<String> {
    let shared = source.lines.iter();
    let shared: Vec<IpNetwork> = shared
        .filter_map(|(_, words)| address(words, hosts))
        .collect();
    let within = |(_, network): &&(String, IpNetwork)| {
        let whole = if network.is_ipv4() { 32 } else { 128 };
        network.prefix() < whole && shared.iter().any(|address| network.contains(address.ip()))
    };
    networks.iter().find(within).map(|(name, _)| name.clone())
}

fn names_carpdev(source: &Source) -> bool {
    let mut words = source.lines.iter().flat_map(|(_, words)| words);
    words.any(|word| word == "carpdev")
}

/// The vhids on addresses of their carpdevs.
fn on_parents(
    variables: &[Variable],
    sources: &mut BTreeMap<Unit, Source>,
    imported: &mut Imported,
) {
    let mut groups: Vec<(String, OsString, Source)> = Vec::new();
    let others = variables
        .iter()
        .filter(|variable| Unit::from_name(&variable.interface).is_none());
    for variable in others {
        for words in &variable.lists {
            let Some(vhid) = vhid(words) else { continue };
            let ours = match ifconfig::freebsds(words) {
                Ok(ours) => ours,
                Err(refusal) => {
                    imported.wrong.push((variable.number, refusal));
                    continue;
                }
            };
            let line = (variable.number, aliased(&ours, true));
            let known = groups
                .iter_mut()
                .find(|(carpdev, known, _)| *carpdev == variable.interface && known == vhid);
            match known {
                Some((.., source)) => source.lines.push(line),
                None => {
                    let source = Source {
                        lines: vec![line],
                        carpdev: Some(variable.interface.clone()),
                        ..Source::default()
                    };
                    groups.push((variable.interface.clone(), vhid.clone(), source));
                }
            }
        }
    }
    for (_, vhid, source) in groups {
        let like = vhid.to_str().and_then(|vhid| vhid.parse().ok()).map(Unit);
        let free = |unit: &Unit| unit.0 <= Unit::MAX && !sources.contains_key(unit);
        let unit = like
            .filter(free)
            .or_else(|| (0..=Unit::MAX).map(Unit).find(free));
        if let Some(unit) = unit {
            sources.insert(unit, source);
        }
    }
}

/// The word behind `vhid`.
fn vhid(words: &[OsString]) -> Option<&OsString> {
    let at = words.iter().position(|word| word == "vhid")?;
    words.get(at + 1)
}
