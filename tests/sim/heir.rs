//! What an engine leaves to its successor, and how much of it when it dies between two parts; must not judge.

use crate::host::{Conf, Fact};
use crate::random::Random;
use crate::rules::{Course, Stage, Witness};
use crate::scenario::MS;
use carp::carp::Engine;
use carp::carp::config::{Unit, Vhid};
use carp::carp::kept::{Common, Part, Single, Whole};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// The death of an engine whose host lives on.
#[derive(Debug, Clone, Copy)]
pub struct Death {
    pub at: u64,
    pub host: usize,
    /// Until the successor takes over.
    pub gap: u64,
    /// It dies with the next thing that happens to it: how much of what follows it still says and keeps, by these numbers.
    pub torn: Option<(u64, u64)>,
}

impl Death {
    /// Mostly the successor waits already; one that has to be started takes longer.
    pub fn draw(random: &mut Random, at: u64, host: usize) -> Self {
        let gap = if random.chance(80) {
            random.between(MS / 10, 4 * MS)
        } else {
            random.between(5 * MS, 60 * MS)
        };
        let torn = random.chance(60).then(|| (random.next(), random.next()));
        Self {
            at,
            host,
            gap,
            torn,
        }
    }
}

/// What is left of an engine.
pub type Estate = (Whole, Vec<(Unit, Common, Vec<Single>)>);

/// The records, as values.
#[derive(Debug, Default)]
pub struct Kept {
    whole: Option<Whole>,
    units: BTreeMap<Unit, Common>,
    vhosts: BTreeMap<(Unit, Vhid), Single>,
}

impl Kept {
    /// As the daemon does it: what is gone stays until its carpN goes.
    pub fn write(&mut self, engine: &Engine, part: Part) {
        match part {
            Part::Whole => self.whole = Some(engine.whole()),
            Part::Unit(unit) => match engine.common(unit) {
                Some(common) => {
                    self.units.insert(unit, common);
                }
                None => {
                    self.units.remove(&unit);
                    self.vhosts.retain(|(of, _), _| *of != unit);
                }
            },
            Part::Vhost(unit, vhid) => {
                if let Some(single) = engine.single(unit, vhid) {
                    self.vhosts.insert((unit, vhid), single);
                }
            }
        }
    }

    /// What a successor reads: texts have been made of it.
    pub fn read(&self) -> Option<Estate> {
        let whole: Whole = read(self.whole.as_ref()?);
        let units = whole.units().iter().filter_map(|unit| {
            let common: Common = read(self.units.get(unit)?);
            let vhids = common.vhids().iter();
            let vhosts = vhids.map(|vhid| Some(read(self.vhosts.get(&(*unit, *vhid))?)));
            let vhosts = vhosts.collect::<Option<Vec<Single>>>()?;
            // The few frames that a destroyed one would still serve are nobody's.
            (!common.retiring()).then_some((*unit, common, vhosts))
        });
        let units = units.collect();
        Some((whole, units))
    }
}

fn read<T: Serialize + DeserializeOwned>(part: &T) -> T {
    serde_json::from_slice(&serde_json::to_vec(part).unwrap()).unwrap()
}

/// The parts of one change, of which only the first ones were kept.
#[derive(Debug, Default)]
pub struct Torn {
    changed: Vec<Part>,
    kept: usize,
}

impl Torn {
    pub fn new(changed: Vec<Part>, number: u64) -> Self {
        let kept = (number % (changed.len() as u64 + 1)) as usize;
        Self { changed, kept }
    }

    pub fn parts(&self) -> &[Part] {
        &self.changed[..self.kept]
    }

    pub fn name(&self) -> &'static str {
        match (self.changed.len(), self.kept) {
            (0, _) => "death: nothing to keep",
            (_, 0) => "death: nothing was kept of a change",
            (all, kept) if kept < all => "death: a part was kept of a change",
            _ => "death: all was kept of a change",
        }
    }

    /// It is not known from before the change.
    fn has(&self, part: Part) -> bool {
        !self.changed[self.kept..].contains(&part)
    }
}

/// What a successor must know, of what was known before a change and after it.
pub fn known(before: &Witness, after: Witness, torn: &Torn) -> Witness {
    let mut known = after.clone();
    let whole = torn.has(Part::Whole);
    if !whole {
        known.settings = before.settings;
        known.ports.clone_from(&before.ports);
    }
    for at in 0..known.confs.len() {
        let (unit, vhid) = (known.confs[at].unit(), known.confs[at].seal.vhid);
        let unit_has = torn.has(Part::Unit(unit));
        let vhost_has = torn.has(Part::Vhost(unit, Vhid::new(vhid).unwrap()));
        let common = if unit_has { &after } else { before };
        let named = if whole { &after } else { before };
        let listed = !named.confs[at].gone || named.courses[at].left.is_some();
        if !listed || common.confs[at].gone {
            known.confs[at] = Conf {
                gone: true,
                ..common.confs[at].clone()
            };
            known.courses[at] = Course::new();
            continue;
        }
        // Of one that is gone nothing was written.
        let single = if vhost_has && !after.confs[at].gone {
            &after
        } else {
            before
        };
        known.confs[at] = common.confs[at].clone();
        let course = &mut known.courses[at];
        *course = single.courses[at].clone();
        course.grace = common.courses[at].grace;
        let serves = matches!(course.stage, Stage::Arming(_) | Stage::Master);
        let left = common.courses[at].left.clone();
        course.left = left.filter(|_| !serves);
        // Nobody reports any more what left.
        (course.round, course.failed) = (0, false);
        course.awaited.clear();
        if let Some(said) = course.sent.back() {
            course.ledger.bereave(said.counter, after.clock);
        }
    }
    known.recount();
    known
}

/// Asked for once more by whoever was not answered.
pub fn insists(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Configure(..) | Fact::Ask(..) | Fact::Settings(_)
    )
}
