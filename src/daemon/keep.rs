//! Keeps the engine's state where the next engine finds it, after every event; must not know what it means.

use super::log::level;
use super::{Daemon, Ending};
use crate::carp::config::Unit;
use crate::carp::kept::{Common, Part, Single, Whole};
use crate::dataplane::Counters;
use crate::linux::clock;
use crate::linux::records::{RECORD_MAX, Records};
use crate::time::Instant;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use std::time::Duration;
use zeroize::{Zeroize, Zeroizing};

/// A carpN with its vhosts, as kept.
pub(super) type KeptUnit = (Unit, Common, Vec<Single>);

/// What an engine counts that only one that gives way can tell the next one.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Counted {
    /// Frames that never reached it.
    pub(super) fullsock: u64,
    /// What its copier carried, by index of carpN.
    pub(super) carried: Vec<(u32, Counters)>,
}

/// The state of an engine in records.
#[derive(Debug)]
pub(super) struct Kept {
    records: Records,
    /// A record in the making. It never grows: a key would stay behind.
    buffer: Zeroizing<Vec<u8>>,
    /// When the protocol's counters were kept last: they alone change without need.
    counted: Instant,
    /// The log knows that it does not work.
    told: bool,
}

/// So many counts may be lost with an engine.
const COUNTS: Duration = Duration::from_secs(1);

impl Kept {
    pub(super) fn new(records: Records) -> Self {
        Self {
            records,
            buffer: Zeroizing::new(vec![0; RECORD_MAX]),
            counted: Instant::ZERO,
            told: false,
        }
    }

    /// What an engine has left; `None` when it left nothing that can be read. A carpN that cannot is left out.
    pub(super) fn read(&mut self) -> Option<(Whole, Vec<KeptUnit>)> {
        let whole: Whole = self.part(Part::Whole)?;
        let units = whole.units().to_vec();
        let units = units.into_iter().filter_map(|unit| {
            let common: Common = self.part(Part::Unit(unit))?;
            let vhids = common.vhids().to_vec();
            let vhosts = vhids.into_iter();
            let vhosts: Option<Vec<Single>> = vhosts
                .map(|vhid| self.part(Part::Vhost(unit, vhid)))
                .collect();
            Some((unit, common, vhosts?))
        });
        let units = units.collect();
        Some((whole, units))
    }

    fn part<T: DeserializeOwned>(&mut self, part: Part) -> Option<T> {
        self.examine_part(part).ok().flatten()
    }

    /// The same while the engine that writes goes on: a carpN that is missing goes or comes just now.
    ///
    /// # Errors
    /// What of it this program does not understand.
    pub(super) fn examine(&mut self) -> Result<(Option<Whole>, Vec<KeptUnit>), String> {
        let Some(whole) = self.examine_part::<Whole>(Part::Whole)? else {
            return Ok((None, Vec::new()));
        };
        let mut units = Vec::new();
        for unit in whole.units() {
            let Some(common) = self.examine_part::<Common>(Part::Unit(*unit))? else {
                continue;
            };
            let mut vhosts = Vec::new();
            for vhid in common.vhids() {
                vhosts.extend(self.examine_part::<Single>(Part::Vhost(*unit, *vhid))?);
            }
            if vhosts.len() == common.vhids().len() {
                units.push((*unit, common, vhosts));
            }
        }
        Ok((Some(whole), units))
    }

    fn examine_part<T: DeserializeOwned>(&mut self, part: Part) -> Result<Option<T>, String> {
        let record = self.records.read(number(part));
        let read = record
            .map(|record| serde_json::from_slice(&record))
            .transpose();
        read.map_err(|e| format!("the state: {part:?}: {e}"))
    }

    fn write(&mut self, number: u64, value: &impl Serialize) -> io::Result<()> {
        let mut room = &mut self.buffer[..];
        let written = serde_json::to_writer(&mut room, value);
        let length = RECORD_MAX - room.len();
        let done = written.map_err(io::Error::from).and_then(|()| {
            let record = &self.buffer[..length];
            self.records.write(number, record).map_err(io::Error::other)
        });
        self.buffer[..length].zeroize();
        done
    }

    /// What the last engine that gave way had counted beside the protocol.
    pub(super) fn counters(&mut self) -> Option<Counted> {
        let record = self.records.read(COUNTED)?;
        // An engine that dies tells no other number.
        self.records.erase(COUNTED, 1);
        serde_json::from_slice(&record).ok()
    }

    fn erase(&mut self, unit: Unit) {
        self.records.erase(number(Part::Unit(unit)), 256);
    }
}

impl Daemon {
    /// What has changed, and no more: this follows every advertisement.
    pub(super) fn keep(&mut self) {
        if self.ending != Ending::No {
            return;
        }
        let mut parts = self.engine.changed_parts();
        let now = clock::now();
        if !parts.is_empty() && now.since(self.kept.counted) >= COUNTS {
            self.kept.counted = now;
            parts.insert(Part::Whole);
        }
        for part in parts {
            if let Err(e) = self.keep_part(part)
                && !self.kept.told
            {
                self.kept.told = true;
                let text = format!("a crash would lose the state: {part:?}: {e}");
                self.log.line(level::ERR, &text);
            }
        }
    }

    /// The last thing that an engine does which gives way.
    pub(super) fn keep_counters(&mut self) {
        self.ask_missed();
        let indices: Vec<u32> = self.interfaces.values().map(|held| held.index).collect();
        let carried = indices
            .into_iter()
            .map(|index| (index, self.carried(index)));
        let counted = Counted {
            fullsock: self.fullsock,
            carried: carried.collect(),
        };
        // Without room for it the next one begins to count anew, or with the protocol's counters of a while ago: those are not
        // kept each time that they change.
        let _ = self.kept.write(COUNTED, &counted);
        let _ = self.keep_part(Part::Whole);
    }

    /// Goes on counting where the last engine that gave way ended.
    pub(super) fn count_on(&mut self) {
        let Counted { fullsock, carried } = self.kept.counters().unwrap_or_default();
        self.fullsock = fullsock;
        self.carried = carried.into_iter().collect();
    }

    fn keep_part(&mut self, part: Part) -> io::Result<()> {
        let (engine, kept) = (&self.engine, &mut self.kept);
        match part {
            Part::Whole => kept.write(number(part), &engine.whole()),
            Part::Unit(unit) => match engine.common(unit) {
                Some(common) => kept.write(number(part), &common),
                None => {
                    kept.erase(unit);
                    Ok(())
                }
            },
            Part::Vhost(unit, vhid) => {
                let single = engine.single(unit, vhid);
                single.map_or(Ok(()), |single| kept.write(number(part), &single))
            }
        }
    }
}

/// The record of [`Counted`]: no part has it.
const COUNTED: u64 = 1;

/// 256 numbers for each carpN: its own and those of its vhids.
fn number(part: Part) -> u64 {
    let of = |unit: Unit| 256 + 256 * u64::from(unit.0);
    match part {
        Part::Whole => 0,
        Part::Unit(unit) => of(unit),
        Part::Vhost(unit, vhid) => of(unit) + u64::from(vhid.get()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::carp::config::{Config, Node, Vhid};
    use crate::carp::{Engine, Input};
    use crate::time::Instant;
    use serde_json::{Value, json};

    const UNIT: Unit = Unit(1);

    /// The parts of an engine with one vhost, as another version may have kept them.
    fn parts() -> Vec<(Part, Value)> {
        let vhid = Vhid::new(7).unwrap();
        let mut engine = Engine::new(1);
        let config = Config {
            nodes: vec![Node { vhid, advskew: 3 }],
            ..Config::default()
        };
        let input = Input::Configure {
            unit: UNIT,
            config: Some((config, None)),
        };
        engine.handle(Instant::ZERO, input);
        vec![
            (Part::Whole, json!(engine.whole())),
            (Part::Unit(UNIT), json!(engine.common(UNIT))),
            (Part::Vhost(UNIT, vhid), json!(engine.single(UNIT, vhid))),
        ]
    }

    /// What an engine makes of them after a change of one.
    fn read(change: impl Fn(Part, &mut Value)) -> Result<(Option<Whole>, Vec<KeptUnit>), String> {
        let mut kept = Kept::new(Records::new().unwrap());
        for (part, mut value) in parts() {
            change(part, &mut value);
            kept.write(number(part), &value).unwrap();
        }
        kept.examine()
    }

    #[test]
    fn what_another_version_keeps_beside_is_passed_over() {
        let known = json!(read(|_, _| ()).unwrap());
        let more = read(|_, value| value["colour"] = json!({"red": 1}));
        assert_eq!(json!(more.unwrap()), known);
        let fewer = read(|part, value| {
            if part == Part::Whole {
                value["stats"] = json!({"ipackets": 5});
            }
        });
        let fewer = json!(fewer.unwrap());
        assert_eq!(fewer[0]["stats"]["ipackets"], 5);
        assert_eq!(fewer[0]["stats"]["badauth"], 0);
    }

    #[test]
    fn what_may_not_lack_or_is_of_another_kind_is_refused_by_name() {
        let without = |of: Part, pointer: &'static str, key: &'static str| {
            let refused = read(|part, value| {
                if part == of {
                    let object = value.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
                    assert!(object.remove(key).is_some());
                }
            });
            refused.unwrap_err()
        };
        let vhost = Part::Vhost(UNIT, Vhid::new(7).unwrap());
        for (part, pointer, key) in [
            (Part::Whole, "", "settings"),
            (Part::Unit(UNIT), "/config", "key"),
            (Part::Unit(UNIT), "/config", "addresses"),
            (vhost, "", "phase"),
            (vhost, "", "memory"),
        ] {
            let why = without(part, pointer, key);
            assert!(why.starts_with("the state: ") && why.contains(key), "{why}");
        }
        let odd = read(|part, value| {
            if part == vhost {
                value["phase"] = json!("Asleep");
            }
        });
        assert!(odd.unwrap_err().contains("Asleep"));
    }

    #[test]
    fn a_carpn_that_comes_or_goes_just_now_is_no_failure() {
        let mut kept = Kept::new(Records::new().unwrap());
        assert!(
            kept.examine()
                .is_ok_and(|(whole, units)| whole.is_none() && units.is_empty())
        );
        let (part, whole) = parts().swap_remove(0);
        kept.write(number(part), &whole).unwrap();
        assert!(
            kept.examine()
                .is_ok_and(|(whole, units)| whole.is_some() && units.is_empty())
        );
    }
}
