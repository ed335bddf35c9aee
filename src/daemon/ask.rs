//! What a front end asks: answered at once where it only looks, queued where it changes; must not know how changes are made.

use super::carpdev::Attached;
use super::door::Effect;
use super::interface::Interface;
use super::{Asked, Daemon, Ending, Purpose};
use crate::carp::Input;
use crate::carp::config::{FAMILY_GROUP, Key, Unit};
use crate::control::plan::refusal;
use crate::control::{Dumped, Group, Peer, Refusal, Reply, Request, Setting, Stats, Sysctls};

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
            Request::Dump { unit, keys } => self.dump(*unit, *keys && asked.may_change),
            Request::Settings => Reply::Settings(self.sysctls()),
            Request::Stats => Reply::Stats(self.stats()),
            Request::Peers => self.peers(),
            Request::Group(name) => self.group(name).map_or_else(Reply::Refused, Reply::Group),
            request if request.changes_anything() && !asked.may_change => {
                Reply::Refused(request.denied())
            }
            request if request.changes_anything() && self.ending != Ending::No => return,
            Request::Set(settings) => self.set(settings),
            Request::Demote { group, by } => {
                let done = self.demote(group, *by);
                done.map_or_else(Reply::Refused, |()| Reply::Done)
            }
            Request::Apply { .. } | Request::Load { .. } | Request::Drain { .. } => {
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

    /// The kernel counts from one question to the next.
    pub(super) fn ask_missed(&mut self) {
        self.fullsock += self.carpdevs.values().map(Attached::missed).sum::<u64>();
    }

    /// The engine's counters, and that of what never reached it.
    fn stats(&mut self) -> Stats {
        self.ask_missed();
        Stats {
            fullsock: self.fullsock,
            ..*self.engine.stats()
        }
    }

    fn sysctls(&self) -> Sysctls {
        Sysctls {
            settings: self.settings,
            demotion: self.engine.skew_demotion(),
            suppress_preempt: self.engine.suppress_preempt(),
        }
    }

    fn set(&mut self, changes: &[Setting]) -> Reply {
        let before = self.sysctls();
        let mut next = self.settings;
        changes.iter().for_each(|change| next.set(*change));
        if let Err(refusal) = self.choose_plane(next.dataplane) {
            return Reply::Refused(refusal);
        }
        let divides = next.arpbalance != self.settings.arpbalance;
        self.settings = next;
        self.begun = true;
        if divides {
            self.change_ports();
        }
        self.tell(Input::Settings(self.settings));
        Reply::Settings(before)
    }

    /// The family group is always there; another one is while it has members.
    fn group(&self, name: &str) -> Result<Group, Refusal> {
        let inside = |(unit, interface): (&Unit, &Interface)| {
            let groups = &interface.config.groups;
            (name == ALL || groups.iter().any(|g| g == name)).then_some(*unit)
        };
        let members: Vec<Unit> = self.interfaces.iter().filter_map(inside).collect();
        if members.is_empty() && name != ALL && name != FAMILY_GROUP {
            return Err(Refusal {
                text: "SIOCGIFGATTR: No such file or directory".into(),
                why: Some(format!("no carp interface is in group {name}")),
            });
        }
        Ok(Group {
            name: name.to_owned(),
            demotion: self.engine.group_demotion(name),
            by_hand: self.demoted.get(name).copied().unwrap_or(0),
            members,
        })
    }

    /// OpenBSD's bound: the count of what it sums up stays within a byte.
    fn demote(&mut self, name: &str, by: i16) -> Result<(), Refusal> {
        self.group(name)?;
        let held = self.demoted.get(name).copied().unwrap_or(0);
        let next = i16::from(held) + by;
        let Some(next) = u8::try_from(next).ok().filter(|_| name != ALL) else {
            return Err(refusal(
                "SIOCSIFGATTR: Invalid argument",
                format!("the demotion count of {name} by hand is {held}; 0 to 255 is possible"),
            ));
        };
        self.begun = true;
        self.set_demotion(name, next);
        Ok(())
    }

    /// One word for all members: they leave the addresses to others, or no longer.
    pub(super) fn drain(&mut self, name: &str, on: bool) -> Reply {
        let members = match self.group(name) {
            Ok(group) => group.members,
            Err(refusal) => return Reply::Refused(refusal),
        };
        self.begun = true;
        for unit in members {
            if let Some(interface) = self.interfaces.get_mut(&unit)
                && interface.config.drain != on
            {
                interface.config.drain = on;
                self.commit(unit);
            }
        }
        Reply::Done
    }

    /// What was typed for a group; the engine adds what it counts itself.
    pub(super) fn set_demotion(&mut self, name: &str, count: u8) {
        if count == 0 {
            self.demoted.remove(name);
        } else {
            self.demoted.insert(name.to_owned(), count);
        }
        let group = name.to_owned();
        self.tell(Input::Demotion { group, count });
    }

    /// A group that lost its last member is no more, and what it was demoted by neither.
    pub(super) fn drop_empty_groups(&mut self) {
        let empty = |name: &&String| name.as_str() != FAMILY_GROUP && self.group(name).is_err();
        let gone: Vec<String> = self.demoted.keys().filter(empty).cloned().collect();
        gone.iter().for_each(|name| self.set_demotion(name, 0));
    }
}

/// The group that has every interface; nothing demotes it.
const ALL: &str = "all";
