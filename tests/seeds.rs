//! The lines of the BSDs' own tests and of the guides that sent people here, as typed, on hosts in namespaces.
#![allow(clippy::unwrap_used)]

mod support;

use carp::wire::MacAddr;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;
use support::driver::Done;
use support::hosts::{Host, SOON, Segment, until};
use support::scene::SHARED;
use support::talk::{Service, who};

const VIRTUAL: MacAddr = MacAddr([0, 0, 0x5e, 0, 1, 1]);
/// What the tests of NetBSD allow a handover.
const HANDOVER: Duration = Duration::from_secs(6);

/// A shell on a host where ifconfig and sysctl are ours, with the manners of a system.
fn shell(host: &Host, personality: &str, script: &str) -> Done {
    let carp = env!("CARGO_BIN_EXE_carp");
    let bin = host.run.join("bin");
    if !bin.exists() {
        std::fs::create_dir(&bin).unwrap();
        symlink(carp, bin.join("ifconfig")).unwrap();
    }
    let front = |name: &str| format!("{name}() {{ {carp} {name} \"$@\"; }}\n");
    let mut command = Command::new("/bin/sh");
    let script = front("sysctl") + &front("netstat") + script;
    command.args(["-ec", &script]).env_clear();
    command.env(
        "PATH",
        format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display()),
    );
    command.env("CARP_RUN", &host.run);
    command.env("CARP_PERSONALITY", personality);
    host.finish(&mut command)
}

/// A script that must succeed and say nothing on standard error.
#[track_caller]
fn typed(host: &Host, personality: &str, script: &str) -> String {
    let done = shell(host, personality, script);
    assert!(
        done.code == Some(0) && done.err.is_empty(),
        "{}: {script}: {done:?}",
        host.name
    );
    done.out
}

/// Whether a script comes to its end.
fn so(host: &Host, personality: &str, script: &str) -> bool {
    shell(host, personality, script).code == Some(0)
}

/// net-tools configures the interfaces that are not carp's.
fn net_tools() -> bool {
    let there = ["/sbin/ifconfig", "/usr/sbin/ifconfig"]
        .iter()
        .any(|path| std::path::Path::new(path).exists());
    if !there {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default();
        eprintln!("skipped: {name}: net-tools is not installed");
    }
    there
}

/// Two hosts and a client on a segment, without addresses.
fn bare() -> [Host; 3] {
    let segment = Segment::new();
    [("a", 0x0a), ("b", 0x0b), ("c", 0x0c)]
        .map(|(name, number)| Host::on(&segment, name, number, &[]))
}

#[test]
fn the_guide_to_pfsense() {
    support::privileged!();
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    let lines = "ifconfig carp1 create\n\
        ifconfig carp1 vhid 1 pass password carpdev eth0 \\\n        advskew 100 192.0.2.1 netmask 255.255.255.0\n\
        sysctl net.inet.carp.preempt=1\n";
    assert_eq!(
        typed(&a, "openbsd", lines),
        "net.inet.carp.preempt: 0 -> 1\n"
    );
    // The guide's own slip.
    let slip = shell(&a, "openbsd", "sysctl net.inet.card.allow=1");
    assert_eq!(slip.code, Some(1));
    assert!(
        slip.err.ends_with("did you mean net.inet.carp.allow?\n"),
        "{slip:?}"
    );
    let state = "ifconfig carp1 | awk '/carp:/ {print $2}'";
    assert_eq!(typed(&a, "openbsd", state), "BACKUP\n");
    // pfSense 2.2 and later look for it on the parent.
    assert_eq!(
        typed(&a, "freebsd", "ifconfig eth0 | grep carp:"),
        "\tcarp: BACKUP vhid 1 advbase 1 advskew 100\n"
    );
    let status = "ifconfig carp1 | awk '/status:/ {print $2}'";
    assert!(until(SOON, || typed(&a, "openbsd", status) == "master\n"));
}

#[test]
fn pfsense_before_2_2() {
    support::privileged!();
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    assert_eq!(typed(&a, "freebsd9", "ifconfig carp create"), "carp0\n");
    typed(
        &a,
        "freebsd9",
        "ifconfig carp0 vhid 1 advskew 0 pass secret 192.0.2.1/24\nifconfig carp0 192.0.2.2/32 alias",
    );
    assert_eq!(
        typed(&a, "freebsd9", "ifconfig carp0"),
        "carp0: flags=49<UP,LOOPBACK,RUNNING> metric 0 mtu 1500\n\
         \tinet 192.0.2.1 netmask 0xffffff00\n\tinet 192.0.2.2 netmask 0xffffffff\n\
         \tcarp: BACKUP vhid 1 advbase 1 advskew 0\n\tgroups: carp\n"
    );
    // The parent was found by the address.
    let shown = typed(&a, "openbsd", "ifconfig carp0 | grep carpdev");
    assert!(shown.contains(" carpdev eth0 "), "{shown}");
    for (line, text) in [
        (
            "carp1 create vhid 1 198.51.100.1/24",
            "SIOCAIFADDR: Can't assign requested address",
        ),
        ("carp1 vhid 2", "interface carp1 does not exist"),
        ("carp0 create", "interface carp0 already exists"),
        ("carp1 create vhid 1 192.0.2.3/24", "SIOCSVH: File exists"),
    ] {
        let refused = shell(&a, "freebsd9", &format!("ifconfig {line}"));
        assert_eq!(refused.code, Some(1), "{line}");
        let first = refused.err.lines().next();
        assert_eq!(first, Some(format!("ifconfig: {text}").as_str()), "{line}");
    }
    assert_eq!(typed(&a, "openbsd", "ifconfig -l"), "carp0\n");
}

#[test]
fn freebsd_basic_v4() {
    support::privileged!();
    if !net_tools() {
        return;
    }
    let [two, three, one] = bare();
    let _services = [Service::on(&two), Service::on(&three)];
    typed(&one, "freebsd", "ifconfig eth0 192.0.2.4/29 up");
    typed(
        &two,
        "freebsd",
        "ifconfig eth0 192.0.2.202/29 up\nifconfig eth0 add vhid 1 192.0.2.1/29",
    );
    typed(
        &three,
        "freebsd",
        "ifconfig eth0 192.0.2.203/29 up\nifconfig eth0 add vhid 1 \\\n    192.0.2.1/29",
    );
    one_master_answers(&[&two, &three], &one, SHARED);
}

#[test]
fn freebsd_basic_v6() {
    support::privileged!();
    let [two, three, one] = bare();
    let _services = [Service::on(&two), Service::on(&three)];
    one.address("eth0", "2001:db8::0:4/64");
    for (host, address) in [(&two, "2001:db8::1:2/64"), (&three, "2001:db8::1:3/64")] {
        host.address("eth0", address);
        typed(
            host,
            "freebsd",
            "ifconfig eth0 inet6 add vhid 1 \\\n    2001:db8::0:1/64",
        );
    }
    one_master_answers(&[&two, &three], &one, "2001:db8::1");
}

const IS_MASTER: &str = "ifconfig eth0 | grep carp | grep -q MASTER";

#[track_caller]
fn one_master_answers(hosts: &[&Host], client: &Host, shared: &str) {
    let master = |host: &&&Host| so(host, "freebsd", IS_MASTER);
    assert!(until(SOON, || hosts.iter().any(|host| master(&host))));
    assert!(who(client, shared, None).is_ok());
    // Long enough for the other one to have heard of it.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(hosts.iter().filter(master).count(), 1, "two masters");
    assert_eq!(client.neighbour("eth0", shared), Some(VIRTUAL));
}

/// The client of the tests of unicast is a router between the networks of both hosts.
fn routed(own: [&str; 3], gateways: [&str; 2]) -> [Host; 3] {
    let hosts = bare();
    let [two, three, one] = &hosts;
    one.sysctl("net/ipv4/ip_forward", "1");
    one.sysctl("net/ipv6/conf/all/forwarding", "1");
    for address in own {
        one.address("eth0", address);
    }
    let all = if own[0].contains(':') {
        "::/0"
    } else {
        "0.0.0.0/0"
    };
    for (host, (gateway, local)) in [two, three].into_iter().zip(gateways.map(|g| (g, g))) {
        let mine = local
            .replace("::1", "::2")
            .replace(".1/", ".2/")
            .replace(".129/", ".130/");
        host.address("eth0", &mine);
        host.route(all, gateway.split_once('/').map(|(ip, _)| ip), "eth0");
    }
    hosts
}

#[test]
fn freebsd_unicast_v4() {
    support::privileged!();
    let [two, three, one] = routed(
        ["192.0.2.4/29", "198.51.100.1/25", "198.51.100.129/25"],
        ["198.51.100.1/25", "198.51.100.129/25"],
    );
    let _services = [Service::on(&two), Service::on(&three)];
    for (host, peer) in [(&two, "198.51.100.130"), (&three, "198.51.100.2")] {
        let line = format!("ifconfig eth0 add vhid 1 \\\n    peer {peer} 192.0.2.1/29");
        typed(host, "freebsd", &line);
        let peers = typed(host, "freebsd", "ifconfig eth0 | grep peer");
        assert_eq!(peers, format!("\t      peer {peer} peer6 ff02::12\n"));
    }
    one_master_answers(&[&two, &three], &one, SHARED);
}

#[test]
fn freebsd_unicast_v6() {
    support::privileged!();
    let [two, three, one] = routed(
        ["2001:db8::4/64", "2001:db8:1::1/64", "2001:db8:2::1/64"],
        ["2001:db8:1::1/64", "2001:db8:2::1/64"],
    );
    let _services = [Service::on(&two), Service::on(&three)];
    for (host, peer) in [(&two, "2001:db8:2::2"), (&three, "2001:db8:1::2")] {
        let line =
            format!("ifconfig eth0 inet6 add vhid 1 \\\n    peer6 {peer} \\\n    2001:db8::0:1/64");
        typed(host, "freebsd", &line);
    }
    one_master_answers(&[&two, &three], &one, "2001:db8::1");
}

#[test]
fn freebsd_unicast_ll_v6() {
    support::privileged!();
    let [two, three, one] = bare();
    one.address("eth0", "2001:db8::4/64");
    let _services = [Service::on(&two), Service::on(&three)];
    for (host, own, peer) in [
        (&two, "fe80::2/64", "fe80::3"),
        (&three, "fe80::3/64", "fe80::2"),
    ] {
        host.address("eth0", own);
        let line = format!("ifconfig eth0 inet6 add vhid 1 peer6 {peer} 2001:db8::0:1/64");
        typed(host, "freebsd", &line);
    }
    one_master_answers(&[&two, &three], &one, "2001:db8::1");
}

/// OpenBSD's carp_1 to carp_4: who is to be master, what makes it yield, and whether both talk by unicast.
fn regress(rest: [&str; 2], demoted: bool) {
    let [one, two, client] = bare();
    client.address("eth0", "192.0.2.40/24");
    for (host, number, address, rest) in [
        (&one, 1, "192.0.2.2/24", rest[0]),
        (&two, 2, "192.0.2.3/24", rest[1]),
    ] {
        host.address("eth0", address);
        let letter = if number == 1 { "a" } else { "b" };
        // Theirs puts both hosts into one machine, apart by rdomain, and gives each the address of its own parent.
        let line = format!(
            "ifconfig carp{number} lladdr 02:00:00:00:00:0{letter} 192.0.2.1/24 \\\n    \
             vhid 251 carpdev eth0 -group carp group regress{letter} \\\n    {rest}"
        );
        typed(host, "openbsd", &line);
    }
    let status = |host: &Host, number: u8, status: &str| {
        let script = format!("ifconfig carp{number} | grep -q 'status: {status}'");
        until(SOON, || so(host, "openbsd", &script))
    };
    assert!(status(&one, 1, "master"));
    assert!(status(&two, 2, "backup"));
    if demoted {
        typed(&one, "openbsd", "ifconfig -g regressa carpdemote");
    } else {
        typed(&one, "openbsd", "ifconfig carp1 down");
    }
    assert!(status(&two, 2, "master"));
    assert!(status(&one, 1, if demoted { "backup" } else { "invalid" }));
}

#[test]
fn openbsd_regress_by_multicast() {
    support::privileged!();
    regress(["", "advskew 100"], true);
    regress(["", "advskew 100"], false);
}

#[test]
fn openbsd_regress_by_unicast() {
    support::privileged!();
    regress(
        ["carppeer 192.0.2.3", "advskew 100 carppeer 192.0.2.2"],
        true,
    );
}

#[test]
fn freebsd_negative_demotion() {
    support::privileged!();
    let [one, two, client] = bare();
    client.address("eth0", "192.0.2.3/24");
    let _services = [Service::on(&one), Service::on(&two)];
    for (host, address, advskew) in [(&one, "192.0.2.1/24", 0), (&two, "192.0.2.2/24", 100)] {
        host.address("eth0", address);
        typed(host, "freebsd", "sysctl net.inet.carp.preempt=1");
        let line = format!(
            "ifconfig eth0 add vhid 1 192.0.2.254/24 \\\n    advskew {advskew} pass foobar"
        );
        let refused = shell(host, "freebsd", &line.replace("add vhid 1", "add"));
        assert_eq!(
            refused.err, "ifconfig: advskew requires vhid\n",
            "{refused:?}"
        );
        typed(host, "freebsd", &line);
    }
    one_master_answers(&[&one, &two], &client, "192.0.2.254");
    assert!(until(SOON, || so(&one, "freebsd", IS_MASTER)));
    typed(&one, "freebsd", "sysctl net.inet.carp.demotion=-1");
    std::thread::sleep(Duration::from_secs(3));
    assert!(so(&one, "freebsd", IS_MASTER), "a negative total wrapped");
    assert!(!so(&two, "freebsd", IS_MASTER), "two masters");
    assert_eq!(
        typed(&one, "freebsd", "sysctl -n net.inet.carp.demotion"),
        "-1\n"
    );
}

#[test]
fn freebsd_nd6_ns_source_mac() {
    support::privileged!();
    let [master, slave, bridge] = bare();
    bridge.address("eth0", "2001:db8::0:4/64");
    for (host, address, advskew) in [
        (&master, "2001:db8::1:2/64", 0),
        (&slave, "2001:db8::1:3/64", 100),
    ] {
        host.address("eth0", address);
        typed(
            host,
            "freebsd",
            &format!("ifconfig eth0 inet6 add vhid 1 \\\n    advskew {advskew} 2001:db8::0:1/64"),
        );
    }
    assert!(until(SOON, || so(&master, "freebsd", IS_MASTER)));
    let from_shared = |host: &Host| {
        host.place.run(|| {
            let socket = std::net::UdpSocket::bind("[2001:db8::1]:0")?;
            socket.send_to(b"x", "[2001:db8::4]:9").map(drop)
        })
    };
    assert!(from_shared(&slave).is_err(), "a BACKUP has no such address");
    // An address that was just added is used as soon as the kernel has it.
    assert!(until(SOON, || from_shared(&master).is_ok()));
    assert!(until(SOON, || bridge.neighbour("eth0", "2001:db8::1")
        == Some(VIRTUAL)));
}

#[test]
fn freebsd_switch() {
    support::privileged!();
    if !net_tools() {
        return;
    }
    let [a, ..] = bare();
    typed(
        &a,
        "freebsd",
        "ifconfig eth0 up\nifconfig eth0 vhid 1 advskew 100 192.0.2.1/24\n\
         ifconfig eth0 vhid 1 state backup\nifconfig eth0 vhid 1 state master",
    );
    assert!(until(SOON, || so(&a, "freebsd", IS_MASTER)));
    // The last address of a vhid takes it along; there was one carpN behind it all the time.
    assert_eq!(typed(&a, "openbsd", "ifconfig -l"), "carp0\n");
    typed(&a, "freebsd", "ifconfig eth0 192.0.2.1 -alias");
    assert!(!so(&a, "freebsd", "ifconfig eth0 | grep -q carp"));
    assert_eq!(typed(&a, "openbsd", "ifconfig -l"), "");
}

#[test]
fn freebsds_line_under_its_parent() {
    support::privileged!();
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.10/24"]);
    typed(
        &a,
        "freebsd",
        "ifconfig eth0 vhid 1 advskew 100 pass P 192.0.2.1/32 alias\n\
         ifconfig eth0 inet6 vhid 1 2001:db8::1/128 alias\n\
         ifconfig eth0 vhid 2 advskew 50 pass P 192.0.2.2/32 alias\n\
         ifconfig eth0 vhid 1 advskew 0",
    );
    let shown = typed(&a, "freebsd", "ifconfig eth0");
    // What a veth offloads is the kernel's choice.
    let lines: Vec<_> = shown
        .lines()
        .filter(|line| !line.contains("fe80") && !line.starts_with("\toptions="))
        .collect();
    assert_eq!(
        lines,
        [
            "eth0: flags=8943<UP,BROADCAST,RUNNING,PROMISC,SIMPLEX,MULTICAST> metric 0 mtu 1500",
            "\tether 02:00:00:00:00:0a",
            "\tinet 192.0.2.10 netmask 0xffffff00 broadcast 192.0.2.255",
            "\tinet 192.0.2.1 netmask 0xffffffff broadcast 192.0.2.1 vhid 1",
            "\tinet 192.0.2.2 netmask 0xffffffff broadcast 192.0.2.2 vhid 2",
            "\tinet6 2001:db8::1 prefixlen 128 vhid 1",
            "\tcarp: BACKUP vhid 1 advbase 1 advskew 0",
            "\t      peer 224.0.0.18 peer6 ff02::12",
            "\tcarp: BACKUP vhid 2 advbase 1 advskew 50",
            "\t      peer 224.0.0.18 peer6 ff02::12",
            "\tmedia: Ethernet 10Gbase-T <full-duplex>",
            "\tstatus: active",
            "\tnd6 options=23<PERFORMNUD,ACCEPT_RTADV,AUTO_LINKLOCAL>",
        ]
    );
    assert_eq!(typed(&a, "freebsd", "ifconfig -l -u ether"), "eth0\n");
    let all = typed(&a, "freebsd", "ifconfig -a");
    assert!(all.contains(&shown) && !all.contains("carp0"), "{all}");
    let both = typed(&a, "openbsd", "ifconfig -a");
    assert!(both.contains("carp0: flags=8843<"), "{both}");
    assert_eq!(both.matches("carp0").count(), 1, "{both}");
}

/// NetBSD's t_basic: what happens to the master.
enum Blow {
    /// rump.halt
    Halt,
    /// ifconfig shmif0 down
    Down,
}

/// One of its cases, with a parent found by its address, or named and without one.
fn handover(inet6: bool, addressed: bool, blow: &Blow) {
    support::privileged!();
    if !net_tools() {
        return;
    }
    let [master, backup, client] = bare();
    let (shared, own): (_, [_; 3]) = if inet6 {
        (
            "2001:db8::100",
            ["2001:db8::1/64", "2001:db8::2/64", "2001:db8::240/64"],
        )
    } else {
        (
            "192.0.2.100",
            ["192.0.2.1/24", "192.0.2.2/24", "192.0.2.240/24"],
        )
    };
    client.address("eth0", own[2]);
    let _service = Service::on(&backup);
    let carpdev = if addressed { "" } else { "carpdev eth0 " };
    for (host, address, carpif, advskew) in [
        (&master, own[0], "carp0", 0),
        (&backup, own[1], "carp1", 200),
    ] {
        host.daemon();
        if addressed {
            host.address("eth0", address);
        }
        let family = if inet6 { "inet6 " } else { "" };
        let mask = if inet6 { "" } else { " netmask 255.255.255.0" };
        typed(
            host,
            "netbsd",
            &format!(
                "ifconfig {carpif} create\nifconfig {carpif} {family}\\\n    \
                 vhid 175 advskew {advskew} advbase 1 pass s3cret {carpdev}\\\n    {shared}{mask}"
            ),
        );
    }
    let is = |host: &Host, carpif: &str, state: &str| {
        so(
            host,
            "netbsd",
            &format!("ifconfig {carpif} | grep -q 'carp: {state} carpdev eth0'"),
        )
    };
    assert!(until(SOON, || is(&master, "carp0", "MASTER")));
    assert!(is(&backup, "carp1", "BACKUP"));
    match blow {
        Blow::Halt => drop(master.kill()),
        Blow::Down => drop(typed(&master, "netbsd", "ifconfig eth0 down")),
    }
    let answered = until(HANDOVER, || {
        who(&client, shared, None).is_ok_and(|name| name == "b")
    });
    assert!(answered, "{shared} does not answer within 6 s");
    assert!(is(&backup, "carp1", "MASTER"));
}

#[test]
fn netbsd_handover_halt() {
    handover(false, true, &Blow::Halt);
}

#[test]
fn netbsd_handover_ifdown() {
    handover(false, true, &Blow::Down);
}

#[test]
fn netbsd_handover_halt_without_an_address() {
    handover(false, false, &Blow::Halt);
}

#[test]
fn netbsd_handover_ifdown_without_an_address() {
    handover(false, false, &Blow::Down);
}

#[test]
fn netbsd_handover_halt_v6() {
    handover(true, true, &Blow::Halt);
}

#[test]
fn netbsd_handover_ifdown_v6() {
    handover(true, true, &Blow::Down);
}

#[test]
fn netbsd_handover_halt_v6_without_an_address() {
    handover(true, false, &Blow::Halt);
}

#[test]
fn netbsd_handover_ifdown_v6_without_an_address() {
    handover(true, false, &Blow::Down);
}
