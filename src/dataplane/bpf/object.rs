//! The programs and maps of one carpdev, loaded; must not know where they are attached or who holds the gate.

use crate::dataplane::Counters;
use crate::linux::pass::{Number, Parcel};
use crate::linux::{Error, memory};
use crate::wire::MacAddr;
use aya::maps::{HashMap, IterableMap, Map, MapData, PerCpuArray, PerCpuValues};
use aya::programs::SchedClassifier;
use aya::util::nr_cpus;
use aya::{Ebpf, EbpfLoader};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Compiled from `carp.bpf.c`; a test compares.
const OBJECT: &[u8] = include_bytes!("carp.bpf.o");

/// `struct counters`: frames, bytes, drops of either way, and what the programs know of the clock.
type Tally = [u64; 8];

/// The programs of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// At a carpdev, for what arrives.
    Ingress,
    /// At a carpdev, for what leaves.
    Egress,
    /// At the bridge that the carpdev is a port of, for what arrives.
    Bridge,
    /// At a carpN, for what leaves.
    Outward,
}

impl Program {
    const ALL: [Self; 4] = [Self::Ingress, Self::Egress, Self::Bridge, Self::Outward];

    const fn symbol(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
            Self::Bridge => "bridge",
            Self::Outward => "outward",
        }
    }
}

/// An [`Object`] on its way to another program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Passed {
    programs: [Number; 4],
    ports: Number,
    odd: Number,
    shared: Number,
    tallies: Number,
    named: Vec<([u8; 8], u8)>,
    known: Vec<([u8; 16], u8)>,
}

/// One instance of the object, for a carpdev and all carpN on it.
pub(super) struct Object {
    /// In the order of [`Program::ALL`]. Of what the loader made nothing else is kept: with every program it holds the whole object.
    programs: [OwnedFd; 4],
    ports: OwnedFd,
    odd: HashMap<MapData, [u8; 8], u32>,
    shared: HashMap<MapData, [u8; 16], u32>,
    tallies: PerCpuArray<MapData, Tally>,
    /// What `odd` and `shared` hold.
    named: BTreeMap<[u8; 8], u8>,
    known: BTreeMap<[u8; 16], u8>,
}

impl Object {
    /// Makes the maps and loads the programs. Nothing is attached.
    pub(super) fn load() -> Result<Self, Error> {
        if cfg!(target_endian = "big") {
            return Err(broken("the programs are for little-endian machines"));
        }
        let mut loaded = EbpfLoader::new().btf(None).load(OBJECT).map_err(refused)?;
        let mut take = |name: &str| {
            loaded
                .take_map(name)
                .ok_or_else(|| broken("the object lacks a map"))
        };
        let Map::Array(ports) = take("ports")? else {
            return Err(broken("the map of ports is no array"));
        };
        let ports = ports.fd().as_fd().try_clone_to_owned().map_err(refused)?;
        let odd = HashMap::try_from(take("odd")?).map_err(refused)?;
        let shared = HashMap::try_from(take("shared")?).map_err(refused)?;
        let tallies = PerCpuArray::try_from(take("tallies")?).map_err(refused)?;
        let mut programs = Vec::new();
        for program in Program::ALL {
            let program = classifier(&mut loaded, program)?;
            program.load().map_err(refused)?;
            let held = program.fd().map_err(refused)?.as_fd();
            programs.push(held.try_clone_to_owned().map_err(refused)?);
        }
        drop(loaded);
        memory::give_back();
        Ok(Self {
            programs: programs.try_into().expect("there are four"),
            ports,
            odd,
            shared,
            tallies,
            named: BTreeMap::new(),
            known: BTreeMap::new(),
        })
    }

    pub(super) fn pass(&self, parcel: &mut Parcel) -> Passed {
        Passed {
            programs: self.programs.each_ref().map(|program| parcel.put(program)),
            ports: parcel.put(&self.ports),
            odd: parcel.put(self.odd.map().fd()),
            shared: parcel.put(self.shared.map().fd()),
            tallies: parcel.put(self.tallies.map().fd()),
            named: self.named.iter().map(|(mac, vhid)| (*mac, *vhid)).collect(),
            known: self.known.iter().map(|(ip, vhid)| (*ip, *vhid)).collect(),
        }
    }

    /// The programs stay those that another version has loaded.
    pub(super) fn inherited(passed: Passed) -> Result<Self, Error> {
        let map = |number: Number| MapData::from_fd(number.take()?).map_err(refused);
        let mut programs = Vec::new();
        for program in passed.programs {
            programs.push(program.take()?);
        }
        let odd = Map::HashMap(map(passed.odd)?);
        let shared = Map::HashMap(map(passed.shared)?);
        let tallies = Map::PerCpuArray(map(passed.tallies)?);
        Ok(Self {
            programs: programs.try_into().expect("there are four"),
            ports: passed.ports.take()?,
            odd: HashMap::try_from(odd).map_err(refused)?,
            shared: HashMap::try_from(shared).map_err(refused)?,
            tallies: PerCpuArray::try_from(tallies).map_err(refused)?,
            named: passed.named.into_iter().collect(),
            known: passed.known.into_iter().collect(),
        })
    }

    /// The map of gates and leases, to be mapped by whoever decides.
    pub(super) fn ports(&self) -> BorrowedFd<'_> {
        self.ports.as_fd()
    }

    pub(super) fn program(&self, program: Program) -> BorrowedFd<'_> {
        self.programs[program as usize].as_fd()
    }

    /// From now on exactly these addresses are shared, each with the vhid that answers for it. What was shared before and is
    /// still shared is so without a gap.
    pub(super) fn share(&mut self, addresses: &[(IpAddr, u8)]) -> Result<(), Error> {
        let wanted = addresses
            .iter()
            .map(|(address, vhid)| (key(*address), *vhid))
            .collect();
        hold(&mut self.shared, &mut self.known, wanted)
    }

    /// From now on exactly these MACs belong to vhids; of several with one MAC to the lowest. Those that tell their vhid need no
    /// looking up.
    pub(super) fn name(&mut self, macs: &[(MacAddr, u8)]) -> Result<(), Error> {
        let mut wanted = BTreeMap::new();
        for (mac, vhid) in macs {
            if *mac != MacAddr::of_vhid(*vhid) && !mac.is_multicast() {
                let [a, b, c, d, e, f] = mac.0;
                let held = wanted.entry([a, b, c, d, e, f, 0, 0]).or_insert(*vhid);
                *held = *vhid.min(held);
            }
        }
        hold(&mut self.odd, &mut self.named, wanted)
    }

    /// Begins to count anew for a vhid.
    pub(super) fn clear(&mut self, vhid: u8) -> Result<(), Error> {
        let processors = nr_cpus().map_err(|(_, error)| refused(error))?;
        let zeroes = PerCpuValues::try_from(vec![Tally::default(); processors]).map_err(refused)?;
        self.tallies
            .set(u32::from(vhid), zeroes, 0)
            .map_err(refused)
    }

    /// What the programs have counted for a vhid.
    pub(super) fn counters(&self, vhid: u8) -> Result<Counters, Error> {
        let by_processor = self.tallies.get(&u32::from(vhid), 0).map_err(refused)?;
        let mut sum = [0u64; 6];
        for tally in by_processor.iter() {
            for (total, one) in sum.iter_mut().zip(tally) {
                *total = total.wrapping_add(*one);
            }
        }
        let [
            in_frames,
            in_bytes,
            in_drops,
            out_frames,
            out_bytes,
            out_drops,
        ] = sum;
        Ok(Counters {
            in_frames,
            in_bytes,
            in_drops,
            out_frames,
            out_bytes,
            out_drops,
        })
    }
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Object")
            .field("shared", &self.known.len())
            .finish_non_exhaustive()
    }
}

fn classifier(loaded: &mut Ebpf, program: Program) -> Result<&mut SchedClassifier, Error> {
    let found = loaded.program_mut(program.symbol());
    let found = found.ok_or_else(|| broken("the object lacks a program"))?;
    found.try_into().map_err(refused)
}

/// Makes a map hold exactly that; `known` is what it holds.
fn hold<K: aya::Pod + Ord>(
    map: &mut HashMap<MapData, K, u32>,
    known: &mut BTreeMap<K, u8>,
    wanted: BTreeMap<K, u8>,
) -> Result<(), Error> {
    let stale = known.keys().filter(|key| !wanted.contains_key(*key));
    for key in stale.copied().collect::<Vec<_>>() {
        map.remove(&key).map_err(refused)?;
        known.remove(&key);
    }
    for (key, vhid) in wanted {
        if known.get(&key) != Some(&vhid) {
            map.insert(key, u32::from(vhid), 0).map_err(refused)?;
            known.insert(key, vhid);
        }
    }
    Ok(())
}

/// IPv4 addresses as ::ffff:a.b.c.d.
fn key(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// The errno where there is one: the wrappers around it only say that a call failed, and which.
fn refused(error: impl std::error::Error + 'static) -> Error {
    let mut source: &(dyn std::error::Error + 'static) = &error;
    loop {
        let errno = source
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error);
        if let Some(errno) = errno {
            return Error::new("load programs", "", io::Error::from_raw_os_error(errno));
        }
        match source.source() {
            Some(inner) => source = inner,
            None => return broken(&source.to_string()),
        }
    }
}

fn broken(why: &str) -> Error {
    Error::new("load programs", "", io::Error::other(why.to_owned()))
}
