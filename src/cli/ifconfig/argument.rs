//! Arguments of single words to changes, with OpenBSD's texts for what is wrong; must not know lines or the table of words.
#![forbid(unsafe_code)]

use super::address;
use crate::carp::config::{ADVSKEW_MAX, Balancing, Lladdr, NODES_MAX, Selector};
use crate::cli::{because, plain};
use crate::control::{Change, Family, MacAddr, Refusal};
use std::ffi::OsStr;
use std::net::{IpAddr, Ipv6Addr};

/// The longest name of an interface, in bytes (IFNAMSIZ without its zero).
pub const NAME_MAX: usize = 15;
/// By how much a group is demoted at once.
const DEMOTE_MAX: u8 = 128;

/// `carpnodes 1:0,2:100`.
pub fn carpnodes(_: &str, value: &str) -> Result<Change, Refusal> {
    let mut nodes = Vec::new();
    for pair in value.split(',') {
        let unreadable = || plain(format!("non parsable arg: {pair}"));
        let (vhid, advskew) = pair.split_once(':').ok_or_else(unreadable)?;
        let number = |name, text, least, most| match address::number(text, least, most) {
            Ok(number) => Ok(number),
            Err("invalid") => Err(unreadable()),
            Err(wrong) => Err(plain(format!("{name} {text}: value {wrong}"))),
        };
        nodes.push((
            number("vhid", vhid, 1, 255)?,
            number("advskew", advskew, 0, ADVSKEW_MAX)?,
        ));
        if nodes.len() > NODES_MAX {
            return Err(plain("too many carp nodes"));
        }
    }
    Ok(Change::Nodes(nodes))
}

/// `balancing ip`: with one node each mode comes to none.
pub fn balancing(_: &str, value: &str) -> Result<Change, Refusal> {
    let mut modes = Balancing::ALL.into_iter();
    let mode = modes.find(|mode| mode.word() == value);
    mode.map(Change::Balancing)
        .ok_or_else(|| plain(format!("balancing {value}: unknown mode")))
}

/// `hash mac`.
pub fn hash(_: &str, value: &str) -> Result<Change, Refusal> {
    let mut selectors = Selector::ALL.into_iter();
    let selector = selectors.find(|selector| selector.word() == value);
    let words = || Selector::ALL.map(Selector::word).join(", ");
    selector
        .map(|selector| Change::Hash(Some(selector)))
        .ok_or_else(|| {
            because(
                format!("hash {value}: unknown mode"),
                format!("it is one of {}", words()),
            )
        })
}

/// `carppeer 192.0.2.2`, `peer 192.0.2.2,192.0.2.3`.
pub fn peers(word: &str, value: &str) -> Result<Change, Refusal> {
    let peer = |text: &str| match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(peer)) => Ok(IpAddr::V4(peer)),
        Ok(IpAddr::V6(_)) => Err(because(
            format!("only IPv4 addresses supported for the {word}"),
            "peer6 takes IPv6 addresses",
        )),
        Err(_) => Err(plain(format!("error in parsing address string: {text}"))),
    };
    let peers = value.split(',').map(peer).collect::<Result<_, _>>()?;
    Ok(Change::Peers(Family::Inet, peers))
}

/// `peer6 2001:db8::2,fe80::2`; a link-local one is on the carpdev, whatever zone is typed.
pub fn peers6(_: &str, value: &str) -> Result<Change, Refusal> {
    let peer = |text: &str| {
        let bare = match text.split_once('%') {
            Some((bare, zone)) if !zone.is_empty() => bare,
            _ => text,
        };
        let peer = bare.parse::<Ipv6Addr>().ok();
        let peer = peer.filter(|peer| bare == text || peer.is_unicast_link_local());
        peer.map(IpAddr::V6)
            .ok_or_else(|| plain(format!("Invalid IPv6 address {text}")))
    };
    let peers = value.split(',').map(peer).collect::<Result<_, _>>()?;
    Ok(Change::Peers(Family::Inet6, peers))
}

/// `lladdr 02:00:00:00:00:01`, `lladdr carpdev`.
pub fn lladdr(_: &str, value: &str) -> Result<Change, Refusal> {
    if value == "carpdev" {
        return Ok(Change::Lladdr(Lladdr::Carpdev));
    }
    let octet = |text: &str| {
        let plain = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
        u8::from_str_radix(text, 16).ok().filter(|_| plain)
    };
    let octets: Option<Vec<u8>> = value.split(':').map(octet).collect();
    let mac = octets.and_then(|octets| <[u8; 6]>::try_from(octets).ok());
    let mac = mac.ok_or_else(|| {
        because(
            "ether_aton: Invalid argument",
            format!("{value} is no Ethernet address"),
        )
    })?;
    Ok(Change::Lladdr(Lladdr::Chosen(MacAddr(mac))))
}

/// `description "text"`.
pub fn description(_: &str, value: &str) -> Result<Change, Refusal> {
    Ok(Change::Description(Some(value.to_owned())))
}

/// `group ha`.
pub fn group(_: &str, value: &str) -> Result<Change, Refusal> {
    if value.ends_with(|c: char| c.is_ascii_digit()) {
        return Err(plain("setifgroup: group names may not end in a digit"));
    }
    Ok(Change::Group(value.to_owned()))
}

/// `-group ha`.
pub fn leave_group(_: &str, value: &str) -> Result<Change, Refusal> {
    if value.ends_with(|c: char| c.is_ascii_digit()) {
        return Err(plain("unsetifgroup: group names may not end in a digit"));
    }
    Ok(Change::LeaveGroup(value.to_owned()))
}

/// `mtu 1400`.
pub fn mtu(word: &str, value: &str) -> Result<Change, Refusal> {
    Ok(Change::Mtu(Some(whole(word, value)?)))
}

/// `metric 1`.
pub fn metric(word: &str, value: &str) -> Result<Change, Refusal> {
    Ok(Change::Metric(whole(word, value)?))
}

/// `rdomain 0`.
pub fn rdomain(word: &str, value: &str) -> Result<Change, Refusal> {
    Ok(Change::Rdomain(whole(word, value)?))
}

/// `carpdev eth0`.
pub fn carpdev(argument: &OsStr) -> Result<String, Refusal> {
    let name = argument.to_str().filter(|name| {
        let wrong = |c: char| c == '/' || c.is_whitespace() || c.is_control();
        !name.is_empty() && name.len() <= NAME_MAX && !name.contains(wrong)
    });
    let invalid = || {
        because(
            "SIOCSVH: Invalid argument",
            format!("'{}' is no interface's name", argument.to_string_lossy()),
        )
    };
    name.map(str::to_owned).ok_or_else(invalid)
}

/// What may stand behind `-g GROUP`.
pub const GROUP_WORDS: [&str; 4] = ["carpdemote", "-carpdemote", "drain", "undrain"];

/// What `-g GROUP` is followed by: `carpdemote [n]`, `-carpdemote [n]`. `None`: another word.
pub fn demote(words: &[&str]) -> Option<Result<i16, Refusal>> {
    let (sign, amount) = match words {
        ["carpdemote", rest @ ..] => (1, rest),
        ["-carpdemote", rest @ ..] => (-1, rest),
        _ => return None,
    };
    let amount = match amount {
        [] => Ok(1),
        [text] => address::number(text, 0, DEMOTE_MAX),
        _ => return None,
    };
    Some(match amount {
        Ok(amount) => Ok(sign * i16::from(amount)),
        Err(wrong) => Err(plain(format!("invalid carp demotion: {wrong}"))),
    })
}

/// strtonum(3) from 0 to INT_MAX.
fn whole(word: &str, value: &str) -> Result<u32, Refusal> {
    let wrong = |wrong| Err(plain(format!("{word} {value}: {wrong}")));
    match value.trim_start().parse::<i128>() {
        Ok(number) if number < 0 => wrong("too small"),
        Ok(number) => match i32::try_from(number) {
            Ok(number) => Ok(number.unsigned_abs()),
            Err(_) => wrong("too large"),
        },
        Err(_) if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => {
            wrong("too large")
        }
        Err(_) => wrong("invalid"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn text(change: Result<Change, Refusal>) -> String {
        change.unwrap_err().text
    }

    #[test]
    fn nodes_are_pairs() {
        assert_eq!(carpnodes("", "7:100"), Ok(Change::Nodes(vec![(7, 100)])));
        for (value, wrong) in [
            ("1-0", "non parsable arg: 1-0"),
            ("1:", "non parsable arg: 1:"),
            ("1:0,x", "non parsable arg: x"),
            ("300:0", "vhid 300: value too large"),
            ("0:0", "vhid 0: value too small"),
            ("1:255", "advskew 255: value too large"),
        ] {
            assert_eq!(text(carpnodes("", value)), wrong, "{value}");
        }
        let many = ["1:0"; 33].join(",");
        assert_eq!(text(carpnodes("", &many)), "too many carp nodes");
        assert_eq!(
            carpnodes("", "1:0,2:100"),
            Ok(Change::Nodes(vec![(1, 0), (2, 100)]))
        );
        assert_eq!(
            balancing("", "ip-stealth"),
            Ok(Change::Balancing(Balancing::IpStealth))
        );
        assert_eq!(text(hash("", "ip")), "hash ip: unknown mode");
        assert_eq!(
            hash("", "mac,order"),
            Ok(Change::Hash(Some(Selector::Mac {
                big_endian: false,
                order: true
            })))
        );
        assert_eq!(text(balancing("", "foo")), "balancing foo: unknown mode");
    }

    #[test]
    fn peers_are_addresses_of_one_family() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(
            peers("carppeer", "192.0.2.2,192.0.2.3"),
            Ok(Change::Peers(
                Family::Inet,
                vec![ip("192.0.2.2"), ip("192.0.2.3")]
            ))
        );
        assert_eq!(
            peers6("peer6", "fe80::2%eth0,2001:db8::2"),
            Ok(Change::Peers(
                Family::Inet6,
                vec![ip("fe80::2"), ip("2001:db8::2")]
            ))
        );
        assert_eq!(
            text(peers("carppeer", "::1")),
            "only IPv4 addresses supported for the carppeer"
        );
        assert_eq!(
            text(peers("carppeer", "gate")),
            "error in parsing address string: gate"
        );
        for wrong in ["192.0.2.2", "2001:db8::2%eth0", "", "fe80::2%"] {
            assert_eq!(
                text(peers6("peer6", wrong)),
                format!("Invalid IPv6 address {wrong}")
            );
        }
    }

    #[test]
    fn an_ethernet_address_has_six_octets() {
        let chosen = |bytes| Ok(Change::Lladdr(Lladdr::Chosen(MacAddr(bytes))));
        assert_eq!(lladdr("", "2:0:0:0:0:1"), chosen([2, 0, 0, 0, 0, 1]));
        assert_eq!(
            lladdr("", "fe:FF:00:01:02:03"),
            chosen([254, 255, 0, 1, 2, 3])
        );
        assert_eq!(lladdr("", "carpdev"), Ok(Change::Lladdr(Lladdr::Carpdev)));
        for wrong in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:00:01",
            "+2:0:0:0:0:1",
            "x",
        ] {
            assert_eq!(text(lladdr("", wrong)), "ether_aton: Invalid argument");
        }
    }

    #[test]
    fn demotions_and_numbers_are_judged_as_strtonum_does() {
        assert_eq!(demote(&["carpdemote"]), Some(Ok(1)));
        assert_eq!(demote(&["-carpdemote", "128"]), Some(Ok(-128)));
        assert_eq!(demote(&["carpdemote", "0"]), Some(Ok(0)));
        let wrong = |value| demote(&["carpdemote", value]).unwrap().unwrap_err().text;
        assert_eq!(wrong("129"), "invalid carp demotion: too large");
        assert_eq!(wrong("-1"), "invalid carp demotion: too small");
        assert_eq!(wrong("x"), "invalid carp demotion: invalid");
        assert_eq!(demote(&["up"]), None);
        assert_eq!(demote(&["carpdemote", "1", "2"]), None);
        assert_eq!(mtu("mtu", "1400"), Ok(Change::Mtu(Some(1400))));
        assert_eq!(text(mtu("mtu", "x")), "mtu x: invalid");
        assert_eq!(text(mtu("mtu", "-1")), "mtu -1: too small");
        assert_eq!(
            text(mtu("mtu", &"9".repeat(60))),
            format!("mtu {}: too large", "9".repeat(60))
        );
        assert_eq!(
            text(metric("metric", "2147483648")),
            "metric 2147483648: too large"
        );
    }

    #[test]
    fn groups_do_not_end_in_a_digit() {
        assert_eq!(
            text(group("group", "ha1")),
            "setifgroup: group names may not end in a digit"
        );
        assert_eq!(group("group", "ha"), Ok(Change::Group("ha".into())));
        assert_eq!(
            leave_group("-group", "ha"),
            Ok(Change::LeaveGroup("ha".into()))
        );
    }
}
