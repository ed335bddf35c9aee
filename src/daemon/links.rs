//! The interfaces of this namespace, for a front end that shows them beside carp's; must not need a daemon that runs.

use crate::control::link::{Address, Hardware, Link, Media, Nd6, Offloads};
use crate::linux::ethtool::Ethtool;
use crate::linux::netlink::{self, Netlink};
use crate::linux::sysctl;
use std::io;

/// The interfaces of these names as far as there are any, or all, in the order of their indices. Of a few the kernel is asked
/// for each: 255 carpN beside them take four times as long as the rest of the command.
///
/// # Errors
/// The kernel's.
pub fn links(only: Option<&[&str]>) -> io::Result<Vec<Link>> {
    let dump = || {
        let kernel = Netlink::open()?;
        let links = match only {
            Some(names) => {
                let found = names.iter().map(|name| kernel.link(name));
                found
                    .filter_map(Result::transpose)
                    .collect::<Result<_, _>>()?
            }
            None => kernel.links()?,
        };
        Ok((links, kernel.addresses(None)?))
    };
    let (mut links, addresses): (Vec<netlink::Link>, _) =
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
        hardware: Hardware::default(),
    }
}

/// What is known of the interface of this name; nothing is no error, it is only not shown.
#[must_use]
pub fn hardware(name: &str) -> Hardware {
    let Ok(ethtool) = Ethtool::open() else {
        return Hardware::default();
    };
    let offloads = ethtool.offloads(name);
    Hardware {
        media: ethtool.media(name).map(|media| Media {
            speed: media.speed,
            full_duplex: media.full_duplex,
            autoselect: media.autoselect,
        }),
        offloads: Offloads {
            rx_checksum: offloads.rx_checksum,
            tx_checksum: offloads.tx_checksum,
            tso: offloads.tso,
            lro: offloads.lro,
            vlan_tags: offloads.vlan_tags,
        },
        nd6: nd6(name),
    }
}

fn nd6(name: &str) -> Option<Nd6> {
    let number = |key: &str| {
        let value = sysctl::read(&format!("net/ipv6/conf/{name}/{key}")).ok()?;
        value.parse::<i32>().ok()
    };
    let (accept_ra, forwarding) = (number("accept_ra")?, number("forwarding")?);
    Some(Nd6 {
        // A router takes none, unless it is told to by 2.
        accept_rtadv: accept_ra == 2 || accept_ra == 1 && forwarding == 0,
        disabled: number("disable_ipv6")? != 0,
        // IN6_ADDR_GEN_MODE_NONE is 1.
        auto_linklocal: number("addr_gen_mode")? != 1,
    })
}

fn address(held: &netlink::Address) -> Address {
    Address {
        net: held.net,
        broadcast: held.broadcast,
        tentative: held.tentative(),
    }
}
