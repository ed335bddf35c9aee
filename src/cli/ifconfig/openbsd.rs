//! OpenBSD's manners: those that all others are told by the difference to; must not know who chose them.
#![forbid(unsafe_code)]

use super::facts::{Facts, Keys, States};
use super::lines::{self, Lines};
use super::print;
use crate::control::link::Link;
use crate::control::{Family, Interface};

/// ifconfig-carp.md 2.
pub static FACTS: Facts = Facts {
    usage: "usage: ifconfig [-v] [-AaCl] [interface] [inet | inet6] [address] [words ...]\n       \
        ifconfig -g group [[-]carpdemote [number] | drain | undrain]\n",
    grammar: false,
    lacking: &[],
    synonyms: &[],
    after_vhid: &[],
    letters: "",
    own: |_, _| None,
    states: States::Ignored,
    advbase_max: 254,
    texts: &[],
    creates: true,
    numbers: false,
    cloners: "carp",
    lists: false,
    groups: true,
    by_network: false,
    on_parent: false,
    carp: print::interface,
    link,
};

fn link(link: &Link, _: &[Interface], _: &Keys, family: Option<Family>) -> String {
    let mut lines = Lines::default();
    lines.put(format_args!(
        "{}: {} mtu {}",
        lines::name(&link.name),
        lines::flags(lines::bits(link)),
        link.mtu
    ));
    if let Some(lladdr) = link.lladdr {
        lines.put(format_args!("\tlladdr {lladdr}"));
    }
    lines.put(format_args!("\tindex {} priority 0 llprio 3", link.index));
    lines.media(link, &lines::MEDIA);
    lines.status(link);
    for address in lines::of_family(&link.addresses, family) {
        lines.address(link, address, "");
    }
    lines.text()
}
