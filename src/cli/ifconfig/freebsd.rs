//! The manners of FreeBSD from 10 on and of pfSense from 2.2 on: the vhid is the parent's; must not know who chose them.
#![forbid(unsafe_code)]

use super::facts::{Facts, Keys, States, text};
use super::freebsd9::{SYNONYMS, head, tail};
use super::lines::{self, Lines, inet, inet6};
use crate::carp::config::Key;
use crate::cli::{because, escape, plain};
use crate::control::link::Link;
use crate::control::{Family, Interface, Refusal};
use ipnetwork::IpNetwork;

/// ifconfig-carp.md 3.2.
pub static FACTS: Facts = Facts {
    usage: "usage: ifconfig interface address_family [address] [parameters]\n       ifconfig -l [-du] [ether]\n       ifconfig [-L] [-C] [-g groupname]\n",
    grammar: false,
    lacking: &[
        "carpdev",
        "-carpdev",
        "carpnodes",
        "balancing",
        "carppeer",
        "-carppeer",
        "rdomain",
        "-rdomain",
    ],
    synonyms: SYNONYMS,
    after_vhid: &[
        ("pass", "passwd"),
        ("passfile", "passwd"),
        ("advskew", "advskew"),
        ("advbase", "advbase"),
        ("state", "state"),
    ],
    letters: "kmLnNv",
    own,
    states: States::Told("unknown state"),
    advbase_max: u8::MAX,
    texts: &[
        text("*: no such interface", "interface {} does not exist"),
        text("SIOCIFCREATE: *", "SIOCIFCREATE2: Invalid argument"),
        text(
            "SIOCIFDESTROY: Device not configured",
            "interface {} does not exist",
        ),
        text("vhid *: *", "vhid must be greater than 0 and less than 255"),
        text("advskew *: *", "SIOCSVH: Invalid argument"),
        text("advbase *: *", "SIOCSVH: Invalid argument"),
        text(
            "SIOCAIFADDR: Operation not permitted",
            "ioctl (SIOCAIFADDR): permission denied",
        ),
        text(
            "SIOCDIFADDR: Operation not permitted",
            "ioctl (SIOCDIFADDR): permission denied",
        ),
    ],
    creates: false,
    numbers: false,
    cloners: "",
    lists: true,
    groups: false,
    by_network: false,
    on_parent: true,
    // There is none in this personality; who asks for one all the same has made it in another.
    carp: |_, _| String::new(),
    link,
};

/// FreeBSD 15 can speak VRRP in CARP's place; here only CARP is spoken, which is `carpver 2`. `advbase 0` leaves what is.
fn own(word: &str, argument: Option<&str>) -> Option<Result<(), Refusal>> {
    if word == "advbase" && argument == Some("0") {
        return Some(Ok(()));
    }
    if !matches!(word, "carpver" | "vrrpprio" | "vrrpinterval") {
        return None;
    }
    let Some(argument) = argument else {
        return Some(Err(plain(format!("'{word}' requires argument"))));
    };
    let vrrp = || {
        let why = format!("{word} {argument}: VRRP is not spoken here, carpver 2 is CARP");
        Err(because("SIOCSVH: Operation not supported", why))
    };
    Some(match (word, argument.parse::<u16>()) {
        ("carpver", Ok(2)) => Ok(()),
        ("carpver", Ok(3)) | ("vrrpprio", _) | ("vrrpinterval", Ok(1..=INTERVAL_MAX)) => vrrp(),
        ("carpver", _) => Err(plain("version must be 2 or 3")),
        _ => Err(plain(format!(
            "vrrpinterval must be greater than 0 and less than {INTERVAL_MAX}"
        ))),
    })
}

/// VRRP's longest interval, in 1/100 s (RFC 5798 section 5.2.7).
const INTERVAL_MAX: u16 = 4095;

/// A parent listens to the virtual MAC beside its own.
const PROMISC: u32 = 0x100;

fn link(link: &Link, groups: &[Interface], keys: &Keys, family: Option<Family>) -> String {
    let more = if groups.is_empty() { 0 } else { PROMISC };
    let mut lines = Lines::default();
    head(&mut lines, link, more);
    for wanted in [Family::Inet, Family::Inet6] {
        if family.is_none_or(|family| family == wanted) {
            for address in lines::of_family(&link.addresses, Some(wanted)) {
                lines.address(link, address, "");
            }
            for group in groups {
                shared(&mut lines, link, group, wanted);
            }
        }
    }
    for group in groups {
        for vhost in &group.vhosts {
            let key = keys.get(&group.unit).map(Key::phrase).unwrap_or_default();
            let key = match String::from_utf8_lossy(key) {
                key if key.is_empty() => String::new(),
                key => format!(" key \"{}\"", escape(&key)),
            };
            lines.put(format_args!(
                "\tcarp: {} vhid {} advbase {} advskew {}{key}",
                vhost.state, vhost.vhid, group.advbase, vhost.advskew
            ));
            lines.put(format_args!("\t      {}", peers(group)));
        }
    }
    tail(&mut lines, link);
    lines.text()
}

/// Where the advertisements go.
fn peers(group: &Interface) -> String {
    let inet = lines::peers(group, Family::Inet);
    let inet6 = lines::peers(group, Family::Inet6);
    format!(
        "peer {} peer6 {}",
        inet.as_deref().unwrap_or("224.0.0.18"),
        inet6.as_deref().unwrap_or("ff02::12")
    )
}

/// The shared addresses of a group stand with the parent's own, the vhid behind them.
fn shared(lines: &mut Lines, link: &Link, group: &Interface, family: Family) {
    let Some(vhid) = group.vhosts.first().map(|vhost| vhost.vhid) else {
        return;
    };
    for network in lines::networks(group, Some(family)) {
        match network {
            IpNetwork::V4(net) => {
                let line = inet(*net, super::address::broadcast(*network));
                lines.put(format_args!("{line} vhid {vhid}"));
            }
            IpNetwork::V6(net) => {
                let line = inet6(*net, &link.name, link.index, false);
                lines.put(format_args!("{line} vhid {vhid}"));
            }
        }
    }
}
