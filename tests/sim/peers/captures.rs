//! The models against captures of the systems themselves: a host of the capture is replaced by its model, hears what that host
//! heard at the same moments, and must send the same advertisements: moment, advbase, advskew, and the counter where the
//! system has no choice. There is no capture of OpenBSD or FreeBSD 9; their models stand on the timer table alone.

use super::{Member, Peer, State, System, skew_ns};
use crate::packet::{Ad, Seal, emit, parse};
use crate::pcap::read_fixture;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
const LATE: u64 = 8 * MS;

/// An advertisement of the capture or of the model.
type Sent = (u64, Ad);

/// The advertisements of a capture from its first frame on.
fn advertisements(name: &str) -> Vec<(u64, Ad, Vec<u8>)> {
    let records = read_fixture(name);
    let start = records[0].time;
    let ads = records.into_iter().filter_map(|record| {
        // FreeBSD's TOS differs; nothing else may.
        let ad = parse(&record.bytes)?;
        Some(((record.time - start).as_nanos() as u64, ad, record.bytes))
    });
    ads.collect()
}

fn v4(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, last)
}

fn member((pass, vhid, vip): (&'static str, u8, u8), own: u8, (base, skew): (u8, u8)) -> Member {
    Member {
        seal: Rc::new(Seal::new(pass, vhid, &[IpAddr::V4(v4(vip))])),
        base,
        skew,
        preempt: false,
        v4: v4(own),
        v6: std::net::Ipv6Addr::LOCALHOST,
        seed: 7,
        ratio: 3,
        phase: 0,
    }
}

/// What an admin or the cable did to the host of the model.
#[derive(Clone, Copy)]
enum Deed {
    Start,
    Stop(bool),
    Preempt,
    Demote(i64),
    Skew(u8),
}

/// The model in place of the host that `member` names.
fn play(
    system: System,
    member: &Member,
    deeds: &[(u64, Deed)],
    name: &str,
) -> (Vec<Sent>, Vec<Sent>) {
    let mut peer = Peer::new(system, member.clone());
    let (mut wanted, mut sent) = (Vec::new(), Vec::new());
    let capture = advertisements(name);
    let end = capture.last().unwrap().0 + 20 * MS;
    let heard = capture
        .into_iter()
        .filter(|(_, ad, _)| ad.vhid == member.seal.vhid);
    let (mut heard, mut deeds) = (heard.peekable(), deeds.iter().peekable());
    loop {
        let next = [
            heard.peek().map(|(at, ..)| *at),
            deeds.peek().map(|(at, _)| *at),
            peer.timeout(),
        ];
        let Some(now) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
            return (wanted, sent);
        };
        if peer.timeout() == Some(now) {
            peer.wake(now);
        } else if deeds.peek().is_some_and(|(at, _)| *at == now) {
            do_it(&mut peer, now, deeds.next().unwrap().1);
        } else {
            let (_, ad, bytes) = heard.next().unwrap();
            if ad.src == IpAddr::V4(member.v4) {
                wanted.push((now, ad));
            } else {
                // An answer follows within microseconds; a model that is a little late must not hear it before its question.
                if let Some(at) = peer.timeout().filter(|at| *at <= now + LATE) {
                    peer.wake(at);
                    sent.extend(peer.take().iter().map(|b| (at, parse(b).unwrap())));
                }
                peer.hear(now, &bytes);
            }
        }
        sent.extend(peer.take().iter().map(|bytes| (now, parse(bytes).unwrap())));
    }
}

fn do_it(peer: &mut Peer, now: u64, deed: Deed) {
    match (deed, peer) {
        (Deed::Start, peer) => peer.start(now),
        (Deed::Stop(polite), peer) => peer.stop(polite),
        (Deed::Demote(by), peer) => peer.demote(now, by),
        (Deed::Preempt, Peer::Bsd(bsd)) => bsd.member.preempt = true,
        (Deed::Skew(skew), Peer::Bsd(bsd)) => bsd.member.skew = skew,
        (_, Peer::Ucarp(_)) => unreachable!("no such deed in these captures"),
    }
}

/// As many, of the same priority, each within `slack` of the moment.
fn assert_same(wanted: &[Sent], sent: &[Sent], slack: u64) {
    let line = |(at, ad): &Sent| format!("{:.3} {}/{}", *at as f64 / 1e9, ad.base, ad.skew);
    let lists = || {
        let list = |list: &[Sent]| list.iter().map(line).collect::<Vec<_>>();
        format!("captured {:?}\nmodelled {:?}", list(wanted), list(sent))
    };
    assert_eq!(wanted.len(), sent.len(), "{}", lists());
    for (a, b) in wanted.iter().zip(sent) {
        let same = (a.1.base, a.1.skew, a.1.demote) == (b.1.base, b.1.skew, b.1.demote);
        assert!(
            same && a.0.abs_diff(b.0) <= slack,
            "{}\n{}",
            line(a),
            lists()
        );
    }
}

/// Before anybody is heard all differ; afterwards each number is the one captured.
fn assert_counters(wanted: &[Sent], sent: &[Sent], first_heard: u64) {
    let random = |list: &[Sent]| {
        let early = list.iter().filter(|(at, _)| *at < first_heard);
        let numbers: Vec<u64> = early.map(|(_, ad)| ad.counter).collect();
        numbers
            .windows(2)
            .all(|pair| pair[1].wrapping_sub(pair[0]) > 1000)
    };
    assert!(random(wanted) && random(sent));
    for (a, b) in wanted.iter().zip(sent).filter(|(a, _)| a.0 > first_heard) {
        assert_eq!(a.1.counter, b.1.counter, "at {:.3}", a.0 as f64 / 1e9);
    }
}

/// The first moment at which another host is heard.
fn first_heard(name: &str, own: u8) -> u64 {
    let ads = advertisements(name);
    let others = ads.iter().find(|(_, ad, _)| ad.src != IpAddr::V4(v4(own)));
    others.map_or(u64::MAX, |(at, ..)| *at)
}

#[test]
fn freebsd_b_of_the_election() {
    let name = "freebsd-v4-election.pcap";
    let host = member(("secret", 1, 10), 2, (1, 100));
    // `state master` for B at 47.104 is left out: the model has no admin for that.
    let deeds = [
        (3 * MS, Deed::Start),
        (59 * SECOND + 130 * MS, Deed::Skew(50)),
    ];
    let (mut wanted, sent) = play(System::F13, &host, &deeds, name);
    wanted.retain(|(at, _)| *at / SECOND != 47);
    assert_same(&wanted, &sent, 20 * MS);
    let before: Vec<Sent> = sent
        .iter()
        .filter(|(at, _)| *at < 47 * SECOND)
        .copied()
        .collect();
    assert_counters(&wanted, &before, first_heard(name, 2));
}

#[test]
fn freebsd_a_of_the_election() {
    let name = "freebsd-v4-election.pcap";
    let host = member(("secret", 1, 10), 1, (1, 0));
    let at = |ms: u64| ms * MS;
    let deeds = [
        (at(6030), Deed::Start),
        (at(12_000), Deed::Preempt),
        (at(17_050), Deed::Stop(false)),
        (at(23_000), Deed::Start),
        (at(29_070), Deed::Stop(false)),
        (at(35_000), Deed::Start),
        (at(41_090), Deed::Stop(false)),
        (at(41_091), Deed::Start),
        (at(47_000), Deed::Start),
        (at(54_120), Deed::Stop(false)),
    ];
    let (mut wanted, mut sent) = play(System::F13, &host, &deeds, name);
    // From 47.1 on preempt was off and B asked to be MASTER.
    wanted.retain(|(at, _)| *at < 47 * SECOND);
    sent.retain(|(at, _)| *at < 47 * SECOND);
    assert_same(&wanted, &sent, 20 * MS);
    assert_counters(&wanted, &sent, 0);
}

#[test]
fn freebsd_demoted_to_240_and_below_zero() {
    let name = "freebsd-demotion.pcap";
    let at = |ms: u64| ms * MS;
    let mut a = member(("secret", 21, 21), 1, (1, 0));
    a.preempt = true;
    let deeds = [
        (at(5), Deed::Start),
        (at(7349), Deed::Demote(240)),
        (at(10_360), Deed::Demote(-240)),
        (at(13_365), Deed::Demote(-50)),
        (at(17_374), Deed::Demote(50)),
    ];
    let (mut wanted, mut sent) = play(System::F13, &a, &deeds, name);
    for list in [&mut wanted, &mut sent] {
        list.retain(|(at, _)| *at < 21 * SECOND);
    }
    assert!(wanted.iter().any(|(_, ad)| ad.skew == 206), "-50 as a byte");
    assert_same(&wanted, &sent, 20 * MS);
    let mut b = member(("secret", 21, 21), 2, (1, 100));
    b.preempt = true;
    let (mut wanted, mut sent) = play(System::F13, &b, &[(at(4336), Deed::Start)], name);
    for list in [&mut wanted, &mut sent] {
        list.retain(|(at, _)| *at < 36 * SECOND);
    }
    assert_same(&wanted, &sent, 20 * MS);
    assert_counters(&wanted, &sent, 0);
}

#[test]
fn netbsd_both_of_the_election() {
    let name = "netbsd-v4-election.pcap";
    let at = |ms: u64| ms * MS;
    let b = member(("secret", 1, 10), 2, (1, 100));
    let (wanted, sent) = play(System::N, &b, &[(at(1), Deed::Start)], name);
    assert_same(&wanted, &sent, 20 * MS);
    assert_counters(&wanted, &sent, first_heard(name, 2));
    let a = member(("secret", 1, 10), 1, (1, 0));
    let deeds = [
        (at(6007), Deed::Start),
        (at(14_000), Deed::Preempt),
        (at(19_029), Deed::Stop(true)),
        (at(24_000), Deed::Start),
        (at(30_000), Deed::Stop(false)),
        (at(36_500), Deed::Start),
        (at(42_000), Deed::Stop(false)),
    ];
    let (wanted, sent) = play(System::N, &a, &deeds, name);
    assert!(wanted.iter().any(|(_, ad)| ad.is_goodbye()));
    assert_same(&wanted, &sent, 20 * MS);
    assert_counters(&wanted, &sent, 0);
}

/// Alone from a moment on: each vhid of a timing capture.
fn alone(system: System, name: &str, configured: &[(u8, u8, u8)], slack: u64) {
    for (vhid, base, skew) in configured {
        let host = member(("secret", *vhid, *vhid), 1, (*base, *skew));
        let captured = advertisements(name);
        let first = captured
            .iter()
            .find(|(_, ad, _)| ad.vhid == *vhid)
            .unwrap()
            .0;
        let mut peer = Peer::new(system, host.clone());
        peer.start(SECOND);
        let waited = peer.timeout().unwrap();
        let (wanted, sent) = play(system, &host, &[], name);
        assert!(sent.is_empty(), "never started");
        let (mut peer, mut sent) = (Peer::new(system, host), Vec::new());
        // Started so that its first advertisement falls together with the captured one.
        let shift = waited - SECOND;
        peer.start(0);
        while sent.len() < wanted.len() {
            let now = peer.timeout().unwrap();
            peer.wake(now);
            let ads = peer.take();
            sent.extend(ads.iter().map(|b| (now + first - shift, parse(b).unwrap())));
        }
        // A goodbye at the end of the capture is another deed.
        let (mut wanted, mut sent) = (wanted, sent);
        if wanted.last().unwrap().1.is_goodbye() {
            wanted.pop();
            sent.pop();
        }
        assert!(wanted.len() >= 4, "vhid {vhid}");
        assert_same(&wanted, &sent, slack);
        assert_counters(&wanted, &sent, u64::MAX);
    }
}

#[test]
fn freebsd_intervals() {
    let configured = [
        (11, 1, 0),
        (12, 1, 1),
        (13, 1, 50),
        (14, 1, 100),
        (15, 1, 240),
        (16, 1, 254),
        (17, 2, 0),
        (18, 1, 241),
    ];
    alone(System::F13, "freebsd-timing.pcap", &configured, 20 * MS);
}

#[test]
fn netbsd_intervals() {
    let configured = [
        (11, 1, 0),
        (12, 1, 1),
        (13, 1, 50),
        (14, 1, 100),
        (15, 1, 240),
        (16, 1, 254),
        (17, 0, 100),
        (18, 2, 0),
    ];
    alone(System::N, "netbsd-timing.pcap", &configured, 30 * MS);
}

/// UCARP's ring has a phase that no capture tells: some phase must give what was captured.
fn some_phase(host: &Member, deeds: &[(u64, Deed)], name: &str, slack: u64) -> Vec<Sent> {
    let fits = |phase: &u64| {
        let host = Member {
            phase: phase * 20 * MS,
            ..host.clone()
        };
        let (wanted, sent) = play(System::U, &host, deeds, name);
        let near = wanted.iter().zip(&sent).all(|(a, b)| {
            a.0.abs_diff(b.0) <= slack && (a.1.base, a.1.skew) == (b.1.base, b.1.skew)
        });
        (near && wanted.len() == sent.len()).then(|| {
            let heard = first_heard(name, host.v4.octets()[3]);
            assert_counters(&wanted, &sent, heard);
            sent
        })
    };
    let found = (0..50).find_map(|phase| fits(&phase));
    found.unwrap_or_else(|| panic!("no phase gives {name}"))
}

#[test]
fn ucarp_starts_takes_over_and_gives_up() {
    let a = member(("foobar-fish", 1, 1), 11, (1, 0));
    let sent = some_phase(&a, &[(0, Deed::Start)], "ucarp-start-master.pcap", 30 * MS);
    assert_eq!(sent.len(), 5);
    let b = member(("foobar-fish", 1, 1), 12, (1, 2));
    let deeds = [(3 * SECOND, Deed::Start)];
    let sent = some_phase(&b, &deeds, "ucarp-failover-kill9.pcap", 80 * MS);
    assert_eq!(sent.len(), 6, "the last one while it gives up");
    let slow = Member {
        ratio: 2,
        ..member(("love", 42, 1), 11, (2, 100))
    };
    let name = "ucarp-vhid42-advbase2-skew100.pcap";
    let sent = some_phase(&slow, &[(150 * MS, Deed::Start)], name, 80 * MS);
    assert_eq!(sent.len(), 2);
}

/// The systems without a capture, by the table of their timers.
#[test]
fn openbsd_and_old_freebsd_wait_as_their_sources_say() {
    let rows = [
        (System::O42, 1, 100, 3_390, 1_390),
        (System::O6, 1, 100, 3_390, 1_390),
        (System::O7, 1, 100, 4_171, 1_390),
        (System::F9, 1, 100, 3_390, 1_390),
        (System::O6, 0, 100, 1_171, 390),
        (System::O7, 0, 100, 1_171, 390),
        (System::O42, 2, 0, 6_000, 2_000),
    ];
    for (system, base, skew, dead, interval) in rows {
        let mut peer = Peer::new(system, member(("secret", 1, 10), 2, (base, skew)));
        peer.start(0);
        let first = peer.timeout().unwrap();
        assert!(first.abs_diff(dead * MS) <= 25 * MS, "{system:?}: {first}");
        peer.wake(first);
        assert_eq!(peer.state(), State::Master);
        let next = peer.timeout().unwrap() - first;
        assert!(
            next.abs_diff(interval * MS) <= 25 * MS,
            "{system:?}: {next}"
        );
        let constant = matches!(system, System::O6 | System::O7);
        peer.wake(first + next);
        let counters: Vec<u64> = peer
            .take()
            .iter()
            .map(|b| parse(b).unwrap().counter)
            .collect();
        assert_eq!(counters[0] == counters[1], constant, "{system:?}");
    }
    assert_eq!(skew_ns(256), SECOND);
}

/// OpenBSD's demotion count, told in the header.
#[test]
fn openbsd_tells_and_compares_its_demotion() {
    for (system, skew) in [(System::O42, 240), (System::O6, 0), (System::O7, 0)] {
        let mut peer = Peer::new(system, member(("secret", 1, 10), 2, (1, 0)));
        peer.start(0);
        let now = peer.timeout().unwrap();
        peer.wake(now);
        peer.demote(now, 1);
        let told = parse(peer.take().last().unwrap()).unwrap();
        assert_eq!((told.skew, told.demote), (skew, 1), "{system:?}");
        let seal = Seal::new("secret", 1, &[IpAddr::V4(v4(10))]);
        let ad = Ad {
            skew: 100,
            demote: 0,
            counter: 5,
            digest: seal.digest(5),
            src: v4(9).into(),
            ..told
        };
        peer.hear(now, &emit(&ad, 1));
        assert_eq!(peer.state(), State::Backup, "{system:?}");
        peer.demote(now, -1);
        let demoted = Ad { demote: 2, ..ad };
        peer.hear(now, &emit(&demoted, 1));
        assert_eq!(peer.state(), State::Master, "{system:?}");
    }
}
