//! A host with many carpN: what one of them does must not cost a look at all others.

use crate::rig::{V4, config, ms, parent, vhid};
use carp::carp::config::{Carpdev, State, Unit};
use carp::carp::{Action, Engine, Input, Sending};
use carp::time::Instant;
use nix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;

/// So many turns are looked at, and the cheapest counts.
const TURNS: usize = 100;

/// What the cheapest turn of each kind took.
type Costs = BTreeMap<&'static str, i64>;

/// Processor time of this thread in ns: how busy the machine is has no part in it.
fn spent() -> i64 {
    let spec = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    spec.tv_sec() * 1_000_000_000 + spec.tv_nsec()
}

/// As many carpN, all with vhids of their carpdev's own, and their advertisements each at another moment.
fn host(count: u16, advskew: u8) -> Engine {
    let mut engine = Engine::new(u64::from(advskew));
    for place in 0..count {
        let carpdev = Carpdev(2 + u32::from(place) / 250);
        if place % 250 == 0 {
            let parent = Some(parent());
            engine.handle(ms(0.0), Input::Parent { carpdev, parent });
        }
        let mut config = config(&[V4], 1, advskew);
        config.nodes[0].vhid = vhid((place % 250 + 1) as u8);
        let input = Input::Configure {
            unit: Unit(place),
            config: Some((config, Some(carpdev))),
        };
        engine.handle(ms(f64::from(place)), input);
    }
    while engine.poll().is_some() {}
    engine
}

/// One input and what comes of it, with the frames that are to be heard by others.
fn turn(
    engine: &mut Engine,
    (now, input): (Instant, Input<'_>),
    (kind, costs): (&'static str, &mut Costs),
) -> Vec<(Carpdev, Vec<u8>)> {
    let begun = spent();
    engine.handle(now, input);
    let mut actions = Vec::new();
    while let Some(action) = engine.poll() {
        actions.push(action);
    }
    let cost = spent() - begun;
    let cheapest = costs.entry(kind).or_insert(cost);
    *cheapest = cost.min(*cheapest);
    let mut frames = Vec::new();
    for action in actions {
        if let Action::Send {
            carpdev,
            unit,
            vhid,
            what: Sending::Advertisement(family),
            frame,
        } = action
        {
            let ok = true;
            let sent = Input::Sent {
                unit,
                vhid,
                family,
                ok,
            };
            turn(engine, (now, sent), ("a report", costs));
            frames.push((carpdev, frame));
        }
    }
    frames
}

/// A MASTER of so many and their BACKUP, once everything has settled.
fn costs(count: u16) -> Costs {
    let (mut master, mut backup) = (host(count, 0), host(count, 100));
    let mut cast = |costs: &mut Costs| {
        let now = master.timeout().unwrap();
        let kind = "an advertisement";
        let frames = turn(&mut master, (now, Input::Time), (kind, costs));
        for (carpdev, frame) in &frames {
            let input = Input::Frame {
                carpdev: *carpdev,
                bytes: frame,
            };
            turn(&mut backup, (now, input), ("a frame", costs));
        }
        (now, frames.len())
    };
    while cast(&mut Costs::new()).0 < ms(8000.0) {}
    let mut costs = Costs::new();
    for _ in 0..TURNS {
        let (_, frames) = cast(&mut costs);
        assert_eq!(frames, 1, "each at its own moment");
    }
    for (engine, state) in [(&master, State::Master), (&backup, State::Backup)] {
        for unit in (0..count).map(Unit) {
            assert!(engine.vhosts(unit).all(|vhost| vhost.state == state));
        }
    }
    costs
}

#[test]
fn a_turn_of_one_costs_no_walk_through_all() {
    let (few, many) = (costs(20), costs(600));
    for (kind, cost) in few {
        let of_many = many[kind];
        assert!(
            of_many < 4 * cost,
            "{kind}: {cost} ns of 20, {of_many} ns of 600"
        );
    }
}
