//! The same in namespaces: real hosts, a real switch, both families, every data plane.

use crate::field::{Field, Pinging, SHARED6, askers, named, shared, told_mac};
use crate::support::frames::Frame;
use crate::support::hosts::{SOON, until};
use crate::support::plane::first;
use crate::support::talk::datagrams;
use carp::carp::balance::{Asker, select};
use carp::carp::config::{Key, Selector};
use carp::linux::clock;
use carp::wire::MacAddr;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Three advertisements, the highest skew, and what a busy machine adds.
const DEAD: Duration = Duration::from_millis(3000 + 160 * 1000 / 256 + 500);

/// Each asker's one answer is that of the host that `serves` its vhid.
#[track_caller]
fn one_answer_each(field: &Field, probe: bool, serves: impl Fn(u8) -> usize) {
    let mut counts: BTreeMap<(u8, bool), usize> = BTreeMap::new();
    for (asker, answers) in field.ask(probe) {
        let vhid = named(asker, field.hosts.len());
        let expected = (serves(vhid), MacAddr::of_vhid(vhid));
        assert_eq!(answers, [expected], "{asker}");
        *counts.entry((vhid, asker.is_ipv6())).or_default() += 1;
    }
    for inet6 in [false, true] {
        let of = counts.iter().filter(|((_, six), _)| *six == inet6);
        let shares: Vec<usize> = of.map(|(_, count)| *count).collect();
        let spread = shares.iter().max().unwrap() - shares.iter().min().unwrap();
        assert!(
            spread <= 1 && shares.len() == field.hosts.len(),
            "{shares:?}"
        );
    }
}

fn own(vhid: u8) -> usize {
    usize::from(vhid) - 1
}

fn each_asker_has_one_answer_from_the_host_that_the_rule_names() {
    for count in if first() { 2..=4 } else { 3..=4 } {
        let field = Field::new(count);
        one_answer_each(&field, false, own);
        one_answer_each(&field, true, own);
    }
}

fn the_askers_of_a_dead_host_move_and_come_back_and_the_others_lose_nothing() {
    let field = Field::new(if first() { 4 } else { 3 });
    let mark = clock::now();
    let pinging = Pinging::start(&field);
    std::thread::sleep(Duration::from_millis(500));
    let died = field.hosts[1].kill();
    let count = field.hosts.len();
    let heir = || (0..count).find(|n| *n != 1 && field.hosts[*n].state("carp2") == "MASTER");
    assert!(until(SOON, || heir().is_some()));
    std::thread::sleep(Duration::from_millis(500));
    let heir = heir().unwrap();
    one_answer_each(
        &field,
        false,
        |vhid| if vhid == 2 { heir } else { own(vhid) },
    );
    let returned = clock::now();
    field.hosts[1].daemon();
    field.configure(1);
    field.settle();
    one_answer_each(&field, false, own);
    let pings = pinging.stop();
    assert!(pings.len() > 200 * count, "{}", pings.len());
    let moved = |asker: IpAddr| named(asker, count) == 2;
    for ping in pings.iter().filter(|ping| ping.replied.is_none()) {
        let after = ping.sent.since(died);
        assert!(moved(ping.asker), "{ping:?}, {after:?} after the death");
        assert!(
            after <= DEAD && ping.sent < returned,
            "{ping:?}, {after:?} after the death"
        );
    }
    assert!(askers().into_iter().filter(|a| moved(*a)).all(|asker| {
        let mut late = pings
            .iter()
            .filter(|p| p.asker == asker && p.sent > died + DEAD);
        late.all(|ping| ping.replied.is_some())
    }));
    let told = field.repainting(mark);
    assert!(told.is_empty(), "{told:#?}");
}

fn a_split_ends_with_its_heal() {
    let field = Field::new(2);
    field.hosts[1].attached("eth0", false);
    field.hosts[0].until_state("carp2", "MASTER");
    one_answer_each(&field, false, |_| 0);
    field.hosts[1].until_state("carp1", "MASTER");
    field.hosts[1].attached("eth0", true);
    field.settle();
    one_answer_each(&field, false, own);
}

fn a_drained_host_loses_nobodys_packet() {
    let field = Field::new(2);
    let pinging = Pinging::start(&field);
    std::thread::sleep(Duration::from_millis(300));
    for carp in ["carp1", "carp2"] {
        field.hosts[0].ok(&format!("ifconfig {carp} drain"));
    }
    field.hosts[1].until_state("carp1", "MASTER");
    std::thread::sleep(Duration::from_millis(500));
    one_answer_each(&field, false, |_| 1);
    assert!(field.hosts[0].ok("ifconfig carp1").contains("\tdrain: "));
    for carp in ["carp1", "carp2"] {
        field.hosts[0].ok(&format!("ifconfig {carp} -drain"));
    }
    field.settle();
    one_answer_each(&field, false, own);
    let lost = pinging.stop();
    let lost: Vec<_> = lost.iter().filter(|ping| ping.replied.is_none()).collect();
    assert!(lost.is_empty(), "{lost:#?}");
}

fn nodes_of_one_interface_divide_their_askers() {
    let field = Field::of_nodes("arp hash source");
    one_answer_each(&field, false, own);
    one_answer_each(&field, true, own);
    field.hosts[1].kill();
    let heir = || field.nodes(&field.hosts[0]) == ["MASTER", "MASTER"];
    assert!(until(SOON, heir));
    one_answer_each(&field, false, |_| 0);
    for vhid in [1, 2] {
        let replies = field.ping(MacAddr::of_vhid(vhid));
        assert!(replies.values().all(|hosts| *hosts == [0]), "{replies:?}");
    }
}

/// All hosts take the hash of the same Ethernet address with the same key, in either byte order.
fn askers_are_divided_by_the_ethernet_address_that_they_tell() {
    let field = Field::new(if first() { 3 } else { 2 });
    let mut shares = Vec::new();
    for (word, big_endian) in [("mac", false), ("mac,be", true)] {
        for host in &field.hosts {
            host.ok(&format!("ifconfig carp1 hash {word}"));
        }
        let selector = Selector::Mac {
            big_endian,
            order: false,
        };
        let key = Key::from_pass(b"secret");
        let mut counts = vec![0; field.hosts.len()];
        for (ip, answers) in field.ask(false) {
            let mac = told_mac(ip);
            let place = select(selector, &key, Asker { ip, mac }, counts.len()).unwrap();
            let vhid = u8::try_from(place).unwrap() + 1;
            assert_eq!(answers, [(place, MacAddr::of_vhid(vhid))], "{word}: {ip}");
            counts[place] += 1;
        }
        assert!(counts.iter().all(|count| *count > 0), "{word}: {counts:?}");
        shares.push(counts);
    }
    assert_ne!(shares[0], shares[1], "the two byte orders agree");
}

/// T2. Fails when a neighbour that a host has asked as the shared address goes on with that host, though it is another one's.
fn a_neighbour_that_is_asked_as_the_shared_address_goes_on_where_it_belongs() {
    let field = Field::of_bare_carpdevs(2);
    let (a, client) = (&field.hosts[0], &field.client);
    let asker = "2001:db8::101";
    let (near, far) = (SHARED6.to_string(), asker.parse::<IpAddr>().unwrap());
    assert_eq!(named(far, 2), 2);
    let told = || client.neighbour("eth0", &near);
    let socket = datagrams(client, asker, 7001, None);
    socket.send_to(b"?", (near.as_str(), 7)).unwrap();
    assert!(
        until(SOON, || told() == Some(MacAddr::of_vhid(2))),
        "{:?}",
        told()
    );
    let (mark, heard) = (clock::now(), client.hears("eth0"));
    let speaker = datagrams(a, &near, 7002, None);
    speaker.send_to(b"!", (asker, 7001)).unwrap();
    let mut byte = [0];
    // Resolved, and so the client was asked.
    while byte != *b"!" {
        socket.recv(&mut byte).unwrap();
    }
    let repaints = |f: &Frame| {
        let asked = f.nd().filter(|nd| {
            nd.kind == 135 && IpAddr::from(nd.source) == near.parse::<IpAddr>().unwrap()
        });
        asked.is_some_and(|nd| nd.lladdr == Some(MacAddr::of_vhid(1)))
    };
    heard.expect(mark, SOON, "question as the shared address", repaints);
    let right = || told() == Some(MacAddr::of_vhid(2));
    assert!(
        until(Duration::from_secs(2), right),
        "{:?}: {:#?}",
        told(),
        heard.frames()
    );
}

/// A switch brings what is sent to a multicast MAC, and to one that it never learns, to both hosts; a hub brings everything.
fn nodes_of_one_interface_divide_the_packets() {
    for (mode, mac) in [
        ("ip", MacAddr([1, 0, 0x5e, 0, 1, 1])),
        ("ip-stealth", MacAddr::of_vhid(1)),
        ("ip-unicast", MacAddr::of_vhid(1)),
    ] {
        let field = Field::of_nodes(mode);
        let text = field.hosts[0].ok("ifconfig carp1");
        let head = format!("\tcarp: carpdev eth0 advbase 1 balancing {mode}\n");
        assert!(text.contains(&head), "{text}");
        assert!(text.contains(&format!("\tlladdr {mac}\n")), "{text}");
        for (asker, answers) in field.ask(false) {
            assert!(
                matches!(answers.as_slice(), [(0, told)] if *told == mac),
                "{asker}: {answers:?}"
            );
        }
        for (asker, hosts) in field.ping(mac) {
            assert_eq!(hosts, [folded(asker) % 2], "{mode}: {asker}");
        }
        field.hosts[0].ok("ifconfig carp1 down");
        assert!(until(SOON, || field.nodes(&field.hosts[1])
            == ["MASTER", "MASTER"]));
        std::thread::sleep(Duration::from_millis(300));
        let replies = field.ping(mac);
        assert!(
            replies.values().all(|hosts| *hosts == [1]),
            "{mode}: {replies:?}"
        );
    }
}

/// OpenBSD's fold of an asker's packet to the shared address.
fn folded(asker: IpAddr) -> usize {
    let words = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => vec![u32::from(ip)],
        IpAddr::V6(ip) => {
            let ip = u128::from(ip);
            [96, 64, 32, 0].map(|shift| (ip >> shift) as u32).to_vec()
        }
    };
    let all = [words(asker), words(shared(asker))].concat();
    all.into_iter().fold(0, |fold, word| fold ^ word) as usize
}

crate::support::planes! {
    nodes_of_one_interface_divide_their_askers,
    nodes_of_one_interface_divide_the_packets,
    askers_are_divided_by_the_ethernet_address_that_they_tell,
    a_neighbour_that_is_asked_as_the_shared_address_goes_on_where_it_belongs,
    each_asker_has_one_answer_from_the_host_that_the_rule_names,
    the_askers_of_a_dead_host_move_and_come_back_and_the_others_lose_nothing,
    a_split_ends_with_its_heal,
    a_drained_host_loses_nobodys_packet,
}
