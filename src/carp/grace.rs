//! Address lists that change on one host after the other: what is believed meanwhile; must not know elections.
//!
//! The digest covers the list, so a host whose list was changed and one whose list was not cannot read each other, and both
//! become MASTER. For `net.inet.carp.grace` seconds what was right a while ago is right, too.

use super::auth::hashed;
use super::config::{Config, Unit, Vhid};
use super::election::{Priority, Theirs};
use super::engine::Engine;
use super::outbox::Topic;
use super::receive::{Received, heard, priority};
use super::state::addresses;
use super::turn::Turn;
use super::vhost::{Echo, Former, Phase};
use crate::time::Instant;
use crate::wire::carp;
use std::time::Duration;

/// Address lists of late that count at most.
const FORMER: usize = 8;

impl Engine {
    /// It is right for an address list that was this host's a little while ago.
    pub(super) fn is_former(
        &self,
        now: Instant,
        who: (Unit, Vhid),
        echo: &Echo,
        ad: &carp::Advertisement,
    ) -> bool {
        let lists = self.formers.get(&who).map_or(&[][..], Vec::as_slice);
        lists
            .iter()
            .any(|(until, auth)| now < *until && auth.verify(echo.counter, &ad.digest).is_some())
    }

    /// The digest is wrong, but the counter is one that only a host of ours with this key makes, and not long ago one of ours
    /// was heard with the right digest: the MASTER has got another address list, and this BACKUP will get it, too.
    pub(super) fn is_borne_with(
        &self,
        now: Instant,
        (unit, vhid): (Unit, Vhid),
        received: Received<'_>,
        ad: &carp::Advertisement,
    ) -> bool {
        let settings = &self.world.settings;
        let grace = Duration::from_secs(settings.grace.into());
        let interface = self.world.interfaces.get(&unit);
        let vhost = interface.and_then(|i| i.vhosts.iter().find(|vhost| vhost.vhid == vhid));
        let Some((vhost, auth)) = vhost.zip(self.auths.get(&(unit, vhid))) else {
            return false;
        };
        let recent = vhost.heard_ours.is_some_and(|at| now < at + grace);
        let waits = vhost.phase == Phase::Backup && priority(ad) != Priority::GOODBYE;
        let clock = self.world.wall_clock(now);
        let heard = || heard(now, clock, received, ad, None);
        let ours = || vhost.memory.judge(auth, &heard()).is_of_ours();
        settings.replay && recent && waits && ours()
    }
}

impl Turn<'_> {
    /// See [`Engine::is_borne_with`]: the MASTER lives, and nothing else is believed of it.
    pub(super) fn bear_with(&mut self, received: Received<'_>, ad: &carp::Advertisement) {
        let heard = self.heard(received, ad);
        let verdict = self.vhost.memory.judge(self.auth, &heard);
        // Once used, it is of no more use.
        let _ = self.vhost.memory.learn(&heard, verdict, self.random);
        let (priority, demote) = (priority(ad), ad.demote);
        self.heard_master(received.family, Theirs { priority, demote });
        let (unit, src) = (self.unit, received.src);
        let until = self.vhost.heard_ours.map(|at| at + self.grace);
        let left = until.map_or(0, |until| until.since(self.now).as_secs());
        self.out.warn(self.now, Topic::OtherList, 4, || {
            format!(
                "{unit}: {src} has other addresses than this host, which gives it {left} s before it takes no notice of it"
            )
        });
    }

    /// Another host may get its new address list a little later than this one.
    pub(super) fn remember_list(&mut self, old: &Config) {
        let now = self.now;
        let former = &mut self.vhost.former;
        former.retain(|list| now < list.until);
        if old.key != self.config.key || old.lladdr != self.config.lladdr {
            former.clear();
            return;
        }
        let (before, after) = (hashed(addresses(old)), hashed(addresses(self.config)));
        former.retain(|list| list.addresses != before && list.addresses != after);
        let listened = self.vhost.phase != Phase::Init;
        if listened && before != after && !before.is_empty() && !self.grace.is_zero() {
            if former.len() == FORMER {
                former.pop_front();
            }
            former.push_back(Former {
                addresses: before,
                until: now + self.grace,
            });
        }
    }
}
