//! Each figure from records made by hand, with the answer worked out beside it.
#![allow(clippy::unwrap_used)]

use super::super::sight::Advert;
use super::*;

const MS: Duration = Duration::from_millis(1);
const OLD: usize = 0;
const NEW: usize = 1;

fn ms(at: u64) -> Instant {
    Instant::from_nanos(1_000_000_000 + at * 1_000_000)
}

/// A probe every millisecond; `trips` holds the round trips in ms, `None` for no reply.
fn probes(trips: &[Option<u64>]) -> Vec<Probe> {
    (0..)
        .zip(trips)
        .map(|(number, trip)| Probe {
            number,
            sent: ms(number),
            answered: trip.map(|trip| ms(number + trip)),
            fresh: false,
        })
        .collect()
}

#[test]
fn nothing_lost_is_no_outage_even_after_a_stall() {
    let mut sent = probes(&[Some(0), Some(0), Some(0)]);
    sent[1].sent = ms(30);
    sent[1].answered = Some(ms(30));
    sent[2].sent = ms(31);
    sent[2].answered = Some(ms(31));
    let reach = reach(&sent, MS);
    assert_eq!(
        (reach.sent, reach.lost, reach.late, reach.outage),
        (3, 0, 0, Duration::ZERO)
    );
}

#[test]
fn outage_is_the_span_between_answered_probes_less_one_period() {
    let reach = reach(
        &probes(&[Some(0), Some(0), None, None, None, Some(0), Some(0)]),
        MS,
    );
    assert_eq!((reach.lost, reach.outage), (3, 3 * MS));
    let one = super::reach(&probes(&[Some(0), None, Some(0)]), MS);
    assert_eq!((one.lost, one.outage), (1, MS));
}

#[test]
fn the_longest_run_counts_and_so_do_the_ends() {
    let two = reach(&probes(&[Some(0), None, Some(0), None, None, Some(0)]), MS);
    assert_eq!((two.lost, two.outage), (3, 2 * MS));
    assert_eq!(reach(&probes(&[Some(0), None, None]), MS).outage, 2 * MS);
    assert_eq!(reach(&probes(&[None, None, Some(0)]), MS).outage, 2 * MS);
    assert_eq!(reach(&probes(&[None; 4]), MS).outage, 4 * MS);
    assert_eq!(reach(&[], MS), Reach::default());
}

#[test]
fn a_reply_after_a_second_is_a_loss_and_after_fifty_ms_late() {
    let reach = reach(
        &probes(&[Some(0), Some(1001), Some(51), Some(50), Some(1000)]),
        MS,
    );
    assert_eq!((reach.lost, reach.late), (1, 2));
}

#[test]
fn a_probe_that_waited_in_the_clients_queue_ends_the_outage_with_its_reply() {
    // Sent 1, 2 lost; 3 to 5 waited for an ARP answer until 40: the outage is 0 to 40, not 0 to 3.
    let reach = reach(
        &probes(&[Some(0), None, None, Some(37), Some(36), Some(35), Some(34)]),
        MS,
    );
    assert_eq!((reach.lost, reach.late, reach.outage), (2, 0, 39 * MS));
}

fn advert(at: u64, port: usize) -> Sighting {
    let advert = Some(Advert {
        advbase: 1,
        advskew: 0,
    });
    Sighting {
        at: ms(at),
        port,
        sight: Sight {
            family: Family::Inet,
            advert,
            owner: true,
        },
    }
}

fn goodbye(at: u64, port: usize) -> Sighting {
    let mut seen = advert(at, port);
    seen.sight.advert = Some(Advert {
        advbase: 255,
        advskew: 255,
    });
    seen
}

fn answer(at: u64, port: usize) -> Sighting {
    let mut seen = advert(at, port);
    seen.sight.advert = None;
    seen
}

fn asked(at: u64, rule: u64) -> Question {
    Question {
        family: Family::Inet,
        at: ms(at),
        old: OLD,
        rule: Duration::from_millis(rule),
    }
}

#[test]
fn a_kill_is_measured_from_the_last_advert_and_from_the_event() {
    let seen = [
        advert(0, OLD),
        advert(1000, OLD),
        answer(1500, OLD),
        advert(4400, NEW),
        answer(4410, NEW),
    ];
    let figures = takeover(&seen, &asked(1600, 3390));
    assert_eq!(figures.master, Some(NEW));
    assert_eq!(figures.takeover, Some(2800 * MS));
    assert_eq!(figures.excess, Some(10_000_000));
    assert_eq!(figures.overlap, Duration::ZERO);
}

#[test]
fn a_goodbye_is_the_last_advert_of_the_old_and_never_makes_a_master() {
    let seen = [advert(0, OLD), goodbye(100, OLD), advert(103, NEW)];
    let figures = takeover(&seen, &asked(90, 0));
    assert_eq!(
        (figures.master, figures.excess),
        (Some(NEW), Some(3_000_000))
    );
    let only = takeover(&[advert(0, OLD), goodbye(100, NEW)], &asked(90, 0));
    assert_eq!(
        (only.master, only.takeover, only.excess),
        (Some(OLD), None, None)
    );
}

#[test]
fn two_owners_overlap_until_the_last_frame_of_the_old() {
    let seen = [
        answer(10, OLD),
        advert(100, NEW),
        answer(110, NEW),
        answer(112, OLD),
        answer(130, NEW),
    ];
    assert_eq!(takeover(&seen, &asked(5, 0)).overlap, 12 * MS);
    let apart = [
        answer(10, OLD),
        answer(20, OLD),
        advert(25, NEW),
        answer(30, NEW),
    ];
    assert_eq!(takeover(&apart, &asked(5, 0)).overlap, Duration::ZERO);
}

#[test]
fn a_second_owner_shows_even_if_the_master_did_not_change() {
    let seen = [
        advert(0, OLD),
        answer(20, NEW),
        answer(30, NEW),
        answer(40, OLD),
        advert(1000, OLD),
    ];
    let figures = takeover(&seen, &asked(0, 0));
    assert_eq!((figures.master, figures.takeover), (Some(OLD), None));
    assert_eq!(figures.overlap, 10 * MS);
}

#[test]
fn families_are_apart_and_silence_has_no_master() {
    let mut other = advert(50, NEW);
    other.sight.family = Family::Inet6;
    assert_eq!(takeover(&[other], &asked(0, 0)), Takeover::default());
    let no_last = takeover(&[advert(50, NEW)], &asked(0, 0));
    assert_eq!((no_last.takeover, no_last.excess), (Some(50 * MS), None));
}

#[test]
fn an_early_takeover_has_a_negative_excess() {
    let figures = takeover(&[advert(0, OLD), advert(90, NEW)], &asked(10, 100));
    assert_eq!(figures.excess, Some(-10_000_000));
}

#[test]
fn times_by_the_rule() {
    assert_eq!(dead_time(1, 100), Duration::from_nanos(3_390_625_000));
    assert_eq!(dead_time(0, 1), Duration::from_nanos(11_718_750));
    assert_eq!(dead_time(0, 0), Duration::from_nanos(11_718_750));
    assert_eq!(interval(0, 0), Duration::from_nanos(3_906_250));
    assert_eq!(interval(0, 2), Duration::from_nanos(7_812_500));
    assert_eq!(interval(1, 0), Duration::from_secs(1));
}
