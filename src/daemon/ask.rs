//! What a front end asks: answered at once where it only looks, queued where it changes; must not know how changes are made.

use super::carpdev::Attached;
use super::{Asked, Daemon, Ending};
use crate::carp::Input;
use crate::carp::config::{Key, Settings, Unit};
use crate::control::{Dumped, Reply, Request, Setting, Stats};

impl Daemon {
    /// A front end asks. What only looks is answered at once, what changes waits its turn.
    pub(super) fn asked(&mut self, asked: Asked) {
        let reply = match &asked.request {
            Request::Show(which) => self.show(*which),
            Request::Dump { unit, keys } => self.dump(*unit, *keys && asked.may_change),
            Request::Settings => Reply::Settings(self.settings),
            Request::Stats => Reply::Stats(self.stats()),
            request if request.changes_anything() && !asked.may_change => {
                Reply::Refused(request.denied())
            }
            request if request.changes_anything() && self.ending != Ending::No => return,
            Request::Set(settings) => self.set(settings),
            Request::Apply { .. } | Request::Load { .. } => {
                self.waiting.push_back(asked);
                self.next_transaction();
                return;
            }
        };
        // A front end that went away does not want its answer.
        let _ = asked.reply.send(reply);
    }

    fn show(&self, which: Option<Unit>) -> Reply {
        let shown = self
            .interfaces
            .iter()
            .filter(|(unit, _)| which.is_none_or(|asked| asked == **unit));
        Reply::Interfaces(
            shown
                .map(|(unit, interface)| {
                    let vhosts = self.engine.vhosts(*unit).map(Into::into);
                    interface.shown(*unit, vhosts.collect())
                })
                .collect(),
        )
    }

    fn dump(&self, which: Option<Unit>, keys: bool) -> Reply {
        let dumped = self
            .interfaces
            .iter()
            .filter(|(unit, _)| which.is_none_or(|asked| asked == **unit));
        Reply::Dumped(
            dumped
                .map(|(unit, interface)| {
                    let mut config = interface.config.clone();
                    let keyed = config.key != Key::default();
                    if !keys {
                        config.key = Key::default();
                    }
                    Dumped {
                        unit: *unit,
                        config,
                        keyed,
                    }
                })
                .collect(),
        )
    }

    /// The engine's counters, and that of what never reached it.
    fn stats(&mut self) -> Stats {
        self.fullsock += self.carpdevs.values().map(Attached::missed).sum::<u64>();
        Stats {
            fullsock: self.fullsock,
            ..*self.engine.stats()
        }
    }

    fn set(&mut self, changes: &[Setting]) -> Reply {
        let before = self.settings;
        let mut next: Settings = before;
        for change in changes {
            match *change {
                Setting::Allow(on) => next.allow = on,
                Setting::Preempt(on) => next.preempt = on,
                Setting::Log(level) => next.log = level,
                Setting::Replay(on) => next.replay = on,
            }
        }
        self.settings = next;
        self.begun = true;
        self.tell(Input::Settings(next));
        Reply::Settings(before)
    }
}
