//! FreeBSD's way since 10: groups are configured on their parent. A carpN keeps each; must not know how it is printed.
#![forbid(unsafe_code)]

use super::carry::{lowest, usable};
use super::line;
use super::parse;
use super::{Around, Wrong, apply, interfaces, keys};
use crate::carp::config::Unit;
use crate::cli::{because, plain};
use crate::control::{Change, Interface, Refusal};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::IpAddr;

/// Carries out `ifconfig NAME WORDS...`.
pub fn configure(name: &str, words: &[OsString], around: &Around) -> Result<(), Wrong> {
    let mut changes = keys(line::read(name, words, &super::hosts)?)?;
    if changes.iter().any(|c| matches!(c, Change::Create)) {
        return Err(plain("SIOCIFCREATE2: Invalid argument").into());
    }
    let link = around.link(name)?.ok_or_else(|| missing(name))?;
    let groups = on(name, interfaces(None)?);
    let vhid = changes.iter().find_map(|change| match change {
        Change::Vhid(vhid) => Some(*vhid),
        _ => None,
    });
    let deleted = changes.iter().find_map(|change| match change {
        Change::Delete(Some(ip)) => Some(*ip),
        _ => None,
    });
    let held = groups.iter().find(|group| has(group, vhid, deleted));
    match (held, vhid) {
        (Some(group), _) if deleted.is_some() && group.addresses.len() == 1 => {
            apply(group.unit, &[Change::Destroy])?;
        }
        (Some(group), _) => {
            changes.retain(|change| !matches!(change, Change::Vhid(_)));
            apply(group.unit, &changes)?;
        }
        (None, Some(_)) if deleted.is_none() => {
            if !usable(&link) {
                let why = "only an Ethernet interface carries a vhid";
                return Err(because("SIOCGVH: Operation not supported", why).into());
            }
            changes.insert(0, Change::Create);
            changes.insert(1, Change::Carpdev(Some(name.to_owned())));
            lowest(&around.links()?, &changes)?;
        }
        (None, _) if deleted.is_some() => {
            return Err(plain("SIOCDIFADDR: Can't assign requested address").into());
        }
        (None, _) => return Err(foreign(name).into()),
    }
    Ok(())
}

/// The system has no such interface.
pub fn missing(name: &str) -> Refusal {
    plain(format!("{name}: no such interface"))
}

/// The groups on a parent, in the order of their creation.
pub fn on(name: &str, all: Vec<Interface>) -> Vec<Interface> {
    by_parent(all).remove(name).unwrap_or_default()
}

/// The groups on each parent, in the order of their creation.
pub fn by_parent(mut all: Vec<Interface>) -> BTreeMap<String, Vec<Interface>> {
    // A unit may be of an earlier group, an index is new.
    all.sort_by_key(|group| group.index);
    let mut parents = BTreeMap::<String, Vec<Interface>>::new();
    for group in all {
        if let Some(name) = group.carpdev.clone() {
            parents.entry(name).or_default().push(group);
        }
    }
    parents
}

/// It is the group of this vhid, or, without one, of this address.
fn has(group: &Interface, vhid: Option<u8>, address: Option<IpAddr>) -> bool {
    let mut vhids = group.vhosts.iter().map(|vhost| vhost.vhid);
    let mut addresses = group.addresses.iter().map(ipnetwork::IpNetwork::ip);
    match (vhid, address) {
        (Some(vhid), None) => vhids.any(|held| held == vhid),
        (Some(vhid), Some(ip)) => {
            vhids.any(|held| held == vhid) && addresses.any(|held| held == ip)
        }
        (None, Some(ip)) => addresses.any(|held| held == ip),
        (None, None) => false,
    }
}

/// Nothing on the line is carp's.
fn foreign(name: &str) -> Refusal {
    because(
        format!("{name}: nothing is done to it without a vhid"),
        parse::ONLY_CARP,
    )
}

/// The first unit that neither a daemon nor the system has.
pub fn free(links: &[crate::control::link::Link], held: &[Interface]) -> Option<Unit> {
    let taken = |unit: Unit| {
        held.iter().any(|interface| interface.unit == unit)
            || links.iter().any(|link| link.name == unit.to_string())
    };
    (0..=Unit::MAX).map(Unit).find(|unit| !taken(*unit))
}
