//! The lines that all BSDs print alike, and the flags behind them; must not know whose text they become.
#![forbid(unsafe_code)]

use crate::carp::config::State;
use crate::cli::escape;
use crate::control::link::{Address, Link};
use crate::control::{Family, Interface};
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use std::fmt::{Display, Write};
use std::net::{IpAddr, Ipv4Addr};

/// The flags: bit of net/if.h, which is the same in all BSDs, and word, in order.
const FLAGS: [(u32, &str); 15] = [
    (0x1, "UP"),
    (BROADCAST, "BROADCAST"),
    (DEBUG, "DEBUG"),
    (0x8, "LOOPBACK"),
    (0x10, "POINTOPOINT"),
    (RUNNING, "RUNNING"),
    (0x80, "NOARP"),
    (0x100, "PROMISC"),
    (0x200, "ALLMULTI"),
    (0x400, "OACTIVE"),
    (SIMPLEX, "SIMPLEX"),
    (0x1000, "LINK0"),
    (0x2000, "LINK1"),
    (0x4000, "LINK2"),
    (MULTICAST, "MULTICAST"),
];
const BROADCAST: u32 = 0x2;
/// IFF_DEBUG, kept and shown.
pub const DEBUG: u32 = 0x4;
/// The driver has what it needs.
pub const RUNNING: u32 = 0x40;
const SIMPLEX: u32 = 0x800;
const MULTICAST: u32 = 0x8000;
/// Linux's IFF_UP to IFF_ALLMULTI that mean the same there, RUNNING apart.
const SHARED: u32 = 0x1 | BROADCAST | DEBUG | 0x8 | 0x10 | 0x80 | 0x100 | 0x200;
/// Linux's IFF_MULTICAST.
const LINUX_MULTICAST: u32 = 0x1000;

/// `flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST>`: hexadecimal, without 0x.
#[must_use]
pub fn flags(bits: u32) -> String {
    format!("flags={}", set(bits, &FLAGS))
}

/// `21<PERFORMNUD,AUTO_LINKLOCAL>`
#[must_use]
pub fn set(bits: u32, names: &[(u32, &str)]) -> String {
    let names = names.iter().filter(|(bit, _)| bits & bit != 0);
    let names: Vec<_> = names.map(|(_, name)| *name).collect();
    format!("{bits:x}<{}>", names.join(","))
}

/// How a system writes media.
#[derive(Debug)]
pub struct Media {
    /// Mbit/s, and what that is called on copper.
    pub speeds: [(u32, &'static str); 6],
    /// Around the duplex.
    pub brackets: [&'static str; 2],
    /// Behind `autoselect` without a carrier.
    pub none: &'static str,
}

/// That of OpenBSD and NetBSD.
pub const MEDIA: Media = Media {
    speeds: [
        (10, "10baseT"),
        (100, "100baseTX"),
        (1000, "1000baseT"),
        (2500, "2500baseT"),
        (5000, "5GbaseT"),
        (10_000, "10GbaseT"),
    ],
    brackets: ["", ""],
    none: " (none)",
};

/// The flags of a carpN that is an Ethernet interface.
#[must_use]
pub fn carp_bits(interface: &Interface) -> u32 {
    let running = if runs(interface) { RUNNING } else { 0 };
    let debug = if interface.debug { DEBUG } else { 0 };
    BROADCAST | SIMPLEX | MULTICAST | u32::from(interface.up) | running | debug
}

/// The flags of an interface of the system. Linux has no word for what never hears itself: that is Ethernet.
#[must_use]
pub fn bits(link: &Link) -> u32 {
    let simplex = if link.lladdr.is_some() { SIMPLEX } else { 0 };
    let multicast = if link.flags & LINUX_MULTICAST != 0 {
        MULTICAST
    } else {
        0
    };
    (link.flags & (SHARED | RUNNING)) | simplex | multicast
}

/// It takes part: up, and something is known of the MASTER.
#[must_use]
pub fn runs(interface: &Interface) -> bool {
    interface.up && state(interface) != State::Init
}

/// The interface is what the best of its vhosts is.
#[must_use]
pub fn state(interface: &Interface) -> State {
    let states = interface.vhosts.iter().map(|vhost| vhost.state);
    states.max().unwrap_or(State::Init)
}

/// A name from the kernel, made harmless.
#[must_use]
pub fn name(name: &str) -> String {
    escape(name)
}

fn is_of(net: &IpNetwork, family: Option<Family>) -> bool {
    family.is_none_or(|family| net.is_ipv4() == (family == Family::Inet))
}

/// The unicast peers of a family as typed, if there are any.
#[must_use]
pub fn peers(interface: &Interface, family: Family) -> Option<String> {
    let of_family = |peer: &&IpAddr| peer.is_ipv4() == (family == Family::Inet);
    let peers: Vec<_> = interface
        .peers
        .iter()
        .filter(of_family)
        .map(IpAddr::to_string)
        .collect();
    (!peers.is_empty()).then(|| peers.join(","))
}

/// The shared addresses of a family.
pub fn networks(interface: &Interface, family: Option<Family>) -> impl Iterator<Item = &IpNetwork> {
    let shared = interface.addresses.iter();
    shared.filter(move |net| is_of(net, family))
}

/// The system's addresses of a family.
pub fn of_family(addresses: &[Address], family: Option<Family>) -> impl Iterator<Item = &Address> {
    let held = addresses.iter();
    held.filter(move |address| is_of(&address.net, family))
}

/// An address of IPv4.
#[must_use]
pub fn inet(net: Ipv4Network, broadcast: Option<Ipv4Addr>) -> String {
    let mut line = format!(
        "\tinet {} netmask {:#010x}",
        net.ip(),
        u32::from(net.mask())
    );
    if let Some(broadcast) = broadcast {
        // Writing into a String does not fail.
        let _ = write!(line, " broadcast {broadcast}");
    }
    line
}

/// An address of IPv6; one of a link names the interface.
#[must_use]
pub fn inet6(net: Ipv6Network, of: &str, index: u32, tentative: bool) -> String {
    let (ip, length) = (net.ip(), net.prefix());
    let tentative = if tentative { " tentative" } else { "" };
    if ip.is_unicast_link_local() {
        let of = escape(of);
        format!("\tinet6 {ip}%{of} prefixlen {length}{tentative} scopeid {index:#x}")
    } else {
        format!("\tinet6 {ip} prefixlen {length}{tentative}")
    }
}

/// A text that grows line by line.
#[derive(Debug, Default)]
pub struct Lines(String);

impl Lines {
    /// One more line.
    pub fn put(&mut self, line: impl Display) {
        // Writing into a String does not fail.
        let _ = writeln!(self.0, "{line}");
    }

    /// The first line of a carpN that is an Ethernet interface; a metric stands there only if there is one.
    pub fn carp_head(&mut self, interface: &Interface) {
        let metric = match interface.metric {
            0 => String::new(),
            metric => format!(" metric {metric}"),
        };
        self.put(format_args!(
            "{}: {}{metric} mtu {}",
            interface.unit,
            flags(carp_bits(interface)),
            interface.mtu
        ));
    }

    /// The description, if there is one.
    pub fn description(&mut self, interface: &Interface) {
        if let Some(text) = &interface.description {
            self.put(format_args!("\tdescription: {}", escape(text)));
        }
    }

    /// The groups, if there are any.
    pub fn groups(&mut self, groups: &[String]) {
        if !groups.is_empty() {
            self.put(format_args!("\tgroups: {}", escape(&groups.join(" "))));
        }
    }

    /// A shared address.
    pub fn shared(&mut self, interface: &Interface, network: IpNetwork) {
        match network {
            IpNetwork::V4(net) => self.put(inet(net, super::address::broadcast(network))),
            IpNetwork::V6(net) => {
                self.put(inet6(
                    net,
                    &interface.unit.to_string(),
                    interface.index,
                    false,
                ));
            }
        }
    }

    /// How it sends, of what tells that.
    pub fn media(&mut self, link: &Link, form: &Media) {
        let Some(media) = link.hardware.media else {
            return;
        };
        let running = link.flags & RUNNING != 0;
        let known = |speed: u32| form.speeds.iter().find(|(known, _)| *known == speed);
        let speed = media.speed.filter(|_| running).and_then(known);
        let duplex = if media.full_duplex { "full" } else { "half" };
        let [open, close] = form.brackets;
        let active = speed.map(|(_, word)| format!("{word} {open}{duplex}-duplex{close}"));
        let text = match (active, media.autoselect) {
            (Some(active), true) => format!("autoselect ({active})"),
            (Some(active), false) => active,
            (None, _) if running => "autoselect".to_owned(),
            (None, _) => format!("autoselect{}", form.none),
        };
        self.put(format_args!("\tmedia: Ethernet {text}"));
    }

    /// The carrier, of what has one.
    pub fn status(&mut self, link: &Link) {
        if link.lladdr.is_some() {
            let running = link.flags & RUNNING != 0;
            let status = if running { "active" } else { "no carrier" };
            self.put(format_args!("\tstatus: {status}"));
        }
    }

    /// An address of the system, `alias` before an inet one.
    pub fn address(&mut self, link: &Link, address: &Address, alias: &str) {
        match address.net {
            IpNetwork::V4(net) => {
                let broadcasts = link.flags & BROADCAST != 0;
                let derived = super::address::broadcast(address.net);
                let broadcast = address.broadcast.or(derived).filter(|_| broadcasts);
                let line = inet(net, broadcast);
                self.put(line.replacen("inet ", &format!("inet {alias}"), 1));
            }
            IpNetwork::V6(net) => {
                self.put(inet6(net, &link.name, link.index, address.tentative));
            }
        }
    }

    /// All of it.
    #[must_use]
    pub fn text(self) -> String {
        self.0
    }
}
