//! The words that are no address, each against a configuration; must not know the kernel or other interfaces.

use super::plan::{refusal, unfit};
use super::{Change, Family, Refusal};
use crate::carp::config::{
    Balancing, Config, DESCRIPTION_MAX, FAMILY_GROUP, Lladdr, NODES_MAX, Node, State, Vhid,
};
use crate::wire::{MacAddr, ip};
use std::net::IpAddr;

/// Unicast peers of one family.
pub const PEERS_MAX: usize = 16;
/// Interface groups of one carpN.
pub const GROUPS_MAX: usize = 64;
/// The longest name of a group, in bytes (IFNAMSIZ without its zero).
const GROUP_NAME_MAX: usize = 15;
/// RFC 791's least, and the most that Ethernet's length of a TAP takes.
const MTU: std::ops::RangeInclusive<u32> = 68..=65521;
/// RFC 8200's least.
const MTU_INET6: u32 = 1280;
/// What OpenBSD calls a value that cannot be.
const SVH: &str = "SIOCSVH: Invalid argument";

/// Takes one word in. Giving the vhid keeps the skew that was given before it.
///
/// # Errors
/// The word cannot be.
pub(super) fn set(
    config: &mut Config,
    state: &mut Option<State>,
    change: &Change,
) -> Result<(), Refusal> {
    match change {
        Change::Up => config.up = true,
        Change::Down => config.up = false,
        Change::Vhid(number) => {
            let advskew = config.advskew;
            config.nodes = vec![node(*number, advskew)?];
        }
        Change::Nodes(nodes) => carpnodes(config, nodes)?,
        Change::Pass(key) => config.key = key.clone(),
        Change::Carpdev(name) => config.carpdev.clone_from(name),
        Change::Advbase(seconds) => config.advbase = *seconds,
        Change::Advskew(skew) => {
            config.advskew = *skew;
            if let Some(first) = config.nodes.first_mut() {
                first.advskew = *skew;
            }
        }
        Change::Balancing(mode) => config.balancing = *mode,
        Change::Hash(selector) => config.hash = *selector,
        Change::Drain(on) => config.drain = *on,
        Change::Input(mode) => config.input = *mode,
        Change::Capture(on) => config.capture = *on,
        Change::State(asked) => *state = Some(*asked),
        Change::Peers(family, peers) => set_peers(config, *family, peers)?,
        Change::Lladdr(lladdr) => config.lladdr = *lladdr,
        Change::Description(text) => describe(config, text.as_deref())?,
        Change::Group(name) => join(config, name)?,
        // As in the BSDs: who is no member has nothing to leave.
        Change::LeaveGroup(name) => config.groups.retain(|held| held != name),
        Change::Mtu(mtu) => config.mtu = *mtu,
        Change::Debug(on) => config.debug = *on,
        Change::Metric(metric) => config.metric = *metric,
        Change::Rdomain(0) => {}
        Change::Rdomain(_) => {
            let why = "there is one routing domain; Linux has VRF devices instead, see ip-link(8)";
            return Err(refusal("SIOCSIFRDOMAIN: Invalid argument", why));
        }
        Change::Create
        | Change::Destroy
        | Change::Address { .. }
        | Change::Delete(_)
        | Change::Detach(_) => {}
    }
    Ok(())
}

/// One virtual host forces balancing none, several with none become ip, as in OpenBSD.
pub(super) fn balance(config: &mut Config) {
    config.balancing = match (config.nodes.len(), config.balancing) {
        (1, _) => Balancing::None,
        (2.., Balancing::None) => Balancing::Ip,
        (_, mode) => mode,
    };
}

/// What only the whole line tells.
///
/// # Errors
/// The configuration contradicts itself.
pub(super) fn check(config: &Config) -> Result<(), Refusal> {
    if config.lladdr != Lladdr::Virtual && config.balancing != Balancing::None {
        let why =
            "several virtual hosts need their virtual Ethernet addresses: lladdr goes with one";
        return Err(refusal(SVH, why));
    }
    if let Lladdr::Chosen(mac) = config.lladdr
        && (mac.is_multicast() || mac == MacAddr::ZERO)
    {
        let why = format!("{mac} is no address of one interface");
        return Err(refusal("SIOCSIFLLADDR: Invalid argument", why));
    }
    let inet6 = config.addresses.iter().any(|held| held.is_ipv6());
    let least = if inet6 { MTU_INET6 } else { *MTU.start() };
    match config.mtu {
        Some(mtu) if !MTU.contains(&mtu) || mtu < least => {
            let why = format!("the MTU is {least} to {} here", MTU.end());
            Err(refusal("SIOCSIFMTU: Invalid argument", why))
        }
        _ => Ok(()),
    }
}

fn node(number: u8, advskew: u8) -> Result<Node, Refusal> {
    let vhid = Vhid::new(number).ok_or_else(|| refusal(SVH, "a vhid is 1 to 255"))?;
    Ok(Node { vhid, advskew })
}

fn carpnodes(config: &mut Config, nodes: &[(u8, u8)]) -> Result<(), Refusal> {
    let made: Result<Vec<Node>, Refusal> = nodes.iter().map(|(v, skew)| node(*v, *skew)).collect();
    let mut made = made?;
    made.sort_by_key(|node| node.vhid);
    if let Some(pair) = made.windows(2).find(|pair| pair[0].vhid == pair[1].vhid) {
        return Err(refusal(
            SVH,
            format!("vhid {} stands there twice", pair[0].vhid),
        ));
    }
    let Some(leader) = made.first().filter(|_| made.len() <= NODES_MAX) else {
        return Err(refusal(SVH, format!("1 to {NODES_MAX} nodes are possible")));
    };
    config.advskew = leader.advskew;
    config.nodes = made;
    Ok(())
}

/// The peers of one family take the place of those before.
fn set_peers(config: &mut Config, family: Family, peers: &[IpAddr]) -> Result<(), Refusal> {
    let mut wanted: Vec<IpAddr> = Vec::new();
    // FreeBSD's way to say multicast.
    for peer in peers.iter().filter(|peer| **peer != ip::group(family)) {
        if let Some(why) = unfit(*peer) {
            return Err(refusal(SVH, format!("{peer} is {why}, no peer")));
        }
        if !wanted.contains(peer) {
            wanted.push(*peer);
        }
    }
    if wanted.len() > PEERS_MAX {
        return Err(refusal(
            SVH,
            format!("{PEERS_MAX} peers of a family at most"),
        ));
    }
    config.peers.retain(|held| Family::of(*held) != family);
    config.peers.extend(wanted);
    Ok(())
}

fn describe(config: &mut Config, text: Option<&str>) -> Result<(), Refusal> {
    // OpenBSD cuts a longer one off; who reads half of it may be misled.
    if text.is_some_and(|text| text.len() > DESCRIPTION_MAX) {
        let why = format!("a description has {DESCRIPTION_MAX} bytes at most");
        return Err(refusal("SIOCSIFDESCR: File name too long", why));
    }
    config.description = text.filter(|text| !text.is_empty()).map(str::to_owned);
    Ok(())
}

/// Joining twice is a success.
fn join(config: &mut Config, name: &str) -> Result<(), Refusal> {
    const TEXT: &str = "SIOCAIFGROUP: Invalid argument";
    if name.ends_with(|c: char| c.is_ascii_digit()) {
        return Err(Refusal {
            text: "setifgroup: group names may not end in a digit".into(),
            why: None,
        });
    }
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '/';
    if name.is_empty() || name.len() > GROUP_NAME_MAX || name.contains(odd) {
        return Err(refusal(TEXT, format!("{name:?} is no name of a group")));
    }
    if name == "all" || config.groups.iter().any(|held| held == name) {
        return Ok(());
    }
    if config.groups.len() == GROUPS_MAX {
        return Err(refusal(TEXT, format!("{GROUPS_MAX} groups at most")));
    }
    // The family group first, as it is shown.
    let at = if name == FAMILY_GROUP {
        0
    } else {
        config.groups.len()
    };
    config.groups.insert(at, name.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::plan::{Plan, plan};
    use super::*;

    fn after(changes: &[Change]) -> Result<Config, String> {
        match plan(None, changes) {
            Ok(Plan::Become { config, .. }) => Ok(*config),
            Ok(Plan::Destroy) => panic!("destroyed"),
            Err(refusal) => Err(refusal.text),
        }
    }

    #[test]
    fn groups_are_a_set_with_the_family_first() {
        let group = |name: &str| Change::Group(name.into());
        let leave = |name: &str| Change::LeaveGroup(name.into());
        for (changes, expected) in [
            (vec![], vec!["carp"]),
            (
                vec![group("ha"), group("wan"), group("ha")],
                vec!["carp", "ha", "wan"],
            ),
            (
                vec![group("ha"), leave("carp"), leave("nobody")],
                vec!["ha"],
            ),
            (
                vec![group("ha"), leave("carp"), group("carp")],
                vec!["carp", "ha"],
            ),
            (vec![group("all"), group("egress")], vec!["carp", "egress"]),
        ] {
            assert_eq!(after(&changes).unwrap().groups, expected, "{changes:?}");
        }
        for (name, text) in [
            ("ha1", "setifgroup: group names may not end in a digit"),
            ("", "SIOCAIFGROUP: Invalid argument"),
            ("sixteen-letters-", "SIOCAIFGROUP: Invalid argument"),
            ("a b", "SIOCAIFGROUP: Invalid argument"),
        ] {
            assert_eq!(after(&[group(name)]), Err(text.to_owned()), "{name}");
        }
    }

    #[test]
    fn peers_are_kept_by_family() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let four =
            |peers: &[&str]| Change::Peers(Family::Inet, peers.iter().map(|p| ip(p)).collect());
        let six = Change::Peers(Family::Inet6, vec![ip("2001:db8::2")]);
        let both = [four(&["192.0.2.2", "192.0.2.3", "192.0.2.2"]), six.clone()];
        let held = after(&both).unwrap().peers;
        assert_eq!(held, [ip("192.0.2.2"), ip("192.0.2.3"), ip("2001:db8::2")]);
        let without = [both[0].clone(), six, four(&["224.0.0.18"])];
        assert_eq!(after(&without).unwrap().peers, [ip("2001:db8::2")]);
        for wrong in ["224.0.0.1", "0.0.0.0", "127.0.0.1", "255.255.255.255"] {
            assert_eq!(after(&[four(&[wrong])]), Err(SVH.to_owned()), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_in_bsds_words() {
        let mac = |bytes| Change::Lladdr(Lladdr::Chosen(MacAddr(bytes)));
        let inet6 = || Change::Address {
            address: "2001:db8::1/64".parse().unwrap(),
            alias: false,
        };
        let eth0 = || Change::Carpdev(Some("eth0".into()));
        for (changes, text) in [
            (
                vec![mac([1, 0, 0, 0, 0, 1])],
                "SIOCSIFLLADDR: Invalid argument",
            ),
            (vec![mac([0; 6])], "SIOCSIFLLADDR: Invalid argument"),
            (vec![Change::Mtu(Some(67))], "SIOCSIFMTU: Invalid argument"),
            (
                vec![Change::Mtu(Some(1279)), eth0(), inet6()],
                "SIOCSIFMTU: Invalid argument",
            ),
            (vec![Change::Rdomain(1)], "SIOCSIFRDOMAIN: Invalid argument"),
            (vec![Change::Nodes(vec![(2, 0), (2, 100)])], SVH),
            (vec![Change::Nodes(vec![(0, 0), (2, 100)])], SVH),
            (vec![Change::Nodes(Vec::new())], SVH),
            (
                vec![
                    Change::Nodes(vec![(1, 0), (2, 100)]),
                    Change::Lladdr(Lladdr::Carpdev),
                ],
                SVH,
            ),
            (
                vec![Change::Description(Some("x".repeat(64)))],
                "SIOCSIFDESCR: File name too long",
            ),
        ] {
            assert_eq!(after(&changes), Err(text.to_owned()), "{changes:?}");
        }
        let node = after(&[Change::Nodes(vec![(7, 100)])]).unwrap().nodes[0];
        assert_eq!((node.vhid.get(), node.advskew), (7, 100));
        let (two, mode) = (
            Change::Nodes(vec![(7, 100), (3, 5)]),
            Change::Balancing(Balancing::Arp),
        );
        for line in [[mode.clone(), two.clone()], [two.clone(), mode.clone()]] {
            let held = after(&line).unwrap();
            let vhids: Vec<_> = held.nodes.iter().map(|node| node.vhid.get()).collect();
            assert_eq!((vhids, held.advskew), (vec![3, 7], 5));
            assert_eq!(held.balancing, Balancing::Arp);
        }
        assert_eq!(
            after(std::slice::from_ref(&two)).unwrap().balancing,
            Balancing::Ip
        );
        let one = after(&[two, mode, Change::Vhid(3)]).unwrap();
        assert_eq!((one.nodes.len(), one.balancing), (1, Balancing::None));
        assert!(after(&[Change::Rdomain(0), Change::Mtu(Some(1279))]).is_ok());
    }

    #[test]
    fn a_family_goes_whole_and_the_last_address_takes_up_with_it() {
        let address = |text: &str| Change::Address {
            address: text.parse().unwrap(),
            alias: true,
        };
        let base = [
            Change::Carpdev(Some("eth0".into())),
            address("192.0.2.1/24"),
            address("2001:db8::1/64"),
            address("2001:db8::2/64"),
        ];
        let held = after(&base).unwrap();
        let next = |old: &Config, family| match plan(Some(old), &[Change::Detach(family)]) {
            Ok(Plan::Become { config, .. }) => *config,
            other => panic!("{other:?}"),
        };
        let four = next(&held, Family::Inet6);
        assert!(four.up && four.addresses.len() == 1);
        let none = next(&four, Family::Inet);
        assert!(!none.up && none.addresses.is_empty());
        assert_eq!(next(&four, Family::Inet6), four);
    }
}
