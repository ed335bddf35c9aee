//! Hosts that act on the same advertisement, and hosts that repeat their own numbers: alive, and so believed.

use crate::replay::{ads, counter, hear, ours, random, replays, step, stranger};
use crate::rig::{Ad, Host, V4, V6, config, vhid};
use carp::carp::auth::Auth;
use carp::carp::config::{Key, State};
use carp::wire::Family;

const Y2027: u64 = 1_798_761_600;

/// Whoever goes on above one goodbye has the same value as all others that do; none of them had spoken before.
#[test]
fn those_who_take_over_at_once_believe_each_other() {
    for addresses in [&[V4][..], &[V6], &[V4, V6]] {
        let mut master = ours(1, addresses, 0, Y2027);
        let mut backups = [50, 100].map(|skew| ours(skew, addresses, skew, Y2027));
        let mut at = 0.0;
        for _ in 0..3 {
            let (now, frames) = step(&mut master);
            backups.iter_mut().for_each(|host| hear(host, now, &frames));
            at = now;
        }
        let mut down = config(addresses, 1, 0);
        down.up = false;
        master.configure(at + 100.0, down);
        let goodbye = ads(&master);
        let first = backups.each_mut().map(|host| {
            host.frame(at + 100.0, &goodbye[0]);
            assert_eq!(host.state(), State::Master);
            ads(host)
        });
        let [better, worse] = &mut backups;
        hear(worse, at + 101.0, &first[0]);
        hear(better, at + 101.0, &first[1]);
        assert_eq!(
            (better.state(), worse.state()),
            (State::Master, State::Backup)
        );
        assert_eq!((replays(better), replays(worse)), (0, 0), "{addresses:?}");
    }
}

/// A BACKUP at whose group a varying sender has said `numbers`, one a second.
fn heard(numbers: impl IntoIterator<Item = u64>) -> (Host, f64) {
    let mut backup = Host::backup(&[V4], 1, 100);
    let mut at = 0.0;
    for number in numbers {
        at += 1000.0;
        backup.frame(at, &stranger(&[V4], number).bytes());
    }
    (backup, at)
}

/// UCARP reads up to a second late: what another has counted up meanwhile, it counts up as well.
#[test]
fn two_that_count_up_one_number_are_both_believed() {
    let (mut backup, at) = heard(100..110);
    let of = |last: u8, counter| Ad {
        src: Some(format!("192.0.2.{last}").parse().unwrap()),
        ..stranger(&[V4], counter)
    };
    // Others speak between the number and those who go on from it.
    for (n, ad) in [of(8, random(1)), of(9, 110), of(8, random(2)), of(7, 110)]
        .iter()
        .enumerate()
    {
        backup.frame(at + 100.0 * n as f64, &ad.bytes());
    }
    assert_eq!(replays(&backup), 0);
}

/// What they count up from did not arrive here.
#[test]
fn two_that_count_up_an_unheard_number_are_both_believed() {
    let (mut backup, at) = heard((1..=6).map(random));
    let first = stranger(&[V4], 700);
    let second = Ad {
        src: Some("192.0.2.9".parse().unwrap()),
        ..first.clone()
    };
    backup.frame(at + 1000.0, &first.bytes());
    backup.frame(at + 1400.0, &second.bytes());
    assert_eq!(replays(&backup), 0);
    backup.frame(at + 1500.0, &first.bytes());
    backup.frame(at + 2500.0, &second.bytes());
    assert_eq!(replays(&backup), 2);
}

/// A FreeBSD beside an OpenBSD that this host does not hear says the same number always.
#[test]
fn numbers_that_follow_each_other_are_believed_for_ever() {
    let (mut backup, at) = heard(100..120);
    for n in 0..100_u64 {
        let ad = stranger(&[V4], 118 + (n % 2));
        backup.frame(at + 5000.0 + 100.0 * n as f64, &ad.bytes());
    }
    assert_eq!(replays(&backup), 0);
}

/// Set back unheard; and it does not matter which of a pair comes first.
#[test]
fn a_pair_that_arrives_the_other_way_round_is_believed() {
    for swapped in [false, true] {
        let mut backup = Host::backup(&[V4, V6], 1, 100);
        let mut pair = |at: f64, number: u64| {
            let v4 = stranger(&[V4, V6], number);
            let v6 = stranger(&[V4, V6], number + 1).over(Family::Inet6);
            let v6 = Ad {
                src: Some("fe80::7".parse().unwrap()),
                ..v6
            };
            let mut frames = [v4.bytes(), v6.bytes()];
            if swapped {
                frames.reverse();
            }
            let before = replays(&backup);
            hear(&mut backup, at, &frames);
            replays(&backup) - before
        };
        for n in 0..10 {
            assert_eq!(pair(1000.0 * n as f64, 100 + 2 * n), 0);
        }
        let lost: Vec<u64> = (0..5)
            .map(|n| pair(12_000.0 + 1000.0 * n as f64, 104 + 2 * n))
            .collect();
        assert_eq!(lost, [0; 5], "{swapped}");
    }
}

/// One that was heard before must be above the group if its identity is new: no replay makes it so.
#[test]
fn a_host_that_hears_itself_keeps_its_identity() {
    let mut master = ours(1, &[V4], 0, Y2027);
    let mut identities = Vec::new();
    for n in 0..4 {
        let (at, sent) = step(&mut master);
        identities.push(counter(&sent[0]) >> 55);
        let altered = |last: u8| Ad {
            advskew: 9,
            src: Some(format!("192.0.2.{last}").parse().unwrap()),
            ..stranger(&[V4], counter(&sent[0]))
        };
        hear(&mut master, at + 1.0, &sent);
        // From elsewhere it may be of a host with the same identity.
        let last = if n == 2 { 99 } else { 1 };
        hear(&mut master, at + 2.0, &[altered(last).bytes()]);
    }
    identities.dedup();
    assert_eq!(identities.len(), 2);
}

/// Whose clock is behind by decades takes the others for leaping, all of them, and believes each.
#[test]
fn one_that_leapt_is_not_behind_another_that_did() {
    let mut wiped = ours(1, &[V4], 200, 0);
    let mut others = [2, 3].map(|n| ours(n, &[V4], n, Y2027));
    let [a, b] = others.each_mut().map(|host| [step(host).1, step(host).1]);
    assert!(counter(&b[0][0]) << 9 < counter(&a[1][0]) << 9);
    for (at, frames) in [(1.0, &a[0]), (2.0, &b[0]), (3.0, &a[1]), (4.0, &b[1])] {
        hear(&mut wiped, at, frames);
    }
    assert_eq!(replays(&wiped), 0);
}

/// A BACKUP may know a later value than the MASTER, of a recording that only it has heard: it does not believe a new identity
/// of the MASTER's, and so no recording may make one.
#[test]
fn a_recording_costs_nobody_its_identity() {
    let mut master = ours(1, &[V4, V6], 0, Y2027);
    let mut backup = ours(2, &[V4, V6], 100, Y2027);
    let mut earlier = ours(3, &[V4, V6], 50, Y2027 + 700);
    let mut sent = Vec::new();
    for round in 0..6 {
        let (at, frames) = step(&mut master);
        hear(&mut backup, at, &frames);
        assert_eq!(counter(&frames[0]) >> 55, counter(&frames[1]) >> 55);
        sent.push((counter(&frames[0]), counter(&frames[1])));
        if round == 1 {
            hear(&mut backup, at + 1.0, &step(&mut earlier).1);
        }
        // Of before, and of now in the other family; both with another header from elsewhere.
        let forged = |counter, family, src: &str| Ad {
            advskew: 9,
            src: Some(src.parse().unwrap()),
            ..stranger(&[V4, V6], counter).over(family)
        };
        let (v4, v6) = sent[round];
        let forged = [
            forged(sent[0].0, Family::Inet, "192.0.2.99"),
            forged(v4, Family::Inet6, "fe80::99"),
            forged(v6, Family::Inet, "192.0.2.99"),
        ];
        for ad in forged.iter().skip(usize::from(round == 0)) {
            master.frame(at + 2.0, &ad.bytes());
        }
    }
    assert_eq!(replays(&master), 17);
    sent.dedup_by_key(|(v4, _)| *v4 >> 55);
    assert_eq!(sent.len(), 1, "identities");
    assert_eq!(replays(&backup), 0);
    assert_eq!(backup.state(), State::Backup);
}

/// A number that is, by chance, made like ours, for IPv4, at this position or soon after.
fn like_ours(mut position: u64) -> u64 {
    let auth = Auth::new(&Key::from_pass(b"secret"), vhid(1), []);
    loop {
        let check = auth.seal(position) >> 44;
        if (64..(1 << 20) - 64).contains(&check) {
            return position << 20 | check;
        }
        position += 2;
    }
}

/// One random number in a million; only where one of ours may have come it must be a recording.
#[test]
fn a_random_number_that_looks_like_ours_is_believed() {
    let now = 2 * (Y2027 - 1_735_689_600);
    for (what, position, rejected) in [
        ("of this year", now, 1),
        ("of the year before", now - 2 * 365 * 86400, 1),
        ("of the next one", now + 2 * 365 * 86400, 0),
        ("of the last century", 1 << 34, 0),
    ] {
        let mut backup = ours(2, &[V4, V6], 100, Y2027);
        let ad = stranger(&[V4, V6], like_ours(position)).over(Family::Inet6);
        backup.frame(1000.0, &ad.bytes());
        assert_eq!(replays(&backup), rejected, "{what}");
    }
}

/// FreeBSD draws a number for each packet, counts up through both families, or OpenBSD has one for both: what a recording is
/// worth in the family that it was not made for.
#[test]
fn a_number_in_the_other_family() {
    let random: Vec<u64> = (1..=12).map(random).collect();
    let rows = [
        ("random ones", random, 1),
        ("counted up", (500..512).collect(), 0),
        ("a constant one", vec![500; 12], 0),
    ];
    for (what, numbers, rejected) in rows {
        let mut backup = Host::backup(&[V4, V6], 1, 100);
        let v4 = |number| stranger(&[V4, V6], number);
        let v6 = |number| Ad {
            src: Some("fe80::7".parse().unwrap()),
            ..v4(number).over(Family::Inet6)
        };
        for (n, pair) in numbers.chunks(2).enumerate() {
            let frames = [v4(pair[0]).bytes(), v6(pair[1]).bytes()];
            hear(&mut backup, 1000.0 * n as f64, &frames);
        }
        assert_eq!(replays(&backup), 0, "{what}");
        // Soon after the last one it could be another host that heard the same; then it is a recording.
        for (at, more) in [(6400.0, 0), (6500.0, rejected)] {
            let before = replays(&backup);
            hear(&mut backup, at, &[v6(numbers[4]).bytes()]);
            assert_eq!(replays(&backup) - before, more, "{what} at {at}");
        }
    }
}
