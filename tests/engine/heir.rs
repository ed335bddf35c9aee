//! An engine that goes on for another one: everything is as it was, also where several virtual hosts share an address, and
//! what died half kept does no harm.

use crate::rig::{Ad, Host, UNIT, V4, V6, config, line, ms, parent, vhid};

use carp::carp::config::{Balancing, Config, Node, State, Unit};
use carp::carp::kept::{Common, Part, Single, Whole};
use carp::carp::{Engine, Input};
use std::collections::BTreeMap;

/// What was written down, as texts.
#[derive(Default)]
struct Kept(BTreeMap<Part, String>);

impl Kept {
    /// Of what has changed, as much as `most` parts.
    fn write(&mut self, engine: &mut Engine, most: usize) {
        for part in engine.changed_parts().into_iter().take(most) {
            let text = match part {
                Part::Whole => serde_json::to_string(&engine.whole()),
                Part::Unit(unit) => serde_json::to_string(&engine.common(unit)),
                Part::Vhost(unit, vhid) => serde_json::to_string(&engine.single(unit, vhid)),
            };
            self.0.insert(part, text.unwrap());
        }
    }

    fn heir(&self, at: f64) -> (Engine, Vec<String>) {
        let whole: Whole = serde_json::from_str(&self.0[&Part::Whole]).unwrap();
        let units = whole.units().iter().map(|unit| {
            let common: Common = serde_json::from_str(&self.0[&Part::Unit(*unit)]).unwrap();
            let single = |vhid: &_| self.0[&Part::Vhost(*unit, *vhid)].as_str();
            let singles = common.vhids().iter().map(single);
            let singles = singles.map(|text| serde_json::from_str::<Single>(text).unwrap());
            let singles = singles.collect();
            (*unit, common, singles)
        });
        let units = units.collect();
        let mut engine = Engine::new(99);
        engine.resume(ms(at), whole, units);
        let lines = std::iter::from_fn(|| engine.poll().map(|action| line(&action)));
        let lines = lines.collect();
        (engine, lines)
    }
}

/// Vhids 1 to 3 on carp1, all of this host's address lists, shared in this way.
fn shared(balancing: Balancing) -> Config {
    let node = |number| Node {
        vhid: vhid(number),
        advskew: 10 * number,
    };
    Config {
        nodes: (1..=3).map(node).collect(),
        balancing,
        ..config(&[V4, V6], 1, 0)
    }
}

fn states(engine: &Engine, unit: Unit) -> Vec<(u8, State)> {
    let vhosts = engine.vhosts(unit);
    vhosts.map(|v| (v.vhid.get(), v.state)).collect()
}

#[test]
fn all_that_decides_is_handed_over_whatever_is_shared_how() {
    for balancing in Balancing::ALL {
        let (mut host, mut kept) = (Host::new(7), Kept::default());
        host.parent(0.0, Some(parent()));
        let settings = carp::carp::config::Settings {
            arpbalance: true,
            preempt: true,
            ..Default::default()
        };
        host.input(0.0, Input::Settings(settings));
        host.configure(1.0, shared(balancing));
        kept.write(&mut host.engine, usize::MAX);
        // Vhid 2 is another host's, the others become this one's.
        for second in 1..8 {
            let at = 1000.0 * f64::from(second);
            let elsewhere = Ad {
                vhid: 2,
                ..Ad::new(&[V4, V6], 1, 0)
            };
            host.frame(at, &elsewhere.bytes());
            let inet6 = Ad {
                vhid: 2,
                ..Ad::new(&[V4, V6], 1, 0).over(carp::wire::Family::Inet6)
            };
            host.frame(at, &inet6.bytes());
            kept.write(&mut host.engine, usize::MAX);
            let (heir, lines) = kept.heir(at);
            let same =
                |engine: &Engine| (states(engine, UNIT), engine.timeout(), engine.demotion());
            assert_eq!(same(&heir), same(&host.engine), "{balancing} {at}");
            let parts = |engine: &Engine| {
                let vhids = (1..=3).map(|n| engine.single(UNIT, vhid(n)).map(|s| unsent(&s)));
                let vhids: Vec<_> = vhids.collect();
                let common = serde_json::to_string(&engine.common(UNIT)).unwrap();
                let mut whole = serde_json::to_value(engine.whole()).unwrap();
                // Not with every packet.
                whole["stats"].take();
                (vhids, common, whole)
            };
            assert_eq!(parts(&heir), parts(&host.engine), "{balancing} {at}");
            assert!(!lines.iter().any(|l| l.contains("->")), "{lines:?}");
        }
        let masters = [(1, State::Master), (2, State::Backup), (3, State::Master)];
        assert_eq!(states(&host.engine, UNIT), masters, "{balancing}");
    }
}

/// A vhost as text, but for what an heir does not believe: how far its own counters were.
fn unsent(single: &Single) -> serde_json::Value {
    let mut value = serde_json::to_value(single).unwrap();
    let members = value.pointer_mut("/memory/members").unwrap();
    members["own"]["last"].take();
    members["floor"].take();
    value
}

/// Between the vhost and its carpN: what it left behind is over by then, and must not end what it has become.
#[test]
fn who_was_promoted_while_it_lingered_stays_open() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let mut kept = Kept::default();
    kept.write(&mut host.engine, usize::MAX);
    host.input(
        at + 1.0,
        Input::State {
            unit: UNIT,
            state: State::Backup,
        },
    );
    kept.write(&mut host.engine, usize::MAX);
    host.input(
        at + 2.0,
        Input::State {
            unit: UNIT,
            state: State::Master,
        },
    );
    assert_eq!(host.state(), State::Master);
    let changed = host.engine.clone().changed_parts();
    let last = changed.iter().position(|part| *part == Part::Unit(UNIT));
    kept.write(&mut host.engine, last.unwrap());
    let (engine, lines) = kept.heir(at + 3.0);
    host.engine = engine;
    assert_eq!(host.state(), State::Master, "{lines:?}");
    host.parent(at + 3.0, Some(parent()));
    let later = host.time(at + 200.0);
    assert!(!later.contains(&"gate shut".to_owned()), "{later:?}");
}
