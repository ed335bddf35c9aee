//! What an engine may ask for at all: it may have been taken over by what it parses. Must not know whether it makes sense.

use super::serve::{Door, gone};
use super::{Effect, Failure};
use crate::carp::ADDRESSES_MAX;
use crate::carp::config::Unit;
use crate::wire::MacAddr;
use ipnetwork::IpNetwork;
use std::net::IpAddr;

/// The longest name of an interface, in bytes.
const NAME_MAX: usize = 15;
/// As many carpdevs as any host has.
const CARPDEVS: usize = 1024;
/// Of both families on one carpN.
const ADDRESSES: usize = 2 * ADDRESSES_MAX;
/// MTUs of Ethernet interfaces.
const MTU: std::ops::RangeInclusive<u32> = 68..=65_535;

impl Door {
    /// Only carpN, and of those only what it made itself; only carpdevs that it has opened; and nothing without bounds.
    pub(super) fn check(&self, effect: &Effect) -> Result<(), Failure> {
        match effect {
            Effect::Open
            | Effect::Offer
            | Effect::Ready
            | Effect::Count
            | Effect::Close
            | Effect::CloseCarpdev { .. } => Ok(()),
            Effect::Create { name, mac } => carp(name).and_then(|()| unicast(*mac)),
            Effect::Destroy { name } | Effect::Disarm { name } => carp(name),
            Effect::Configure { name, mac, mtu, .. } => {
                carp(name)?;
                unicast(*mac)?;
                allowed(MTU.contains(mtu), "mtu")
            }
            Effect::Arm {
                name,
                addresses,
                like,
            } => {
                self.opened(like)?;
                carp(name).and_then(|()| hosts(addresses))
            }
            Effect::PutBack { name, addresses } => carp(name).and_then(|()| hosts(addresses)),
            Effect::OpenCarpdev { name, planes } => {
                let plain = (1..=NAME_MAX).contains(&name.len()) && !name.contains('/');
                allowed(plain && Unit::from_name(name).is_none(), "carpdev")?;
                allowed(
                    self.carpdevs.len() < CARPDEVS && planes.len() <= 3,
                    "carpdevs",
                )
            }
            Effect::Listen {
                index,
                groups,
                macs,
                shared,
                units,
                bridge,
                name: _,
            } => {
                allowed(self.carpdevs.contains_key(index), "carpdev")?;
                units.iter().try_for_each(|unit| carp(unit))?;
                let few = macs.len() <= 255 && units.len() <= 255;
                let most = 255 * ADDRESSES;
                allowed(few && groups.len() <= most && shared.len() <= most, "lists")?;
                allowed(groups.iter().all(IpAddr::is_multicast), "group")?;
                self.own_bridge(*index, *bridge)
            }
        }
    }

    fn opened(&self, name: &str) -> Result<(), Failure> {
        if self.carpdevs.values().any(|held| held.name == name) {
            return Ok(());
        }
        // It may have another name by now.
        let link = self.netlink.link(name).ok().flatten();
        let found = link.is_some_and(|link| self.carpdevs.contains_key(&link.index));
        if found { Ok(()) } else { Err(gone(name)) }
    }

    /// The bridge of a carpdev is the one that it is a port of.
    fn own_bridge(&self, index: u32, bridge: Option<u32>) -> Result<(), Failure> {
        let Some(bridge) = bridge else {
            return Ok(());
        };
        let link = self.netlink.link_by_index(index).ok().flatten();
        let master = link.and_then(|link| link.master);
        allowed(master == Some(bridge), "bridge")
    }
}

fn carp(name: &str) -> Result<(), Failure> {
    allowed(Unit::from_name(name).is_some(), "name")
}

/// As many as a carpN may have, and none that every host has or that are no host's.
fn hosts(addresses: &[IpNetwork]) -> Result<(), Failure> {
    let fit = |ip: IpAddr| !(ip.is_multicast() || ip.is_loopback() || ip.is_unspecified());
    allowed(addresses.len() <= ADDRESSES, "addresses")?;
    allowed(addresses.iter().all(|net| fit(net.ip())), "address")
}

fn unicast(mac: MacAddr) -> Result<(), Failure> {
    allowed(mac.0[0] & 1 == 0, "Ethernet address")
}

fn allowed(yes: bool, what: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    Err(Failure {
        errno: libc::EPERM,
        why: format!("no engine may ask for this {what}"),
    })
}
