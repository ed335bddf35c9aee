//! Anything at all in, nothing terrible out; and the same in gives the same out.

use crate::rig::{
    Ad, CARPDEV, Host, UNIT, V4, V6, arp_request, config, line, ms, parent, solicitation,
};
use carp::carp::config::{Carpdev, Settings, State, Unit};
use carp::carp::{Engine, Input, Parent};
use carp::wire::Family;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Instant;

/// Small, repeatable, and not the engine's own.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn some_frame(dice: &mut Dice) -> Vec<u8> {
    let advskew = dice.roll(256) as u8;
    let advbase = [0, 1, 1, 2, 255][dice.roll(5) as usize];
    let family = [Family::Inet, Family::Inet6][dice.roll(2) as usize];
    let ad = Ad {
        counter: dice.roll(u64::MAX),
        ..Ad::new(&[V4, V6], advbase, advskew)
    };
    let ad = ad
        .over(family)
        .demoted(dice.roll(3) as u8 * dice.roll(2) as u8);
    let mut bytes = match dice.roll(6) {
        0 => arp_request("192.0.2.10"),
        1 => solicitation("2001:db8::10"),
        _ => ad.bytes(),
    };
    match dice.roll(4) {
        0 => bytes.truncate(dice.roll(bytes.len() as u64 + 1) as usize),
        1 => {
            let at = dice.roll(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << dice.roll(8);
        }
        _ => {}
    }
    bytes
}

/// A long life of one engine; every action as a line.
fn life(seed: u64, steps: usize) -> (Engine, Vec<String>) {
    let mut engine = Engine::new(seed);
    let mut dice = Dice(seed | 1);
    let mut nanos = 0;
    let mut lines = Vec::new();
    for _ in 0..steps {
        nanos += [0, 1_000, 3_906_000, 200_000_000, 1_000_000_000][dice.roll(5) as usize];
        let now = carp::time::Instant::from_nanos(nanos);
        let bytes = some_frame(&mut dice);
        let carpdev = Carpdev(2 + dice.roll(2) as u32);
        let unit = Unit(1 + dice.roll(2) as u16);
        let up = Parent {
            up: dice.roll(8) > 0,
            ..parent()
        };
        let mut wanted = config(
            &[V4, V6][..1 + dice.roll(2) as usize],
            dice.roll(3) as u8,
            dice.roll(255) as u8,
        );
        wanted.up = dice.roll(8) > 0;
        let input = match dice.roll(24) {
            0 | 1 => Input::Parent {
                carpdev,
                parent: (dice.roll(9) > 0).then_some(up),
            },
            2 | 3 => Input::Configure {
                unit,
                config: (dice.roll(9) > 0).then_some((wanted, Some(carpdev))),
            },
            4 => Input::State {
                unit,
                state: [State::Master, State::Backup][dice.roll(2) as usize],
            },
            5 => Input::Settings(Settings {
                allow: dice.roll(5) > 0,
                preempt: dice.roll(2) > 0,
                log: 7,
                replay: dice.roll(3) > 0,
                ..Settings::default()
            }),
            6 | 7 => Input::Armed {
                unit,
                attempt: dice.roll(lines.len() as u64 / 20 + 2),
                ok: dice.roll(3) > 0,
            },
            8..=11 => Input::Time,
            _ => Input::Frame {
                carpdev,
                bytes: &bytes,
            },
        };
        engine.handle(now, input);
        let mut reports = Vec::new();
        let mut count = 0;
        while let Some(action) = engine.poll() {
            if let carp::carp::Action::Send {
                unit,
                vhid,
                what: carp::carp::Sending::Advertisement(family),
                ..
            } = &action
            {
                reports.push(Input::Sent {
                    unit: *unit,
                    vhid: *vhid,
                    family: *family,
                    ok: dice.roll(9) > 0,
                });
            }
            lines.push(line(&action));
            count += 1;
            assert!(count < 200, "bounded by construction");
        }
        for report in reports {
            engine.handle(now, report);
        }
        assert!(
            engine.timeout().is_none_or(|at| at > now),
            "nothing due is left"
        );
        assert_eq!(engine.timeout(), engine.next_timer().map(|next| next.0));
    }
    (engine, lines)
}

#[test]
fn equal_seeds_give_equal_actions() {
    let (one, lines) = life(42, 3000);
    let (two, same) = life(42, 3000);
    assert!(lines == same);
    assert_eq!(one.world(), two.world());
    assert!(
        lines.iter().any(|l| l.contains("-> MASTER")) && lines.iter().any(|l| l.contains("garp"))
    );
    let (_, other) = life(44, 3000);
    assert!(lines != other);
}

#[test]
fn many_lives_end_well() {
    for seed in 1..60 {
        life(seed * 7919, 400);
    }
}

#[test]
fn random_bytes_change_nothing_but_counters() {
    let (mut host, at) = Host::master(&[V4, V6], 1, 0);
    let before = host.engine.world().clone();
    let mut dice = Dice(99);
    for _ in 0..20_000 {
        let length = dice.roll(120) as usize;
        let mut bytes: Vec<u8> = (0..length).map(|_| dice.roll(256) as u8).collect();
        if length > 34 && dice.roll(2) == 0 {
            let real = Ad::new(&[V4, V6], 1, 0).bytes();
            bytes[..34].copy_from_slice(&real[..34]);
        }
        assert!(host.frame(at, &bytes).is_empty());
    }
    assert_eq!(*host.engine.world(), before);
}

fn hash(engine: &Engine, origin: f64) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine
        .world()
        .rebased(ms(origin), |_| Some(0))
        .hash(&mut hasher);
    hasher.finish()
}

#[test]
fn states_that_differ_only_in_when_and_with_which_numbers_rebase_to_one() {
    // Of one identity, which stays.
    let story = |number: u64, start: f64| {
        let mut host = Host::new(3);
        host.parent(start, Some(parent()));
        host.configure(start, config(&[V4, V6], 1, 0));
        let ad = Ad {
            counter: number * 1000,
            ..Ad::new(&[V4, V6], 1, 0)
        };
        host.frame(start + 100.0, &ad.bytes());
        host.frame(start + 200.0, &Ad::goodbye(&[V4, V6]).bytes());
        host.time(start + 1200.0);
        host
    };
    let (early, late) = (story(3, 0.0), story(8, 5_000_000.0));
    assert_ne!(early.engine.world(), late.engine.world());
    let rebased = |host: &Host, origin| host.engine.world().rebased(ms(origin), |_| Some(0));
    assert_eq!(rebased(&early, 1200.0), rebased(&late, 5_001_200.0));
    assert_eq!(hash(&early.engine, 1200.0), hash(&late.engine, 5_001_200.0));
    assert_ne!(rebased(&early, 1200.0), rebased(&early, 1100.0));
    let same = early.engine.world().rebased(ms(0.0), Some);
    assert_eq!(same.rebased(ms(0.0), Some), same);
}

/// Our figure is 5 us a packet in release; a debug build is given far more, to catch a loop over everything only.
#[test]
fn garbage_does_not_walk_through_all_groups() {
    let mut engine = Engine::new(1);
    engine.handle(
        ms(0.0),
        Input::Parent {
            carpdev: CARPDEV,
            parent: Some(parent()),
        },
    );
    for unit in 1..=255_u16 {
        let mut group = config(&[V4], 1, 0);
        group.nodes[0].vhid = crate::rig::vhid(unit as u8);
        engine.handle(
            ms(0.0),
            Input::Configure {
                unit: Unit(unit),
                config: Some((group, Some(CARPDEV))),
            },
        );
    }
    while engine.poll().is_some() {}
    assert_eq!(engine.vhosts(UNIT).count(), 1);
    let mut bad = Ad::new(&[V4], 1, 0).bytes();
    bad[14 + 20 + 6] ^= 1;
    let start = Instant::now();
    for _ in 0..1000 {
        engine.handle(
            ms(1.0),
            Input::Frame {
                carpdev: CARPDEV,
                bytes: &bad,
            },
        );
    }
    let each = start.elapsed() / 1000;
    assert!(each < std::time::Duration::from_micros(100), "{each:?}");
    assert_eq!(engine.stats().badsum, 1000);
}
