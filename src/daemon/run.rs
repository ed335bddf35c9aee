//! The loop: waits for events, hands them to the one task's parts, keeps the timer; must not know what they mean.

use super::{Daemon, Ending, Event, Relief};
use crate::carp::Input;
use crate::carp::config::Unit;
use crate::linux::clock::{self, TimerFd};
use crate::linux::monitor::{self, Monitor};
use crate::linux::readiness::Readiness;
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long goodbyes and the linger may take before the end comes anyway.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long front ends may take to get their replies, and orders their outcomes, before another engine goes on.
const RELIEF: Duration = Duration::from_millis(700);

/// Another engine goes on when nothing is due for so long, or, should that not be for a while, right after something was.
const CALM: Duration = Duration::from_millis(10);
const RESTLESS: Duration = Duration::from_millis(100);

/// The two queues: advertisements are always taken first.
pub(super) struct Queues {
    pub adverts: mpsc::Receiver<Event>,
    pub events: mpsc::Receiver<Event>,
}

impl Queues {
    /// Nothing that was read waits here; what was not read stays in its socket for the next engine.
    fn are_empty(&self) -> bool {
        self.adverts.is_empty() && self.events.is_empty()
    }
}

/// Runs until nothing is left.
pub(super) async fn run(
    mut daemon: Daemon,
    mut queues: Queues,
    timer: Readiness<TimerFd>,
) -> io::Result<()> {
    let mut armed = None;
    loop {
        let timeout = daemon.engine.timeout();
        if timeout != armed {
            timer.get_ref().set(timeout).map_err(io::Error::other)?;
            armed = timeout;
        }
        let event = tokio::select! {
            biased;
            expired = timer.read(TimerFd::read) => {
                expired?;
                armed = None;
                None
            }
            Some(event) = queues.adverts.recv() => Some(event),
            Some(event) = queues.events.recv() => Some(event),
            else => return Ok(()),
        };
        let beat = event.is_none();
        // Time first, always: a MASTER that slept past its lease must know before it reads its queue.
        daemon.tell(Input::Time);
        if let Some(event) = event
            && !daemon.take(event)?
        {
            return Ok(());
        }
        if std::mem::take(&mut daemon.stirred) {
            daemon.look_closer();
            daemon.step();
            daemon.settle();
        }
        daemon.keep();
        if daemon.ending == Ending::Over || daemon.gives_way(beat, queues.are_empty()) {
            return Ok(());
        }
    }
}

impl Daemon {
    /// One event. False: the end, at once.
    fn take(&mut self, event: Event) -> io::Result<bool> {
        // Frames stir only by the actions that follow from them, so that garbage costs no look at every interface.
        self.stirred |= !matches!(event, Event::Frames(..));
        match event {
            Event::Frames(carpdev, frames) => {
                for bytes in frames.iter() {
                    self.tell(Input::Frame { carpdev, bytes });
                }
            }
            Event::Outcome(outcome, descriptors) => {
                self.door.flush();
                self.settled(outcome, descriptors);
            }
            Event::DoorGone => return self.abandoned(),
            Event::Asked(asked) => self.asked(asked),
            Event::Kernel(events) => self.changed(events)?,
            Event::Retry => {
                self.begun = true;
                self.retry();
            }
            Event::End => return Ok(self.end()),
            Event::Relieved => self.relieved(),
            Event::Vacant => self.relief = Relief::Vacant(clock::now()),
            Event::Overdue => self.relief = Relief::Overdue,
        }
        Ok(true)
    }

    /// Nobody else is let in. It goes on as ever until those who are in have their replies and orders their outcomes.
    fn relieved(&mut self) {
        if self.relief != Relief::No {
            return;
        }
        self.relief = Relief::Asked;
        let (entrance, events) = (self.entrance.clone(), self.events.clone());
        tokio::task::spawn_local(async move {
            let overdue = tokio::time::timeout(RELIEF, entrance.shut()).await.is_err();
            if !overdue {
                let _ = events.send(Event::Vacant).await;
            }
            // The parent may not know the orders of this engine any more.
            tokio::time::sleep(RELIEF).await;
            let _ = events.send(Event::Overdue).await;
        });
    }

    /// The next engine waits, and this one has nothing in hand: when it has hung up the other one goes on. `beat`: it has just done
    /// what was due, which is the best moment where something always is. `idle`: it has read nothing that it has not looked at.
    fn gives_way(&mut self, beat: bool, idle: bool) -> bool {
        let now = clock::now();
        let timeout = self.engine.timeout();
        let calm = timeout.is_none_or(|next| next >= now + CALM);
        let free = match self.relief {
            Relief::No | Relief::Asked => false,
            Relief::Vacant(since) => {
                let rests = calm || beat && now >= since + RESTLESS;
                idle && rests && self.pending.is_empty()
            }
            Relief::Overdue => true,
        };
        if !free || self.ending != Ending::No {
            return false;
        }
        self.plane.stop();
        self.keep_counters();
        self.door.hang_up();
        true
    }

    /// Goodbye everywhere; the second time, or when it takes too long, without further waiting.
    pub(super) fn end(&mut self) -> bool {
        if self.ending != Ending::No {
            self.close();
            return true;
        }
        self.ending = Ending::Retiring;
        let dropped = self.transaction.take();
        self.retired
            .extend(dropped.and_then(|transaction| transaction.unfinished()));
        self.waiting.clear();
        self.tell(Input::Shutdown);
        let events = self.events.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(PATIENCE).await;
            let _ = events.send(Event::End).await;
        });
        true
    }

    /// Without the door the addresses cannot be taken away, but the peers can be told; the TAPs go with this process.
    fn abandoned(&mut self) -> io::Result<bool> {
        if self.ending != Ending::Closing {
            self.tell(Input::Shutdown);
            return Err(io::Error::other("the privileged side is gone"));
        }
        Ok(false)
    }

    /// Links and addresses changed: tell the engine about every carpdev concerned.
    fn changed(&mut self, events: Vec<monitor::Event>) -> io::Result<()> {
        let mut concerned: BTreeSet<u32> = BTreeSet::new();
        let mut all = false;
        for event in events {
            concerned.extend(index_of(&event));
            self.suspect(&event);
            if !self.kernel.take(event) {
                all = true;
            }
        }
        if all {
            self.kernel
                .dump(self.monitor.get_ref())
                .map_err(io::Error::other)?;
            concerned.extend(self.carpdevs.keys().copied());
        }
        self.tell_local();
        for index in concerned {
            if self.carpdevs.contains_key(&index) {
                self.renamed(index);
                self.parent(index);
                if self.kernel.link(index).is_none() {
                    self.lost(index);
                }
            }
        }
        Ok(())
    }

    /// A carpdev that got another name stays the carpdev of its interfaces, under that name.
    fn renamed(&mut self, index: u32) {
        let (Some(link), Some(attached)) = (self.kernel.link(index), self.carpdevs.get_mut(&index))
        else {
            return;
        };
        if attached.name == link.name {
            return;
        }
        let name = link.name.clone();
        let old = std::mem::replace(&mut attached.name, name.clone());
        let line = format!("carpdev {old} is called {name} now");
        self.log.line(super::log::level::INFO, &line);
        for unit in self.carried_by(index) {
            if let Some(interface) = self.interfaces.get_mut(&unit) {
                interface.config.carpdev = Some(name.clone());
            }
            self.commit(unit);
        }
    }

    fn carried_by(&self, index: u32) -> Vec<Unit> {
        let interfaces = self.interfaces.iter();
        interfaces
            .filter(|(_, held)| held.carpdev == Some(index))
            .map(|(unit, _)| *unit)
            .collect()
    }

    /// A carpdev was deleted. Its interfaces wait for one of that name (the engine was told already).
    fn lost(&mut self, index: u32) {
        for unit in self.carried_by(index) {
            self.commit(unit);
        }
    }
}

fn index_of(event: &monitor::Event) -> Option<u32> {
    match event {
        monitor::Event::Link(link) => Some(link.index),
        monitor::Event::LinkGone { index, .. } => Some(*index),
        monitor::Event::Address { address, .. } => Some(address.index),
        monitor::Event::Overflow => None,
    }
}

/// Hands on what the kernel says.
pub(super) async fn watch(monitor: Rc<Readiness<Monitor>>, events: mpsc::Sender<Event>) {
    while let Ok(changes) = monitor.read(Monitor::read).await {
        if events.send(Event::Kernel(changes)).await.is_err() {
            return;
        }
    }
}

/// Hands on what the far end of the door answers.
pub(super) async fn listen_to_door(
    outcomes: super::door::client::Outcomes,
    events: mpsc::Sender<Event>,
) {
    while let Ok(Some((outcome, descriptors))) = outcomes.next().await {
        if events
            .send(Event::Outcome(outcome, descriptors))
            .await
            .is_err()
        {
            return;
        }
    }
    let _ = events.send(Event::DoorGone).await;
}
