//! Makes what is there into what is wanted, after every event; must not know transactions' inside.

use super::carpdev::{Attached, Listening};
use super::door::{Effect, Failure, Outcome, Said};
use super::interface::Shape;
use super::log::level;
use super::plane::port;
use super::{Daemon, Ending, Event, Purpose};
use crate::carp::config::{Carpdev, Config, Unit};
use crate::carp::{Input, interval};
use crate::linux::bpf::LastingLink;
use crate::linux::packet::PacketSocket;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How soon a failed effect is tried again.
const RETRY: Duration = Duration::from_millis(500);

impl Daemon {
    /// What a carpdev is to listen for, with one interface taken as it will be.
    pub(super) fn listening_for(&self, index: u32, next: Option<(Unit, &Config)>) -> Listening {
        let mut wanted = Listening::for_advertisements();
        let name = self
            .carpdevs
            .get(&index)
            .map_or("", |attached| attached.name.as_str());
        let present = self
            .interfaces
            .iter()
            .map(|(unit, interface)| (*unit, &interface.config));
        for (unit, config) in present.chain(next) {
            let replaced = next.is_some_and(|(changed, replacement)| {
                changed == unit && !std::ptr::eq(replacement, config)
            });
            if replaced || config.carpdev.as_deref() != Some(name) {
                continue;
            }
            wanted.serve(unit, config);
        }
        wanted.bridge = self.kernel.bridge_of(index);
        name.clone_into(&mut wanted.name);
        wanted
    }

    /// Orders what differs from what is wanted, once each, and nothing that just failed.
    pub(super) fn settle(&mut self) {
        if self.ending == Ending::Closing || self.ending == Ending::Over {
            return;
        }
        if self.transaction.is_none() {
            self.settle_interfaces();
            self.settle_carpdevs();
        }
        self.settle_end();
    }

    fn settle_interfaces(&mut self) {
        let mut orders = Vec::new();
        for (unit, interface) in &self.interfaces {
            let carpdev = interface.carpdev.and_then(|index| self.kernel.link(index));
            let wanted = interface.wanted(&interface.config, carpdev);
            if wanted != interface.shape {
                orders.push((Purpose::Shape(*unit), configure(*unit, wanted)));
            }
            let missing = interface
                .carpdev
                .is_none()
                .then_some(interface.config.carpdev.as_deref())
                .flatten();
            if let Some(name) = missing.filter(|name| self.kernel.named(name).is_some()) {
                let open = self
                    .carpdevs
                    .iter()
                    .find(|(_, attached)| attached.name == name)
                    .map(|(index, _)| *index);
                if open.is_none() {
                    let effect = Effect::OpenCarpdev {
                        name: name.to_owned(),
                        planes: self.choice.planes(),
                    };
                    orders.push((Purpose::Reopen(name.to_owned()), effect));
                }
            }
        }
        self.order_once(orders);
    }

    fn settle_carpdevs(&mut self) {
        let used: BTreeSet<u32> = self
            .interfaces
            .values()
            .filter_map(|interface| interface.carpdev)
            .collect();
        let mut orders = Vec::new();
        for (index, attached) in &self.carpdevs {
            if !used.contains(index) {
                orders.push((
                    Purpose::CloseCarpdev(*index),
                    Effect::CloseCarpdev { index: *index },
                ));
                continue;
            }
            attached.rest_for(self.shortest_interval(*index));
            let wanted = self.listening_for(*index, None);
            if attached.listening.as_ref() != Some(&wanted) {
                orders.push((Purpose::Listen(*index), listen(*index, &wanted)));
            }
        }
        self.order_once(orders);
    }

    /// The shortest time between the advertisements of any vhost there.
    fn shortest_interval(&self, carpdev: u32) -> Duration {
        let interfaces = self.interfaces.values();
        let there = interfaces.filter(|interface| interface.carpdev == Some(carpdev));
        let intervals = there.flat_map(|interface| {
            let config = &interface.config;
            let nodes = config.nodes.iter();
            nodes.map(|node| interval(config.advbase, node.advskew))
        });
        intervals.min().unwrap_or_default()
    }

    fn order_once(&mut self, orders: Vec<(Purpose, Effect)>) {
        for (purpose, effect) in orders {
            if !self.under_way(&purpose) && !self.failed.contains(&purpose) {
                self.order(purpose, effect);
            }
        }
    }

    /// The end: when every carpN has retired, the far end removes them in one go.
    fn settle_end(&mut self) {
        let idle = self.autostarted
            && self.interfaces.is_empty()
            && self.transaction.is_none()
            && self.waiting.is_empty()
            && self.demoted.is_empty();
        if self.ending == Ending::No
            && idle
            && self.begun
            && self.settings == crate::carp::config::Settings::default()
        {
            self.ending = Ending::Retiring;
        }
        let retired = self
            .interfaces
            .keys()
            .all(|unit| self.retired.contains(unit));
        if self.ending == Ending::Retiring && retired {
            self.close();
        }
    }

    /// Has everything removed, unless somebody else goes on with it.
    pub(super) fn close(&mut self) {
        if self.leaving {
            self.ending = Ending::Over;
            return;
        }
        self.ending = Ending::Closing;
        self.order(Purpose::Close, Effect::Close);
    }

    /// An outcome that no transaction waits for.
    pub(super) fn settled(&mut self, outcome: Outcome, descriptors: Vec<OwnedFd>) {
        let Some((purpose, effect)) = self.pending.remove(&outcome.id) else {
            return;
        };
        self.heard(&effect, outcome.said);
        match (purpose, outcome.result) {
            (Purpose::Step, result) => self.stepped(effect, result, descriptors),
            (Purpose::Arm(unit, attempt), result) => self.armed(unit, attempt, result),
            (Purpose::Shape(unit), Ok(_)) => self.shaped(unit, &effect),
            (Purpose::Listen(index), Ok(_)) => self.listens(index, &effect),
            (Purpose::Reopen(name), Ok(index)) => self.reopened(&name, index, descriptors),
            (Purpose::CloseCarpdev(index), _) => self.closed(index),
            (Purpose::Close, _) => self.ending = Ending::Over,
            (Purpose::Count, _) => self.counted(),
            (Purpose::PutBack(unit), result) => self.was_put_back(unit, &effect, result),
            (Purpose::Disarm(_), Ok(_)) | (Purpose::Ready, _) => {}
            (purpose, Err(failure)) => self.try_again(purpose, &effect, &failure),
        }
    }

    /// What an effect says besides its value.
    pub(super) fn heard(&mut self, effect: &Effect, said: Said) {
        match (effect, said) {
            (Effect::OpenCarpdev { name, .. }, Said::Plane(plane, why)) => {
                self.tell_fallback(name, plane, why);
            }
            (_, Said::Counted(counted)) => self.counted = counted,
            _ => {}
        }
    }

    fn armed(&mut self, unit: Unit, attempt: u64, result: Result<u32, Failure>) {
        match &result {
            Ok(router) => {
                let carpdev = self
                    .interfaces
                    .get(&unit)
                    .and_then(|interface| interface.carpdev);
                if let Some(index) = carpdev {
                    self.routes(index, *router != 0);
                }
            }
            Err(failure) => self.log.line(
                level::ERR,
                &format!("{unit}: cannot become MASTER: {}", failure.why),
            ),
        }
        self.tell(Input::Armed {
            unit,
            attempt,
            ok: result.is_ok(),
        });
    }

    /// The host's forwarding on a carpdev, as the last promotion found it.
    fn routes(&mut self, index: u32, router: bool) {
        if let Some(attached) = self.carpdevs.get_mut(&index)
            && attached.router != router
        {
            attached.router = router;
            self.parent(index);
        }
    }

    pub(super) fn shaped(&mut self, unit: Unit, effect: &Effect) {
        if let (Some(interface), Effect::Configure { mac, mtu, up, .. }) =
            (self.interfaces.get_mut(&unit), effect)
        {
            interface.shape = Shape {
                mac: *mac,
                mtu: *mtu,
                up: *up,
            };
            // Where its own MAC has changed, what it is handed has to be addressed to that.
            if let Some(carpdev) = interface.carpdev {
                let port = port(interface, carpdev, self.settings.arpbalance);
                self.plane.change_port(port);
            }
        }
    }

    pub(super) fn listens(&mut self, index: u32, effect: &Effect) {
        if let (
            Some(attached),
            Effect::Listen {
                index: _,
                name,
                groups,
                macs,
                shared,
                units,
                bridge,
            },
        ) = (self.carpdevs.get_mut(&index), effect)
        {
            let heard_before = attached.listening.is_some();
            let listens = attached.listens(Listening {
                name: name.clone(),
                groups: groups.iter().copied().collect(),
                macs: macs.iter().copied().collect(),
                shared: shared.iter().copied().collect(),
                units: units
                    .iter()
                    .filter_map(|unit| Unit::from_name(unit))
                    .collect(),
                bridge: *bridge,
            });
            if let Err(e) = listens {
                self.log
                    .line(level::ERR, &format!("{name}: cannot filter: {e}"));
            }
            if !heard_before {
                self.parent(index);
            }
        }
    }

    fn closed(&mut self, index: u32) {
        self.carpdevs.remove(&index);
        self.plane.remove_carpdev(index);
    }

    /// A carpdev that was deleted and came back: its interfaces are attached to the new index.
    fn reopened(&mut self, name: &str, index: u32, descriptors: Vec<OwnedFd>) {
        if let Err(e) = self.attach(name, index, descriptors) {
            self.log.line(level::ERR, &format!("{name}: {e}"));
            return;
        }
        let units: Vec<Unit> = self
            .interfaces
            .iter()
            .filter(|(_, interface)| interface.config.carpdev.as_deref() == Some(name))
            .map(|(unit, _)| *unit)
            .collect();
        for unit in units {
            self.commit(unit);
        }
    }

    /// Takes the sockets of a carpdev just opened.
    pub(super) fn attach(
        &mut self,
        name: &str,
        index: u32,
        descriptors: Vec<OwnedFd>,
    ) -> std::io::Result<()> {
        let mut descriptors = descriptors.into_iter();
        let mut next = || descriptors.next();
        let heard = [next(), next(), next(), next()];
        let ([Some(first), Some(second), Some(third), Some(fourth)], Some(data)) = (heard, next())
        else {
            return Err(std::io::Error::other("the door gave no sockets"));
        };
        let routed = [next(), next()].into_iter().flatten().collect();
        let map = next();
        let links: Result<Vec<_>, _> = descriptors.map(LastingLink::adopt).collect();
        let attached = Attached::new(
            index,
            name,
            [first, second, third, fourth],
            routed,
            (map.is_some(), links.map_err(std::io::Error::other)?),
            [self.adverts.clone(), self.events.clone()],
        )?;
        let data = PacketSocket::from(data);
        self.plane
            .add_carpdev(index, self.kernel.own(index), data, map)
            .map_err(std::io::Error::other)?;
        self.carpdevs.insert(index, attached);
        Ok(())
    }

    /// Tells the engine what a carpdev is now. One that does not listen yet is not up: it would elect itself deaf.
    pub(super) fn parent(&mut self, index: u32) {
        let Some(attached) = self.carpdevs.get(&index) else {
            return;
        };
        let deaf = attached.listening.is_none();
        let parent = self
            .kernel
            .parent(index, attached.router)
            .map(|mut parent| {
                parent.up &= !deaf;
                parent
            });
        if parent.is_some() {
            self.plane.change_carpdev(index, self.kernel.own(index));
        }
        self.tell(Input::Parent {
            carpdev: Carpdev(index),
            parent,
        });
    }

    fn try_again(&mut self, purpose: Purpose, effect: &Effect, failure: &Failure) {
        self.log
            .line(level::ERR, &format!("{}: {}", what(effect), failure.why));
        self.try_later(purpose);
    }

    /// What failed is looked at again a while later.
    pub(super) fn try_later(&mut self, purpose: Purpose) {
        let events = self.events.clone();
        self.failed.insert(purpose);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(RETRY).await;
            // A daemon that ended meanwhile needs no retry.
            let _ = events.send(Event::Retry).await;
        });
    }

    /// What failed a while ago may be tried again.
    pub(super) fn retry(&mut self) {
        let failed = std::mem::take(&mut self.failed);
        for purpose in failed {
            if let Purpose::PutBack(unit) = purpose {
                self.doubts.insert(unit);
            }
            if let Purpose::Disarm(unit) = purpose {
                let still = self
                    .interfaces
                    .get(&unit)
                    .is_some_and(|interface| !interface.owning);
                if still && !self.under_way(&Purpose::Disarm(unit)) {
                    self.disarm(unit);
                }
            }
        }
    }
}

/// The order that gives a carpN this shape.
pub(super) fn configure(unit: Unit, shape: Shape) -> Effect {
    Effect::Configure {
        name: unit.to_string(),
        mac: shape.mac,
        mtu: shape.mtu,
        up: shape.up,
    }
}

/// The order that makes a carpdev listen.
pub(super) fn listen(index: u32, wanted: &Listening) -> Effect {
    Effect::Listen {
        index,
        name: wanted.name.clone(),
        groups: wanted.groups.iter().copied().collect(),
        macs: wanted.macs.iter().copied().collect(),
        shared: wanted
            .shared
            .iter()
            .map(|(ip, vhid)| (*ip, *vhid))
            .collect(),
        units: wanted.units.iter().map(Unit::to_string).collect(),
        bridge: wanted.bridge,
    }
}

/// The effect in a word, for the log.
fn what(effect: &Effect) -> &'static str {
    match effect {
        Effect::Open => "open",
        Effect::Offer => "offer",
        Effect::Ready => "ready",
        Effect::Count => "count",
        Effect::Create { .. } => "create",
        Effect::Destroy { .. } => "destroy",
        Effect::Configure { .. } => "configure",
        Effect::Arm { .. } => "arm",
        Effect::PutBack { .. } => "put back",
        Effect::Disarm { .. } => "disarm",
        Effect::OpenCarpdev { .. } => "carpdev",
        Effect::Listen { .. } => "listen",
        Effect::CloseCarpdev { .. } => "close carpdev",
        Effect::Close => "close",
    }
}
