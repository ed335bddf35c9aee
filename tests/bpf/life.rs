//! A carpdev's life under the programs, and whom they share it with.

use super::support::hosts::{Host, SOON, Segment, own_mac, until};
use super::support::scene::{SHARED, join_numbered};
use super::support::talk::{Service, who};
use carp::linux::bpf::Hook;

use std::process::Stdio;

const PLANES: [&str; 2] = ["tcx", "clsact"];

fn pair(plane: &str) -> (Host, Host) {
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    let c = Host::on(&segment, "c", 0x0c, &["192.0.2.13/24"]);
    a.daemon_with(&["--dataplane", plane]);
    (a, c)
}

#[track_caller]
fn served(c: &Host) {
    let reached = || who(c, SHARED, None).is_ok_and(|name| name == "a");
    assert!(until(SOON, reached), "the shared address is not served");
}

/// Fails when the programs stay with the interface that is gone.
#[test]
fn a_carpdev_that_comes_back_is_served_again() {
    if !super::begin() {
        return;
    }
    for plane in PLANES {
        let (a, c) = pair(plane);
        let _service = Service::on(&a);
        join_numbered(&a, "eth0", 1, 0);
        a.master("carp1");
        served(&c);
        let segment = a.segment("eth0");
        a.unplug("eth0");
        a.until_state("carp1", "INIT");
        a.plug(&segment, "eth0", 0x0a);
        a.address("eth0", "192.0.2.11/24");
        a.until_state("carp1", "MASTER");
        served(&c);
        assert!(
            a.ok("ifconfig -v carp1")
                .contains(&format!("dataplane: {plane}\n"))
        );
    }
}

/// Fails when the programs keep the old MAC: what a yielding host sends would carry it.
#[test]
fn a_carpdev_may_change_its_mac_and_mtu() {
    if !super::begin() {
        return;
    }
    let (a, c) = pair("tcx");
    let _service = Service::on(&a);
    join_numbered(&a, "eth0", 1, 0);
    a.master("carp1");
    a.net(|net| {
        let eth0 = net.link("eth0").unwrap().unwrap().index;
        net.set_mac(eth0, own_mac(0x1a)).unwrap();
        net.set_mtu(eth0, 1400).unwrap();
    });
    served(&c);
    let follows = || a.net(|net| net.link("carp1").unwrap().unwrap().mtu == 1400);
    assert!(until(SOON, follows));
}

/// Fails when frames are counted by nobody: they pass neither the TAP nor the process.
#[test]
fn the_front_ends_count_what_passed_in_the_kernel() {
    if !super::begin() {
        return;
    }
    for plane in PLANES {
        let (a, c) = pair(plane);
        let _service = Service::on(&a);
        join_numbered(&a, "eth0", 1, 0);
        a.master("carp1");
        served(&c);
        let text = a.ok("ifconfig -v carp1");
        let packets = |way: &str| {
            let line = text.lines().find_map(|l| l.trim().strip_prefix(way));
            let number = line.and_then(|l| l.split_whitespace().next().map(str::to_owned));
            number.and_then(|n| n.parse::<u64>().ok()).unwrap()
        };
        assert!(packets("in: ") >= 4, "{plane}: {text}");
    }
}

/// Fails when a foreign program before or after ours is put out of work, or puts ours out of work.
#[test]
fn other_programs_at_the_same_hooks_go_on() {
    if !super::begin() {
        return;
    }
    let (a, c) = pair("tcx");
    let _service = Service::on(&a);
    // A second instance of ours, with nothing to serve, stands for a program that passes on.
    let loaded = || carp::dataplane::bpf::Loaded::new().unwrap();
    let eth0 = a.index("eth0");
    let early = a.net(|net| {
        carp::dataplane::bpf::Carpdev::open(net, eth0, carp::dataplane::bpf::Means::Tcx, loaded())
            .unwrap()
    });
    join_numbered(&a, "eth0", 1, 0);
    a.master("carp1");
    let late = a.net(|net| {
        carp::dataplane::bpf::Carpdev::open(
            net,
            eth0,
            carp::dataplane::bpf::Means::Clsact,
            loaded(),
        )
        .unwrap()
    });
    served(&c);
    a.net(|net| {
        early.close(net);
        late.close(net);
    });
    served(&c);
}

/// Fails when an admin's ingress qdisc, at whose place clsact cannot be, keeps the group from being served, or when ARP leaks
/// then (T2).
#[test]
fn an_ingress_qdisc_leaves_the_programs_half_of_the_way() {
    if !super::begin() {
        return;
    }
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    let c = Host::on(&segment, "c", 0x0c, &["192.0.2.13/24"]);
    let eth0 = a.index("eth0");
    a.net(|net| net.add_ingress(eth0).unwrap());
    a.daemon_with(&["--dataplane", "clsact"]);
    let _service = Service::on(&a);
    join_numbered(&a, "eth0", 1, 0);
    a.master("carp1");
    served(&c);
    assert_eq!(a.sysctl_value("net/ipv4/conf/eth0/arp_announce"), "2");
    assert_eq!(a.sysctl_value("net/ipv4/conf/eth0/arp_ignore"), "0");
    a.terminate();
    assert_eq!(a.sysctl_value("net/ipv4/conf/eth0/arp_announce"), "0");
    let left = a.net(|net| {
        (
            net.classifying().unwrap(),
            net.filters(eth0, Hook::Ingress).unwrap(),
        )
    });
    assert!(
        left.0.iter().any(|(at, _)| *at == eth0),
        "the admin's qdisc stays"
    );
    assert!(left.1.is_empty());
}

/// Starts a daemon on `a` with these capabilities and no others.
fn with_capabilities(a: &Host, capabilities: &str, then: impl FnOnce()) {
    let log = std::fs::File::create(a.run.join("log")).unwrap();
    let daemon = a.command(&["daemon"]);
    let mut command = std::process::Command::new("setpriv");
    command
        .arg(format!("--bounding-set=-all,{capabilities}"))
        .arg(daemon.get_program())
        .args(daemon.get_args())
        .env("CARP_RUN", &a.run)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    let mut child = a.place.run(|| command.spawn().unwrap());
    let up = || {
        a.finish(&mut a.command(&["ifconfig", "-a"])).code == Some(0)
            && std::fs::read_to_string(a.run.join("log"))
                .unwrap()
                .contains("ready")
    };
    let started = until(SOON, up);
    if started {
        then();
    }
    let _ = child.kill();
    let _ = child.wait();
    assert!(
        started,
        "{}",
        std::fs::read_to_string(a.run.join("log")).unwrap()
    );
}

/// Fails when the daemon needs more than it says it needs, or does not say why it falls back.
#[test]
fn three_capabilities_suffice_and_without_cap_bpf_it_copies() {
    if !super::begin() {
        return;
    }
    for (capabilities, plane) in [
        ("+net_admin,+net_raw,+bpf", "dataplane: tcx\n"),
        (
            "+net_admin,+net_raw",
            "dataplane: copy (tcx: load programs: Operation not permitted",
        ),
    ] {
        let segment = Segment::new();
        let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
        let c = Host::on(&segment, "c", 0x0c, &["192.0.2.13/24"]);
        let _service = Service::on(&a);
        with_capabilities(&a, capabilities, || {
            join_numbered(&a, "eth0", 1, 0);
            a.master("carp1");
            served(&c);
            let shown = a.ok("ifconfig -v carp1");
            assert!(shown.contains(plane), "{capabilities}: {shown}");
        });
        let log = std::fs::read_to_string(a.run.join("log")).unwrap();
        let told = log.contains("load programs: Operation not permitted");
        assert_eq!(told, !capabilities.contains("bpf"), "{log}");
    }
}
