//! A host that is drained gives its share to another one, and keeps it where there is none.

use crate::rig::{Ad, Host, V4, V6, config};
use crate::segment::{DEAD, Segment};
use carp::carp::Reason;
use carp::carp::config::{Config, State, Unit};

fn set(segment: &mut Segment, host: usize, drain: bool) {
    for number in [1, 2] {
        let config = Config {
            drain,
            ..segment.config(host, number)
        };
        segment.configure(host, Unit(number.into()), Some(config));
    }
}

#[test]
fn a_share_moves_away_and_back_and_nobody_goes_without_an_answer() {
    let mut segment = Segment::new(2, None, |_, _| {});
    segment.run(3.0 * DEAD);
    let before = segment.shares();
    set(&mut segment, 0, true);
    let mut without = 0;
    for _ in 0..800 {
        segment.run(5.0);
        without += usize::from(!segment.wrong().0.is_empty());
    }
    // The goodbye is on its way for a millisecond, and so is the time in which a question finds nobody.
    assert!(without <= 2, "{without} ms");
    assert!(segment.shares().values().all(|(host, _)| *host == 1));
    set(&mut segment, 0, false);
    for _ in 0..600 {
        segment.run(5.0);
        assert!(segment.wrong().0.is_empty());
    }
    assert_eq!(segment.shares(), before);
}

#[test]
fn a_drained_host_serves_where_nobody_else_does() {
    let mut segment = Segment::new(2, None, |_, _| {});
    segment.run(3.0 * DEAD);
    set(&mut segment, 0, true);
    segment.run(1000.0);
    segment.kill(1);
    segment.run(DEAD);
    assert!(segment.shares().values().all(|(host, _)| *host == 0));
    segment.revive(1);
    segment.run(DEAD);
    assert!(segment.shares().values().all(|(host, _)| *host == 1));
}

#[test]
fn alone_it_goes_on_before_it_ceases_to_serve() {
    let (mut host, at) = Host::master(&[V4, V6], 1, 0);
    let drained = Config {
        drain: true,
        ..config(&[V4, V6], 1, 0)
    };
    let told = |lines: &[String], line: &str| assert!(lines.iter().any(|l| l == line), "{lines:?}");
    let lines = host.configure(at + 10.0, drained.clone());
    told(&lines, "ad inet 1/240 demote 128");
    assert_eq!(host.state(), State::Master);
    let left = host.timeout().unwrap();
    assert!((at + 1947.0..at + 1948.0).contains(&left), "{left}");
    told(&host.time(left), "goodbye inet demote 128");
    assert_eq!(
        (host.state(), host.reason()),
        (State::Backup, Reason::Drained)
    );
    assert_eq!(host.timeout(), Some(left + 80.0));
    let lines = host.time(left + 80.0);
    assert!(!lines.contains(&"gate shut".to_owned()), "{lines:?}");
    assert_eq!(host.state(), State::Master);
    told(&lines, "ad inet 1/240 demote 128");
    // What does not change is not said again.
    assert!(host.configure(left + 85.0, drained).is_empty());
    told(
        &host.configure(left + 90.0, config(&[V4, V6], 1, 0)),
        "ad inet 1/0",
    );
}

#[test]
fn a_peer_that_honours_no_demotion_takes_over_at_the_goodbye() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let drained = Config {
        drain: true,
        ..config(&[V4], 1, 0)
    };
    host.configure(at + 10.0, drained);
    let left = host.timeout().unwrap();
    host.time(left);
    host.frame(left + 1.0, &Ad::new(&[V4], 1, 100).bytes());
    host.time(left + 500.0);
    assert_eq!(host.state(), State::Backup);
}
