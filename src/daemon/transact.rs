//! One command line at a time, whole or not at all: effects first, then the commit; must not know how effects are done.

use super::door::{Effect, Failure};
use super::interface::{Interface, Shape};
use super::log::level;
use super::plane::port;
use super::settle::{configure, listen};
use super::{Asked, Daemon, Purpose};
use crate::carp::Input;
use crate::carp::config::{Carpdev, Config, State, Unit};
use crate::control::plan::{Plan, refusal};
use crate::control::{Refusal, Reply, Request};
use crate::linux::memory;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use tokio::sync::oneshot;

/// The command line that is being carried out.
#[derive(Debug)]
pub struct Transaction {
    unit: Unit,
    what: What,
    reply: oneshot::Sender<Reply>,
}

impl Transaction {
    pub(super) fn unit(&self) -> Unit {
        self.unit
    }

    pub(super) fn destroys(&self) -> bool {
        matches!(self.what, What::Destroy { .. } | What::Undo(_))
    }

    /// The interface that it made and the engine has not heard of.
    pub(super) fn unfinished(&self) -> Option<Unit> {
        matches!(
            self.what,
            What::Become { created: true, .. } | What::Undo(_)
        )
        .then_some(self.unit)
    }
}

#[derive(Debug)]
enum What {
    /// Towards this configuration.
    Become {
        config: Box<Config>,
        state: Option<State>,
        created: bool,
        /// The engine has been told to leave the carpdev.
        departing: bool,
    },
    /// Waits until the engine lets go, then for the name to be free.
    Destroy { ordered: bool },
    /// A created interface goes again, then this is said.
    Undo(Refusal),
}

impl Daemon {
    /// Begins the next command line, if none is under way.
    pub(super) fn next_transaction(&mut self) {
        while self.transaction.is_none() {
            let Some(Asked { request, reply, .. }) = self.waiting.pop_front() else {
                return;
            };
            if let Request::Drain { group, on } = &request {
                let _ = reply.send(self.drain(group, *on));
                continue;
            }
            let Some((unit, planned)) = self.planned(&request) else {
                continue;
            };
            self.begun = true;
            match planned {
                Err(answer) => {
                    let _ = reply.send(*answer);
                }
                Ok(Plan::Become { config, state }) => {
                    let what = What::Become {
                        config,
                        state,
                        created: false,
                        departing: false,
                    };
                    self.transaction = Some(Transaction { unit, what, reply });
                    self.step();
                }
                Ok(Plan::Destroy) => {
                    self.transaction = Some(Transaction {
                        unit,
                        what: What::Destroy { ordered: false },
                        reply,
                    });
                    self.tell(Input::Configure { unit, config: None });
                    self.step();
                }
            }
        }
    }

    /// The next effect that the transaction needs; none: commit.
    pub(super) fn step(&mut self) {
        // Any event leads here; one effect at a time.
        if self.under_way(&Purpose::Step) {
            return;
        }
        let Some(transaction) = &self.transaction else {
            return;
        };
        let unit = transaction.unit;
        let effect = match &transaction.what {
            What::Become { config, .. } if self.closes(config) => return,
            What::Become { config, .. } => self.missing(unit, config),
            What::Destroy { ordered } if *ordered || !self.retired.contains(&unit) => return,
            What::Destroy { .. } | What::Undo(_) => Some(Effect::Destroy {
                name: unit.to_string(),
            }),
        };
        if let Some(Transaction {
            what: What::Destroy { ordered },
            ..
        }) = &mut self.transaction
        {
            *ordered = true;
        }
        match effect {
            Some(effect) => self.order(Purpose::Step, effect),
            None if self.departs() => {}
            None => self.finish(),
        }
    }

    /// A MASTER that is to leave its carpdev says goodbye there and serves until that is over. Its port goes when its
    /// addresses are gone: without it the carpdev's kernel would answer for them.
    fn departs(&mut self) -> bool {
        let Some(Transaction { unit, what, .. }) = &mut self.transaction else {
            return false;
        };
        let What::Become {
            config, departing, ..
        } = what
        else {
            return false;
        };
        let unit = *unit;
        let name = config.carpdev.as_deref();
        let next = name.and_then(|name| self.kernel.named(name));
        let next = next.map(|link| link.index);
        let serves = |interface: &Interface| {
            interface.owning && interface.carpdev.is_some() && interface.carpdev != next
        };
        if !self.interfaces.get(&unit).is_some_and(serves) {
            return *departing && self.under_way(&Purpose::Disarm(unit));
        }
        if !std::mem::replace(departing, true) {
            // As it will be: a successor of this engine attaches it to what stands there.
            let config = Some(((**config).clone(), None));
            self.tell(Input::Configure { unit, config });
        }
        true
    }

    /// The carpdev is being closed because nobody used it any more; when that is done it is opened anew.
    fn closes(&self, config: &Config) -> bool {
        let name = config.carpdev.as_deref();
        let link = name.and_then(|name| self.kernel.named(name));
        link.is_some_and(|link| self.under_way(&Purpose::CloseCarpdev(link.index)))
    }

    /// What is not yet there for `config`, in the order in which it is needed.
    fn missing(&self, unit: Unit, config: &Config) -> Option<Effect> {
        let carpdev = config
            .carpdev
            .as_deref()
            .and_then(|name| self.kernel.named(name));
        let Some(interface) = self.interfaces.get(&unit) else {
            return Some(Effect::Create {
                name: unit.to_string(),
                mac: Interface::mac_of(config, carpdev),
            });
        };
        if let Some(link) = carpdev {
            let Some(attached) = self.carpdevs.get(&link.index) else {
                return Some(Effect::OpenCarpdev {
                    name: link.name.clone(),
                    planes: self.choice.planes(),
                });
            };
            let wanted = self.listening_for(link.index, Some((unit, config)));
            if attached.listening.as_ref() != Some(&wanted) {
                return Some(listen(link.index, &wanted));
            }
        }
        let wanted = interface.wanted(config, carpdev);
        let later = !config.up && interface.config.up;
        (wanted != interface.shape && !later).then(|| configure(unit, wanted))
    }

    /// The outcome of the transaction's effect.
    pub(super) fn stepped(
        &mut self,
        effect: Effect,
        result: Result<u32, Failure>,
        descriptors: Vec<OwnedFd>,
    ) {
        let result = result.and_then(|value| {
            self.take_step(&effect, value, descriptors)
                .map_err(|e| Failure {
                    errno: 0,
                    why: e.to_string(),
                })
        });
        match result {
            Ok(true) => self.finish(),
            Ok(false) => self.step(),
            Err(failure) => self.undo(&effect, &failure),
        }
    }

    /// Takes over what the effect made. True when nothing more is to be done.
    fn take_step(
        &mut self,
        effect: &Effect,
        value: u32,
        mut descriptors: Vec<OwnedFd>,
    ) -> std::io::Result<bool> {
        let Some(transaction) = &mut self.transaction else {
            return Ok(true);
        };
        let unit = transaction.unit;
        match effect {
            Effect::Create { mac, .. } => {
                let tap = descriptors
                    .pop()
                    .ok_or_else(|| std::io::Error::other("the door gave no TAP"))?;
                if let What::Become { created, .. } = &mut transaction.what {
                    *created = true;
                }
                let interface = Interface {
                    index: value,
                    tap,
                    config: Config::default(),
                    carpdev: None,
                    shape: Shape::fresh(*mac),
                    owning: false,
                    answering: BTreeSet::new(),
                    ordered: BTreeSet::new(),
                    told_removed: None,
                    hindrance: None,
                };
                self.interfaces.insert(unit, interface);
            }
            Effect::OpenCarpdev { name, .. } => self.attach(name, value, descriptors)?,
            Effect::Listen { index, .. } => self.listens(*index, effect),
            Effect::Configure { .. } => self.shaped(unit, effect),
            _ => return Ok(true),
        }
        Ok(false)
    }

    /// Nothing of the line stays: a created interface goes again, the rest is settled back.
    fn undo(&mut self, effect: &Effect, failure: &Failure) {
        let Some(mut transaction) = self.transaction.take() else {
            return;
        };
        let refusal = refused(effect, failure);
        match &transaction.what {
            What::Become { created: true, .. } => {
                transaction.what = What::Undo(refusal);
                self.transaction = Some(transaction);
                self.step();
                return;
            }
            What::Become { .. } => {}
            What::Destroy { .. } => {
                // It is still there, so it goes on as it was.
                self.retired.remove(&transaction.unit);
                self.commit(transaction.unit);
            }
            What::Undo(_) => {
                self.log.line(
                    level::ERR,
                    &format!("{}: cannot be removed: {}", transaction.unit, failure.why),
                );
            }
        }
        self.answer(transaction, Some(refusal));
    }

    /// All effects are confirmed.
    fn finish(&mut self) {
        let Some(mut transaction) = self.transaction.take() else {
            return;
        };
        let unit = transaction.unit;
        let mut said = None;
        match &mut transaction.what {
            What::Become { config, state, .. } => {
                if let Some(interface) = self.interfaces.get_mut(&unit) {
                    interface.config = std::mem::take(&mut **config);
                }
                self.commit(unit);
                self.drop_empty_groups();
                if let Some(state) = state.take() {
                    self.tell(Input::State { unit, state });
                }
            }
            What::Destroy { .. } => {
                self.forget(unit);
                self.drop_empty_groups();
            }
            What::Undo(refusal) => {
                said = Some(refusal.clone());
                self.forget(unit);
            }
        }
        self.answer(transaction, said);
    }

    fn answer(&mut self, transaction: Transaction, refusal: Option<Refusal>) {
        let _ = transaction
            .reply
            .send(refusal.map_or(Reply::Done, Reply::Refused));
        // A change takes more memory than what it leaves: a third of the heap of 255 carpN.
        memory::give_back();
        self.next_transaction();
    }

    fn forget(&mut self, unit: Unit) {
        self.retired.remove(&unit);
        self.doubts.remove(&unit);
        if let Some(interface) = self.interfaces.remove(&unit) {
            self.plane.remove_port(interface.index);
            if let Some(carpdev) = interface.carpdev {
                self.refresh_answers(carpdev);
            }
        }
    }

    /// Makes the committed configuration of one interface the engine's and the data plane's.
    pub(super) fn commit(&mut self, unit: Unit) {
        let Some(interface) = self.interfaces.get_mut(&unit) else {
            return;
        };
        let named = interface
            .config
            .carpdev
            .as_deref()
            .and_then(|name| self.kernel.named(name))
            .map(|link| link.index);
        let carpdev = named.filter(|index| self.carpdevs.contains_key(index));
        let before = std::mem::replace(&mut interface.carpdev, carpdev);
        let config = interface.config.clone();
        if let Err(e) = self.plug(unit, before) {
            self.log.line(level::ERR, &format!("{unit}: {e}"));
        }
        if let Some(index) = carpdev {
            self.parent(index);
        }
        self.tell_local();
        self.tell_served(unit);
        self.tell(Input::Configure {
            unit,
            config: Some((config, carpdev.map(Carpdev))),
        });
        if carpdev.is_some() {
            self.tell_rules(unit);
        }
        if let Some(index) = carpdev {
            self.refresh_answers(index);
        }
    }

    /// The data plane's port: made, moved or changed.
    fn plug(&mut self, unit: Unit, before: Option<u32>) -> std::io::Result<()> {
        let Some(interface) = self.interfaces.get(&unit) else {
            return Ok(());
        };
        let Some(carpdev) = interface.carpdev else {
            if before.is_some() {
                self.plane.remove_port(interface.index);
            }
            return Ok(());
        };
        let port = port(interface, carpdev, self.settings.arpbalance);
        match before {
            None => {
                self.carried.remove(&port.id);
                self.plane.add_port(port, interface.tap.try_clone()?);
            }
            Some(_) => self.plane.change_port(port),
        }
        Ok(())
    }
}

/// BSD names the ioctl; what failed stands on the second line.
fn refused(effect: &Effect, failure: &Failure) -> Refusal {
    let ioctl = match effect {
        Effect::Create { .. } => "SIOCIFCREATE",
        Effect::Destroy { .. } => "SIOCIFDESTROY",
        Effect::Configure { .. } => "SIOCSIFFLAGS",
        _ => "SIOCSVH",
    };
    let text = match failure.errno {
        0 => "Input/output error",
        errno => nix::errno::Errno::from_raw(errno).desc(),
    };
    refusal(&format!("{ioctl}: {text}"), failure.why.clone())
}
