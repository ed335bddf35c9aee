//! Our own advertisement comes back: it is known by counter, family and header, whatever its source says.

use crate::receiver::{DUAL, Receiver, VHID, config};
use crate::rig::{self, Host};
use carp::carp::Sending;
use carp::carp::config::State;
use carp::wire::Family;

/// How many of its last advertisements of all families a vhost knows again.
const KNOWN: usize = 32;

/// A MASTER and every advertisement that it has sent in the order of sending.
fn talker(intervals: usize) -> (Receiver, Vec<(Family, Vec<u8>)>) {
    let mut host = Host::new(7);
    host.parent(0.0, Some(rig::parent()));
    host.configure(0.0, config(VHID, b"secret", DUAL, 100));
    let mut sent = Vec::new();
    let mut now = 0.0;
    for _ in 0..intervals {
        now = host.timeout().unwrap();
        host.time(now);
        sent.extend(
            host.frames
                .iter()
                .filter_map(|(_, what, frame)| match what {
                    Sending::Advertisement(family) => Some((*family, frame.clone())),
                    _ => None,
                }),
        );
    }
    assert_eq!(host.state(), State::Master);
    (Receiver::of(host, now + 500.0), sent)
}

#[test]
fn an_echo_is_counted_and_changes_nothing() {
    let (master, sent) = talker(3);
    assert_eq!(sent.len(), 6);
    for (family, frame) in sent {
        assert_eq!(master.judge(&frame), "echo", "{family}");
        // A bridge or a second host may give it another source MAC.
        let mut elsewhere = frame.clone();
        elsewhere[6..12].fill(2);
        assert_eq!(master.judge(&elsewhere), "echo", "{family}");
    }
}

#[test]
fn only_the_last_ones_are_known_again() {
    let (master, sent) = talker(40);
    let unknown = sent.len() - KNOWN;
    for (n, (_, frame)) in sent.iter().enumerate() {
        // An older one looks like a host as good as this one, but its value does not grow.
        let expected = if n < unknown { "badreplay" } else { "echo" };
        assert_eq!(master.judge(frame), expected, "{n}");
    }
}

#[test]
fn what_is_not_quite_ours_is_not_an_echo() {
    let (master, sent) = talker(3);
    let frame = &sent
        .iter()
        .find(|(family, _)| *family == Family::Inet)
        .unwrap()
        .1;
    let mut worse = frame.clone();
    worse[36] += 1;
    crate::mutations::repair(&mut worse);
    // Nobody else makes our counters: the header was changed, which the digest does not cover.
    assert_eq!(master.judge(&worse), "badreplay");
    worse[36] -= 2;
    crate::mutations::repair(&mut worse);
    assert_eq!(master.judge(&worse), "badreplay");
    let mut moved = frame.clone();
    moved[29] += 1;
    crate::mutations::repair(&mut moved);
    assert_eq!(master.judge(&moved), "badreplay", "from another address");
}
