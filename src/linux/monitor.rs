//! Hears of changes of interfaces and addresses; must not know who cares.
//!
//! It can also list both over the same socket, so that a process without privilege, in another namespace, needs only this one
//! descriptor. Lost events are told as [`Event::Overflow`]: list again.

use super::netlink::{
    Address, Link, Message, RouteSocket, address_of, addresses_of, all_links, link_of,
};
use super::{Error, Result};
use netlink_packet_core::{NLM_F_DUMP, NetlinkPayload};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage as Rtm};
use nix::sys::socket::{setsockopt, sockopt};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR and RTNLGRP_IPV6_IFADDR as a mask.
const GROUPS: u32 = 1 | 1 << 4 | 1 << 8;
/// Receive buffer, in bytes: a change of some hundred interfaces at once.
const BUFFER: usize = 1 << 20;
/// The most events kept while a list is read.
const KEPT: usize = 1024;

/// Something changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An interface is new, or is now like this.
    Link(Link),
    /// An interface is gone from the namespace.
    LinkGone {
        /// Its index.
        index: u32,
        /// Its name.
        name: String,
    },
    /// An address was added or changed (`added`) or removed.
    Address {
        /// The address.
        address: Address,
        /// False: it is gone.
        added: bool,
    },
    /// Events were lost: list all interfaces and addresses again.
    Overflow,
}

/// A netlink socket subscribed to links and addresses, non-blocking.
#[derive(Debug)]
pub struct Monitor {
    socket: RouteSocket,
    /// What arrived while a list was read.
    kept: Mutex<VecDeque<Event>>,
}

impl Monitor {
    /// Hears of the calling thread's network namespace, from now on.
    pub fn open() -> Result<Self> {
        let failed = |error| Error::new("open netlink socket", "", error);
        let socket = RouteSocket::open(GROUPS).map_err(failed)?;
        // Beyond rmem_max only with privilege; less means that we list again sooner.
        if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).is_err() {
            let _ = setsockopt(&socket, sockopt::RcvBuf, &BUFFER);
        }
        super::set_nonblocking(socket.as_fd(), true).map_err(failed)?;
        Ok(Self {
            socket,
            kept: Mutex::default(),
        })
    }

    /// The next events, possibly none; `WouldBlock` when nothing has arrived.
    pub fn read(&self) -> io::Result<Vec<Event>> {
        let kept: Vec<Event> = self.kept().drain(..).collect();
        if !kept.is_empty() {
            return Ok(kept);
        }
        match self.socket.receive() {
            Ok(messages) => {
                let news = messages
                    .into_iter()
                    .filter(|message| !self.socket.is_answer(message));
                Ok(news.filter_map(event_of).collect())
            }
            // Lost, or a change that we cannot read.
            Err(error)
                if error.raw_os_error() == Some(libc::ENOBUFS)
                    || error.kind() == io::ErrorKind::InvalidData =>
            {
                Ok(vec![Event::Overflow])
            }
            Err(error) => Err(error),
        }
    }

    /// All interfaces of the namespace in which it was opened. Events that arrive meanwhile are kept for [`Monitor::read`],
    /// and the socket is made readable so that they are not forgotten.
    pub fn links(&self) -> Result<Vec<Link>> {
        let answers = self.dump("list interfaces", &Rtm::GetLink(all_links()))?;
        let found = answers.iter().filter_map(|answer| match answer {
            Rtm::NewLink(message) => Some(link_of(message)),
            _ => None,
        });
        Ok(found.collect())
    }

    /// All addresses of that namespace, or those of one interface; events as with [`Monitor::links`].
    pub fn addresses(&self, index: Option<u32>) -> Result<Vec<Address>> {
        let answers = match self.dump("list addresses", &addresses_of(index)) {
            // That one is gone.
            Err(error) if index.is_some() && error.errno() == libc::ENODEV => Vec::new(),
            answers => answers?,
        };
        let found = answers.iter().filter_map(|answer| match answer {
            Rtm::NewAddress(message) => address_of(message),
            _ => None,
        });
        Ok(found
            .filter(|address| index.is_none_or(|index| index == address.index))
            .collect())
    }

    fn dump(&self, op: &'static str, request: &Rtm) -> Result<Vec<Rtm>> {
        let failed = |error| Error::new(op, "", error);
        let outcome = self
            .socket
            .exchange(request, NLM_F_DUMP, |stray| match stray {
                Some(message) if self.socket.is_answer(&message) => {}
                Some(message) => event_of(message)
                    .into_iter()
                    .for_each(|event| self.keep(event)),
                None => self.keep(Event::Overflow),
            });
        if !self.kept().is_empty() {
            self.socket.nudge().map_err(failed)?;
        }
        outcome.map_err(failed)
    }

    /// Keeps an event for `read`; too many become one overflow.
    fn keep(&self, event: Event) {
        let mut kept = self.kept();
        if kept.len() < KEPT {
            kept.push_back(event);
        } else {
            kept.clear();
            kept.push_back(Event::Overflow);
        }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<OwnedFd> for Monitor {
    /// Takes a monitor's descriptor that another process opened, in whatever namespace. Should it be something else, every
    /// operation fails.
    fn from(descriptor: OwnedFd) -> Self {
        Self {
            socket: RouteSocket::adopt(descriptor),
            kept: Mutex::default(),
        }
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn event_of(message: Message) -> Option<Event> {
    let NetlinkPayload::InnerMessage(inner) = message.payload else {
        return None;
    };
    match inner {
        // A bridge tells of its ports in messages of its own family: there "gone" means no longer a port.
        Rtm::NewLink(link) | Rtm::DelLink(link)
            if link.header.interface_family != AddressFamily::Unspec =>
        {
            None
        }
        Rtm::NewLink(link) => Some(Event::Link(link_of(&link))),
        Rtm::DelLink(link) => {
            let link = link_of(&link);
            Some(Event::LinkGone {
                index: link.index,
                name: link.name,
            })
        }
        Rtm::NewAddress(address) => Some(Event::Address {
            address: address_of(&address)?,
            added: true,
        }),
        Rtm::DelAddress(address) => Some(Event::Address {
            address: address_of(&address)?,
            added: false,
        }),
        _ => None,
    }
}
