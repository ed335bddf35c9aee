//! Tables of command lines: what is asked, and the exact text of what is wrong.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::carp::config::State;
use Change::{Address, Advbase, Advskew, Carpdev, Create, Delete, Destroy, Down, Up, Vhid};
use std::net::IpAddr;

fn hosts(name: &str, family: Family) -> Option<IpAddr> {
    match (name, family) {
        ("gate", Family::Inet) => "192.0.2.7".parse().ok(),
        ("gate", Family::Inet6) => "2001:db8::7".parse().ok(),
        _ => None,
    }
}

fn line(text: &str) -> Result<Command, Error> {
    let arguments: Vec<OsString> = text.split_whitespace().map(OsString::from).collect();
    parse(&arguments, &hosts)
}

fn address(text: &str, alias: bool) -> Change {
    Address {
        address: text.parse().unwrap(),
        alias,
    }
}

/// The plain changes of a line for carp1.
fn changes(text: &str) -> Vec<Change> {
    let command =
        line(&format!("carp1 {text}")).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let Command::Apply {
        unit: Unit(1),
        changes,
    } = command
    else {
        panic!("{text}: {command:?}")
    };
    let plain = |typed| match typed {
        Typed::Change(change) => change,
        Typed::Pass(_) => panic!("{text}: a phrase"),
    };
    changes.into_iter().map(plain).collect()
}

fn refusal(text: &str) -> String {
    match line(text) {
        Err(Error::Refused(refusal)) => refusal.text,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn words_keep_their_order_and_the_address_comes_last() {
    for (text, expected) in [
        ("create", vec![Create]),
        ("destroy", vec![Destroy]),
        ("up", vec![Up]),
        (
            "192.0.2.1 netmask 255.255.255.0 down",
            vec![Down, address("192.0.2.1/24", false)],
        ),
        (
            "vhid 1 carpdev eth0 advskew 100",
            vec![Vhid(1), Carpdev(Some("eth0".into())), Advskew(100)],
        ),
        (
            "advbase 0 advskew 254 vhid 255",
            vec![Advbase(0), Advskew(254), Vhid(255)],
        ),
        ("advbase 254", vec![Advbase(254)]),
        (
            "create vhid 3 192.0.2.1/24 up",
            vec![Create, Vhid(3), Up, address("192.0.2.1/24", false)],
        ),
        ("state MaStEr", vec![Change::State(State::Master)]),
        ("state init", vec![Change::State(State::Init)]),
        ("state foo", vec![]),
        ("-alias up", vec![Up, Delete(None)]),
    ] {
        assert_eq!(changes(text), expected, "{text}");
    }
}

#[test]
fn the_missions_line_is_read_as_typed() {
    let text = "carp1 vhid 1 pass secret carpdev eth0 advskew 100 192.0.2.1 netmask 255.255.255.0";
    let pass = Typed::Pass(Phrase::Here(Zeroizing::new(b"secret".to_vec())));
    let expected = [
        Typed::Change(Vhid(1)),
        pass,
        Typed::Change(Carpdev(Some("eth0".into()))),
        Typed::Change(Advskew(100)),
        Typed::Change(address("192.0.2.1/24", false)),
    ];
    assert_eq!(
        line(text),
        Ok(Command::Apply {
            unit: Unit(1),
            changes: expected.into()
        })
    );
}

#[test]
fn an_address_has_every_form() {
    for (text, expected, alias) in [
        ("192.0.2.1", "192.0.2.1/24", false),
        ("10.0.0.1", "10.0.0.1/8", false),
        ("172.16.0.1", "172.16.0.1/16", false),
        ("inet 192.0.2.1", "192.0.2.1/24", false),
        ("192.0.2.1/25", "192.0.2.1/25", false),
        ("192.0.2.1/0", "192.0.2.1/32", false),
        ("192.0.2.1 netmask 255.255.255.128", "192.0.2.1/25", false),
        ("192.0.2.1 netmask 0xffffff80", "192.0.2.1/25", false),
        ("netmask 0xffffff80 192.0.2.1", "192.0.2.1/25", false),
        ("192.0.2.1 prefixlen 32", "192.0.2.1/32", false),
        ("192.0.2.1/24 prefixlen 32", "192.0.2.1/32", false),
        ("alias 192.0.2.1/24", "192.0.2.1/24", true),
        ("192.0.2.1/24 alias", "192.0.2.1/24", true),
        ("inet alias 192.0.2.1 255.255.255.0", "", true),
        ("192.0.2.1/24 broadcast 192.0.2.255", "192.0.2.1/24", false),
        ("broadcast 192.0.2.255 192.0.2.1", "192.0.2.1/24", false),
        ("192.0.2.1/24 192.0.2.255", "192.0.2.1/24", false),
        ("gate", "192.0.2.7/24", false),
        ("gate/28", "192.0.2.7/28", false),
        ("inet6 2001:db8::1", "2001:db8::1/64", false),
        ("inet6 2001:db8::1/128", "2001:db8::1/128", false),
        ("inet6 2001:db8::1 prefixlen 48", "2001:db8::1/48", false),
        ("inet6 alias 2001:db8::1/64", "2001:db8::1/64", true),
        ("inet6 fe80::1", "fe80::1/64", false),
        ("inet6 fe80::1%carp1/64 alias", "fe80::1/64", true),
        ("inet6 gate", "2001:db8::7/64", false),
    ] {
        if expected.is_empty() {
            // The mask's place is hostname.if's, not ifconfig's: there it is a destination.
            assert_eq!(
                refusal(&format!("carp1 {text}")),
                "SIOCAIFADDR: Invalid argument",
                "{text}"
            );
        } else {
            assert_eq!(changes(text), [address(expected, alias)], "{text}");
        }
    }
    assert_eq!(
        changes("vhid 1 inet6 2001:db8::1"),
        [Vhid(1), address("2001:db8::1/64", false)]
    );
}

#[test]
fn addresses_go_by_delete_and_minus_alias() {
    let inet = || Some("192.0.2.1".parse().unwrap());
    for (text, expected) in [
        ("delete", None),
        ("inet delete", None),
        ("delete 192.0.2.1", inet()),
        ("192.0.2.1 delete", inet()),
        ("-alias 192.0.2.1/24", inet()),
        ("inet -alias 192.0.2.1 netmask 255.255.255.0", inet()),
        (
            "inet6 delete 2001:db8::1",
            Some("2001:db8::1".parse().unwrap()),
        ),
        (
            "inet6 2001:db8::1/64 -alias",
            Some("2001:db8::1".parse().unwrap()),
        ),
    ] {
        assert_eq!(changes(text), [Delete(expected)], "{text}");
    }
}

#[test]
fn displays_are_told_from_changes() {
    let showing = |which, family, verbose| {
        Ok(Command::Show {
            which,
            family,
            verbose,
        })
    };
    let show = |which, family| showing(which, family, false);
    let drained = |on| {
        let group = "wan".to_owned();
        Ok(Command::Drain { group, on })
    };
    for (text, expected) in [
        ("", show(Which::All, None)),
        ("-a", show(Which::All, None)),
        ("-A", show(Which::All, None)),
        ("-a inet6", show(Which::All, Some(Family::Inet6))),
        ("carp1", show(Which::One(Unit(1)), None)),
        ("carp1 inet", show(Which::One(Unit(1)), Some(Family::Inet))),
        ("carp", show(Which::Group("carp".into()), None)),
        ("egress", show(Which::Group("egress".into()), None)),
        ("-v", showing(Which::All, None, true)),
        ("-v -a", showing(Which::All, None, true)),
        ("-v carp1", showing(Which::One(Unit(1)), None, true)),
        ("-v carp1 down", Err(Error::Usage)),
        ("-C", Ok(Command::Cloners)),
        ("-l", Ok(Command::List(None))),
        ("-l wan", Ok(Command::List(Some("wan".into())))),
        ("-l wan lan", Err(Error::Usage)),
        ("-g wan drain", drained(true)),
        ("-g wan undrain", drained(false)),
        ("-g wan -drain", drained(false)),
        ("-g wan drain 1", Err(Error::Usage)),
        ("--help", Ok(Command::Help)),
        ("-C carp1", Err(Error::Usage)),
        ("-z", Err(Error::Usage)),
        ("-", Err(Error::Usage)),
        ("-a carp1", Err(Error::Usage)),
    ] {
        assert_eq!(line(text), expected, "{text}");
    }
}

#[test]
fn wrong_words_and_values_have_openbsds_text() {
    for (text, expected) in [
        ("vhid 0", "vhid 0: too small"),
        ("vhid 256", "vhid 256: too large"),
        ("vhid x", "vhid x: invalid"),
        ("vhid -1", "vhid -1: too small"),
        ("advskew 255", "advskew 255: too large"),
        ("advskew -1", "advskew -1: too small"),
        ("advbase 256", "advbase 256: too large"),
        ("vhid", "'vhid' requires argument"),
        ("up pass", "'pass' requires argument"),
        ("passfile", "'passfile' requires argument"),
        ("carpdev", "'carpdev' requires argument"),
        ("state", "'state' requires argument"),
        ("192.0.2.1 netmask", "'netmask' requires argument"),
        ("vhid 1 nonsense", "nonsense: bad value"),
        ("192.0.2.256", "192.0.2.256: bad value"),
        ("192.0.2.1/33", "192.0.2.1/33: bad value"),
        ("192.0.2.1/", "192.0.2.1/: bad value"),
        ("192.0.2.1/24 netmask 255.0.255.0", "255.0.255.0: bad value"),
        ("192.0.2.1 prefixlen 33", "prefix 33: too large"),
        ("2001:db8::1", "2001:db8::1: bad value"),
        ("inet6 192.0.2.1", "192.0.2.1: bad value"),
        ("inet6 2001:db8::1/129", "prefix 129: too large"),
        ("inet6 fe80::1%eth0", "fe80::1%eth0: bad value"),
        ("192.0.2.1/24 192.0.2.9", "SIOCAIFADDR: Invalid argument"),
        ("192.0.2.1/24 192.0.2.255 192.0.2.2", "192.0.2.2: bad value"),
        (
            "192.0.2.1/24 broadcast 192.0.2.9",
            "SIOCAIFADDR: Invalid argument",
        ),
        ("192.0.2.1/24 inet6 2001:db8::1", "inet6: bad value"),
        ("224.0.0.18/32", "SIOCAIFADDR: Invalid argument"),
        ("netmask 255.255.255.0", "no address given"),
        ("alias", "no address given"),
        (
            "inet6 delete",
            "SIOCDIFADDR: Can't assign requested address",
        ),
        ("carpdev a/b", "SIOCSVH: Invalid argument"),
        ("carpdev sixteen-letters-", "SIOCSVH: Invalid argument"),
        ("destroy up", "'destroy' stands alone"),
        ("balancing foo", "balancing foo: unknown mode"),
        ("link0", "link0: bad value"),
        ("description", "'description' requires argument"),
        ("rtlabel x", "rtlabel: not supported yet"),
    ] {
        assert_eq!(refusal(&format!("carp1 {text}")), expected, "{text}");
    }
}

#[test]
fn a_mask_behind_an_address_is_told_from_a_wrong_broadcast_address() {
    let why = |text: &str| match line(&format!("carp1 {text}")) {
        Err(Error::Refused(refusal)) => refusal.why.unwrap(),
        other => panic!("{text}: {other:?}"),
    };
    for (text, expected) in [
        (
            "10.0.0.1 255.255.255.0",
            "netmask 255.255.255.0 is the mask",
        ),
        (
            "10.0.0.1/24 255.255.255.0",
            "netmask 255.255.255.0 is the mask",
        ),
        ("10.0.0.1/24 10.0.0.0", "of 10.0.0.1/24 is 10.0.0.255"),
        ("10.0.0.1/24 broadcast 255.255.255.0", "is 10.0.0.255"),
        ("10.0.0.1/32 10.0.0.255", "of 10.0.0.1/32 is 10.0.0.1"),
    ] {
        assert!(why(text).ends_with(expected), "{text}: {}", why(text));
    }
}

#[test]
fn names_that_are_no_carp_interface_are_refused() {
    for (text, expected) in [
        ("eth0", "eth0: no such interface"),
        ("eth0 up", "eth0: no such interface"),
        ("eth0 192.0.2.1", "eth0: no such interface"),
        ("eth0 vhid 1", "SIOCGVH: Inappropriate ioctl for device"),
        ("eth0 vhid 0", "vhid 0: too small"),
        ("eth0 create", "SIOCIFCREATE: Invalid argument"),
        ("eth0 destroy", "SIOCIFDESTROY: Invalid argument"),
        ("carp create", "SIOCIFCREATE: Invalid argument"),
        ("carp01 create", "SIOCIFCREATE: Invalid argument"),
        ("carp32768 vhid 1", "SIOCIFCREATE: Invalid argument"),
        ("carp99", "carp99: no such interface"),
        (
            "abcdefghijklmnop",
            "interface name 'abcdefghijklmnop' too long",
        ),
        (
            "abcdefghijklmnop up",
            "interface name 'abcdefghijklmnop' too long",
        ),
        ("carp destroy", "SIOCIFDESTROY: Invalid argument"),
    ] {
        if text == "carp99" {
            assert_eq!(missing(text).text, expected);
        } else {
            assert_eq!(refusal(text), expected, "{text}");
        }
    }
    assert!(missing("carp9").why.is_none() && missing("eth0").why.is_some());
}

#[test]
fn phrases_are_found_but_not_read() {
    let one = |text: &str| match line(text) {
        Ok(Command::Apply { mut changes, .. }) => changes.pop(),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(
        one("carp1 pass -"),
        Some(Typed::Pass(Phrase::StandardInput))
    );
    assert_eq!(
        one("carp1 passfile /etc/key"),
        Some(Typed::Pass(Phrase::File("/etc/key".into())))
    );
    assert_eq!(
        format!("{:?}", one("carp1 pass secret").unwrap()),
        "Pass(Here(..))"
    );
}

#[test]
fn a_phrase_need_not_be_text() {
    use std::os::unix::ffi::OsStringExt;
    let bytes = vec![0xff, 0xfe, b'x'];
    let words = [
        "carp1".into(),
        "pass".into(),
        OsString::from_vec(bytes.clone()),
    ];
    let Ok(Command::Apply { changes, .. }) = parse(&words, &hosts) else {
        panic!()
    };
    assert_eq!(
        changes,
        [Typed::Pass(Phrase::Here(Zeroizing::new(bytes.clone())))]
    );
    let words = ["carp1".into(), OsString::from_vec(bytes)];
    assert!(matches!(parse(&words, &hosts), Err(Error::Refused(_))));
}
