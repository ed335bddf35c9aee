//! The kernel's ARP and neighbour caches, and a bridge's table of addresses.

use super::Netlink;
use super::addresses::family;
use super::links::{mac_of, numbered};
use crate::linux::Result;
use crate::wire::MacAddr;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE};
pub use netlink_packet_route::neighbour::NeighbourState;
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage as Rtm};
use std::net::IpAddr;

/// What an interface knows of a neighbour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Its address.
    pub ip: IpAddr,
    /// Its Ethernet address, once known.
    pub mac: Option<MacAddr>,
    /// How sure that is.
    pub state: NeighbourState,
}

impl Netlink {
    /// What an interface knows of its neighbours, both families.
    pub fn neighbours(&self, index: u32) -> Result<Vec<Neighbour>> {
        let mut found = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let answers = self.dump_neighbours(family, Some(index))?;
            found.extend(
                answers
                    .iter()
                    .filter(|message| message.header.ifindex == index)
                    .filter_map(neighbour_of),
            );
        }
        Ok(found)
    }

    /// Forgets a neighbour; `ENOENT` if it was unknown.
    pub fn del_neighbour(&self, index: u32, ip: IpAddr) -> Result<()> {
        self.ask(
            "remove neighbour",
            what(index, ip),
            &Rtm::DelNeighbour(message(index, ip)),
            0,
        )
        .map(drop)
    }

    /// Adds a neighbour that is not there yet.
    pub fn add_neighbour(
        &self,
        index: u32,
        ip: IpAddr,
        mac: MacAddr,
        state: NeighbourState,
    ) -> Result<()> {
        self.put_neighbour("add neighbour", index, ip, mac, state, NLM_F_EXCL)
    }

    /// Adds a neighbour or changes what is known of it.
    pub fn replace_neighbour(
        &self,
        index: u32,
        ip: IpAddr,
        mac: MacAddr,
        state: NeighbourState,
    ) -> Result<()> {
        self.put_neighbour("replace neighbour", index, ip, mac, state, NLM_F_REPLACE)
    }

    /// Which bridge port (by interface index) leads to which Ethernet address, for all bridges; a port's own addresses are among them.
    pub fn bridge_table(&self) -> Result<Vec<(u32, MacAddr)>> {
        let answers = self.dump_neighbours(AddressFamily::Bridge, None)?;
        Ok(answers
            .iter()
            .filter_map(|message| Some((message.header.ifindex, mac_in(message)?)))
            .collect())
    }

    fn put_neighbour(
        &self,
        op: &'static str,
        index: u32,
        ip: IpAddr,
        mac: MacAddr,
        state: NeighbourState,
        flag: u16,
    ) -> Result<()> {
        let mut request = message(index, ip);
        request.header.state = state;
        request
            .attributes
            .push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
        self.ask(
            op,
            what(index, ip),
            &Rtm::NewNeighbour(request),
            NLM_F_CREATE | flag,
        )
        .map(drop)
    }

    fn dump_neighbours(
        &self,
        family: AddressFamily,
        index: Option<u32>,
    ) -> Result<Vec<NeighbourMessage>> {
        let mut request = NeighbourMessage::default();
        request.header.family = family;
        let of = index.map(NeighbourAttribute::IfIndex);
        request.attributes.extend(of);
        let answers = self.ask(
            "list neighbours",
            "",
            &Rtm::GetNeighbour(request),
            NLM_F_DUMP,
        )?;
        let found = answers.into_iter().filter_map(|answer| match answer {
            Rtm::NewNeighbour(message) => Some(message),
            _ => None,
        });
        Ok(found.collect())
    }
}

fn message(index: u32, ip: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(ip);
    message.header.ifindex = index;
    message
        .attributes
        .push(NeighbourAttribute::Destination(NeighbourAddress::from(ip)));
    message
}

fn neighbour_of(message: &NeighbourMessage) -> Option<Neighbour> {
    let ip = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => Some(IpAddr::from(*ip)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => Some(IpAddr::from(*ip)),
            _ => None,
        })?;
    Some(Neighbour {
        ip,
        mac: mac_in(message),
        state: message.header.state,
    })
}

fn mac_in(message: &NeighbourMessage) -> Option<MacAddr> {
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => mac_of(bytes),
            _ => None,
        })
}

fn what(index: u32, ip: IpAddr) -> String {
    format!("{ip} on {}", numbered(index))
}
