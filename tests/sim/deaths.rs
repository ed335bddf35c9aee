//! Engines that die and are succeeded while their host lives on; must not judge what comes of it.

use crate::heir::{self, Death, Torn};
use crate::host::Fact;
use crate::invariants::{self, Effects};
use crate::ledger;
use crate::packet::Ad;
use crate::rules::{Course, Stage, Witness};
use crate::world::{Node, World};
use carp::carp::{Engine, Input};

impl World {
    /// Now, with all kept that has happened, or with the next thing that happens.
    pub fn die(&mut self, death: Death) {
        let Node::Ours(ours) = &mut self.nodes[death.host] else {
            return;
        };
        let lives = ours.engine.is_some() && ours.paused.is_none();
        if !lives || ours.dying.is_some() || ours.witness.is_ending() {
            return;
        }
        if death.torn.is_some() {
            ours.dying = Some(death);
            return;
        }
        self.tally.add("death: all was kept");
        let witness = ours.witness.clone();
        let witness = heir::known(&witness, witness.clone(), &Torn::default());
        self.bereave(death, witness);
    }

    /// Writes down what has changed.
    pub fn keep(&mut self, host: usize) {
        let Node::Ours(ours) = &mut self.nodes[host] else {
            return;
        };
        if let (Some(engine), Some(kept)) = (&mut ours.engine, &mut ours.kept) {
            for part in engine.changed_parts() {
                kept.write(engine, part);
            }
        }
    }

    /// The same for an engine that dies meanwhile: some of what it wanted to say is not said, some of what it knew not kept.
    /// What its successor knows.
    pub fn tear(
        &mut self,
        death: Death,
        (before, fact): (&Witness, &Fact),
        effects: &mut Effects,
    ) -> Option<Witness> {
        let Node::Ours(ours) = &mut self.nodes[death.host] else {
            return None;
        };
        let (Some(engine), Some(kept)) = (&mut ours.engine, &mut ours.kept) else {
            return None;
        };
        let (parts, frames) = death.torn?;
        let torn = Torn::new(engine.changed_parts().into_iter().collect(), parts);
        for part in torn.parts() {
            kept.write(engine, *part);
        }
        // What is said is said before anything is kept.
        let count = effects.frames.len() as u64;
        let said = if torn.parts().is_empty() {
            frames % (count + 1)
        } else {
            count
        };
        effects.frames.truncate(said as usize);
        effects.arms.clear();
        self.tally.add(torn.name());
        let mut known = heir::known(before, ours.witness.clone(), &torn);
        for (at, _, ad) in &effects.frames {
            let course = &mut known.courses[*at];
            // Of the first one under an identity a successor need not know.
            let spoken = |ad: &Ad| {
                let identity = |counter| ledger::read(counter).0;
                let mut sent = course.sent.iter().map(|sent| identity(sent.counter));
                known.settings.replay && sent.any(|other| other == identity(ad.counter))
            };
            if let Some((ad, ..)) = ad.as_ref().filter(|(ad, ..)| spoken(ad)) {
                course.ledger.note(ad.counter, ad.family);
            }
        }
        if heir::insists(fact) {
            ours.backlog.push_front(fact.clone());
        }
        Some(known)
    }

    /// From now on nobody decides there, until a successor does.
    pub fn bereave(&mut self, death: Death, known: Witness) {
        let (now, host) = (self.now, death.host);
        self.boots += 1;
        let boot = self.boots;
        let Node::Ours(ours) = &mut self.nodes[host] else {
            return;
        };
        (ours.boot, ours.dying, ours.orphan) = (boot, None, true);
        ours.paused = Some(now + death.gap);
        let last = std::mem::replace(&mut ours.witness, known);
        for (at, (was, is)) in last.courses.iter().zip(&ours.witness.courses).enumerate() {
            let master = is.stage == Stage::Master;
            if master != (was.stage == Stage::Master) {
                let group = ours.confs[at].group;
                self.society.changed(now, group, host, master, false);
            }
        }
        let courses = &ours.witness.courses;
        let any = |which: fn(&Course) -> bool| courses.iter().any(which);
        for (what, so) in [
            ("of a MASTER", any(|c| c.stage == Stage::Master)),
            ("while arming", any(|c| matches!(c.stage, Stage::Arming(_)))),
            ("of a former MASTER", any(|c| c.left.is_some())),
            ("of a demoted host", ours.witness.demotion > 0),
        ] {
            if so {
                self.tally.add(format!("death: {what}"));
            }
        }
        self.transcript
            .note(now, Some(host), || format!("dies: {death:?}"));
        self.later(now + death.gap, host);
    }

    /// Another engine goes on from what was kept, and is told again what it can ask the kernel for.
    pub fn succeed(&mut self, host: usize) -> Result<(), String> {
        let (now, seed) = (self.now, self.random.next());
        let Node::Ours(ours) = &mut self.nodes[host] else {
            return Ok(());
        };
        let Some((whole, units)) = ours.kept.as_ref().and_then(heir::Kept::read) else {
            return Err(format!("h{host}: nothing was kept"));
        };
        let (local, unix) = (ours.now(now), ours.unix(now));
        let mut engine = Engine::new(seed).with_clock(local, unix);
        engine.handle(local, Input::Settings(*whole.settings()));
        while engine.poll().is_some() {}
        engine.resume(local, whole, units);
        let actions: Vec<_> = std::iter::from_fn(|| engine.poll()).collect();
        ours.engine = Some(engine);
        if self.transcript.is_kept() {
            crate::telling::resumed(&mut self.transcript, now, host, &actions);
        }
        let effects = invariants::resumed(ours, local.as_nanos(), actions)
            .map_err(|what| format!("h{host}: {what}"))?;
        self.keep(host);
        let Node::Ours(ours) = &self.nodes[host] else {
            return Ok(());
        };
        let ports: Vec<_> = ours.ports.iter().copied().enumerate().collect();
        self.perform(host, effects)?;
        // What is due comes before anything new, as always.
        self.tell(host, Fact::Time)?;
        ports
            .into_iter()
            .try_for_each(|(segment, port)| self.tell(host, Fact::Card(segment, port)))
    }
}
