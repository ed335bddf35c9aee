//! A configuration as the lines of its file: one aspect each, always in the same order, defaults left out; and what two such
//! texts differ in. Must not know where a configuration comes from.
#![forbid(unsafe_code)]

use super::shell::quote;
use crate::carp::config::{Config, FAMILY_GROUP, Lladdr};
use crate::control::Dumped;
use ipnetwork::IpNetwork;
use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;

/// What stands where a passphrase is that may not be shown: a line that is no line, so that it is not loaded as none.
pub const HIDDEN: [&str; 2] = ["# carp dump -k, as root, shows the passphrase", "pass"];

/// The lines of an interface's file. Reading them gives the configuration again.
#[must_use]
pub fn lines(dumped: &Dumped) -> Vec<String> {
    // By name, so that a new part of a configuration is not forgotten here.
    let Config {
        up,
        carpdev,
        nodes,
        balancing,
        hash,
        drain,
        advskew,
        advbase,
        key,
        addresses,
        peers,
        lladdr,
        groups,
        description,
        mtu,
        debug,
        metric,
        input,
        capture,
    } = &dumped.config;
    let fresh = Config::default();
    let mut lines = Vec::new();
    if let Some(carpdev) = carpdev {
        lines.push(format!("carpdev {}", quote(OsStr::new(carpdev))));
    }
    match nodes.as_slice() {
        [] => {}
        [node] => lines.push(format!("vhid {}", node.vhid)),
        several => {
            let pairs = several.iter().map(|n| format!("{}:{}", n.vhid, n.advskew));
            lines.push(format!("carpnodes {}", pairs.collect::<Vec<_>>().join(",")));
        }
    }
    if *balancing != fresh.balancing {
        lines.push(format!("balancing {balancing}"));
    }
    if let Some(selector) = hash {
        lines.push(format!("hash {selector}"));
    }
    if *advbase != fresh.advbase {
        lines.push(format!("advbase {advbase}"));
    }
    if *advskew != fresh.advskew && nodes.len() < 2 {
        lines.push(format!("advskew {advskew}"));
    }
    if *key != fresh.key {
        lines.push(format!("pass {}", quote(OsStr::from_bytes(key.phrase()))));
    } else if dumped.keyed {
        lines.extend(HIDDEN.map(str::to_owned));
    }
    lines.extend(peer_lines(peers));
    match lladdr {
        Lladdr::Virtual => {}
        Lladdr::Chosen(mac) => lines.push(format!("lladdr {mac}")),
        Lladdr::Carpdev => lines.push("lladdr carpdev".to_owned()),
    }
    if let Some(mtu) = mtu {
        lines.push(format!("mtu {mtu}"));
    }
    if *metric != fresh.metric {
        lines.push(format!("metric {metric}"));
    }
    if *debug {
        lines.push("debug".to_owned());
    }
    if *input != fresh.input {
        lines.push(format!("input {input}"));
    }
    if *drain {
        lines.push("drain".to_owned());
    }
    if *capture {
        lines.push("capture".to_owned());
    }
    lines.extend(group_lines(groups));
    if let Some(description) = description {
        let text = quote(OsStr::new(description));
        lines.push(format!("description {text}"));
    }
    let mut seen = [false; 2];
    for network in addresses {
        let seen = &mut seen[usize::from(network.is_ipv6())];
        lines.push(address(*network, std::mem::replace(seen, true)));
    }
    // An address sets UP, so what is down says so.
    match (*up, addresses.is_empty()) {
        (true, _) => lines.push("up".to_owned()),
        (false, false) => lines.push("down".to_owned()),
        (false, true) => {}
    }
    lines
}

/// A line for each family, in the order in which they were given.
fn peer_lines(peers: &[IpAddr]) -> Vec<String> {
    let mut lines: Vec<(bool, String)> = Vec::new();
    for peer in peers {
        let word = if peer.is_ipv6() { "peer6" } else { "carppeer" };
        match lines.iter_mut().find(|(inet6, _)| *inet6 == peer.is_ipv6()) {
            Some((_, line)) => line.push_str(&format!(",{peer}")),
            None => lines.push((peer.is_ipv6(), format!("{word} {peer}"))),
        }
    }
    lines.into_iter().map(|(_, line)| line).collect()
}

/// Every interface is born into the family group.
fn group_lines(groups: &[String]) -> Vec<String> {
    let family = |group: &&String| group.as_str() == FAMILY_GROUP;
    let left = !groups.iter().any(|group| family(&group));
    let left = left.then(|| format!("-group {FAMILY_GROUP}"));
    let others = groups.iter().filter(|group| !family(group));
    let joined = others.map(|group| format!("group {}", quote(OsStr::new(group))));
    left.into_iter().chain(joined).collect()
}

fn address(network: IpNetwork, alias: bool) -> String {
    let alias = if alias { "alias " } else { "" };
    match network {
        IpNetwork::V4(inet) => format!("inet {alias}{} {}", inet.ip(), inet.mask()),
        IpNetwork::V6(inet6) => format!("inet6 {alias}{} {}", inet6.ip(), inet6.prefix()),
    }
}

/// The lines of a group's file; one takes 128 at most.
#[must_use]
pub fn demotion(count: u8) -> Vec<String> {
    let parts = [count.min(128), count.saturating_sub(128)];
    let counted = parts.into_iter().filter(|part| *part > 0);
    counted.map(|part| format!("carpdemote {part}")).collect()
}

/// The line without its secret, if it has one.
#[must_use]
pub fn masked(line: &str) -> &str {
    if line.starts_with("pass ") {
        "pass ..."
    } else {
        line
    }
}

/// What leads from one text to the other: `-` and `+` before lines, those in both left out, secrets masked.
#[must_use]
pub fn difference(before: &[String], after: &[String]) -> String {
    // The longest common part, by its length from each pair of places on.
    let mut longest = vec![vec![0_usize; after.len() + 1]; before.len() + 1];
    for (i, old) in before.iter().enumerate().rev() {
        for (j, new) in after.iter().enumerate().rev() {
            longest[i][j] = if old == new {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut out = String::new();
    let mut line = |sign: char, text: &str| {
        out.push(sign);
        out.push_str(masked(text));
        out.push('\n');
    };
    while i < before.len() || j < after.len() {
        match (before.get(i), after.get(j)) {
            (Some(old), Some(new)) if old == new => {
                i += 1;
                j += 1;
            }
            (Some(old), new) if new.is_none() || longest[i + 1][j] >= longest[i][j + 1] => {
                line('-', old);
                i += 1;
            }
            (_, Some(new)) => {
                line('+', new);
                j += 1;
            }
            // Not reached: one of them is left.
            (_, None) => break,
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::carp::config::{Balancing, InputMode, Key, Node, Selector, Unit, Vhid};

    fn dumped(config: Config) -> Dumped {
        Dumped {
            unit: Unit(1),
            keyed: config.key != Key::default(),
            config,
        }
    }

    fn full() -> Config {
        let addresses = [
            "2001:db8::1/64",
            "192.0.2.1/24",
            "192.0.2.2/32",
            "2001:db8::2/64",
        ];
        Config {
            up: true,
            carpdev: Some("eth0".into()),
            nodes: vec![Node {
                vhid: Vhid::new(7).unwrap(),
                advskew: 100,
            }],
            advskew: 100,
            advbase: 2,
            key: Key::from_pass(b"it's secret"),
            balancing: Balancing::None,
            hash: Some(Selector::Source),
            drain: true,
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            peers: ["2001:db8::7", "192.0.2.7", "192.0.2.8"]
                .map(|p| p.parse().unwrap())
                .to_vec(),
            lladdr: Lladdr::Carpdev,
            groups: vec!["ha".into(), "wan".into()],
            description: Some("the gate".into()),
            mtu: Some(1400),
            debug: true,
            metric: 3,
            input: InputMode::Accept,
            capture: true,
        }
    }

    #[test]
    fn a_configuration_has_a_line_for_each_aspect() {
        let expected = "carpdev eth0\nvhid 7\nhash source\nadvbase 2\nadvskew 100\npass 'it'\\''s secret'\n\
            peer6 2001:db8::7\ncarppeer 192.0.2.7,192.0.2.8\nlladdr carpdev\nmtu 1400\nmetric 3\ndebug\n\
            input accept\ndrain\ncapture\n-group carp\ngroup ha\ngroup wan\ndescription 'the gate'\n\
            inet6 2001:db8::1 64\ninet 192.0.2.1 255.255.255.0\ninet alias 192.0.2.2 255.255.255.255\n\
            inet6 alias 2001:db8::2 64\nup";
        assert_eq!(lines(&dumped(full())).join("\n"), expected);
        assert_eq!(lines(&dumped(Config::default())), [""; 0]);
        let node = |number, advskew| Node {
            vhid: Vhid::new(number).unwrap(),
            advskew,
        };
        let several = Config {
            nodes: vec![node(3, 5), node(7, 100)],
            balancing: Balancing::Arp,
            advskew: 5,
            ..Config::default()
        };
        let expected = ["carpnodes 3:5,7:100", "balancing arp"];
        assert_eq!(lines(&dumped(several)), expected);
        let down = Config {
            up: false,
            ..full()
        };
        assert_eq!(lines(&dumped(down)).last().unwrap(), "down");
    }

    #[test]
    fn a_key_that_is_not_shown_cannot_be_loaded_as_none() {
        let mut hidden = dumped(full());
        hidden.config.key = Key::default();
        let lines = lines(&hidden);
        assert!(lines.contains(&"pass".to_owned()), "{lines:?}");
        assert!(!lines.join("\n").contains("secret"));
    }

    #[test]
    fn a_difference_has_only_what_differs_and_no_secret() {
        let text = |lines: &[&str]| lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
        let before = text(&[
            "carpdev eth0",
            "vhid 1",
            "pass a",
            "inet 192.0.2.1 255.255.255.0",
            "up",
        ]);
        let after = text(&[
            "carpdev eth0",
            "vhid 1",
            "advskew 7",
            "pass b",
            "inet 192.0.2.1 255.255.255.0",
        ]);
        assert_eq!(
            difference(&before, &after),
            "-pass ...\n+advskew 7\n+pass ...\n-up\n"
        );
        assert_eq!(difference(&after, &after), "");
        assert_eq!(difference(&[], &text(&["up"])), "+up\n");
        assert_eq!(difference(&text(&["up"]), &[]), "-up\n");
    }
}
