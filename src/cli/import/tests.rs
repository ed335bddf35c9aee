//! Files of the BSDs, and what they become.
#![allow(clippy::unwrap_used)]

use super::*;

fn imported(name: &str, text: &str, carpdevs: &[(&str, &str)]) -> Imported {
    let renamed = carpdevs.iter();
    let renamed = renamed.map(|(old, new)| ((*old).to_owned(), (*new).to_owned()));
    import(name, text.as_bytes(), &renamed.collect(), &|_, _| None)
}

/// All files as one text.
fn text(imported: &Imported) -> String {
    assert!(imported.wrong.is_empty(), "{:?}", imported.wrong);
    let files = imported.files.iter();
    files
        .map(|file| format!("{}\n{}", file.name, *file.text))
        .collect()
}

#[test]
fn freebsd_9() {
    let rc = r#"
hostname="a"
defaultrouter=$(echo 192.0.2.254)
ifconfig_em0="inet 192.0.2.11 netmask 255.255.255.0"
ifconfig_em1="inet 198.51.100.11/24"
ipv6_ifconfig_em0="2001:db8::11 prefixlen 64"
cloned_interfaces="carp0"
cloned_interfaces="${cloned_interfaces} carp1 vlan3"
ifconfig_carp0="vhid 1 advskew 100 \
    pass se'cr'et 192.0.2.1/24"
ifconfig_carp0_alias0='192.0.2.2/32'   # one more
ifconfig_carp1="vhid 2 pass secret 198.51.100.1 netmask 0xffffff00"
ipv6_ifconfig_carp0="2001:db8::1"
ifconfig_carp0_ipv6="inet6 2001:db8::2 prefixlen 64"
"#;
    let rc = rc.replace("se'cr'et", "secret");
    let expected = "hostname.carp0\ncarpdev eth0\nvhid 1\nadvskew 100\npass secret\n\
        inet 192.0.2.1 255.255.255.0\ninet alias 192.0.2.2 255.255.255.255\n\
        inet6 2001:db8::1 64\ninet6 alias 2001:db8::2 64\nup\n\
        hostname.carp1\ncarpdev em1\nvhid 2\npass secret\ninet 198.51.100.1 255.255.255.0\nup\n";
    let done = imported("rc.conf", &rc, &[("em0", "eth0")]);
    assert_eq!(text(&done), expected);
    assert!(done.notes.is_empty(), "{:?}", done.notes);
}

#[test]
fn freebsd_10_and_later() {
    let rc = r#"
ifconfig_em0="inet 192.0.2.11/24"
ifconfig_em0_alias0="inet vhid 1 advskew 100 pass secret alias 192.0.2.1/32"
ifconfig_em0_alias1="inet 192.0.2.99/32"
ifconfig_em0_alias2="inet6 vhid 1 advskew 100 pass secret 2001:db8::1/128"
ifconfig_em1_aliases="inet vhid 1 advbase 2 pass x 198.51.100.1/32 inet vhid 1 198.51.100.2/32 inet6 vhid 9 carpver 2 advbase 0 2001:db8:1::1/64"
"#;
    let expected = "hostname.carp0\ncarpdev em1\nvhid 1\nadvbase 2\npass x\n\
        inet 198.51.100.1 255.255.255.255\ninet alias 198.51.100.2 255.255.255.255\nup\n\
        hostname.carp1\ncarpdev eth0\nvhid 1\nadvskew 100\npass secret\n\
        inet 192.0.2.1 255.255.255.255\ninet6 2001:db8::1 128\nup\n\
        hostname.carp9\ncarpdev em1\nvhid 9\ninet6 2001:db8:1::1 64\nup\n";
    let done = imported("/etc/rc.conf", rc, &[("em0", "eth0")]);
    assert_eq!(text(&done), expected);
}

#[test]
fn netbsd() {
    let file = "create\n# the gate\nvhid 1 pass secret carpdev wm0 \\\n advskew 100 192.0.2.1 netmask 255.255.255.0\n\
        inet6 2001:db8::1 prefixlen 64 alias\n!route add -net 10 $int\nup\n";
    let done = imported("ifconfig.carp3", file, &[("wm0", "eth0")]);
    let expected = "hostname.carp3\ncarpdev eth0\nvhid 1\nadvskew 100\npass secret\n\
        inet 192.0.2.1 255.255.255.0\ninet6 2001:db8::1 64\nup\n!int=$if; route add -net 10 $int\n";
    assert_eq!(text(&done), expected);
    assert_eq!(done.notes.len(), 1, "the passphrase loses a byte there");
    let rc = "ifconfig_carp0=\"create;vhid 1 pass secret carpdev wm0 192.0.2.1/24\"";
    let expected =
        "hostname.carp0\ncarpdev wm0\nvhid 1\npass secret\ninet 192.0.2.1 255.255.255.0\nup\n";
    assert_eq!(text(&imported("rc.conf", rc, &[])), expected);
}

#[test]
fn openbsd() {
    let file = "# the gate\n!logger before\ninet 192.0.2.1 255.255.255.0 NONE vhid 1 carpdev em0 pass secret \\\n\
        advskew 100 group wan\ninet6 alias 2001:db8::1 64\n!route add 198.51.100.0/24 -iface \\$if\n";
    let done = imported("hostname.carp0", file, &[("em0", "eth0")]);
    let expected = "hostname.carp0\n!logger before\ncarpdev eth0\nvhid 1\nadvskew 100\npass secret\ngroup wan\n\
        inet 192.0.2.1 255.255.255.0\ninet6 2001:db8::1 64\nup\n!route add 198.51.100.0/24 -iface $if\n";
    assert_eq!(text(&done), expected);
    assert!(done.notes.is_empty(), "{:?}", done.notes);
}

#[test]
fn what_cannot_be_had_is_named() {
    for (name, rc, number, what) in [
        (
            "rc.conf",
            "\nifconfig_carp0=\"vhid 300 carpdev em0 192.0.2.1/24\"",
            2,
            "vhid 300: too large",
        ),
        (
            "rc.conf",
            "ifconfig_carp0=\"`id` vhid 1\"",
            1,
            "'`' means nothing here",
        ),
        (
            "rc.conf",
            "ifconfig_carp0=\"vhid 1 $(id)\"",
            1,
            "'$' means nothing here",
        ),
        (
            "rc.conf",
            "ifconfig_carp0=\"vhid 1 192.0.2.1/24\"",
            1,
            "SIOCAIFADDR: Invalid argument",
        ),
        (
            "rc.conf",
            "ifconfig_em0_alias0=\"inet vhid 1 carpver 3 192.0.2.1/32\"",
            1,
            "SIOCSVH: Operation not supported",
        ),
        ("rc.conf", "hostname=a", 0, "nothing about carp"),
        ("ifconfig.carp0", "up\nvhid x", 2, "vhid x: invalid"),
        (
            "ifconfig.em0",
            "up",
            0,
            "em0: not the name of a carp interface",
        ),
        (
            "hostname.em0",
            "up",
            0,
            "em0: not the name of a carp interface",
        ),
        ("hostname.carp0", "up\nvhid x", 2, "vhid x: invalid"),
    ] {
        let done = imported(name, rc, &[]);
        let (line, refusal) = done.wrong.first().unwrap();
        assert_eq!(*line, number, "{rc}");
        assert!(refusal.text.contains(what), "{rc}: {refusal:?}");
        assert!(done.files.is_empty(), "{rc}");
    }
}
