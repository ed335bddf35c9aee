//! The manners of FreeBSD up to 9 and of pfSense up to 2.1; must not know who chose them.
#![forbid(unsafe_code)]

use super::facts::{Facts, Keys, States, reasoned, text};
use super::lines::{self, Lines, inet, inet6};
use crate::carp::config::State;
use crate::control::link::{Link, Offloads};
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
        "rdomain",
        "-rdomain",
    ],
    synonyms: SYNONYMS,
    after_vhid: &[],
    letters: "kmLnN",
    own: |_, _| None,
    states: States::Ignored,
    advbase_max: u8::MAX,
    texts: &[
        text("*: no such interface", "interface {} does not exist"),
        text("SIOCIFCREATE: File exists", "interface {} already exists"),
        text(
            "SIOCIFDESTROY: Device not configured",
            "interface {} does not exist",
        ),
        reasoned(
            "SIOCIFDESTROY: Invalid argument",
            "* is not carp0 to *",
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

/// IFCAP_ of net/if.h; those of both families together, as Linux does not tell them apart.
const RXCSUM: u32 = 0x1 | 0x20_0000;
const TXCSUM: u32 = 0x2 | 0x40_0000;
const VLAN_HWTAGGING: u32 = 0x10;
const TSO: u32 = 0x100 | 0x200;
const LRO: u32 = 0x400;
const OPTIONS: [(u32, &str); 8] = [
    (0x1, "RXCSUM"),
    (0x2, "TXCSUM"),
    (VLAN_HWTAGGING, "VLAN_HWTAGGING"),
    (0x100, "TSO4"),
    (0x200, "TSO6"),
    (LRO, "LRO"),
    (0x20_0000, "RXCSUM_IPV6"),
    (0x40_0000, "TXCSUM_IPV6"),
];
/// ND6_IFF_ of netinet6/nd6.h.
const ND6: [(u32, &str); 4] = [
    (0x1, "PERFORMNUD"),
    (0x2, "ACCEPT_RTADV"),
    (0x8, "IFDISABLED"),
    (0x20, "AUTO_LINKLOCAL"),
];
const MEDIA: lines::Media = lines::Media {
    speeds: [
        (10, "10baseT/UTP"),
        (100, "100baseTX"),
        (1000, "1000baseT"),
        (2500, "2500Base-T"),
        (5000, "5000Base-T"),
        (10_000, "10Gbase-T"),
    ],
    brackets: ["<", ">"],
    none: "",
};

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

fn link(link: &Link, _: &[Interface], _: &Keys, family: Option<Family>) -> String {
    let mut lines = Lines::default();
    head(&mut lines, link, 0);
    for address in lines::of_family(&link.addresses, family) {
        lines.address(link, address, "");
    }
    tail(&mut lines, link);
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
    let options = bits(link.hardware.offloads);
    if options != 0 {
        let options = lines::set(options, &OPTIONS);
        lines.put(format_args!("\toptions={options}"));
    }
    if let Some(lladdr) = link.lladdr {
        lines.put(format_args!("\tether {lladdr}"));
    }
}

/// Its last lines.
pub fn tail(lines: &mut Lines, link: &Link) {
    lines.media(link, &MEDIA);
    lines.status(link);
    if let Some(nd6) = link.hardware.nd6 {
        let set = [
            (0x1, true),
            (0x2, nd6.accept_rtadv),
            (0x8, nd6.disabled),
            (0x20, nd6.auto_linklocal),
        ];
        let set = set.iter().filter(|(_, on)| *on).map(|(bit, _)| bit).sum();
        let options = lines::set(set, &ND6);
        lines.put(format_args!("\tnd6 options={options}"));
    }
}

fn bits(offloads: Offloads) -> u32 {
    let set = [
        (RXCSUM, offloads.rx_checksum),
        (TXCSUM, offloads.tx_checksum),
        (VLAN_HWTAGGING, offloads.vlan_tags),
        (TSO, offloads.tso),
        (LRO, offloads.lro),
    ];
    set.iter().filter(|(_, on)| *on).map(|(bit, _)| bit).sum()
}
