//! carpN itself: made, shaped, armed, disarmed, removed; must not know when or why.

use super::Failure;
use super::serve::{Done, Door, Held, failed, gone, of};
use crate::linux::descriptor::{self, EARLY};
use crate::linux::netlink::{AddressFlags, NeighbourState};
use crate::linux::tap::Tap;
use crate::linux::{Error, sysctl};
use crate::wire::MacAddr;
use ipnetwork::IpNetwork;
use nix::errno::Errno;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Route metric of the shared addresses: carpdev's own connected route always wins (route order would be luck).
const METRIC: u32 = 40_000;
/// How long a destroyed name may stay taken.
const NAME_FREE: Duration = Duration::from_secs(2);

impl Door {
    /// T10 and T3: everything the kernel would do by itself on carpN is turned off before the first "up".
    pub(super) fn create(&mut self, name: &str, mac: MacAddr) -> Done {
        if let Some(held) = self.taps.get(name) {
            let copy = held.tap.as_fd().try_clone_to_owned();
            return Ok((held.index, vec![copy.map_err(|e| failed(name, &e))?]));
        }
        let tap = Tap::create(name).map_err(|e| of(&e))?;
        let index = tap.index();
        let shape = || -> Result<(), Error> {
            self.netlink.set_mac(index, mac)?;
            self.netlink.set_group(index, self.group)?;
            sysctl::write(&format!("net/ipv4/conf/{}/rp_filter", name), "2")?;
            // T1: asked on carpN for carpdev's address, it would answer with the virtual MAC.
            sysctl::write(&format!("net/ipv4/conf/{}/arp_ignore", name), "1")?;
            if present(&format!("net/ipv6/conf/{name}/accept_ra")) {
                for (key, wanted) in [
                    ("addr_gen_mode", "1"),
                    ("accept_ra", "0"),
                    ("autoconf", "0"),
                    ("accept_dad", "0"),
                ] {
                    sysctl::write(&format!("net/ipv6/conf/{}/{key}", name), wanted)?;
                }
            }
            Ok(())
        };
        shape().map_err(|e| of(&e))?;
        let copy = tap
            .as_fd()
            .try_clone_to_owned()
            .map_err(|e| failed(name, &e))?;
        let first = descriptor::copy(&tap, EARLY).map_err(|e| failed(name, &e))?;
        let held = Held {
            tap,
            index,
            first_to_go: first,
        };
        self.taps.insert(name.to_owned(), held);
        Ok((index, vec![copy]))
    }

    /// The daemon drops its own descriptor of the TAP as well; the link goes by request, so the name is free either way.
    pub(super) fn destroy(&mut self, name: &str) -> Result<(), Failure> {
        let Some(held) = self.taps.get(name) else {
            return Ok(());
        };
        match self.netlink.delete(held.index) {
            Err(e) if e.errno() != libc::ENODEV => return Err(of(&e)),
            _ => {}
        }
        self.taps.remove(name);
        let until = Instant::now() + NAME_FREE;
        while self.netlink.link(name).map_err(|e| of(&e))?.is_some() {
            if Instant::now() > until {
                return Err(Failure {
                    errno: libc::EBUSY,
                    why: format!("{name} does not go away"),
                });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn held(&self, name: &str) -> Result<&Held, Failure> {
        self.taps.get(name).ok_or_else(|| gone(name))
    }

    pub(super) fn configure(
        &self,
        name: &str,
        mac: MacAddr,
        mtu: u32,
        up: bool,
    ) -> Result<(), Failure> {
        let index = self.held(name)?.index;
        let change = || -> Result<(), Error> {
            let now = self.netlink.link_by_index(index)?;
            let differs =
                |f: &dyn Fn(&crate::linux::netlink::Link) -> bool| now.as_ref().is_none_or(f);
            if now.as_ref().is_some_and(|link| link.name != name) {
                self.netlink.rename(index, name)?;
            }
            if differs(&|link| link.mac != mac) {
                self.netlink.set_mac(index, mac)?;
            }
            if differs(&|link| link.mtu != mtu) {
                self.netlink.set_mtu(index, mtu)?;
            }
            if differs(&|link| link.up != up) {
                self.netlink.set_up(index, up)?;
            }
            Ok(())
        };
        change().map_err(|e| of(&e))
    }

    /// Carrier, the wait until it took, addresses. All or nothing: a failure disarms.
    pub(super) fn arm(
        &self,
        name: &str,
        addresses: &[IpNetwork],
        like: &str,
    ) -> Result<u32, Failure> {
        let held = self.held(name)?;
        let armed = self
            .armed(held, addresses)
            .and_then(|()| forward_as(name, like));
        armed.map_err(|e| {
            let _ = self.disarm(name);
            of(&e)
        })
    }

    fn armed(&self, held: &Held, addresses: &[IpNetwork]) -> Result<(), Error> {
        let present: Vec<IpNetwork> = self
            .netlink
            .addresses(Some(held.index))?
            .into_iter()
            .map(|a| a.net)
            .collect();
        let stale: Vec<_> = present
            .iter()
            .filter(|net| !addresses.contains(net))
            .collect();
        if !stale.is_empty() {
            let table = self.table(held)?;
            let mut stale = stale.into_iter();
            stale.try_for_each(|net| self.remove(held, *net, table))?;
        }
        // Before the addresses: a question that comes in with no carrier would be answered by an ARP request that vanishes, and the
        // next one follows a second later.
        held.tap.set_carrier(true)?;
        // T24 and T33: asking for the link by index makes the kernel run the pending carrier event now.
        let table = self.table(held)?;
        self.forget_unanswered(held)?;
        for net in addresses.iter().filter(|net| !present.contains(net)) {
            self.add(held, *net, table)?;
        }
        // T31: it would draw multicast with the shared address as source; it comes back with each carrier.
        self.netlink
            .del_multicast_route(held.index, table)
            .map(|_| ())
    }

    /// Promoted again before it was disarmed: what the kernel asked meanwhile could not leave, and it would ask again a second
    /// later only.
    fn forget_unanswered(&self, held: &Held) -> Result<(), Error> {
        for neighbour in self.netlink.neighbours(held.index)? {
            if matches!(
                neighbour.state,
                NeighbourState::Incomplete | NeighbourState::Failed
            ) {
                // Resolved or gone in this very moment is as good.
                let _ = self.netlink.del_neighbour(held.index, neighbour.ip);
            }
        }
        Ok(())
    }

    /// What somebody took off while it was to be there.
    pub(super) fn put_back(&self, name: &str, addresses: &[IpNetwork]) -> Result<(), Failure> {
        let held = self.held(name)?;
        let mut addresses = addresses.iter();
        self.table(held)
            .and_then(|table| addresses.try_for_each(|net| self.add(held, *net, table)))
            .map_err(|e| of(&e))
    }

    /// Where the kernel keeps the addresses of this carpN; asked for by its index.
    fn table(&self, held: &Held) -> Result<u32, Error> {
        match self.netlink.link_by_index(held.index)? {
            Some(link) => self.netlink.local_table(&link),
            None => Err(Error::new("find interface", "", Errno::ENODEV)),
        }
    }

    fn add(&self, held: &Held, net: IpNetwork, table: u32) -> Result<(), Error> {
        let flags = AddressFlags {
            nodad: true,
            metric: Some(METRIC),
        };
        self.netlink.add_address(held.index, net, flags)?;
        // Or the first requests after an IPv6 takeover are lost: the kernel has the address only when a work queue ran.
        match net.ip() {
            IpAddr::V6(ip) => self.netlink.add_local_route(ip, METRIC, held.index, table),
            IpAddr::V4(_) => Ok(()),
        }
    }

    /// Takes an address off, and the route that `armed` made beside the kernel's.
    fn remove(&self, held: &Held, net: IpNetwork, table: u32) -> Result<(), Error> {
        if let IpAddr::V6(ip) = net.ip() {
            self.netlink
                .del_local_route(ip, METRIC, held.index, table)?;
        }
        self.netlink.del_address(held.index, net)
    }

    /// Carrier first: an address removed while it is on makes the kernel send MLD with the virtual MAC (T32).
    pub(super) fn disarm(&self, name: &str) -> Result<(), Failure> {
        let held = self.held(name)?;
        let off = || -> Result<(), Error> {
            // Deleted by somebody: it has neither carrier nor addresses.
            let Some(link) = self.netlink.link_by_index(held.index)? else {
                return Ok(());
            };
            let table = self.netlink.local_table(&link)?;
            held.tap.set_carrier(false)?;
            for address in self.netlink.addresses(Some(held.index))? {
                self.remove(held, address.net, table)?;
            }
            Ok(())
        };
        off().map_err(|e| of(&e))
    }
}

/// Forwarding on carpN as on `like`; 1 when the host forwards IPv6 there.
fn forward_as(name: &str, like: &str) -> Result<u32, Error> {
    let mut router = 0;
    for family in ["ipv4", "ipv6"] {
        let theirs = format!("net/{family}/conf/{}/forwarding", like);
        if !present(&theirs) {
            continue;
        }
        let forwarding = sysctl::read(&theirs)?;
        let ours = format!("net/{family}/conf/{}/forwarding", name);
        if sysctl::read(&ours)? != forwarding {
            sysctl::write(&ours, &forwarding)?;
        }
        router = u32::from(forwarding != "0");
    }
    Ok(router)
}

/// A kernel without IPv6 has none of its settings.
fn present(setting: &str) -> bool {
    sysctl::read(setting).is_ok()
}
