//! Where a program is attached: a tcx link, or a filter in a clsact qdisc; must not know which program or why.

use crate::linux::Error;
use crate::linux::bpf::{Hook, LastingLink, Place, attach_tcx};
use crate::linux::netlink::{Classifying, Mark, Netlink};
use crate::linux::pass::{Number, Parcel};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// How programs are attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Means {
    /// Links, which go with their descriptors.
    Tcx,
    /// Filters, which outlive the process.
    Clsact,
}

/// carp's protocol number: before the filters whose priority tc chose itself, after those that an admin gave 1 to 111.
const PRIORITY: u16 = 112;
/// By priority and name a successor finds what a predecessor left.
const NAME: &str = "carp";

/// The handle is the carpdev's index: two carpdevs that are ports of one bridge have a filter each on it.
const fn mark(carpdev: u32) -> Mark<'static> {
    Mark {
        priority: PRIORITY,
        handle: carpdev,
        name: NAME,
    }
}

/// A [`Hooked`] on its way to another program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Passed {
    Link(Number),
    Filter {
        index: u32,
        hook: Hook,
        carpdev: u32,
    },
}

/// A program at its place, until [`Hooked::release`].
#[derive(Debug)]
pub(super) enum Hooked {
    /// Goes with its descriptor, and with the interface.
    Link(LastingLink),
    /// Has to be taken away.
    Filter {
        index: u32,
        hook: Hook,
        carpdev: u32,
    },
}

impl Hooked {
    /// A tcx link on the interface `index`.
    pub(super) fn link(
        program: BorrowedFd<'_>,
        (index, hook, place): (u32, Hook, Place),
    ) -> Result<Self, Error> {
        LastingLink::new(attach_tcx(program, index, hook, place)?).map(Self::Link)
    }

    /// A filter on the interface `index`, for the sake of `carpdev`.
    pub(super) fn filter(
        netlink: &Netlink,
        program: BorrowedFd<'_>,
        (index, hook, carpdev): (u32, Hook, u32),
    ) -> Result<Self, Error> {
        netlink.put_filter(index, hook, mark(carpdev), program)?;
        Ok(Self::Filter {
            index,
            hook,
            carpdev,
        })
    }

    pub(super) fn pass(&self, parcel: &mut Parcel) -> Passed {
        match *self {
            Self::Link(ref link) => Passed::Link(parcel.put(link)),
            Self::Filter {
                index,
                hook,
                carpdev,
            } => Passed::Filter {
                index,
                hook,
                carpdev,
            },
        }
    }

    pub(super) fn inherited(passed: Passed) -> Result<Self, Error> {
        Ok(match passed {
            Passed::Link(queue) => Self::Link(LastingLink::inherited(queue.take()?)),
            Passed::Filter {
                index,
                hook,
                carpdev,
            } => Self::Filter {
                index,
                hook,
                carpdev,
            },
        })
    }

    /// What holds a link.
    pub(super) fn link_held(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Link(link) => Some(link.as_fd()),
            Self::Filter { .. } => None,
        }
    }

    /// Takes the program away. An interface that is gone took it along.
    pub(super) fn release(self, netlink: &Netlink) {
        if let Self::Filter {
            index,
            hook,
            carpdev,
        } = self
        {
            let _ = netlink.del_filter(index, hook, mark(carpdev));
        }
    }
}

/// Makes sure of a place for filters; which hooks it has, and whether it was made just now.
pub(super) fn prepare(netlink: &Netlink, index: u32) -> Result<(Classifying, bool), Error> {
    match netlink.add_clsact(index) {
        Ok(()) => Ok((Classifying::Both, true)),
        // There already, or an ingress qdisc of somebody else's.
        Err(e) if e.errno() == libc::EEXIST || e.errno() == libc::EBUSY => {
            let found = netlink.classifying()?;
            let here = found.iter().find(|(at, _)| *at == index);
            here.map(|(_, what)| (*what, false)).ok_or(e)
        }
        Err(e) => Err(e),
    }
}

/// Removes a qdisc that we made, unless somebody else has put a filter into it meanwhile.
pub fn clear(netlink: &Netlink, index: u32) {
    let empty = |hook| {
        netlink
            .filters(index, hook)
            .is_ok_and(|filters| filters.is_empty())
    };
    if empty(Hook::Ingress) && empty(Hook::Egress) {
        // Gone with its interface, most likely.
        let _ = netlink.del_clsact(index);
    }
}

/// Removes every filter of ours, on whatever interface.
///
/// # Errors
/// The interfaces cannot be listed.
pub fn sweep(netlink: &Netlink) -> Result<(), Error> {
    for (index, _) in netlink.classifying()? {
        for hook in [Hook::Ingress, Hook::Egress] {
            // An ingress qdisc has no second hook, and an interface may go while we look.
            for (priority, handle, name) in netlink.filters(index, hook).unwrap_or_default() {
                if priority == PRIORITY && name.as_deref() == Some(NAME) {
                    let _ = netlink.del_filter(index, hook, mark(handle));
                }
            }
        }
    }
    Ok(())
}

/// Whether this kernel has tcx: one that has looks for the interface first.
pub(super) fn has_tcx(program: BorrowedFd<'_>) -> Result<(), Error> {
    // The kernel counts indices up from 1.
    const NOBODY: u32 = 0x7fff_ffff;
    match attach_tcx(program, NOBODY, Hook::Ingress, Place::First) {
        Err(e) if e.errno() == libc::ENODEV => Ok(()),
        Err(e) if e.errno() == libc::EINVAL => {
            let why = io::Error::other("the kernel has none (Linux 6.6 does)");
            Err(Error::new("attach by tcx", "", why))
        }
        outcome => outcome.map(drop),
    }
}
