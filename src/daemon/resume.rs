//! Goes on where an engine has died: its state from the records, its descriptors from the door; must not know why it died.

use super::door::client::Outcomes;
use super::door::{Effect, Heir, How};
use super::interface::{Interface, Shape};
use super::keep::KeptUnit;
use super::log::level;
use super::plane::port;
use super::settle::listen;
use super::{Daemon, Purpose};
use crate::carp::Input;
use crate::carp::config::{FAMILY_GROUP, Unit};
use crate::carp::kept::Whole;
use crate::linux::clock;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;

impl Daemon {
    /// Takes over everything that `heir` tells of and the records know. What only one of them knows goes.
    ///
    /// # Errors
    /// The door does not answer.
    pub(super) async fn resume(&mut self, outcomes: &Outcomes, heir: Heir) -> io::Result<()> {
        self.begun = true;
        self.plane.inherit();
        let resumed = self.resume_held(outcomes, heir).await;
        // Where nobody goes on nothing is inherited.
        self.plane.tell_inherited();
        resumed
    }

    async fn resume_held(&mut self, outcomes: &Outcomes, heir: Heir) -> io::Result<()> {
        let Some((whole, kept)) = self.kept.read() else {
            self.clear(&heir, &BTreeSet::new());
            return Ok(());
        };
        self.settings = *whole.settings();
        if let Ok(choice) = super::plane::choose(self.settings.dataplane, &self.offer) {
            self.choice = choice;
        }
        self.demoted.clone_from(whole.demotions());
        self.count_on();
        // The frames that a destroyed one would still have served are few, its goodbye is said.
        let there = |unit: &KeptUnit| !unit.1.retiring() && heir.taps.contains(&unit.0.to_string());
        let kept: Vec<KeptUnit> = kept.into_iter().filter(there).collect();
        let taps = self.taps_of(outcomes, &kept).await?;
        let mut units: Vec<KeptUnit> = Vec::new();
        for (unit, tap) in kept.into_iter().zip(taps) {
            if let Some((index, tap)) = tap
                && self.inherit(outcomes, &heir, &unit, (index, tap)).await?
            {
                units.push(unit);
            }
        }
        self.listen_again();
        let known: BTreeSet<Unit> = units.iter().map(|(unit, ..)| *unit).collect();
        match heir.how {
            How::GoOn | How::Leave | How::Look => self.go_on(whole, units),
            How::Anew => self.begin_anew(&known),
        }
        self.clear(&heir, &known);
        self.tell_local();
        if heir.how == How::Leave {
            self.leaving = true;
            self.end();
        }
        Ok(())
    }

    /// The index and the TAP of each carpN; `None`: it is not there any more. All are asked for at once: to wait for one after
    /// the other takes two processes as long as they take to wake up, for each of them.
    async fn taps_of(
        &mut self,
        outcomes: &Outcomes,
        units: &[KeptUnit],
    ) -> io::Result<Vec<Option<(u32, OwnedFd)>>> {
        let create = |(unit, common, _): &KeptUnit| Effect::Create {
            name: unit.to_string(),
            mac: Interface::mac_of(common.config(), None),
        };
        let orders: Vec<Effect> = units.iter().map(create).collect();
        for order in &orders {
            self.door.order(order.clone());
        }
        let mut taps = Vec::new();
        for order in &orders {
            let answer = self.answered(outcomes, order).await?;
            taps.push(answer.and_then(|(index, mut taps)| Some((index, taps.pop()?))));
        }
        Ok(taps)
    }

    /// One carpN on its carpdev. False: it is not there any more.
    async fn inherit(
        &mut self,
        outcomes: &Outcomes,
        heir: &Heir,
        (unit, common, _): &KeptUnit,
        (index, tap): (u32, OwnedFd),
    ) -> io::Result<bool> {
        let config = common.config().clone();
        let carpdev = config
            .carpdev
            .as_deref()
            .and_then(|name| self.kernel.named(name));
        let carpdev = carpdev.map(|link| (link.index, link.name.clone()));
        let Some(link) = self.kernel.link(index) else {
            return Ok(false);
        };
        let shape = Shape {
            mac: link.mac,
            mtu: link.mtu,
            up: link.up,
        };
        let open = carpdev.filter(|(index, _)| heir.carpdevs.contains(index));
        if let Some((index, name)) = &open
            && !self.carpdevs.contains_key(index)
        {
            let planes = self.choice.planes();
            let name = name.clone();
            let effect = Effect::OpenCarpdev {
                name: name.clone(),
                planes,
            };
            self.door.order(effect.clone());
            if let Some((index, sockets)) = self.answered(outcomes, &effect).await? {
                self.attach(&name, index, sockets)?;
            }
        }
        let carpdev = open.map(|(index, _)| index);
        let interface = Interface {
            index,
            tap,
            ordered: config.addresses.iter().copied().collect(),
            config,
            carpdev: carpdev.filter(|index| self.carpdevs.contains_key(index)),
            shape,
            owning: false,
            answering: BTreeSet::new(),
            told_removed: None,
            hindrance: None,
        };
        self.interfaces.insert(*unit, interface);
        Ok(true)
    }

    /// The outcome of the next order that has none yet, waited for. `None`: refused.
    async fn answered(
        &mut self,
        outcomes: &Outcomes,
        effect: &Effect,
    ) -> io::Result<Option<(u32, Vec<OwnedFd>)>> {
        let Some((outcome, descriptors)) = outcomes.next().await? else {
            return Err(io::Error::other("the privileged side is gone"));
        };
        self.door.flush();
        self.heard(effect, outcome.said);
        match outcome.result {
            Ok(value) => Ok(Some((value, descriptors))),
            Err(failure) => {
                self.log.line(level::ERR, &failure.why);
                Ok(None)
            }
        }
    }

    /// The far end listens as its last order said, which may not have come from the last state.
    fn listen_again(&mut self) {
        for index in self.carpdevs.keys().copied().collect::<Vec<_>>() {
            let wanted = self.listening_for(index, None);
            self.order(Purpose::Listen(index), listen(index, &wanted));
            let name = wanted.name.clone();
            let attached = self.carpdevs.get_mut(&index);
            if let Some(Err(e)) = attached.map(|attached| attached.listens(wanted)) {
                self.log
                    .line(level::ERR, &format!("{name}: cannot filter: {e}"));
            }
        }
    }

    /// The engine asks again for everything; the data plane keeps what it has until then.
    fn go_on(&mut self, whole: Whole, units: Vec<KeptUnit>) {
        for (unit, ..) in &units {
            if let Err(e) = self.plug_again(*unit) {
                self.log.line(level::ERR, &format!("{unit}: {e}"));
            }
        }
        let units: Vec<Unit> = {
            let names = units.iter().map(|(unit, ..)| *unit).collect();
            self.engine.resume(clock::now(), whole, units);
            names
        };
        self.perform();
        self.plane.tell_inherited();
        for index in self.carpdevs.keys().copied().collect::<Vec<_>>() {
            self.parent(index);
        }
        for unit in units {
            self.tell_served(unit);
        }
    }

    /// The configuration alone, and a worse host than one that does not crash.
    fn begin_anew(&mut self, units: &BTreeSet<Unit>) {
        let crashed = self.demoted.entry(FAMILY_GROUP.to_owned()).or_default();
        *crashed = crashed.saturating_add(1);
        self.tell(Input::Settings(self.settings));
        for (group, count) in self.demoted.clone() {
            self.tell(Input::Demotion { group, count });
        }
        for unit in units {
            self.disarm(*unit);
            // So that it is plugged in as a new one.
            if let Some(interface) = self.interfaces.get_mut(unit) {
                interface.carpdev = None;
            }
            self.commit(*unit);
        }
    }

    /// What nobody knows any more.
    fn clear(&mut self, heir: &Heir, known: &BTreeSet<Unit>) {
        for name in &heir.taps {
            if !Unit::from_name(name).is_some_and(|unit| known.contains(&unit)) {
                let name = name.clone();
                self.order(Purpose::Step, Effect::Destroy { name });
            }
        }
        for index in heir.carpdevs.iter().copied() {
            if !self.carpdevs.contains_key(&index) {
                self.order(Purpose::CloseCarpdev(index), Effect::CloseCarpdev { index });
            }
        }
    }

    /// The data plane's port of a carpN that it serves already.
    fn plug_again(&mut self, unit: Unit) -> io::Result<()> {
        if let Some(interface) = self.interfaces.get(&unit)
            && let Some(carpdev) = interface.carpdev
        {
            let port = port(interface, carpdev, self.settings.arpbalance);
            self.plane.inherit_port(port, interface.tap.try_clone()?);
        }
        Ok(())
    }
}
