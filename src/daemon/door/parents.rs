//! A carpdev in use: its sockets, groups, memberships and settings; must not know who uses it.

use super::serve::{Done, Door, Opened, failed, gone, of};
use super::{Failure, Said};
use crate::carp::config::Dataplane;
use crate::linux::Error;
use crate::linux::groups::Groups;
use crate::linux::packet::{Heard, PacketSocket, Vnet};
use crate::linux::raw::RawSocket;
use crate::linux::sysctl;
use crate::wire::{Family, MacAddr};
use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

/// What the first sockets of a carpdev hear, in their order: advertisements are among the first and the third one's.
const ON_THE_WIRE: [Heard; 4] = [Heard::All, Heard::All, Heard::Nothing, Heard::Nothing];
/// Behind our programs: so the frames that they lead to carpN cost nothing here.
const AT_THE_STACK: [Heard; 4] = [Heard::Ipv4, Heard::Arp, Heard::Ipv6, Heard::Ipv6];
/// The place of the data socket.
const DATA: usize = ON_THE_WIRE.len();

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
        let open = || -> Result<(Vec<OwnedFd>, Groups, PacketSocket), Error> {
            let mut sockets = Vec::new();
            for vnet in [Vnet::No; DATA].into_iter().chain([Vnet::Yes]) {
                sockets.push(PacketSocket::mute(link.index, vnet)?.into());
            }
            sockets.push(RawSocket::open(name, Family::Inet)?.into());
            sockets.push(match RawSocket::open(name, Family::Inet6) {
                // A kernel without IPv6 has no such peers either.
                Err(e) if e.errno() == libc::EAFNOSUPPORT => {
                    RawSocket::open(name, Family::Inet)?.into()
                }
                socket => socket?.into(),
            });
            let memberships = PacketSocket::mute(link.index, Vnet::No)?;
            Ok((sockets, Groups::open(link.index)?, memberships))
        };
        let (mut sockets, groups, memberships) = open().map_err(|e| of(&e))?;
        let kernel = self.open_kernel(name, link.index, planes)?;
        let quiet = match &kernel {
            None => {
                hear(sockets.iter().skip(DATA), &[Heard::All]).map_err(|e| failed(name, &e))?;
                self.silence(link.index, &link.name).map_err(|e| of(&e))?;
                vec![(link.index, name.to_owned())]
            }
            Some(kernel) => {
                let map = kernel.ports().try_clone_to_owned();
                sockets.push(map.map_err(|e| failed(name, &e))?);
                for link in kernel.links() {
                    let link = link.try_clone_to_owned();
                    sockets.push(link.map_err(|e| failed(name, &e))?);
                }
                // Its settings are put back with it.
                let half = kernel.half().then(|| (link.index, name.to_owned()));
                half.into_iter().collect()
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
            memberships,
            accepted: BTreeSet::new(),
        };
        self.carpdevs.insert(link.index, opened);
        Ok((link.index, sockets))
    }

    /// T1 and T2: the responder of an interface stays silent about addresses that are not its own, and never asks as one.
    fn silence(&mut self, index: u32, name: &str) -> Result<(), Error> {
        for (key, least) in [("arp_ignore", 1), ("arp_announce", 2)] {
            if let Err(e) = self.settings.raise(&setting(name, key), least) {
                self.restore(&[(index, name.to_owned())]);
                return Err(e);
            }
        }
        Ok(())
    }

    /// A bridge hears what its port hears, and would answer in the port's place (T17). With programs one of them sees to that.
    fn silence_bridge(&mut self, index: u32, bridge: Option<u32>) -> Result<(), Error> {
        let opened = self.carpdevs.get_mut(&index);
        let Some(opened) = opened.filter(|opened| opened.kernel.is_none()) else {
            return Ok(());
        };
        let quiet = &mut opened.quiet;
        let needed = |(of, _): &(u32, String)| *of == index || Some(*of) == bridge;
        let stale: Vec<_> = quiet.extract_if(.., |held| !needed(held)).collect();
        let silent = bridge.is_none_or(|bridge| quiet.iter().any(|(of, _)| *of == bridge));
        self.restore(&stale);
        if let (false, Some(bridge)) = (silent, bridge)
            && let Some(link) = self.netlink.link_by_index(bridge)?
        {
            self.silence(bridge, &link.name)?;
            if let Some(opened) = self.carpdevs.get_mut(&index) {
                opened.quiet.push((bridge, link.name));
            }
        }
        Ok(())
    }

    /// Puts back the settings of these interfaces, but of those that another carpdev needs quiet.
    fn restore(&mut self, quiet: &[(u32, String)]) {
        for (index, name) in quiet {
            let needs = |held: &Opened| held.quiet.iter().any(|(other, _)| other == index);
            if !self.carpdevs.values().any(needs) {
                for family in FAMILIES {
                    self.settings.restore(&of_family(family, name, ""));
                }
            }
        }
    }

    /// What was changed of an interface is called by its name, also on disk for a successor. Names change.
    fn follow_names(&mut self) {
        for (index, name) in self.carpdevs.values_mut().flat_map(|held| &mut held.quiet) {
            if let Ok(Some(link)) = self.netlink.link_by_index(*index)
                && link.name != *name
            {
                self.settings
                    .rename(&setting(name, ""), &setting(&link.name, ""));
                *name = link.name;
            }
        }
    }

    /// Without programs the stack takes the packets that a multicast MAC brings on the carpdev as well, also those that are
    /// other hosts' part: unicast packets in such frames are not for it.
    fn leave_to_carpn(&mut self, index: u32, macs: &[(MacAddr, u8)]) -> Result<(), Error> {
        let wanted = macs.iter().any(|(mac, _)| mac.is_multicast());
        let Some(opened) = self.carpdevs.get(&index).filter(|o| o.kernel.is_none()) else {
            return Ok(());
        };
        for (place, (_, name)) in opened.quiet.iter().enumerate() {
            for family in FAMILIES {
                let setting = of_family(family, name, "drop_unicast_in_l2_multicast");
                // A bridge may have other ports that need it.
                if !wanted && place == 0 {
                    self.settings.restore(&setting);
                } else if wanted && sysctl::read(&setting).is_ok() {
                    self.settings.raise(&setting, 1)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn listen(
        &mut self,
        index: u32,
        groups: &[IpAddr],
        macs: &[(MacAddr, u8)],
        bridge: Option<u32>,
    ) -> Result<(), Failure> {
        self.follow_names();
        self.silence_bridge(index, bridge)
            .and_then(|()| self.leave_to_carpn(index, macs))
            .map_err(|e| of(&e))?;
        let opened = self
            .carpdevs
            .get_mut(&index)
            .ok_or_else(|| gone("carpdev"))?;
        let kinds = if opened.kernel.is_some() && bridge.is_none() {
            AT_THE_STACK
        } else {
            ON_THE_WIRE
        };
        hear(opened.sockets.iter(), &kinds).map_err(|e| failed(&opened.name, &e))?;
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
        let held = &opened.memberships;
        let stale = |mac: &MacAddr| !macs.iter().any(|(wanted, _)| wanted == mac);
        for mac in opened.accepted.extract_if(.., stale) {
            // As with the groups.
            let _ = if mac.is_multicast() {
                held.refuse_multicast(mac)
            } else {
                held.refuse_unicast(mac)
            };
        }
        for (mac, _) in macs {
            if !opened.accepted.contains(mac) {
                let accepted = if mac.is_multicast() {
                    held.accept_multicast(*mac)
                } else {
                    held.accept_unicast(*mac)
                };
                accepted.map_err(|e| failed(&mac.to_string(), &e))?;
                opened.accepted.insert(*mac);
            }
        }
        Ok(())
    }

    pub(super) fn close_carpdev(&mut self, index: u32) {
        self.follow_names();
        if let Some(opened) = self.carpdevs.remove(&index) {
            if let Some(kernel) = opened.kernel {
                self.close_kernel(kernel);
            }
            self.restore(&opened.quiet);
        }
    }
}

/// An engine may not bind its sockets itself.
fn hear<'a>(sockets: impl Iterator<Item = &'a OwnedFd>, kinds: &[Heard]) -> io::Result<()> {
    for (socket, heard) in sockets.zip(kinds) {
        PacketSocket::from(socket.try_clone()?).hear(*heard)?;
    }
    Ok(())
}

const FAMILIES: [&str; 2] = ["ipv4", "ipv6"];

fn setting(interface: &str, key: &str) -> String {
    of_family("ipv4", interface, key)
}

fn of_family(family: &str, interface: &str, key: &str) -> String {
    format!("net/{family}/conf/{interface}/{key}")
}
