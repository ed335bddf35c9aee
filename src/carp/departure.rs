//! What a former MASTER leaves behind, until it is over: linger, successor, retirement; must not know elections.

use super::auth::Auth;
use super::config::{Carpdev, Unit, Vhid};
use super::election::Priority;
use super::engine::Engine;
use super::kept::Part;
use super::receive::priority;
use super::replay::Heard;
use super::state::Departure;
use super::turn::LINGER_HEARD;
use super::vhost::Echo;
use super::{Action, Gate};
use crate::time::Instant;
use crate::wire::{Family, carp};
use std::collections::BTreeSet;
use std::net::IpAddr;

impl Engine {
    /// Ends the departures whose moment has come.
    pub(super) fn end_departures(&mut self, now: Instant) {
        self.end_where(|left| left.until <= now);
    }

    /// A carpdev that is down or gone carries no last frames.
    pub(super) fn cut_departures(&mut self, carpdev: Carpdev) {
        self.end_where(|left| left.carpdev == carpdev);
    }

    /// Ends those of one carpN.
    pub(super) fn cut_departures_of(&mut self, unit: Unit) {
        let Some(interface) = self.world.interfaces.get_mut(&unit) else {
            return;
        };
        for left in &mut interface.departures {
            left.until = Instant::ZERO;
        }
        self.end_where(|left| left.until == Instant::ZERO);
    }

    fn end_where(&mut self, over: impl Fn(&Departure) -> bool) {
        let leaving = self.leaving();
        for unit in &leaving {
            let Some(interface) = self.world.interfaces.get_mut(unit) else {
                continue;
            };
            let (ended, kept) = std::mem::take(&mut interface.departures)
                .into_iter()
                .partition(&over);
            interface.departures = kept;
            let ended: Vec<Departure> = ended;
            if !ended.is_empty() {
                self.changed.insert(Part::Unit(*unit));
                self.moved.insert(*unit);
            }
            for left in &ended {
                self.out.push(Action::Gate {
                    unit: *unit,
                    vhid: left.vhid,
                    gate: Gate::Shut,
                });
            }
            if !ended.is_empty() && interface.is_idle() {
                self.out.push(Action::Disarm { unit: *unit });
            }
        }
        for unit in leaving {
            self.retire(unit);
        }
    }

    /// Forgets a carpN that is destroyed and has nothing left to serve.
    pub(super) fn retire(&mut self, unit: Unit) {
        let interface = self.world.interfaces.get(&unit);
        if interface.is_some_and(|i| i.retiring && i.departures.is_empty()) {
            self.world.interfaces.remove(&unit);
            self.out.push(Action::Retired { unit });
            self.changed.extend([Part::Unit(unit), Part::Whole]);
        }
    }

    /// The carpN that may have departures, ascending: those that had, and those whose vhosts had a turn since.
    fn leaving(&self) -> BTreeSet<Unit> {
        self.index.leaving() | &self.moved
    }

    /// Is somebody waited for on this carpdev under this vhid, and is the digest his?
    pub(super) fn awaits(&self, carpdev: Carpdev, vhid: Vhid) -> bool {
        let leaving = self.index.leaving().union(&self.moved);
        let interfaces = leaving.filter_map(|unit| self.world.interfaces.get(unit));
        let mut departures = interfaces.flat_map(|interface| &interface.departures);
        departures.any(|left| (left.carpdev, left.vhid) == (carpdev, vhid))
    }

    /// An advertisement that may be the successor's, unless it is a goodbye. True if its digest is right.
    pub(super) fn successor(
        &mut self,
        now: Instant,
        (carpdev, vhid): (Carpdev, Vhid),
        (echo, heard): (Echo, Heard),
        ad: &carp::Advertisement,
    ) -> bool {
        self.touched = true;
        let judged = self.world.settings.replay;
        let mut valid = false;
        for unit in self.leaving() {
            let Some(interface) = self.world.interfaces.get_mut(&unit) else {
                continue;
            };
            for left in &mut interface.departures {
                // Made anew for the few packets of a tenth of a second, so that nothing need be kept for it.
                let auth = || {
                    let addresses = left.addresses.iter().copied();
                    Auth::with_mac(&left.key, left.vhid, left.mac, addresses)
                };
                let of_family = |address: &IpAddr| Family::of(*address) == heard.family;
                let asked = (left.carpdev, left.vhid) == (carpdev, vhid)
                    && left.addresses.iter().any(of_family);
                let auth = asked.then(auth);
                let Some(auth) = auth.filter(|a| a.verify(echo.counter, &ad.digest).is_some())
                else {
                    continue;
                };
                valid = true;
                if priority(ad) == Priority::GOODBYE {
                    continue;
                }
                if judged && left.memory.judge(&auth, &heard).is_replay() {
                    continue;
                }
                if left.successor_heard || left.echoes.contains(&echo) {
                    continue;
                }
                left.successor_heard = true;
                left.until = now + LINGER_HEARD;
                self.moved.insert(unit);
                if left.until > left.lease {
                    left.lease = left.until;
                    self.out.push(Action::Lease {
                        unit,
                        vhid,
                        until: left.lease,
                    });
                }
                if left.gate != Gate::Yielded {
                    left.gate = Gate::Yielded;
                    self.out.push(Action::Gate {
                        unit,
                        vhid,
                        gate: Gate::Yielded,
                    });
                }
            }
        }
        valid
    }
}
