//! The host's own addresses, for unicast peers; must not know what is sent to them.

use super::Daemon;
use crate::carp::Input;
use crate::carp::config::Config;
use crate::control::Refusal;
use crate::control::plan::refusal;
use crate::wire::Family;
use std::collections::BTreeSet;
use std::net::IpAddr;

impl Daemon {
    /// The same list on all hosts is convenient; one that has only this host on it was copied from another.
    pub(super) fn check_peers(&self, config: &Config) -> Result<(), Refusal> {
        let own = self.kernel.own_addresses(&BTreeSet::new());
        let local = |peer: &IpAddr| own.iter().any(|(_, address)| address == peer);
        for family in [Family::Inet, Family::Inet6] {
            let peers: Vec<IpAddr> = config.peers(family).collect();
            if let Some(peer) = peers.first().filter(|_| peers.iter().all(local)) {
                return Err(refusal(
                    "SIOCSVH: Invalid argument",
                    format!("peer {peer} is this host itself"),
                ));
            }
        }
        Ok(())
    }

    /// Tells the engine the host's own addresses, as long as somebody has unicast peers.
    pub(super) fn tell_local(&mut self) {
        let needed = self
            .interfaces
            .values()
            .any(|held| !held.config.peers.is_empty());
        let ours: BTreeSet<u32> = self.interfaces.values().map(|held| held.index).collect();
        let local = if needed {
            self.kernel.own_addresses(&ours)
        } else {
            Vec::new()
        };
        if local != self.local {
            self.local.clone_from(&local);
            self.tell(Input::Local(local));
        }
    }
}
