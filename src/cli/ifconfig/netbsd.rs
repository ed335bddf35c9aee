//! NetBSD's manners; must not know who chose them.
#![forbid(unsafe_code)]

use super::facts::{Facts, Keys, States, text};
use super::lines::{self, Lines, inet, inet6};
use crate::control::link::Link;
use crate::control::{Family, Interface};
use ipnetwork::IpNetwork;

/// ifconfig-carp.md 3.4.
pub static FACTS: Facts = Facts {
    usage: "usage: ifconfig [-a] [-b] [-C] [-d] [-l] [-u] interface [ af ] [ address ] [ parameters ]\n",
    grammar: true,
    lacking: &[
        "carpnodes",
        "balancing",
        "carppeer",
        "-carppeer",
        "peer",
        "peer6",
        "mcast",
        "mcast6",
        "group",
        "-group",
        "lladdr",
        "-lladdr",
        "rdomain",
        "description",
        "-description",
        "descr",
        "-descr",
    ],
    synonyms: &[],
    after_vhid: &[],
    letters: "",
    own: |_, _| None,
    states: States::Capitals,
    advbase_max: u8::MAX,
    texts: &[
        text(
            "*: no such interface",
            "SIOCGIFFLAGS {}: Device not configured",
        ),
        text(
            "SIOCGVH: Inappropriate ioctl for device",
            "SIOCGVH: Invalid argument",
        ),
    ],
    creates: false,
    numbers: false,
    cloners: "carp",
    lists: true,
    groups: false,
    by_network: true,
    on_parent: false,
    carp,
    link,
};

/// The address of a carpN without a vhid: NetBSD's is then -1.
const NO_VHID: &str = "00:00:5e:00:01:ff";

fn carp(interface: &Interface, family: Option<Family>) -> String {
    let mut lines = Lines::default();
    lines.carp_head(interface);
    let carpdev = lines::name(interface.carpdev.as_deref().unwrap_or("none"));
    for vhost in &interface.vhosts {
        lines.put(format_args!(
            "\tcarp: {} carpdev {carpdev} vhid {} advbase {} advskew {}",
            vhost.state, vhost.vhid, interface.advbase, vhost.advskew
        ));
    }
    if interface.vhosts.is_empty() {
        lines.put(format_args!("\taddress: {NO_VHID}"));
    } else {
        lines.put(format_args!("\taddress: {}", interface.lladdr));
    }
    let mut first = true;
    for network in lines::networks(interface, family) {
        match network {
            IpNetwork::V4(net) => {
                let line = inet(*net, super::address::broadcast(*network));
                lines.put(if std::mem::take(&mut first) {
                    line
                } else {
                    line.replacen("inet", "inet alias", 1)
                });
            }
            IpNetwork::V6(net) => lines.put(inet6(
                *net,
                &interface.unit.to_string(),
                interface.index,
                false,
            )),
        }
    }
    lines.text()
}

fn link(link: &Link, _: &[Interface], _: &Keys, family: Option<Family>) -> String {
    let mut lines = Lines::default();
    lines.put(format_args!(
        "{}: {} mtu {}",
        lines::name(&link.name),
        lines::flags(lines::bits(link)),
        link.mtu
    ));
    if let Some(lladdr) = link.lladdr {
        lines.put(format_args!("\taddress: {lladdr}"));
    }
    lines.media(link, &lines::MEDIA);
    lines.status(link);
    for (at, address) in lines::of_family(&link.addresses, family).enumerate() {
        let earlier = lines::of_family(&link.addresses, family).take(at);
        let alias = earlier.into_iter().any(|held| held.net.is_ipv4());
        lines.address(link, address, if alias { "alias " } else { "" });
    }
    lines.text()
}
