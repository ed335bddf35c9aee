//! Routes, as far as a carp host's own are concerned.

use super::Netlink;
use super::addresses::family;
use super::links::{Link, numbered};
use crate::linux::Result;
use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage as Rtm;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// RT_TABLE_LOCAL of rtnetlink(7).
const LOCAL: u32 = 255;
/// RT_TABLE_MAIN.
const MAIN: u8 = 254;

/// A route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where to; the default route has prefix length 0.
    pub dst: IpNetwork,
    /// By way of.
    pub gateway: Option<IpAddr>,
    /// Out of this interface; `None` for a multipath or unreachable route.
    pub index: Option<u32>,
    /// Its table: 254 main, 255 local.
    pub table: u32,
    /// Its metric, 0 being best.
    pub metric: u32,
    /// RTN_ of rtnetlink(7): 1 unicast, 2 local, 3 broadcast, 5 multicast.
    pub kind: u8,
}

impl Netlink {
    /// All routes of both families and all tables.
    pub fn routes(&self) -> Result<Vec<Route>> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut request = RouteMessage::default();
            request.header.address_family = family;
            let answers = self.ask("list routes", "", &Rtm::GetRoute(request), NLM_F_DUMP)?;
            routes.extend(answers.iter().filter_map(|answer| match answer {
                Rtm::NewRoute(message) => route_of(message),
                _ => None,
            }));
        }
        Ok(routes)
    }

    /// Adds a route to the main table; without a gateway, `dst` is on the link.
    pub fn add_route(&self, dst: IpNetwork, gateway: Option<IpAddr>, index: u32) -> Result<()> {
        let mut request = message(dst, gateway, index);
        request.header.protocol = RouteProtocol::Static;
        request.header.kind = RouteType::Unicast;
        // An IPv4 neighbour is looked up by a narrower scope than the route's.
        request.header.scope = if gateway.is_some() || dst.is_ipv6() {
            RouteScope::Universe
        } else {
            RouteScope::Link
        };
        self.ask(
            "add route",
            what(dst, index),
            &Rtm::NewRoute(request),
            NLM_F_CREATE | NLM_F_EXCL,
        )
        .map(drop)
    }

    /// Removes a route from the main table; `ESRCH` if it is not there.
    pub fn del_route(&self, dst: IpNetwork, gateway: Option<IpAddr>, index: u32) -> Result<()> {
        let mut request = message(dst, gateway, index);
        request.header.scope = RouteScope::NoWhere;
        self.ask("remove route", what(dst, index), &Rtm::DelRoute(request), 0)
            .map(drop)
    }

    /// The table in which the kernel keeps the host's own addresses on this interface: local, or that of the VRF whose port it is.
    pub fn local_table(&self, link: &Link) -> Result<u32> {
        let master = match link.master {
            Some(index) => self.link_by_index(index)?,
            None => None,
        };
        Ok(table_under(master.as_ref()))
    }

    /// Makes an IPv6 address this host's own at once. The kernel makes the same route, with metric 0, for every address that
    /// is added, but later, on a work queue (addrconf_dad_work), even with nodad: until then packets to the address are
    /// dropped, on a busy machine for tens of milliseconds. It stays when the address goes. `table`: see [`Self::local_table`].
    pub fn add_local_route(&self, ip: Ipv6Addr, metric: u32, index: u32, table: u32) -> Result<()> {
        let mut request = local(ip, metric, index, table);
        request.header.protocol = RouteProtocol::Static;
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        match self.ask(
            "add local route",
            what(host(ip), index),
            &Rtm::NewRoute(request),
            flags,
        ) {
            Err(error) if error.errno() != libc::EEXIST => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes what [`add_local_route`](Self::add_local_route) made, if it is there.
    pub fn del_local_route(&self, ip: Ipv6Addr, metric: u32, index: u32, table: u32) -> Result<()> {
        let request = local(ip, metric, index, table);
        match self.ask(
            "remove local route",
            what(host(ip), index),
            &Rtm::DelRoute(request),
            0,
        ) {
            Err(error) if error.errno() != libc::ESRCH => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes an interface's ff00::/8 route from table local (T31): it would draw multicast. The kernel puts it back when
    /// the interface gets ready, and only once a carrier change has settled: ask for the link before. Gives whether there was one.
    pub fn del_multicast_route(&self, index: u32, table: u32) -> Result<bool> {
        let all = IpNetwork::V6(ipnetwork::Ipv6Network::from(Ipv6Addr::new(
            0xff00, 0, 0, 0, 0, 0, 0, 0,
        )));
        let mut request = message(all, None, index);
        request.header.destination_prefix_length = 8;
        put_into(&mut request, table);
        request.header.kind = RouteType::Multicast;
        request.header.scope = RouteScope::NoWhere;
        match self.ask(
            "remove multicast route of",
            numbered(index),
            &Rtm::DelRoute(request),
            0,
        ) {
            Ok(_) => Ok(true),
            Err(error) if error.errno() == libc::ESRCH => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Route {
    /// Is it IPv6's route for all multicast in table local?
    #[must_use]
    pub fn all_multicast(&self) -> bool {
        self.table == LOCAL
            && self.dst.prefix() == 8
            && self.dst.ip() == IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0))
    }
}

fn table_under(master: Option<&Link>) -> u32 {
    master.and_then(|master| master.table).unwrap_or(LOCAL)
}

fn message(dst: IpNetwork, gateway: Option<IpAddr>, index: u32) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(dst.ip());
    message.header.destination_prefix_length = dst.prefix();
    message.header.table = MAIN;
    message
        .attributes
        .push(RouteAttribute::Destination(RouteAddress::from(
            dst.network(),
        )));
    message.attributes.push(RouteAttribute::Oif(index));
    message
        .attributes
        .extend(gateway.map(|ip| RouteAttribute::Gateway(RouteAddress::from(ip))));
    message
}

fn host(ip: Ipv6Addr) -> IpNetwork {
    IpNetwork::from(IpAddr::from(ip))
}

fn local(ip: Ipv6Addr, metric: u32, index: u32, table: u32) -> RouteMessage {
    let mut message = message(host(ip), None, index);
    put_into(&mut message, table);
    message.header.kind = RouteType::Local;
    message.attributes.push(RouteAttribute::Priority(metric));
    message
}

/// One byte has no room for most tables, RTA_TABLE has for all (rtnetlink(7)).
fn put_into(message: &mut RouteMessage, table: u32) {
    message.header.table = u8::try_from(table).unwrap_or_default();
    message.attributes.push(RouteAttribute::Table(table));
}

fn route_of(message: &RouteMessage) -> Option<Route> {
    let any: IpAddr = match message.header.address_family {
        AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
        AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    let (mut dst, mut gateway, mut index, mut metric) = (any, None, None, 0);
    let mut table = u32::from(message.header.table);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => dst = ip_of(address)?,
            RouteAttribute::Gateway(address) => gateway = ip_of(address),
            RouteAttribute::Oif(oif) => index = Some(*oif),
            RouteAttribute::Priority(value) => metric = *value,
            RouteAttribute::Table(value) => table = *value,
            _ => {}
        }
    }
    let dst = IpNetwork::new(dst, message.header.destination_prefix_length).ok()?;
    Some(Route {
        dst,
        gateway,
        index,
        table,
        metric,
        kind: message.header.kind.into(),
    })
}

fn ip_of(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}

fn what(dst: IpNetwork, index: u32) -> String {
    format!("{dst} on {}", numbered(index))
}

#[cfg(test)]
mod tests {
    use super::super::links::link_of;
    use super::*;
    use netlink_packet_route::link::{
        InfoBridge, InfoData, InfoKind, InfoVrf, LinkAttribute, LinkInfo, LinkMessage,
    };

    fn link(kind: InfoKind, data: InfoData) -> Link {
        let mut message = LinkMessage::default();
        let info = vec![LinkInfo::Kind(kind), LinkInfo::Data(data)];
        message.attributes.push(LinkAttribute::LinkInfo(info));
        link_of(&message)
    }

    /// No kernel here has a VRF, so what one would say is written down.
    #[test]
    fn a_port_of_a_vrf_has_its_addresses_in_the_vrfs_table() {
        let vrf = link(InfoKind::Vrf, InfoData::Vrf(vec![InfoVrf::TableId(1001)]));
        let bridge = InfoData::Bridge(vec![InfoBridge::AgeingTime(0)]);
        let bridge = link(InfoKind::Bridge, bridge);
        assert_eq!(table_under(Some(&vrf)), 1001);
        assert_eq!(table_under(Some(&bridge)), 255);
        assert_eq!(table_under(None), 255);
    }

    #[test]
    fn a_route_tells_its_table_however_great_the_number() {
        for (table, byte) in [(255, 255), (1001, 0)] {
            let message = local(Ipv6Addr::LOCALHOST, 7, 3, table);
            assert_eq!(message.header.table, byte);
            assert_eq!(route_of(&message).map(|route| route.table), Some(table));
        }
    }
}
