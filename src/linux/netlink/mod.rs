//! Interfaces, addresses, routes and neighbours, asked and changed by blocking rtnetlink; must not know why.
//!
//! The only module tree that knows the netlink crates. A request is answered before it returns, and none waits longer than ten seconds.

mod addresses;
mod filters;
mod links;
mod neighbours;
mod routes;
mod socket;

pub use addresses::{Address, AddressFlags};
pub use filters::{Classifying, Mark};
pub use links::{Link, MacvlanMode};
pub use neighbours::{Neighbour, NeighbourState};
pub use routes::Route;
pub(in crate::linux) use {
    addresses::address_of, addresses::addresses_of, links::all_links, links::link_of,
    socket::Message, socket::RouteSocket,
};

use super::{Error, Result};
use netlink_packet_route::RouteNetlinkMessage;

/// A netlink socket of the network namespace in which the calling thread was when it opened it.
#[derive(Debug)]
pub struct Netlink {
    socket: RouteSocket,
}

impl Netlink {
    /// Opens one.
    pub fn open() -> Result<Self> {
        let socket =
            RouteSocket::open(0).map_err(|error| Error::new("open netlink socket", "", error))?;
        Ok(Self { socket })
    }

    /// One request; what the kernel answers, or why it refused `op` on `what`.
    fn ask(
        &self,
        op: &'static str,
        what: impl Into<String>,
        request: &RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>> {
        self.socket
            .exchange(request, flags, |_| {})
            .map_err(|error| Error::new(op, what, error))
    }
}
