//! The manners of FreeBSD up to 9 and of pfSense up to 2.1; must not know who chose them.
#![forbid(unsafe_code)]

use super::facts::{Facts, States, reasoned, text};
use super::lines::{self, Lines, inet, inet6};
use crate::carp::config::State;
use crate::control::link::Link;
use crate::control::{Family, Interface};
use ipnetwork::IpNetwork;

/// ifconfig-carp.md 3.1. The word carpdev came with a patch of pfSense's.
pub static FACTS: Facts = Facts {
    usage: "usage: ifconfig interface address_family [address] [parameters]\n       ifconfig -l [-du] [ether]\n       ifconfig [-L] [-C] [-g groupname]\n",
    grammar: false,
    lacking: &[
        "state",
        "-carpdev",
        "carpnodes",
        "balancing",
        "carppeer",
        "-carppeer",
        "peer",
        "peer6",
        "mcast",
        "mcast6",
    ],
    synonyms: SYNONYMS,
    after_vhid: &[],
    states: States::Ignored,
    texts: &[
        text("*: no such interface", "interface {} does not exist"),
        text("SIOCIFCREATE: File exists", "interface {} already exists"),
        text(
            "SIOCIFDESTROY: Device not configured",
            "interface {} does not exist",
        ),
        text("vhid *: too large", "SIOCSVH: Invalid argument"),
        text("vhid *: too small", "vhid must be greater than 0"),
        text("vhid *: invalid", "vhid must be greater than 0"),
        text("advskew *: *", "SIOCSVH: Invalid argument"),
        text("advbase *: *", "SIOCSVH: Invalid argument"),
        reasoned(
            "SIOCSVH: Invalid argument",
            "vhid * is in use by *",
            "SIOCSVH: File exists",
        ),
        text(
            "SIOCGVH: Inappropriate ioctl for device",
            "SIOCGVH: Invalid argument",
        ),
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
    numbers: true,
    cloners: "carp",
    lists: true,
    groups: false,
    by_network: true,
    on_parent: false,
    carp,
    link,
};

/// FreeBSD's other words for ours. Duplicate address detection never runs for a shared address.
pub const SYNONYMS: &[(&str, &str)] = &[
    ("add", "alias"),
    ("remove", "-alias"),
    ("-remove", "-alias"),
    ("no_dad", ""),
    ("-no_dad", ""),
];

/// IFF_LOOPBACK: what a carpN of those days was.
const LOOPBACK: u32 = 0x8;

fn carp(interface: &Interface, family: Option<Family>) -> String {
    let up = u32::from(interface.up);
    let debug = if interface.debug { lines::DEBUG } else { 0 };
    let running = if lines::runs(interface) {
        lines::RUNNING
    } else {
        0
    };
    let mut lines = Lines::default();
    lines.put(format_args!(
        "{}: {} metric {} mtu {}",
        interface.unit,
        lines::flags(LOOPBACK | up | running | debug),
        interface.metric,
        interface.mtu
    ));
    lines.description(interface);
    for network in lines::networks(interface, family) {
        match network {
            IpNetwork::V4(net) => lines.put(inet(*net, None)),
            IpNetwork::V6(net) => lines.put(inet6(
                *net,
                &interface.unit.to_string(),
                interface.index,
                false,
            )),
        }
    }
    for vhost in &interface.vhosts {
        let (state, vhid, advskew): (State, u8, u8) = (vhost.state, vhost.vhid, vhost.advskew);
        lines.put(format_args!(
            "\tcarp: {state} vhid {vhid} advbase {} advskew {advskew}",
            interface.advbase
        ));
    }
    lines.groups(&interface.groups);
    lines.text()
}

fn link(link: &Link, _: &[Interface], family: Option<Family>) -> String {
    let mut lines = Lines::default();
    head(&mut lines, link, 0);
    for address in lines::of_family(&link.addresses, family) {
        lines.address(link, address, "");
    }
    lines.status(link);
    lines.text()
}

/// The first lines of an interface of the system, with these flags beside its own.
pub fn head(lines: &mut Lines, link: &Link, more: u32) {
    lines.put(format_args!(
        "{}: {} metric 0 mtu {}",
        lines::name(&link.name),
        lines::flags(lines::bits(link) | more),
        link.mtu
    ));
    if let Some(lladdr) = link.lladdr {
        lines.put(format_args!("\tether {lladdr}"));
    }
}
