//! What each system prints, byte for byte, in every state and with every value of the flags.
#![allow(clippy::unwrap_used)]

use super::facts::{Facts, Keys, of};
use super::print::tests::{configured, fresh};
use crate::carp::config::{Key, State, Unit};
use crate::cli::personality::Personality;
use crate::control::link::{Address, Hardware, Link, Media, Nd6, Offloads};
use crate::control::{Family, Interface, MacAddr};

fn facts(personality: Personality) -> &'static Facts {
    of(personality)
}

fn link(personality: Personality, link: &Link, groups: &[Interface]) -> String {
    (facts(personality).link)(link, groups, &Keys::new(), None)
}

/// As configured, but of IPv4 only, so that the texts stay short.
fn plain(state: State) -> Interface {
    Interface {
        addresses: vec!["192.0.2.1/24".parse().unwrap()],
        ..configured(state)
    }
}

fn down() -> Interface {
    Interface {
        up: false,
        ..plain(State::Init)
    }
}

/// The text of every state of a carpN, and of a fresh one.
fn states(personality: Personality) -> [String; 5] {
    let text = |interface: &Interface| (facts(personality).carp)(interface, None);
    [
        text(&fresh()),
        text(&down()),
        text(&plain(State::Init)),
        text(&plain(State::Backup)),
        text(&plain(State::Master)),
    ]
}

#[test]
fn freebsd9_in_every_state() {
    let rest = |state| {
        format!(
            "\tinet 192.0.2.1 netmask 0xffffff00\n\
             \tcarp: {state} vhid 1 advbase 1 advskew 0\n\
             \tgroups: carp\n"
        )
    };
    let expected = [
        "carp0: flags=8<LOOPBACK> metric 0 mtu 1500\n\tgroups: carp\n".to_owned(),
        format!(
            "carp0: flags=8<LOOPBACK> metric 0 mtu 1500\n{}",
            rest("INIT")
        ),
        format!(
            "carp0: flags=9<UP,LOOPBACK> metric 0 mtu 1500\n{}",
            rest("INIT")
        ),
        format!(
            "carp0: flags=49<UP,LOOPBACK,RUNNING> metric 0 mtu 1500\n{}",
            rest("BACKUP")
        ),
        format!(
            "carp0: flags=49<UP,LOOPBACK,RUNNING> metric 0 mtu 1500\n{}",
            rest("MASTER")
        ),
    ];
    assert_eq!(states(Personality::Freebsd9), expected);
}

#[test]
fn netbsd_in_every_state() {
    let rest = |state| {
        format!(
            "\tcarp: {state} carpdev em0 vhid 1 advbase 1 advskew 0\n\
             \taddress: 00:00:5e:00:01:01\n\
             \tinet 192.0.2.1 netmask 0xffffff00 broadcast 192.0.2.255\n"
        )
    };
    let with = |flags: &str, rest: String| format!("carp0: flags={flags} mtu 1500\n{rest}");
    let running = "8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST>";
    let expected = [
        with(
            "8802<BROADCAST,SIMPLEX,MULTICAST>",
            "\taddress: 00:00:5e:00:01:ff\n".to_owned(),
        ),
        with("8802<BROADCAST,SIMPLEX,MULTICAST>", rest("INIT")),
        with("8803<UP,BROADCAST,SIMPLEX,MULTICAST>", rest("INIT")),
        with(running, rest("BACKUP")),
        with(running, rest("MASTER")),
    ];
    assert_eq!(states(Personality::Netbsd), expected);
}

#[test]
fn openbsd_in_every_state() {
    let with = |flags: &str, carp: &str, status: &str, inet: &str| {
        format!(
            "carp0: flags={flags} mtu 1500\n\
             \tlladdr 00:00:5e:00:01:01\n\
             \tindex 6 priority 15 llprio 3\n\
             {carp}\
             \tgroups: carp\n\
             \tstatus: {status}\n\
             {inet}"
        )
    };
    let carp = |state: &str| format!("\tcarp: {state} carpdev em0 vhid 1 advbase 1 advskew 0\n");
    let inet = "\tinet 192.0.2.1 netmask 0xffffff00 broadcast 192.0.2.255\n";
    let down = "8802<BROADCAST,SIMPLEX,MULTICAST>";
    let running = "8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST>";
    let expected = [
        with(down, "", "invalid", ""),
        with(down, &carp("INIT"), "invalid", inet),
        with(
            "8803<UP,BROADCAST,SIMPLEX,MULTICAST>",
            &carp("INIT"),
            "invalid",
            inet,
        ),
        with(running, &carp("BACKUP"), "backup", inet),
        with(running, &carp("MASTER"), "master", inet),
    ];
    assert_eq!(states(Personality::Openbsd), expected);
}

#[test]
fn what_is_only_shown_when_it_is_set() {
    let set = Interface {
        debug: true,
        metric: 7,
        mtu: 1400,
        description: Some("Router \u{1b}[2J".into()),
        peers: ["192.0.2.2", "2001:db8::2", "192.0.2.3"]
            .iter()
            .map(|ip| ip.parse().unwrap())
            .collect(),
        groups: vec!["carp".into(), "ha".into()],
        ..plain(State::Master)
    };
    let expected = "\
carp0: flags=8847<UP,BROADCAST,DEBUG,RUNNING,SIMPLEX,MULTICAST> metric 7 mtu 1400
\tlladdr 00:00:5e:00:01:01
\tdescription: Router \\u{1b}[2J
\tindex 6 priority 15 llprio 3
\tcarp: MASTER carpdev em0 vhid 1 advbase 1 advskew 0 carppeer 192.0.2.2,192.0.2.3 peer6 2001:db8::2
\tgroups: carp ha
\tstatus: master
\tinet 192.0.2.1 netmask 0xffffff00 broadcast 192.0.2.255
";
    assert_eq!((facts(Personality::Openbsd).carp)(&set, None), expected);
    let expected = "\
carp0: flags=4d<UP,DEBUG,LOOPBACK,RUNNING> metric 7 mtu 1400
\tdescription: Router \\u{1b}[2J
\tinet 192.0.2.1 netmask 0xffffff00
\tcarp: MASTER vhid 1 advbase 1 advskew 0
\tgroups: carp ha
";
    assert_eq!((facts(Personality::Freebsd9).carp)(&set, None), expected);
    let text = link(Personality::Freebsd, &em0(), &[set]);
    assert!(
        text.contains("\t      peer 192.0.2.2,192.0.2.3 peer6 2001:db8::2\n"),
        "{text}"
    );
}

#[test]
fn aliases_and_both_families() {
    let several = Interface {
        addresses: [
            "192.0.2.1/24",
            "192.0.2.2/24",
            "fe80::1/64",
            "2001:db8::1/64",
        ]
        .iter()
        .map(|net| net.parse().unwrap())
        .collect(),
        ..configured(State::Master)
    };
    let tail = |personality, lines: usize| {
        let text = (facts(personality).carp)(&several, None);
        let all: Vec<_> = text.lines().map(str::to_owned).collect();
        all.into_iter()
            .filter(|line| line.starts_with("\tinet"))
            .take(lines)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        tail(Personality::Netbsd, 9),
        [
            "\tinet 192.0.2.1 netmask 0xffffff00 broadcast 192.0.2.255",
            "\tinet alias 192.0.2.2 netmask 0xffffff00 broadcast 192.0.2.255",
            "\tinet6 fe80::1%carp0 prefixlen 64 scopeid 0x6",
            "\tinet6 2001:db8::1 prefixlen 64",
        ]
    );
    assert_eq!(
        tail(Personality::Freebsd9, 9),
        [
            "\tinet 192.0.2.1 netmask 0xffffff00",
            "\tinet 192.0.2.2 netmask 0xffffff00",
            "\tinet6 fe80::1%carp0 prefixlen 64 scopeid 0x6",
            "\tinet6 2001:db8::1 prefixlen 64",
        ]
    );
}

/// Linux's UP, BROADCAST, RUNNING and MULTICAST.
const LINUX: u32 = 0x1043;

fn em0() -> Link {
    let address = |net: &str, broadcast: Option<&str>| Address {
        net: net.parse().unwrap(),
        broadcast: broadcast.map(|text| text.parse().unwrap()),
        tentative: false,
    };
    Link {
        name: "em0".into(),
        index: 1,
        flags: LINUX,
        mtu: 1500,
        lladdr: Some(MacAddr([2, 0, 0, 0, 0, 10])),
        addresses: vec![
            address("192.0.2.10/24", Some("192.0.2.255")),
            address("192.0.2.11/32", None),
            address("fe80::ff:fe00:a/64", None),
        ],
        hardware: Hardware {
            media: Some(Media {
                speed: Some(1000),
                full_duplex: true,
                autoselect: true,
            }),
            offloads: Offloads {
                rx_checksum: true,
                tx_checksum: true,
                tso: true,
                ..Offloads::default()
            },
            nd6: Some(Nd6 {
                accept_rtadv: false,
                disabled: false,
                auto_linklocal: true,
            }),
        },
    }
}

fn lo0() -> Link {
    let address = |net: &str| Address {
        net: net.parse().unwrap(),
        broadcast: None,
        tentative: false,
    };
    Link {
        name: "lo".into(),
        index: 3,
        flags: 0x49,
        mtu: 65536,
        lladdr: None,
        addresses: vec![address("127.0.0.1/8"), address("::1/128")],
        hardware: Hardware::default(),
    }
}

#[test]
fn freebsds_groups_stand_under_their_parent() {
    let mut second = configured(State::Backup);
    second.addresses = vec!["192.0.2.2/32".parse().unwrap()];
    second.vhosts[0].vhid = 2;
    second.vhosts[0].advskew = 100;
    let mut first = configured(State::Master);
    first.addresses = ["192.0.2.1/32", "2001:db8::1/128"]
        .iter()
        .map(|net| net.parse().unwrap())
        .collect();
    let groups = [first, second];
    let keys = Keys::from([(Unit(0), Key::from_pass(b"pass\x1bword"))]);
    let of = |family| (facts(Personality::Freebsd).link)(&em0(), &groups, &Keys::new(), family);
    let expected = "\
em0: flags=8943<UP,BROADCAST,RUNNING,PROMISC,SIMPLEX,MULTICAST> metric 0 mtu 1500
\toptions=600303<RXCSUM,TXCSUM,TSO4,TSO6,RXCSUM_IPV6,TXCSUM_IPV6>
\tether 02:00:00:00:00:0a
\tinet 192.0.2.10 netmask 0xffffff00 broadcast 192.0.2.255
\tinet 192.0.2.11 netmask 0xffffffff broadcast 192.0.2.11
\tinet 192.0.2.1 netmask 0xffffffff broadcast 192.0.2.1 vhid 1
\tinet 192.0.2.2 netmask 0xffffffff broadcast 192.0.2.2 vhid 2
\tinet6 fe80::ff:fe00:a%em0 prefixlen 64 scopeid 0x1
\tinet6 2001:db8::1 prefixlen 128 vhid 1
\tcarp: MASTER vhid 1 advbase 1 advskew 0
\t      peer 224.0.0.18 peer6 ff02::12
\tcarp: BACKUP vhid 2 advbase 1 advskew 100
\t      peer 224.0.0.18 peer6 ff02::12
\tmedia: Ethernet autoselect (1000baseT <full-duplex>)
\tstatus: active
\tnd6 options=21<PERFORMNUD,AUTO_LINKLOCAL>
";
    assert_eq!(of(None), expected);
    // The passphrase stands in the line of its group, whatever it holds.
    let shown = (facts(Personality::Freebsd).link)(&em0(), &groups[..1], &keys, None);
    let carp = "\tcarp: MASTER vhid 1 advbase 1 advskew 0 key \"pass\\u{1b}word\"\n\t      peer ";
    assert!(shown.contains(carp), "{shown}");
    assert!(!of(Some(Family::Inet)).contains("inet6"));
    let init = [configured(State::Init)];
    let text = link(Personality::Freebsd, &em0(), &init);
    assert!(
        text.contains("\tcarp: INIT vhid 1 advbase 1 advskew 0\n"),
        "{text}"
    );
}

#[test]
fn interfaces_of_the_system() {
    let inet = "\tinet 192.0.2.10 netmask 0xffffff00 broadcast 192.0.2.255\n\
        \tinet 192.0.2.11 netmask 0xffffffff broadcast 192.0.2.11\n\
        \tinet6 fe80::ff:fe00:a%em0 prefixlen 64 scopeid 0x1\n";
    let alias = inet.replace("inet 192.0.2.11", "inet alias 192.0.2.11");
    let flags = "8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST>";
    let ether = "\tether 02:00:00:00:00:0a\n";
    let options = "\toptions=600303<RXCSUM,TXCSUM,TSO4,TSO6,RXCSUM_IPV6,TXCSUM_IPV6>\n";
    let freebsd = format!(
        "em0: flags={flags} metric 0 mtu 1500\n{options}{ether}{inet}\
         \tmedia: Ethernet autoselect (1000baseT <full-duplex>)\n\tstatus: active\n\
         \tnd6 options=21<PERFORMNUD,AUTO_LINKLOCAL>\n"
    );
    let media = "\tmedia: Ethernet autoselect (1000baseT full-duplex)\n";
    for (personality, expected) in [
        (
            Personality::Openbsd,
            format!(
                "em0: flags={flags} mtu 1500\n\tlladdr 02:00:00:00:00:0a\n\
                 \tindex 1 priority 0 llprio 3\n{media}\tstatus: active\n{inet}"
            ),
        ),
        (Personality::Freebsd9, freebsd.clone()),
        (Personality::Freebsd, freebsd),
        (
            Personality::Netbsd,
            format!(
                "em0: flags={flags} mtu 1500\n\taddress: 02:00:00:00:00:0a\n{media}\tstatus: active\n{alias}"
            ),
        ),
    ] {
        assert_eq!(link(personality, &em0(), &[]), expected, "{personality:?}");
    }
}

#[test]
fn what_has_no_carrier_and_what_has_no_ethernet() {
    let pulled = Link {
        flags: LINUX & !0x40,
        addresses: Vec::new(),
        ..em0()
    };
    let expected = "em0: flags=8803<UP,BROADCAST,SIMPLEX,MULTICAST> mtu 1500\n\
        \tlladdr 02:00:00:00:00:0a\n\tindex 1 priority 0 llprio 3\n\
        \tmedia: Ethernet autoselect (none)\n\tstatus: no carrier\n";
    assert_eq!(link(Personality::Openbsd, &pulled, &[]), expected);
    let expected = "lo: flags=49<UP,LOOPBACK,RUNNING> metric 0 mtu 65536\n\
        \tinet 127.0.0.1 netmask 0xff000000\n\tinet6 ::1 prefixlen 128\n";
    assert_eq!(link(Personality::Freebsd, &lo0(), &[]), expected);
}

#[test]
fn a_name_of_the_system_cannot_forge_a_line() {
    let strange = Link {
        name: "e\n\tcarp: MASTER".into(),
        ..em0()
    };
    for personality in [
        Personality::Openbsd,
        Personality::Freebsd9,
        Personality::Freebsd,
        Personality::Netbsd,
    ] {
        let of = |strange: &Link| link(personality, strange, &[]).lines().count();
        assert_eq!(of(&strange), of(&em0()), "{personality:?}");
    }
}

#[test]
fn media_and_neighbour_discovery_in_every_shape() {
    let text = |personality, speed, autoselect, nd6| {
        let hardware = Hardware {
            media: Some(Media {
                speed,
                full_duplex: speed != Some(10),
                autoselect,
            }),
            nd6,
            ..Hardware::default()
        };
        let text = link(personality, &Link { hardware, ..em0() }, &[]);
        let told = text
            .lines()
            .filter(|line| line.contains("media") || line.contains("nd6"));
        told.map(str::to_owned).collect::<Vec<_>>()
    };
    for (personality, speed, autoselect, expected) in [
        (
            Personality::Freebsd9,
            Some(10),
            false,
            "10baseT/UTP <half-duplex>",
        ),
        (
            Personality::Freebsd,
            Some(10_000),
            false,
            "10Gbase-T <full-duplex>",
        ),
        (
            Personality::Openbsd,
            Some(10),
            true,
            "autoselect (10baseT half-duplex)",
        ),
        (Personality::Netbsd, None, true, "autoselect"),
        // No name is better than a wrong one.
        (Personality::Freebsd, Some(25_000), false, "autoselect"),
    ] {
        let expected = format!("\tmedia: Ethernet {expected}");
        assert_eq!(text(personality, speed, autoselect, None), [expected]);
    }
    let off = Nd6 {
        accept_rtadv: true,
        disabled: true,
        auto_linklocal: false,
    };
    let told = text(Personality::Freebsd, None, true, Some(off));
    assert_eq!(
        told[1],
        "\tnd6 options=b<PERFORMNUD,ACCEPT_RTADV,IFDISABLED>"
    );
}
