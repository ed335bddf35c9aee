//! Keeps the engine's state where the next engine finds it, after every event; must not know what it means.

use super::log::level;
use super::{Daemon, Ending};
use crate::carp::config::Unit;
use crate::carp::kept::{Common, Part, Single, Whole};
use crate::linux::records::{RECORD_MAX, Records};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use zeroize::{Zeroize, Zeroizing};

/// A carpN with its vhosts, as kept.
pub(super) type KeptUnit = (Unit, Common, Vec<Single>);

/// The state of an engine in records.
#[derive(Debug)]
pub(super) struct Kept {
    records: Records,
    /// A record in the making. It never grows: a key would stay behind.
    buffer: Zeroizing<Vec<u8>>,
    /// The log knows that it does not work.
    told: bool,
}

impl Kept {
    pub(super) fn new(records: Records) -> Self {
        Self {
            records,
            buffer: Zeroizing::new(vec![0; RECORD_MAX]),
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
        serde_json::from_slice(&self.records.read(number(part))?).ok()
    }

    fn write(&mut self, part: Part, value: &impl Serialize) -> io::Result<()> {
        let mut room = &mut self.buffer[..];
        let written = serde_json::to_writer(&mut room, value);
        let length = RECORD_MAX - room.len();
        let done = written.map_err(io::Error::from).and_then(|()| {
            let record = &self.buffer[..length];
            self.records
                .write(number(part), record)
                .map_err(io::Error::other)
        });
        self.buffer[..length].zeroize();
        done
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
        for part in self.engine.changed_parts() {
            if let Err(e) = self.keep_part(part)
                && !self.kept.told
            {
                self.kept.told = true;
                let text = format!("a crash would lose the state: {part:?}: {e}");
                self.log.line(level::ERR, &text);
            }
        }
    }

    fn keep_part(&mut self, part: Part) -> io::Result<()> {
        let (engine, kept) = (&self.engine, &mut self.kept);
        match part {
            Part::Whole => kept.write(part, &engine.whole()),
            Part::Unit(unit) => match engine.common(unit) {
                Some(common) => kept.write(part, &common),
                None => {
                    kept.erase(unit);
                    Ok(())
                }
            },
            Part::Vhost(unit, vhid) => {
                let single = engine.single(unit, vhid);
                single.map_or(Ok(()), |single| kept.write(part, &single))
            }
        }
    }
}

/// 256 numbers for each carpN: its own and those of its vhids.
fn number(part: Part) -> u64 {
    let of = |unit: Unit| 256 + 256 * u64::from(unit.0);
    match part {
        Part::Whole => 0,
        Part::Unit(unit) => of(unit),
        Part::Vhost(unit, vhid) => of(unit) + u64::from(vhid.get()),
    }
}
