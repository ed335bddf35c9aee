//! What a front end asks: answered at once where it only looks, queued where it changes; must not know how changes are made.

use super::carpdev::Attached;
use super::door::Effect;
use super::{Asked, Daemon, Ending, Purpose};
use crate::carp::Input;
use crate::carp::config::{Settings, Unit};
use crate::control::{Peer, Refusal, Reply, Request, Setting, Stats};

impl Daemon {
    /// A front end asks. What only looks is answered at once, what changes waits its turn.
    pub(super) fn asked(&mut self, asked: Asked) {
        let reply = match &asked.request {
            // What programs in the kernel count, the far end of the door has to be asked for first.
            Request::Show(_) if self.plane.in_kernel() => {
                self.looking.push(asked);
                if !self.under_way(&Purpose::Count) {
                    self.order(Purpose::Count, Effect::Count);
                }
                return;
            }
            Request::Show(which) => self.show(*which),
            Request::Settings => Reply::Settings(self.settings),
            Request::Stats => Reply::Stats(self.stats()),
            Request::Peers => self.peers(),
            Request::Apply { .. } | Request::Set(_) if !asked.may_change => {
                Reply::Refused(asked.request.denied())
            }
            Request::Apply { .. } | Request::Set(_) if self.ending != Ending::No => return,
            Request::Set(settings) => self.set(settings),
            Request::Apply { .. } => {
                self.waiting.push_back(asked);
                self.next_transaction();
                return;
            }
        };
        // A front end that went away does not want its answer.
        let _ = asked.reply.send(reply);
    }

    /// The counters are there, or cannot be had: those who look get their answer.
    pub(super) fn counted(&mut self) {
        for asked in std::mem::take(&mut self.looking) {
            if let Request::Show(which) = asked.request {
                let _ = asked.reply.send(self.show(which));
            }
        }
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
                    interface.shown(*unit, vhosts.collect(), self.served(interface))
                })
                .collect(),
        )
    }

    fn peers(&self) -> Reply {
        if !self.settings.replay {
            return Reply::Refused(Refusal {
                text: "nothing protects against replays".to_owned(),
                why: Some("net.inet.carp.replay is 0".to_owned()),
            });
        }
        let units = self.interfaces.keys();
        let vhosts = units.flat_map(|unit| self.engine.vhosts(*unit).map(|v| (*unit, v.vhid)));
        let peers = vhosts.flat_map(|(unit, vhid)| {
            let peers = self.engine.peers(unit, vhid);
            peers.map(move |(address, protection)| Peer {
                unit,
                vhid: vhid.get(),
                address,
                protection,
            })
        });
        Reply::Peers(peers.collect())
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
                Setting::Dataplane(plane) => next.dataplane = plane,
            }
        }
        if let Err(refusal) = self.choose_plane(next.dataplane) {
            return Reply::Refused(refusal);
        }
        self.settings = next;
        self.begun = true;
        self.tell(Input::Settings(next));
        Reply::Settings(before)
    }
}
