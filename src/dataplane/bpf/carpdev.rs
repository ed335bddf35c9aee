//! The privileged half: a carpdev's programs, loaded, attached and fed with addresses; must not know gates or leases.

use super::hook::{self, Hooked, Means};
use super::object::{self, Object, Program};
use crate::dataplane::Counters;
use crate::linux::Error;
use crate::linux::bpf::{Hook, Place};
use crate::linux::netlink::{Classifying, Netlink};
use crate::linux::pass::Parcel;
use crate::wire::MacAddr;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

/// So many carpN of a carpdev are served by a link. It spares a frame the classifier's way to a filter, a microsecond at a thousand
/// frames a second; but it costs a grace period of some 16 ms under the kernel's lock when it comes and when it goes.
const LINKS: usize = 4;

/// What a carpdev is to serve.
#[derive(Debug, Clone, Copy)]
pub struct Service<'a> {
    /// Shared addresses, each with the vhid that answers for it.
    pub shared: &'a [(IpAddr, u8)],
    /// The MACs of the vhosts on it, each with its vhid.
    pub macs: &'a [(MacAddr, u8)],
    /// The indices of the carpN on it.
    pub units: &'a [u32],
    /// The index of the bridge that it is a port of.
    pub bridge: Option<u32>,
}

/// The programs and maps, loaded and not yet attached.
#[derive(Debug)]
pub struct Loaded(Object);

impl Loaded {
    /// Loads them.
    ///
    /// # Errors
    /// EPERM without CAP_BPF and CAP_NET_ADMIN, EINVAL when the kernel lacks what the programs use.
    pub fn new() -> Result<Self, Error> {
        Object::load().map(Self)
    }

    /// Whether this kernel can attach them by tcx.
    ///
    /// # Errors
    /// Why not.
    pub fn fits_tcx(&self) -> Result<(), Error> {
        hook::has_tcx(self.0.program(Program::Ingress))
    }
}

/// One carpdev with its programs. [`close`](Self::close) it: only links go by themselves.
#[derive(Debug)]
pub struct Carpdev {
    index: u32,
    means: Means,
    object: Object,
    /// Egress of carpdev was refused: an ingress qdisc stands there.
    half: bool,
    own: Vec<Hooked>,
    bridge: Option<(u32, Vec<Hooked>)>,
    units: BTreeMap<u32, Hooked>,
    vhids: BTreeSet<u8>,
    /// Interfaces on which we made the qdisc.
    qdiscs: BTreeSet<u32>,
}

/// A [`Carpdev`] on its way to another program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    index: u32,
    means: Means,
    object: object::Passed,
    half: bool,
    own: Vec<hook::Passed>,
    bridge: Option<(u32, Vec<hook::Passed>)>,
    units: Vec<(u32, hook::Passed)>,
    vhids: BTreeSet<u8>,
    qdiscs: BTreeSet<u32>,
}

impl Carpdev {
    /// For a program that takes the place of this one.
    pub fn pass(&self, parcel: &mut Parcel) -> Passed {
        let mut all =
            |hooks: &[Hooked]| -> Vec<_> { hooks.iter().map(|hook| hook.pass(parcel)).collect() };
        let own = all(&self.own);
        let bridge = self
            .bridge
            .as_ref()
            .map(|(index, hooks)| (*index, all(hooks)));
        let units = self.units.iter();
        Passed {
            index: self.index,
            means: self.means,
            half: self.half,
            own,
            bridge,
            units: units
                .map(|(unit, hook)| (*unit, hook.pass(parcel)))
                .collect(),
            vhids: self.vhids.clone(),
            qdiscs: self.qdiscs.clone(),
            object: self.object.pass(parcel),
        }
    }

    /// What another program has passed. Its programs go on as they are.
    ///
    /// # Errors
    /// A descriptor is not there, or is something else.
    pub fn inherited(passed: Passed) -> Result<Self, Error> {
        let all = |hooks: Vec<hook::Passed>| -> Result<Vec<Hooked>, Error> {
            hooks.into_iter().map(Hooked::inherited).collect()
        };
        let bridge = passed
            .bridge
            .map(|(index, hooks)| Ok::<_, Error>((index, all(hooks)?)));
        let units = passed.units.into_iter();
        let units = units.map(|(unit, hook)| Ok((unit, Hooked::inherited(hook)?)));
        Ok(Self {
            index: passed.index,
            means: passed.means,
            object: Object::inherited(passed.object)?,
            half: passed.half,
            own: all(passed.own)?,
            bridge: bridge.transpose()?,
            units: units.collect::<Result<_, Error>>()?,
            vhids: passed.vhids,
            qdiscs: passed.qdiscs,
        })
    }

    /// Attaches the programs to the interface `index`. They pass everything on until there are ports.
    ///
    /// # Errors
    /// Nothing is attached then.
    pub fn open(
        netlink: &Netlink,
        index: u32,
        means: Means,
        loaded: Loaded,
    ) -> Result<Self, Error> {
        let mut carpdev = Self {
            index,
            means,
            object: loaded.0,
            half: false,
            own: Vec::new(),
            bridge: None,
            units: BTreeMap::new(),
            vhids: BTreeSet::new(),
            qdiscs: BTreeSet::new(),
        };
        match carpdev.attach_own(netlink) {
            Ok(()) => Ok(carpdev),
            Err(e) => {
                carpdev.close(netlink);
                Err(e)
            }
        }
    }

    fn attach_own(&mut self, netlink: &Netlink) -> Result<(), Error> {
        let hooks = self.prepare(netlink, self.index)?;
        let ingress = (self.index, Hook::Ingress, Place::First);
        let hooked = self.attach(netlink, Program::Ingress, ingress)?;
        self.own.push(hooked);
        self.half = hooks == Classifying::Ingress;
        if !self.half {
            let egress = (self.index, Hook::Egress, Place::First);
            let hooked = self.attach(netlink, Program::Egress, egress)?;
            self.own.push(hooked);
        }
        Ok(())
    }

    /// The map of ports, for the half that decides.
    #[must_use]
    pub fn ports(&self) -> BorrowedFd<'_> {
        self.object.ports()
    }

    /// What holds the links on the carpdev itself. Whoever holds a TAP must hold them, too: while there are addresses, the kernel
    /// must not be asked for them (T30).
    pub fn links(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.own.iter().filter_map(Hooked::link_held)
    }

    /// True where nothing looks at what the host says in ARP (T2): arp_announce has to.
    #[must_use]
    pub fn half(&self) -> bool {
        self.half
    }

    /// The interfaces on which a qdisc was made.
    pub fn qdiscs(&self) -> impl Iterator<Item = u32> {
        self.qdiscs.iter().copied()
    }

    /// Serves exactly that. What fails half way is tried again from there.
    ///
    /// # Errors
    /// A map or a hook refused.
    pub fn serve(&mut self, netlink: &Netlink, service: Service<'_>) -> Result<(), Error> {
        self.object.share(service.shared)?;
        self.object.name(service.macs)?;
        let wanted: BTreeSet<u8> = service.macs.iter().map(|(_, vhid)| *vhid).collect();
        self.vhids.retain(|vhid| wanted.contains(vhid));
        for vhid in wanted {
            if !self.vhids.contains(&vhid) {
                self.object.clear(vhid)?;
                self.vhids.insert(vhid);
            }
        }
        self.follow(netlink, service.bridge)?;
        let stale: Vec<u32> = self
            .units
            .keys()
            .filter(|unit| !service.units.contains(unit))
            .copied()
            .collect();
        for unit in stale {
            if let Some(hooked) = self.units.remove(&unit) {
                hooked.release(netlink);
            }
        }
        for unit in service.units {
            if !self.units.contains_key(unit) {
                let hooked = self.attach_unit(netlink, *unit)?;
                self.units.insert(*unit, hooked);
            }
        }
        Ok(())
    }

    /// By a link for a few, where there are links; by a filter for the others, and where there is no qdisc for it by a link
    /// again. Both go with the TAP.
    fn attach_unit(&self, netlink: &Netlink, unit: u32) -> Result<Hooked, Error> {
        let program = self.object.program(Program::Outward);
        // An admin's own programs on carpN come before the one that takes the frame away.
        let link = || Hooked::link(program, (unit, Hook::Egress, Place::Last));
        let units = self.units.values();
        let links = units.filter(|hooked| hooked.link_held().is_some()).count();
        if self.means == Means::Tcx
            && links < LINKS
            && let Ok(linked) = link()
        {
            return Ok(linked);
        }
        let filter = hook::prepare(netlink, unit).and_then(|_| {
            let egress = (unit, Hook::Egress, self.index);
            Hooked::filter(netlink, program, egress)
        });
        match (filter, self.means) {
            (Err(_), Means::Tcx) => link(),
            (filter, _) => filter,
        }
    }

    /// The bridge's kernel must not answer, and what the host says leaves by the bridge (T17).
    fn follow(&mut self, netlink: &Netlink, bridge: Option<u32>) -> Result<(), Error> {
        if self.bridge.as_ref().map(|(index, _)| *index) == bridge {
            return Ok(());
        }
        for hooked in self.bridge.take().into_iter().flat_map(|(_, hooks)| hooks) {
            hooked.release(netlink);
        }
        let Some(index) = bridge else {
            return Ok(());
        };
        let hooks = self.prepare(netlink, index)?;
        let ingress = (index, Hook::Ingress, Place::First);
        let mut held = vec![self.attach(netlink, Program::Bridge, ingress)?];
        if hooks == Classifying::Both {
            let egress = (index, Hook::Egress, Place::First);
            match self.attach(netlink, Program::Egress, egress) {
                Ok(hooked) => held.push(hooked),
                Err(e) => {
                    held.into_iter().for_each(|hooked| hooked.release(netlink));
                    return Err(e);
                }
            }
        }
        self.bridge = Some((index, held));
        Ok(())
    }

    /// What passed for each vhid.
    ///
    /// # Errors
    /// The map refused.
    pub fn counters(&self) -> Result<Vec<(u8, Counters)>, Error> {
        let one = |vhid: &u8| Ok((*vhid, self.object.counters(*vhid)?));
        self.vhids.iter().map(one).collect()
    }

    /// Detaches everything.
    pub fn close(self, netlink: &Netlink) {
        let bridge = self.bridge.into_iter().flat_map(|(_, hooks)| hooks);
        let hooks = self.own.into_iter().chain(bridge);
        for hooked in hooks.chain(self.units.into_values()) {
            hooked.release(netlink);
        }
        for index in self.qdiscs {
            hook::clear(netlink, index);
        }
    }

    fn prepare(&mut self, netlink: &Netlink, index: u32) -> Result<Classifying, Error> {
        if self.means == Means::Tcx {
            return Ok(Classifying::Both);
        }
        let (hooks, made) = hook::prepare(netlink, index)?;
        if made {
            self.qdiscs.insert(index);
        }
        Ok(hooks)
    }

    fn attach(
        &self,
        netlink: &Netlink,
        program: Program,
        (index, hook, place): (u32, Hook, Place),
    ) -> Result<Hooked, Error> {
        let program = self.object.program(program);
        match self.means {
            Means::Tcx => Hooked::link(program, (index, hook, place)),
            Means::Clsact => Hooked::filter(netlink, program, (index, hook, self.index)),
        }
    }
}
