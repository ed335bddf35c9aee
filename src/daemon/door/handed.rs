//! All that the far end holds, on its way to the program that takes the place of this one; must not know why.

use super::planes::Planes;
use super::serve::{Door, Held, Lasting, Opened};
use super::settings::Settings;
use super::{How, Said};
use crate::carp::config::Dataplane;
use crate::control::path::{self, Place};
use crate::dataplane::bpf;
use crate::linux::groups::Groups;
use crate::linux::netlink::Netlink;
use crate::linux::packet::PacketSocket;
use crate::linux::pass::{Number, Parcel};
use crate::linux::records::Records;
use crate::linux::tap::Tap;
use crate::wire::MacAddr;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

/// A door as a letter says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdings {
    /// The directory of all namespaces.
    base: PathBuf,
    group: u32,
    lock: Number,
    listener: Number,
    /// Where the engines keep their state.
    pub(in crate::daemon) records: Number,
    #[serde(default)]
    offer: Option<Said>,
    taps: Vec<Carp>,
    carpdevs: Vec<Carpdev>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Carp {
    name: String,
    index: u32,
    tap: Number,
    first_to_go: Number,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Carpdev {
    index: u32,
    name: String,
    plane: (Dataplane, Option<String>),
    sockets: Vec<Number>,
    quiet: Vec<(u32, String)>,
    kernel: Option<bpf::Passed>,
    groups: Vec<(Number, Vec<IpAddr>)>,
    memberships: Number,
    accepted: BTreeSet<MacAddr>,
}

impl Door {
    /// Says what it holds; `None` before an engine has opened it.
    pub fn pass(&self, parcel: &mut Parcel) -> Option<Holdings> {
        let (lock, lasting) = (self.lock.as_ref()?, self.lasting.as_ref()?);
        let tap = |(name, held): (&String, &Held)| Carp {
            name: name.clone(),
            index: held.index,
            tap: parcel.put(&held.tap),
            first_to_go: parcel.put(&held.first_to_go),
        };
        let taps = self.taps.iter().map(tap).collect();
        let carpdevs = self.carpdevs.iter();
        Some(Holdings {
            base: self.place.base().to_owned(),
            group: self.group,
            taps,
            carpdevs: carpdevs
                .map(|(index, opened)| opened.pass(*index, parcel))
                .collect(),
            lock: parcel.put(&**lock),
            listener: parcel.put(&lasting.listener),
            records: parcel.put(&lasting.records),
            offer: lasting.offer.clone(),
        })
    }

    /// Holds what another program has passed, and is as its door was.
    ///
    /// # Errors
    /// Something is not there, or not what it should be.
    pub fn inherited(passed: Holdings) -> io::Result<Self> {
        // Interfaces first: whatever fails later takes them along.
        let taps = passed.taps.into_iter().map(Carp::take);
        let taps = taps.collect::<io::Result<BTreeMap<_, _>>>()?;
        let carpdevs = passed.carpdevs.into_iter().map(Carpdev::take);
        let carpdevs = carpdevs.collect::<io::Result<BTreeMap<_, _>>>()?;
        let lock = File::from(taken(passed.lock)?);
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, errno)| io::Error::from(errno))?;
        let place = Place::new(passed.base, path::namespace()?);
        let kernels = carpdevs.values().filter_map(|o: &Opened| o.kernel.as_ref());
        let qdiscs = kernels.flat_map(bpf::Carpdev::qdiscs).collect();
        Ok(Self {
            netlink: Netlink::open().map_err(io::Error::other)?,
            lock: Some(lock),
            group: passed.group,
            settings: Settings::at(place.directory().join("settings")),
            planes: Planes::with(place.directory().join("qdiscs"), qdiscs),
            place,
            taps,
            carpdevs,
            lasting: Some(Lasting {
                offer: passed.offer,
                listener: UnixListener::from(taken(passed.listener)?),
                records: Records::from(taken(passed.records)?),
            }),
            how: How::GoOn,
            ready: true,
            began: false,
            said: Said::Nothing,
        })
    }
}

impl Carp {
    fn take(self) -> io::Result<(String, Held)> {
        let tap = Tap::inherited(taken(self.tap)?, self.name.clone(), self.index);
        let held = Held {
            tap,
            index: self.index,
            first_to_go: taken(self.first_to_go)?,
        };
        Ok((self.name, held))
    }
}

impl Opened {
    fn pass(&self, index: u32, parcel: &mut Parcel) -> Carpdev {
        Carpdev {
            index,
            name: self.name.clone(),
            plane: self.plane.clone(),
            sockets: self.sockets.iter().map(|fd| parcel.put(fd)).collect(),
            quiet: self.quiet.clone(),
            kernel: self.kernel.as_ref().map(|kernel| kernel.pass(parcel)),
            groups: self.groups.pass(parcel),
            memberships: parcel.put(&self.memberships),
            accepted: self.accepted.clone(),
        }
    }
}

impl Carpdev {
    fn take(self) -> io::Result<(u32, Opened)> {
        let groups = Groups::inherited(self.index, self.groups).map_err(io::Error::other)?;
        let kernel = self.kernel.map(bpf::Carpdev::inherited).transpose();
        let opened = Opened {
            name: self.name,
            plane: self.plane,
            sockets: self
                .sockets
                .into_iter()
                .map(taken)
                .collect::<io::Result<_>>()?,
            quiet: self.quiet,
            kernel: kernel.map_err(io::Error::other)?,
            joined: groups.joined().collect(),
            groups,
            memberships: PacketSocket::from(taken(self.memberships)?),
            accepted: self.accepted,
        };
        Ok((self.index, opened))
    }
}

fn taken(number: Number) -> io::Result<OwnedFd> {
    number.take().map_err(io::Error::other)
}
