//! Which data plane a carpdev gets, and the programs of those that the kernel serves; must not know gates or leases.

use super::serve::{Done, Door, gone, of};
use super::{Failure, Said};
use crate::carp::config::Dataplane;
use crate::dataplane::bpf::{self, Carpdev, Loaded, Means, Service};
use crate::linux::Error;
use crate::wire::MacAddr;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

/// Programs for the next carpdev, and what others of ours have left on interfaces.
#[derive(Debug)]
pub(super) struct Planes {
    /// What the first look has loaded.
    spare: Option<Loaded>,
    /// The interfaces that got a qdisc of ours.
    qdiscs: BTreeSet<u32>,
    /// A line for each of them, so that a successor takes it away.
    file: PathBuf,
}

impl Planes {
    pub(super) fn at(file: PathBuf) -> Self {
        Self {
            spare: None,
            qdiscs: BTreeSet::new(),
            file,
        }
    }

    /// With what another program of ours has made.
    pub(super) fn with(file: PathBuf, qdiscs: BTreeSet<u32>) -> Self {
        Self {
            qdiscs,
            ..Self::at(file)
        }
    }

    fn load(&mut self) -> Result<Loaded, Error> {
        self.spare.take().map_or_else(Loaded::new, Ok)
    }
}

impl Door {
    pub(super) fn offer(&mut self) -> Done {
        let loaded = self.planes.load().map_err(|e| e.to_string());
        let tcx = match &loaded {
            Ok(loaded) => loaded.fits_tcx().map_err(|e| e.to_string()),
            Err(why) => Err(why.clone()),
        };
        let clsact = loaded.map(|loaded| self.planes.spare = Some(loaded));
        self.said = Said::Offer { tcx, clsact };
        Ok((0, Vec::new()))
    }

    /// The programs of a carpdev, or none: then the copier moves its frames.
    pub(super) fn open_kernel(
        &mut self,
        name: &str,
        index: u32,
        planes: &[Dataplane],
    ) -> Result<Option<Carpdev>, Failure> {
        let mut refused: Option<Error> = None;
        for plane in planes {
            let means = match plane {
                Dataplane::Tcx => Means::Tcx,
                Dataplane::Clsact => Means::Clsact,
                Dataplane::Copy | Dataplane::Auto => {
                    self.said = Said::Plane(Dataplane::Copy, refused.map(|e| e.to_string()));
                    return Ok(None);
                }
            };
            let opened = self
                .planes
                .load()
                .and_then(|loaded| Carpdev::open(&self.netlink, index, means, loaded));
            match opened {
                Ok(kernel) => {
                    self.said = Said::Plane(*plane, refused.map(|e| e.to_string()));
                    return self.settle_kernel(name, kernel).map(Some);
                }
                Err(e) => refused = Some(e),
            }
        }
        Err(refused.map_or_else(|| gone("data plane"), |e| of(&e)))
    }

    /// Without a program for what leaves, the host's own rule has to keep ARP from speaking as a shared address (T2).
    fn settle_kernel(&mut self, name: &str, kernel: Carpdev) -> Result<Carpdev, Failure> {
        let noted = self.note_qdiscs(Some(&kernel)).and_then(|()| {
            if kernel.half() {
                let setting = format!("net/ipv4/conf/{name}/arp_announce");
                return self.settings.raise(&setting, 2);
            }
            Ok(())
        });
        match noted {
            Ok(()) => Ok(kernel),
            Err(e) => {
                kernel.close(&self.netlink);
                Err(of(&e))
            }
        }
    }

    pub(super) fn close_kernel(&mut self, kernel: Carpdev) {
        kernel.close(&self.netlink);
        // Should it not work, a successor looks in vain for what is gone.
        let _ = self.note_qdiscs(None);
    }

    /// Writes down on which interfaces qdiscs of ours are, `fresh` being a carpdev that is not among ours yet.
    fn note_qdiscs(&mut self, fresh: Option<&Carpdev>) -> Result<(), Error> {
        let held = self.carpdevs.values().filter_map(|o| o.kernel.as_ref());
        let now: BTreeSet<u32> = held.chain(fresh).flat_map(Carpdev::qdiscs).collect();
        if now == self.planes.qdiscs {
            return Ok(());
        }
        let mut text = String::new();
        for index in &now {
            if let Some(link) = self.netlink.link_by_index(*index)? {
                text += &format!("{} {index}\n", link.name);
            }
        }
        let written = if text.is_empty() {
            match fs::remove_file(&self.planes.file) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
                _ => Ok(()),
            }
        } else {
            fs::write(&self.planes.file, text)
        };
        written.map_err(|e| Error::new("write", self.planes.file.display().to_string(), e))?;
        self.planes.qdiscs = now;
        Ok(())
    }

    /// Feeds the programs of a carpdev; the copier needs no such thing.
    pub(super) fn steer(
        &mut self,
        index: u32,
        macs: &[(MacAddr, u8)],
        shared: &[(IpAddr, u8)],
        units: &[String],
        bridge: Option<u32>,
    ) -> Result<(), Failure> {
        let units: Vec<u32> = units
            .iter()
            .filter_map(|unit| self.taps.get(unit).map(|held| held.index))
            .collect();
        let opened = self
            .carpdevs
            .get_mut(&index)
            .ok_or_else(|| gone("carpdev"))?;
        let Some(kernel) = &mut opened.kernel else {
            return Ok(());
        };
        let service = Service {
            shared,
            macs,
            units: &units,
            bridge,
        };
        kernel
            .serve(&self.netlink, service)
            .and_then(|()| self.note_qdiscs(None))
            .map_err(|e| of(&e))
    }

    pub(super) fn count(&mut self) -> Done {
        let mut counted = Vec::new();
        for (index, opened) in &self.carpdevs {
            let Some(kernel) = &opened.kernel else {
                continue;
            };
            let counters = kernel.counters().map_err(|e| of(&e))?;
            counted.extend(counters.into_iter().map(|(vhid, one)| (*index, vhid, one)));
        }
        self.said = Said::Counted(counted);
        Ok((0, Vec::new()))
    }

    /// What a predecessor left behind: its filters, and the qdiscs that it made for them.
    pub(super) fn sweep(&mut self) {
        // Without the right to look there can be nothing of ours.
        let _ = bpf::sweep(&self.netlink);
        let text = fs::read_to_string(&self.planes.file).unwrap_or_default();
        for (name, index) in text.lines().filter_map(|line| line.split_once(' ')) {
            let Ok(Some(link)) = self.netlink.link(name) else {
                continue;
            };
            if index == link.index.to_string() {
                bpf::clear(&self.netlink, link.index);
            }
        }
        let _ = fs::remove_file(&self.planes.file);
    }
}
