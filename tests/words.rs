//! The words beyond the first line, on real hosts: unicast peers, the carpdev's own address, groups, sysctls, `ip link`.
#![allow(clippy::unwrap_used)]

mod support;

use carp::linux::clock;
use carp::wire::MacAddr;
use std::net::IpAddr;
use std::time::Duration;
use support::frames::Frame;
use support::hosts::{Host, SOON, Segment, own_mac, until};
use support::scene::{SHARED, SHARED6, Scene, join, join_numbered};
use support::talk::{Service, who};

const GROUP: &str = "vhid 1 pass secret carpdev eth0";

fn is_multicast_ad(frame: &Frame) -> bool {
    frame.advert().is_some() && frame.dst().is_multicast()
}

/// ICMP or ICMPv6 errors: type 3, or types below 128.
fn is_unreachable(frame: &Frame) -> bool {
    match frame.ethertype() {
        0x0800 => frame.bytes.get(23) == Some(&1) && frame.bytes.get(34) == Some(&3),
        0x86dd => frame.bytes.get(20) == Some(&58) && frame.bytes.get(54).is_some_and(|t| *t < 128),
        _ => false,
    }
}

#[test]
fn unicast_peers_share_addresses_of_both_families() {
    support::privileged!();
    let Scene { a, b, c, .. } = Scene::bare();
    let (from_a, from_b) = (a.sends("eth0"), b.sends("eth0"));
    let line = |peers: &str, skew: u8| {
        format!("ifconfig carp1 {GROUP} advskew {skew} {peers} {SHARED}/24")
    };
    let everybody = "carppeer 192.0.2.11,192.0.2.12 peer6 2001:db8::11,2001:db8::12";
    for (host, skew) in [(&a, 0), (&b, 100)] {
        host.ok(&line(everybody, skew));
        host.ok(&format!("ifconfig carp1 inet6 alias {SHARED6}/64"));
    }
    a.master("carp1");
    let mark = clock::now();
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(
        (a.state("carp1"), b.state("carp1")),
        ("MASTER".into(), "BACKUP".into())
    );
    for (to, mac) in [("192.0.2.12", 0x0b), ("2001:db8::12", 0x0b)] {
        let to: IpAddr = to.parse().unwrap();
        let ads = from_a.after(mark, |f| {
            f.advert().is_some() && f.ip_destination() == Some(to)
        });
        assert!(ads.len() >= 3, "{to}: {}", ads.len());
        assert!(
            ads.iter()
                .all(|f| f.src() == own_mac(0x0a) && f.dst() == own_mac(mac))
        );
    }
    assert!(
        from_a.after(mark, is_multicast_ad).is_empty(),
        "never to the group"
    );
    assert!(from_b.after(mark, is_unreachable).is_empty(), "T28");
    assert!(from_b.after(mark, |f| f.advert().is_some()).is_empty());

    let mark = clock::now();
    a.ok("ifconfig carp1 down");
    assert!(until(SOON, || b.state("carp1") == "MASTER"));
    let goodbyes = from_a.after(mark, |f| f.advert().is_some_and(|ad| ad.goodbye()));
    assert_eq!(goodbyes.len(), 2);
    for shared in [SHARED, SHARED6] {
        let shared: IpAddr = shared.parse().unwrap();
        from_b.expect(mark, SOON, "an announcement", |f| f.claims(shared));
    }
    drop(c);
    assert!(
        b.refused("ifconfig carp1 peer 192.0.2.12")
            .ends_with("peer 192.0.2.12 is this host itself\n")
    );
    b.ok("ifconfig carp1 -carppeer mcast6");
    from_b.expect(
        clock::now(),
        SOON,
        "an advertisement to the group",
        is_multicast_ad,
    );
}

#[test]
fn a_peer_may_be_behind_a_router() {
    support::privileged!();
    let (left, right) = (Segment::new(), Segment::new());
    let a = Host::on(&left, "a", 0x0a, &["192.0.2.11/24"]);
    let r = Host::on(&left, "r", 0x0e, &["192.0.2.254/24"]);
    r.plug(&right, "eth1", 0x0f);
    r.address("eth1", "198.51.100.254/24");
    r.sysctl("net/ipv4/ip_forward", "1");
    let b = Host::on(&right, "b", 0x0b, &["198.51.100.12/24"]);
    a.route("198.51.100.0/24", Some("192.0.2.254"), "eth0");
    b.route("192.0.2.0/24", Some("198.51.100.254"), "eth0");
    a.daemon();
    b.daemon();
    a.ok(&format!(
        "ifconfig carp1 {GROUP} advskew 0 peer 198.51.100.12 203.0.113.1/32"
    ));
    a.master("carp1");
    b.ok(&format!(
        "ifconfig carp1 {GROUP} advskew 100 peer 192.0.2.11 203.0.113.1/32"
    ));
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(b.state("carp1"), "BACKUP");
    a.ok("ifconfig carp1 destroy");
    assert!(
        until(SOON, || b.state("carp1") == "MASTER"),
        "the goodbye is routed, too"
    );
}

#[test]
fn the_carpdevs_own_address_moves_the_service_as_well() {
    support::privileged!();
    let Scene { a, b, c, .. } = Scene::bare();
    let (_a, _b) = (Service::on(&a), Service::on(&b));
    let from_a = a.sends("eth0");
    for (host, skew) in [(&a, 0), (&b, 100)] {
        let own = format!("ifconfig carp1 {GROUP} lladdr carpdev advskew {skew} {SHARED}/24");
        host.ok(&own);
        host.ok(&format!("ifconfig carp1 inet6 alias {SHARED6}/64"));
    }
    a.master("carp1");
    assert!(
        a.ok("ifconfig carp1")
            .contains("\tlladdr 02:00:00:00:00:0a\n")
    );
    for shared in [SHARED, SHARED6] {
        assert_eq!(who(&c, shared, None).unwrap(), "a", "{shared}");
        assert_eq!(c.neighbour("eth0", shared), Some(own_mac(0x0a)), "{shared}");
    }
    a.ok("ifconfig carp1 down");
    assert!(until(SOON, || b.state("carp1") == "MASTER"));
    for shared in [SHARED, SHARED6] {
        assert!(
            until(SOON, || c.neighbour("eth0", shared) == Some(own_mac(0x0b))),
            "{shared}"
        );
        assert_eq!(who(&c, shared, None).unwrap(), "b", "{shared}");
    }
    let virtual_mac = MacAddr::of_vhid(1);
    assert!(from_a.frames().iter().all(|f| f.src() != virtual_mac));
}

#[test]
fn ip_link_does_what_ifconfig_does() {
    support::privileged!();
    let Scene { a, b, .. } = Scene::new();
    let set = |up| {
        a.net(|net| {
            net.set_up(net.link("carp1").unwrap().unwrap().index, up)
                .unwrap()
        })
    };
    let from_a = a.sends("eth0");
    let goodbye = |f: &Frame| f.advert().is_some_and(|ad| ad.goodbye());

    let mark = clock::now();
    set(false);
    from_a.expect(mark, SOON, "a goodbye", goodbye);
    assert!(until(SOON, || a.state("carp1") == "INIT"), "{}", a.said());
    assert!(a.ok("ifconfig carp1").starts_with("carp1: flags=8802<"));
    assert!(until(SOON, || b.state("carp1") == "MASTER"));
    set(true);
    assert!(until(SOON, || a.state("carp1") == "BACKUP"), "{}", a.said());

    // What we do ourselves is never taken for that.
    for _ in 0..10 {
        a.ok("ifconfig carp1 down");
        assert_eq!(a.state("carp1"), "INIT");
        a.ok("ifconfig carp1 up");
        assert_eq!(a.state("carp1"), "BACKUP");
    }
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(a.state("carp1"), "BACKUP");
    assert_eq!(
        a.said().matches("by another program").count(),
        2,
        "{}",
        a.said()
    );

    a.master("carp1");
    let mark = clock::now();
    a.net(|net| {
        net.delete(net.link("carp1").unwrap().unwrap().index)
            .unwrap()
    });
    from_a.expect(mark, SOON, "a goodbye", goodbye);
    let gone = || a.finish(&mut a.command(&["ifconfig", "carp1"])).code == Some(1);
    assert!(until(SOON, gone), "{}", a.said());
    assert!(until(SOON, || b.state("carp1") == "MASTER"));
    join(&a, "eth0", 0);
    assert!(until(SOON, || a.state("carp1") == "BACKUP"), "{}", a.said());
}

#[test]
fn what_others_do_to_carpn_is_told_and_put_back() {
    support::privileged!();
    let Scene { a, b, c, .. } = Scene::new();
    let index = a.index("carp1");
    let link = || a.net(|net| net.link_by_index(index).unwrap().unwrap());
    let foreign = MacAddr([2, 0, 0, 0, 0, 0x77]);
    a.net(|net| net.set_mac(index, foreign).unwrap());
    assert!(
        until(SOON, || link().mac == MacAddr::of_vhid(1)),
        "{}",
        a.said()
    );
    a.net(|net| net.rename(index, "mine").unwrap());
    assert!(until(SOON, || link().name == "carp1"), "{}", a.said());
    a.address("carp1", "203.0.113.7/24");
    assert!(
        until(SOON, || a
            .said()
            .contains("another program added 203.0.113.7/24")),
        "{}",
        a.said()
    );
    for told in ["address 02:00:00:00:00:77", "name mine"] {
        assert!(
            a.said()
                .contains(&format!("carp1: another program gave it {told}")),
            "{}",
            a.said()
        );
    }
    // Nothing of it is hashed.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(
        (a.state("carp1"), b.state("carp1")),
        ("MASTER".into(), "BACKUP".into())
    );
    assert!(!a.ok("ifconfig carp1").contains("203.0.113.7"));
    drop(c);
}

#[test]
fn groups_and_sysctls_demote() {
    support::privileged!();
    let Scene { a, b, .. } = Scene::new();
    assert_eq!(a.ok("ifconfig -g carp"), "carp: carp demote count 0\n");
    a.ok("ifconfig carp1 group ha description left");
    assert!(a.ok("ifconfig ha").contains("\tgroups: carp ha\n"));
    let unknown = "ifconfig: SIOCGIFGATTR: No such file or directory\n";
    assert!(a.refused("ifconfig -g nobody").starts_with(unknown));
    let wrong = "ifconfig: invalid carp demotion: too large\n";
    assert_eq!(a.refused("ifconfig -g ha carpdemote 129"), wrong);
    assert!(
        a.refused("ifconfig -g ha -carpdemote")
            .starts_with("ifconfig: SIOCSIFGATTR: Invalid argument\n")
    );

    a.ok("ifconfig -g ha carpdemote 128");
    assert_eq!(a.ok("ifconfig -g ha"), "ha: carp demote count 128\n");
    assert!(
        until(SOON, || b.state("carp1") == "MASTER"),
        "less demoted, whatever preempt says"
    );
    assert!(until(SOON, || a.state("carp1") == "BACKUP"));
    a.ok("ifconfig -g ha -carpdemote 128");
    a.ok("ifconfig carp1 -group ha -description");
    assert!(
        a.refused("ifconfig -g ha").starts_with(unknown),
        "nobody is in it"
    );
    assert_eq!(a.ok("ifconfig -l"), "carp1\n");

    a.ok("sysctl net.inet.carp.preempt=1");
    assert!(until(SOON, || a.state("carp1") == "MASTER"));
    b.ok("sysctl net.inet.carp.preempt=1");
    let demotion = "net.inet.carp.demotion";
    assert_eq!(
        a.ok(&format!("sysctl {demotion}=240")),
        format!("{demotion}: 0 -> 240\n")
    );
    assert!(until(SOON, || b.state("carp1") == "MASTER"));
    assert_eq!(
        a.ok(&format!("sysctl {demotion}=-1240")),
        format!("{demotion}: 240 -> -1000\n")
    );
    assert!(
        until(SOON, || a.state("carp1") == "MASTER"),
        "a negative total does not wrap"
    );
    for (value, told) in [("1", "0 -> 1"), ("0", "1 -> 0")] {
        assert_eq!(
            a.ok(&format!("sysctl net.inet.carp.arpbalance={value}")),
            format!("net.inet.carp.arpbalance: {told}\n")
        );
    }
}

#[test]
fn a_group_is_drained_and_undrained_at_once() {
    support::privileged!();
    let Scene { a, b, .. } = Scene::bare();
    for (host, skew) in [(&a, 0), (&b, 100)] {
        (1..=3).for_each(|number| join_numbered(host, "eth0", number, skew));
        host.ok("sysctl net.inet.carp.preempt=1");
    }
    for carp in ["carp2", "carp3"] {
        a.ok(&format!("ifconfig {carp} group wan"));
    }
    let masters = |host: &Host| {
        let all = ["carp1", "carp2", "carp3"].into_iter();
        all.filter(|carp| host.state(carp) == "MASTER")
            .collect::<Vec<_>>()
    };
    let all = ["carp1", "carp2", "carp3"];
    assert!(until(SOON, || masters(&a) == all));
    // b waits for its dead time only from the first advertisement on.
    assert!(until(SOON, || masters(&b).is_empty()));
    let before = a.ok("dump");
    a.ok("ifconfig -g wan drain");
    assert!(until(SOON, || masters(&b) == ["carp2", "carp3"]));
    assert!(until(SOON, || masters(&a) == ["carp1"]));
    assert_eq!(a.ok("dump").matches("\ndrain\n").count(), 2);
    a.ok("ifconfig carp3 undrain");
    assert!(until(SOON, || masters(&a) == ["carp1", "carp3"]));
    a.ok("ifconfig -g wan undrain");
    assert!(until(SOON, || masters(&a) == all));
    assert_eq!(a.ok("dump"), before);
    assert!(
        a.refused("ifconfig -g lan drain")
            .starts_with("ifconfig: SIOCGIFGATTR: No such file or directory\n")
    );
}

#[test]
fn one_wrong_word_changes_nothing() {
    support::privileged!();
    let Scene { a, .. } = Scene::new();
    let before = a.ok("ifconfig carp1");
    for (words, text) in [
        ("advskew 9 mtu 10", "SIOCSIFMTU: Invalid argument"),
        (
            "group ha advskew 9 group ha1",
            "setifgroup: group names may not end in a digit",
        ),
        (
            "down lladdr 01:00:5e:00:00:01",
            "SIOCSIFLLADDR: Invalid argument",
        ),
        ("lladdr nonsense", "ether_aton: Invalid argument"),
        ("advskew 9 rdomain 3", "SIOCSIFRDOMAIN: Invalid argument"),
        ("advskew 9 peer 224.0.0.1", "SIOCSVH: Invalid argument"),
        ("carpnodes 1:0,1:100", "SIOCSVH: Invalid argument"),
        ("hash ip", "hash ip: unknown mode"),
        (
            "-inet6 -alias 192.0.2.99",
            "SIOCDIFADDR: Can't assign requested address",
        ),
    ] {
        let said = a.refused(&format!("ifconfig carp1 {words}"));
        assert!(
            said.starts_with(&format!("ifconfig: {text}\n")),
            "{words}: {said}"
        );
        assert_eq!(a.ok("ifconfig carp1"), before, "{words}");
    }
    a.ok("ifconfig carp1 mtu 1400 metric 3 debug carpnodes 1:7 balancing ip");
    let after = a.ok("ifconfig carp1");
    assert!(
        after.contains("mtu 1400\n") && after.contains("advskew 7\n"),
        "{after}"
    );
    assert!(until(SOON, || a.net(|net| net
        .link("carp1")
        .unwrap()
        .unwrap()
        .mtu)
        == 1400));
    a.ok("ifconfig carp1 -inet6");
    assert!(!a.ok("ifconfig carp1").contains("inet6"));
}

#[test]
fn an_address_list_changes_on_one_host_after_the_other() {
    support::privileged!();
    let Scene { a, b, .. } = Scene::new();
    let calm = |when: &str| {
        std::thread::sleep(Duration::from_secs(5));
        let states = (a.state("carp1"), b.state("carp1"));
        assert_eq!(states, ("MASTER".into(), "BACKUP".into()), "{when}");
    };
    a.ok("ifconfig carp1 alias 192.0.2.2/24");
    calm("the MASTER first");
    b.ok("ifconfig carp1 alias 192.0.2.2/24");
    calm("both");
    b.ok("ifconfig carp1 -alias 192.0.2.2");
    calm("the BACKUP first");
    a.ok("ifconfig carp1 -alias 192.0.2.2");
    calm("both again");
    assert!(
        b.said().contains("has other addresses than this host"),
        "{}",
        b.said()
    );
    b.ok("sysctl net.inet.carp.grace=0");
    a.ok("ifconfig carp1 alias 192.0.2.3/24");
    let bound = Duration::from_secs(10);
    assert!(
        until(bound, || b.state("carp1") == "MASTER"),
        "as in the BSDs"
    );
}
