//! A carpdev in use: its sockets, groups, memberships and settings; must not know who uses it.

use super::serve::{Done, Door, Opened, failed, gone, of};
use super::{Failure, Said};
use crate::carp::config::Dataplane;
use crate::linux::Error;
use crate::linux::groups::Groups;
use crate::linux::packet::{PacketSocket, Vnet};
use crate::linux::raw::RawSocket;
use crate::wire::{Family, MacAddr};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

impl Door {
    pub(super) fn open_carpdev(&mut self, name: &str, planes: &[Dataplane]) -> Done {
        let link = self
            .netlink
            .link(name)
            .map_err(|e| of(&e))?
            .ok_or_else(|| gone(name))?;
        if let Some(opened) = self.carpdevs.get(&link.index) {
            let copies = opened.sockets.iter().map(OwnedFd::try_clone);
            let copies = copies.collect::<io::Result<_>>();
            self.said = Said::Plane(opened.plane.0, opened.plane.1.clone());
            return Ok((link.index, copies.map_err(|e| failed(name, &e))?));
        }
        if link.loopback || self.taps.values().any(|held| held.index == link.index) {
            return Err(gone(name));
        }
        let open = || -> Result<(Vec<OwnedFd>, Groups), Error> {
            let mut sockets = vec![
                OwnedFd::from(PacketSocket::open(link.index, Vnet::No)?),
                OwnedFd::from(PacketSocket::open(link.index, Vnet::No)?),
                OwnedFd::from(PacketSocket::open(link.index, Vnet::Yes)?),
            ];
            sockets.push(RawSocket::open(name, Family::Inet)?.into());
            sockets.push(match RawSocket::open(name, Family::Inet6) {
                // A kernel without IPv6 has no such peers either.
                Err(e) if e.errno() == libc::EAFNOSUPPORT => {
                    RawSocket::open(name, Family::Inet)?.into()
                }
                socket => socket?.into(),
            });
            Ok((sockets, Groups::open(link.index)?))
        };
        let (mut sockets, groups) = open().map_err(|e| of(&e))?;
        let kernel = self.open_kernel(name, link.index, planes)?;
        let quiet = match &kernel {
            None => self.quiet(name, link.master).map_err(|e| of(&e))?,
            Some(kernel) => {
                let map = kernel.ports().try_clone_to_owned();
                sockets.push(map.map_err(|e| failed(name, &e))?);
                for link in kernel.links() {
                    let link = link.try_clone_to_owned();
                    sockets.push(link.map_err(|e| failed(name, &e))?);
                }
                // Its settings are put back with it.
                kernel.half().then(|| name.to_owned()).into_iter().collect()
            }
        };
        let Said::Plane(plane, why) = &self.said else {
            return Err(gone("data plane"));
        };
        let copies = sockets.iter().map(OwnedFd::try_clone);
        let copies: io::Result<Vec<OwnedFd>> = copies.collect();
        let opened = Opened {
            name: name.to_owned(),
            plane: (*plane, why.clone()),
            sockets: copies.map_err(|e| failed(name, &e))?,
            quiet,
            kernel,
            groups,
            joined: BTreeSet::new(),
            accepted: BTreeMap::new(),
        };
        self.carpdevs.insert(link.index, opened);
        Ok((link.index, sockets))
    }

    /// T1 and T2: the responder of a carpdev stays silent about addresses that are not its own, and never asks as one. A
    /// bridge hears what its port hears, and would answer in the port's place (T17).
    fn quiet(&mut self, name: &str, master: Option<u32>) -> Result<Vec<String>, Error> {
        let mut names = vec![name.to_owned()];
        if let Some(index) = master {
            names.extend(self.netlink.link_by_index(index)?.map(|link| link.name));
        }
        for name in &names {
            for (key, least) in [("arp_ignore", 1), ("arp_announce", 2)] {
                if let Err(e) = self.settings.raise(&setting(name, key), least) {
                    self.restore(&names);
                    return Err(e);
                }
            }
        }
        Ok(names)
    }

    /// Puts back the settings of these interfaces, but of those that another carpdev needs quiet.
    fn restore(&mut self, names: &[String]) {
        for name in names {
            if !self.carpdevs.values().any(|held| held.quiet.contains(name)) {
                self.settings.restore(&setting(name, ""));
            }
        }
    }

    pub(super) fn listen(
        &mut self,
        index: u32,
        groups: &[IpAddr],
        macs: &[MacAddr],
    ) -> Result<(), Failure> {
        let opened = self
            .carpdevs
            .get_mut(&index)
            .ok_or_else(|| gone("carpdev"))?;
        // Kept true step by step: what fails half way is tried again from there.
        let wanted: BTreeSet<IpAddr> = groups.iter().copied().collect();
        for stale in opened
            .joined
            .difference(&wanted)
            .copied()
            .collect::<Vec<_>>()
        {
            // A group that was left with its interface is no failure.
            let _ = opened.groups.leave(stale);
            opened.joined.remove(&stale);
        }
        for group in wanted {
            if !opened.joined.contains(&group) {
                opened.groups.join(group).map_err(|e| of(&e))?;
                opened.joined.insert(group);
            }
        }
        opened.accepted.retain(|mac, _| macs.contains(mac));
        for mac in macs {
            if !opened.accepted.contains_key(mac) {
                let socket = PacketSocket::open(index, Vnet::No).map_err(|e| of(&e))?;
                socket
                    .accept_unicast(*mac)
                    .map_err(|e| failed(&mac.to_string(), &e))?;
                opened.accepted.insert(*mac, socket);
            }
        }
        Ok(())
    }

    pub(super) fn close_carpdev(&mut self, index: u32) {
        if let Some(opened) = self.carpdevs.remove(&index) {
            if let Some(kernel) = opened.kernel {
                self.close_kernel(kernel);
            }
            self.restore(&opened.quiet);
        }
    }
}

fn setting(interface: &str, key: &str) -> String {
    format!("net/ipv4/conf/{interface}/{key}")
}
