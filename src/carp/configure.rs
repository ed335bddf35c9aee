//! A new configuration meets the old one: what it ends, what goes on under it, and what starts.

use super::auth::Kind;
use super::config::{Carpdev, Config, Unit};
use super::engine::Engine;
use super::kept::Part;
use super::state::{Interface, addresses, families};
use super::turn::{Leaving, Turn};
use super::vhost::{self, Phase, Vhost};
use super::{Reason, demote, timer::Timer};
use crate::time::Instant;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// How long a drained host waits for a successor: less than it serves after its goodbye, so that it goes on without a gap
/// where nobody else is there.
const UNDRAINED: Duration = Duration::from_millis(80);

/// Shared addresses of one family on one carpN; the daemon refuses more, and the engine does not look at them.
pub const ADDRESSES_MAX: usize = 256;

/// While its interfaces come one after the other a host counts fewer vhids than the others, and would answer for askers of
/// theirs. So soon after the last one it takes nothing from a MASTER that lives.
const UNSETTLED: Duration = Duration::from_secs(1);

impl Engine {
    pub(super) fn configure(
        &mut self,
        now: Instant,
        unit: Unit,
        config: Option<(Config, Option<Carpdev>)>,
    ) {
        self.remade = true;
        self.changed.insert(Part::Unit(unit));
        match config {
            None => self.destroy(now, unit),
            Some(_) if self.world.ending => {}
            Some((config, carpdev)) => self.reconfigure(now, unit, bounded(config), carpdev),
        }
    }

    pub(super) fn shutdown(&mut self, now: Instant) {
        self.remade = true;
        self.world.ending = true;
        let units: Vec<Unit> = self.world.interfaces.keys().copied().collect();
        for unit in units {
            self.destroy(now, unit);
        }
    }

    fn destroy(&mut self, now: Instant, unit: Unit) {
        for vhid in self.vhids(unit) {
            if let Some(mut turn) = self.turn(now, unit, vhid) {
                turn.stop(Reason::Destroyed);
            }
            self.auths.remove(&(unit, vhid));
            self.formers.remove(&(unit, vhid));
        }
        self.world.unserved.remove(&unit);
        self.changed.insert(Part::Unit(unit));
        // One that was never configured is answered all the same.
        let interface = self.world.interfaces.entry(unit).or_default();
        interface.vhosts.clear();
        interface.grace = None;
        interface.retiring = true;
        self.divide();
        self.retire(unit);
    }

    fn reconfigure(&mut self, now: Instant, unit: Unit, config: Config, carpdev: Option<Carpdev>) {
        if self
            .world
            .interfaces
            .get(&unit)
            .is_some_and(|interface| interface.retiring)
        {
            // The same name again before the old one was done.
            self.cut_departures_of(unit);
        }
        self.end_old(now, unit, &config, carpdev);
        let interface = self.world.interfaces.entry(unit).or_default();
        let old = std::mem::replace(&mut interface.config, config.clone());
        let before = std::mem::replace(&mut interface.carpdev, carpdev);
        interface.grace = demote::grace(now, (&old, before), (&config, carpdev), interface.grace);
        interface.rank_addresses(&mut self.world.ranks);
        if self.world.settings.arpbalance && old.nodes != config.nodes {
            self.world.unsettled = now + UNSETTLED;
        }
        let mut vhosts = std::mem::take(&mut interface.vhosts);
        vhosts.retain(|vhost| config.nodes.iter().any(|node| node.vhid == vhost.vhid));
        for node in &config.nodes {
            if !vhosts.iter().any(|vhost| vhost.vhid == node.vhid) {
                let random = self.world.random.next();
                vhosts.push(Vhost::new(node.vhid, node.advskew, random));
            }
        }
        vhosts.sort_by_key(|vhost| vhost.vhid);
        interface.vhosts = vhosts;
        self.divide();
        self.key(unit);
        for node in &config.nodes {
            if let Some(mut turn) = self.turn(now, unit, node.vhid) {
                turn.follow(&old, node.advskew);
                turn.setrun();
            }
        }
        // Former lists may have been added.
        self.key(unit);
    }

    /// Under the old configuration, so that a goodbye says what the peers can verify.
    fn end_old(&mut self, now: Instant, unit: Unit, new: &Config, carpdev: Option<Carpdev>) {
        let up = self.world.carpdev_up(carpdev);
        let served = !self.world.unserved.contains(&unit);
        let old = self.world.interfaces.get(&unit);
        let same = old.is_none_or(|i| i.carpdev == carpdev && i.config.lladdr == new.lladdr);
        let moved = old.is_some_and(|i| i.config.carpdev != new.carpdev && i.carpdev != carpdev);
        let lacks = match Interface::lacks(new, up, served) {
            // The new one has not come up yet; nothing happened to the old one.
            Some(Reason::CarpdevDown) if moved => Some(Reason::Reconfigured),
            lacks => lacks,
        };
        for vhid in self.vhids(unit) {
            let kept = same && new.nodes.iter().any(|node| node.vhid == vhid);
            let reason = if kept {
                lacks
            } else {
                Some(lacks.unwrap_or(Reason::Reconfigured))
            };
            if let Some(reason) = reason
                && let Some(mut turn) = self.turn(now, unit, vhid)
            {
                turn.stop(reason);
            }
        }
    }
}

/// The first addresses of each family.
fn bounded(mut config: Config) -> Config {
    let mut counts = [0; 2];
    config.addresses.retain(|net| {
        let count = &mut counts[usize::from(net.is_ipv6())];
        *count += 1;
        *count <= ADDRESSES_MAX
    });
    config
}

impl Interface {
    /// Numbers the addresses that are new.
    fn rank_addresses(&mut self, latest: &mut u64) {
        let held: BTreeSet<IpAddr> = addresses(&self.config).collect();
        self.ranks.retain(|address, _| held.contains(address));
        for address in addresses(&self.config) {
            self.ranks.entry(address).or_insert_with(|| {
                *latest += 1;
                *latest
            });
        }
    }
}

impl Turn<'_> {
    /// Whoever honours the demotion takes over while this host still serves; see [`Self::bow_out`] for the others.
    fn drain(&mut self) {
        self.advertise();
        self.vhost.offered = self.config.drain;
    }

    /// Leaves what it has to whoever is there, and goes on where that is nobody.
    pub(super) fn bow_out(&mut self) {
        self.step_down(Leaving::Goodbye, Reason::Drained);
        for family in families(self.config).collect::<Vec<_>>() {
            self.restart_family(family, UNDRAINED);
        }
    }

    /// Goes on under the present configuration, which was `old` before.
    fn follow(&mut self, old: &Config, advskew: u8) {
        let rearm = old.addresses != self.config.addresses;
        let rekey = rearm || old.key != self.config.key;
        let retime = old.advbase != self.config.advbase || self.vhost.advskew != advskew;
        self.vhost.advskew = advskew;
        if retime {
            self.vhost.briefest = None;
            self.vhost.warned_slow = false;
        }
        let repeer = old.peers != self.config.peers;
        let redrain = old.drain != self.config.drain;
        self.remember_list(old);
        if rekey {
            // What was learned from packets of the old group.
            self.vhost.kind = Kind::Orig;
        }
        if old.key != self.config.key {
            self.vhost.pseudo_header = false;
            self.vhost.memory.rekey();
        }
        match self.vhost.phase {
            Phase::Init => {}
            Phase::Backup if rekey || repeer => self.restart_master_down(),
            Phase::Backup if retime => self.hasten_master_down(),
            Phase::Backup => {}
            Phase::Arming(reason) if rearm => {
                self.ask_to_arm();
                let overdue = self.now + vhost::arming(reason);
                self.vhost.timers.set(Timer::Arming, overdue);
            }
            Phase::Arming(_) => {}
            Phase::Master if redrain => self.drain(),
            Phase::Master if rearm => {
                self.ask_to_arm();
                self.advertise();
                let before: BTreeSet<IpAddr> = addresses(old).collect();
                let new: Vec<IpAddr> = addresses(self.config)
                    .filter(|a| !before.contains(a))
                    .collect();
                self.announce(&new);
            }
            Phase::Master if rekey || retime || repeer => self.advertise(),
            Phase::Master => {}
        }
    }
}
