//! The interfaces of this namespace, for a front end that shows them beside carp's; must not need a daemon that runs.

use crate::control::link::{Address, Link};
use crate::linux::netlink::{self, Netlink};
use std::io;

/// All interfaces in the order of their indices.
///
/// # Errors
/// The kernel's.
pub fn links() -> io::Result<Vec<Link>> {
    let dump = || {
        let kernel = Netlink::open()?;
        Ok((kernel.links()?, kernel.addresses(None)?))
    };
    let (mut links, addresses) =
        dump().map_err(|e: crate::linux::Error| io::Error::from_raw_os_error(e.errno()))?;
    links.sort_by_key(|link| link.index);
    Ok(links
        .into_iter()
        .map(|link| shown(link, &addresses))
        .collect())
}

fn shown(link: netlink::Link, addresses: &[netlink::Address]) -> Link {
    let own = addresses.iter().filter(|held| held.index == link.index);
    Link {
        addresses: own.map(address).collect(),
        lladdr: link.ethernet.then_some(link.mac),
        name: link.name,
        index: link.index,
        flags: link.flags,
        mtu: link.mtu,
    }
}

fn address(held: &netlink::Address) -> Address {
    Address {
        net: held.net,
        broadcast: held.broadcast,
        tentative: held.tentative(),
    }
}
