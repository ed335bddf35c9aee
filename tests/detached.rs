//! A carpN without carpdev: it says goodbye, keeps its configuration, and its file is one without that word.
#![allow(clippy::unwrap_used)]

mod support;

use carp::lab::asker::{Asker, Asking};
use carp::linux::clock;
use carp::wire::Family;
use std::fs::{self, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use support::frames::Frame;
use support::hosts::{Host, SOON, Segment, own_mac, until};
use support::scene::{SHARED, SHARED6, Scene};

/// `netstart` with a directory of the host's own; its output and what it said on standard error, without the directory.
#[track_caller]
fn netstart(host: &Host, words: &[&str]) -> (String, String) {
    let etc = etc(host);
    let mut all = vec!["netstart", "-d", &etc];
    all.extend(words);
    let done = host.finish(&mut host.command(&all));
    assert_eq!(done.code, Some(0), "{done:?}");
    let bare = |text: String| text.replace(&format!("{etc}/"), "");
    (bare(done.out), bare(done.err))
}

fn etc(host: &Host) -> String {
    let path = host.run.join("etc");
    fs::create_dir_all(&path).unwrap();
    path.to_str().unwrap().to_owned()
}

fn write(host: &Host, name: &str, text: &str) {
    let path = host.run.join("etc").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
}

#[test]
fn a_master_that_is_detached_says_goodbye_and_keeps_the_rest() {
    support::privileged!();
    let Scene { a, b, .. } = Scene::new();
    let from_a = a.sends("eth0");
    let dumped = a.ok("dump -k carp1");
    let mark = clock::now();
    a.ok("ifconfig carp1 -carpdev");
    let shown = a.ok("ifconfig carp1");
    let flags = "carp1: flags=8803<UP,BROADCAST,SIMPLEX,MULTICAST> mtu 1500\n";
    assert!(shown.starts_with(flags), "{shown}");
    for line in [
        "\tcarp: INIT carpdev none vhid 1 advbase 1 advskew 0\n",
        "\tstatus: invalid\n",
        "\tinet 192.0.2.1 netmask 0xffffff00 broadcast 192.0.2.255\n",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    let netbsd = a.ok("ifconfig --as netbsd carp1");
    assert!(
        netbsd.contains("\tcarp: INIT carpdev none vhid 1 "),
        "{netbsd}"
    );
    // The command returns when that is over.
    assert!(!a.has_address("carp1", SHARED) && !a.has_address("carp1", SHARED6));
    assert_eq!(a.carrier("carp1"), Some(false));
    let goodbyes = from_a.after(mark, |f| f.advert().is_some_and(|ad| ad.goodbye()));
    assert_eq!(goodbyes.len(), 2, "one for each family");
    assert!(until(SOON, || b.state("carp1") == "MASTER"));

    let mark = clock::now();
    let without = dumped.replace("carpdev eth0\n", "");
    assert_eq!(a.ok("dump -k carp1"), without);
    let alone = a.refused("ifconfig carp1 alias 192.0.2.2/24");
    let text = "ifconfig: SIOCAIFADDR: Invalid argument\n";
    assert!(alone.starts_with(text), "{alone}");
    a.ok("ifconfig carp1 -carpdev");
    a.ok("ifconfig carp1 advskew 1 advskew 0");
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(a.state("carp1"), "INIT");
    let speaks = |f: &Frame| f.advert().is_some();
    assert!(from_a.after(mark, speaks).is_empty());

    a.ok("sysctl net.inet.carp.preempt=1");
    a.ok("ifconfig carp1 carpdev eth0");
    a.master("carp1");
    assert!(until(SOON, || b.state("carp1") == "BACKUP"));
    assert_eq!(a.ok("dump -k carp1"), dumped);
}

#[test]
fn a_file_without_carpdev_detaches() {
    support::privileged!();
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    a.daemon();
    let file = "vhid 1\npass secret\ninet 192.0.2.1 255.255.255.0\nup\n";
    // Some tools write the address first.
    let whole = "inet 192.0.2.1 255.255.255.0 NONE\nvhid 1 pass secret carpdev eth0\nup\n";
    write(&a, "hostname.carp1", whole);
    assert_eq!(netstart(&a, &[]), (String::new(), String::new()));
    a.master("carp1");

    write(&a, "hostname.carp1", file);
    let warning = "netstart: hostname.carp1: no carpdev: carp1 stays in INIT\n".to_owned();
    let shown = "hostname.carp1\n-carpdev eth0\n".to_owned();
    assert_eq!(netstart(&a, &["-n"]), (shown, warning.clone()));
    assert_eq!(a.state("carp1"), "MASTER");
    assert_eq!(netstart(&a, &[]), (String::new(), warning.clone()));
    assert_eq!(a.state("carp1"), "INIT");
    assert!(a.ok("ifconfig carp1").contains(" carpdev none "));
    assert_eq!(a.ok("dump -k carp1"), file);
    assert_eq!(netstart(&a, &["-n"]), (String::new(), warning.clone()));

    a.ok("ifconfig carp1 destroy");
    assert_eq!(netstart(&a, &["carp1"]), (String::new(), warning));
    assert_eq!(a.ok("dump -k carp1"), file);
    a.ok("ifconfig carp1 carpdev eth0");
    a.master("carp1");
}

/// Its kernel would, for an address that is still on carpN when the port is gone.
#[test]
fn a_carpdev_that_is_left_does_not_answer_by_itself() {
    support::privileged!();
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    let c = Host::on(&segment, "c", 0x0c, &["192.0.2.13/24", "2001:db8::13/64"]);
    a.daemon();
    a.ok(&format!("ifconfig carp1 vhid 1 carpdev eth0 {SHARED}/24"));
    let asking = Asking {
        interface: c.index("eth0"),
        mac: own_mac(0x0c),
        inet: "192.0.2.13".parse().unwrap(),
        inet6: "2001:db8::13".parse().unwrap(),
    };
    let shared: [IpAddr; 2] = [SHARED.parse().unwrap(), SHARED6.parse().unwrap()];
    let often = Duration::from_millis(2);
    let asker = Asker::start(&c.place, asking, &shared, often).unwrap();
    let (from_a, start) = (a.sends("eth0"), clock::now());
    for _ in 0..8 {
        let from = clock::now();
        a.master("carp1");
        let answered = || !asker.answers(Family::Inet, from, clock::now()).is_empty();
        assert!(until(SOON, answered));
        a.ok("ifconfig carp1 -carpdev");
        std::thread::sleep(Duration::from_millis(100));
        a.ok("ifconfig carp1 carpdev eth0");
    }
    let mine = from_a.after(start, |f| f.claims(shared[0]) && f.src() == own_mac(0x0a));
    assert!(mine.is_empty(), "{mine:?}");
}

#[test]
fn a_master_moves_from_one_carpdev_to_another() {
    support::privileged!();
    let (left, right) = (Segment::new(), Segment::new());
    let a = Host::on(&left, "a", 0x0a, &["192.0.2.11/24"]);
    a.plug(&right, "eth1", 0x1a);
    a.daemon();
    a.ok(&format!("ifconfig carp1 vhid 1 carpdev eth0 {SHARED}/24"));
    a.master("carp1");
    let (from_eth0, from_eth1) = (a.sends("eth0"), a.sends("eth1"));
    let start = clock::now();
    a.ok("ifconfig carp1 carpdev eth1");
    assert!(a.ok("ifconfig carp1").contains(" carpdev eth1 "));
    assert_eq!(a.state("carp1"), "BACKUP", "it has to listen there first");
    let goodbye = |f: &Frame| f.advert().is_some_and(|ad| ad.goodbye());
    assert_eq!(from_eth0.after(start, goodbye).len(), 1);
    a.master("carp1");
    assert!(from_eth1.after(start, goodbye).is_empty());
    let moved = from_eth1.expect(start, SOON, "an advertisement", |f| f.advert().is_some());
    let late = |f: &Frame| f.advert().is_some();
    assert!(from_eth0.after(moved.at, late).is_empty());
    assert!(!a.said().contains("demoted group"), "{}", a.said());
}

/// Two that would be in each other's way on one carpdev are not while one of them has none.
#[test]
fn a_vhid_is_free_again_without_its_carpdev() {
    support::privileged!();
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    a.daemon();
    a.ok("ifconfig carp1 vhid 1 carpdev eth0 192.0.2.1/24");
    a.master("carp1");
    a.ok("ifconfig carp1 -carpdev");
    a.ok("ifconfig carp2 vhid 1 carpdev eth0 192.0.2.2/24");
    let said = a.refused("ifconfig carp1 carpdev eth0");
    assert_eq!(
        said,
        "ifconfig: SIOCSVH: Invalid argument\nifconfig: vhid 1 is in use by carp2 on eth0\n"
    );
    a.master("carp2");
    assert_eq!(a.state("carp1"), "INIT");
    a.ok("ifconfig carp2 destroy");
    a.ok("ifconfig carp1 carpdev eth0");
    a.master("carp1");
}

#[test]
fn a_file_that_balances_is_warned_of_where_the_host_forwards() {
    support::privileged!();
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    a.daemon();
    let file = "carpdev eth0\ncarpnodes 1:0,2:100\nbalancing ip\ninet 192.0.2.1 255.255.255.0\n";
    write(&a, "hostname.carp1", file);
    write(&a, "sysctl.conf", "net.inet.carp.arpbalance=1\n");
    assert_eq!(netstart(&a, &["-n"]).1, "");
    a.sysctl("net/ipv4/ip_forward", "1");
    for words in [&["-n"][..], &[]] {
        let (_, said) = netstart(&a, words);
        let told: Vec<_> = said.lines().collect();
        assert_eq!(told.len(), 2, "{said}");
        for (line, file) in told.iter().zip(["sysctl.conf", "hostname.carp1"]) {
            let begins = format!("netstart: {file}: this host forwards: ");
            assert!(line.starts_with(&begins), "{said}");
        }
    }
}
