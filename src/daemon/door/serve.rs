//! The far end of the door: performs effects in order, decides nothing, parses no packet; must not know the protocol.

use super::planes::Planes;
use super::settings::Settings;
use super::{Effect, Failure, Heir, How, Order, Outcome, Said, ready};
use crate::carp::config::Dataplane;
use crate::control::path::Place;
use crate::dataplane::bpf;
use crate::linux::descriptor::{self, AT_ONCE};
use crate::linux::groups::Groups;
use crate::linux::monitor::Monitor;
use crate::linux::netlink::Netlink;
use crate::linux::packet::PacketSocket;
use crate::linux::records::Records;
use crate::linux::tap::Tap;
use crate::linux::{Error, channel::Channel};
use crate::wire::MacAddr;
use nix::fcntl::{Flock, FlockArg};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read, Seek, Write};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;

/// Everything the far end holds.
#[derive(Debug)]
pub struct Door {
    pub(super) netlink: Netlink,
    pub(super) place: Place,
    /// The instance lock; held until the end.
    pub(super) lock: Option<Flock<fs::File>>,
    /// The number that only our links carry, so that one request deletes them all.
    pub(super) group: u32,
    pub(super) taps: BTreeMap<String, Held>,
    pub(super) carpdevs: BTreeMap<u32, Opened>,
    pub(super) settings: Settings,
    pub(super) planes: Planes,
    /// What the first engine got and each of its successors gets.
    pub(super) lasting: Option<Lasting>,
    /// What a next engine is to do.
    pub how: How,
    /// An engine said that it is ready.
    pub ready: bool,
    /// The same, to be looked at once.
    pub began: bool,
    /// Goes out with the next outcome.
    pub(super) said: Said,
}

/// What outlives an engine beside interfaces and sockets.
#[derive(Debug)]
pub(super) struct Lasting {
    /// What there is does not change while we are here, and to find out takes a load of the programs.
    pub(super) offer: Option<Said>,
    pub(super) listener: UnixListener,
    pub(super) records: Records,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) tap: Tap,
    pub(super) index: u32,
    /// So that a death takes the interface before the programs (T30).
    pub(super) first_to_go: OwnedFd,
}

#[derive(Debug)]
pub(super) struct Opened {
    /// As it was called then.
    pub(super) name: String,
    /// Which one it got, and why no better one.
    pub(super) plane: (Dataplane, Option<String>),
    /// What the engine got, for the next one.
    pub(super) sockets: Vec<OwnedFd>,
    /// The interfaces whose settings keep them from answering for it: without programs itself, and the bridge that it is a port
    /// of. Index, and the name that their settings have.
    pub(super) quiet: Vec<(u32, String)>,
    /// The programs that move its frames; `None` where the copier does.
    pub(super) kernel: Option<bpf::Carpdev>,
    pub(super) groups: Groups,
    pub(super) joined: BTreeSet<IpAddr>,
    /// A mute socket, whose memberships are the virtual MACs. One, and mute, because a host may have 255 of them.
    pub(super) memberships: PacketSocket,
    pub(super) accepted: BTreeSet<MacAddr>,
}

pub(super) type Done = Result<(u32, Vec<OwnedFd>), Failure>;

impl Door {
    /// `place` is the run directory of this namespace; `group` a random number.
    ///
    /// # Errors
    /// The first netlink socket failed.
    pub fn new(place: Place, group: u32) -> io::Result<Self> {
        let netlink = Netlink::open().map_err(io::Error::other)?;
        let settings = Settings::at(place.directory().join("settings"));
        let planes = Planes::at(place.directory().join("qdiscs"));
        Ok(Self {
            netlink,
            place,
            lock: None,
            group,
            taps: BTreeMap::new(),
            carpdevs: BTreeMap::new(),
            settings,
            planes,
            lasting: None,
            how: How::GoOn,
            ready: false,
            began: false,
            said: Said::Nothing,
        })
    }

    /// Where it is, once an engine has opened it.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.lock.as_ref().map(|_| &self.place)
    }

    /// The state that the engines keep, to be looked at.
    ///
    /// # Errors
    /// There is none yet, or it cannot be opened.
    pub fn records(&self) -> io::Result<OwnedFd> {
        let lasting = self.lasting.as_ref();
        let lasting = lasting.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        lasting.records.for_looking().map_err(io::Error::other)
    }

    /// Performs the order in this message and answers it. False: nobody hears the answer.
    ///
    /// # Errors
    /// It is no order.
    pub fn answer(&mut self, channel: &Channel, message: &[u8]) -> io::Result<bool> {
        let order: Order = serde_json::from_slice(message).map_err(io::Error::other)?;
        let done = self
            .check(&order.effect)
            .and_then(|()| self.perform(order.effect));
        let (result, descriptors) = match done {
            Ok((value, descriptors)) => (Ok(value), descriptors),
            Err(failure) => (Err(failure), Vec::new()),
        };
        let reply = serde_json::to_vec(&Outcome {
            id: order.id,
            result,
            said: std::mem::take(&mut self.said),
        })
        .map_err(io::Error::other)?;
        let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        Ok(channel.send(&reply, &borrowed).is_ok())
    }

    fn perform(&mut self, effect: Effect) -> Done {
        match effect {
            Effect::Open => self.open(),
            Effect::Offer => self.offer_once(),
            Effect::Ready => {
                // A manager that does not listen gives up on us by itself.
                let _ = ready::notify();
                (self.ready, self.began) = (true, true);
                Ok((0, Vec::new()))
            }
            Effect::Count => self.count(),
            Effect::Create { name, mac } => self.create(&name, mac),
            Effect::Destroy { name } => self.destroy(&name).map(plain),
            Effect::Configure { name, mac, mtu, up } => {
                self.configure(&name, mac, mtu, up).map(plain)
            }
            Effect::Arm {
                name,
                addresses,
                like,
            } => self.arm(&name, &addresses, &like).map(value),
            Effect::PutBack { name, addresses } => self.put_back(&name, &addresses).map(plain),
            Effect::Disarm { name } => self.disarm(&name).map(plain),
            Effect::OpenCarpdev { name, planes } => self.open_carpdev(&name, &planes),
            Effect::Listen {
                index,
                name: _,
                groups,
                macs,
                shared,
                units,
                bridge,
            } => self
                .listen(index, &groups, &macs, bridge)
                .and_then(|()| self.steer(index, &macs, &shared, &units, bridge))
                .map(plain),
            Effect::CloseCarpdev { index } => {
                self.close_carpdev(index);
                Ok((0, Vec::new()))
            }
            Effect::Close => {
                self.close();
                Ok((0, Vec::new()))
            }
        }
    }

    /// The lock comes first: who holds it is the instance, and may clear what a dead predecessor left.
    fn open(&mut self) -> Done {
        let lasting = match self.lasting.take() {
            Some(lasting) => {
                self.said = Said::Heir(Heir {
                    how: self.how,
                    taps: self.taps.keys().cloned().collect(),
                    carpdevs: self.carpdevs.keys().copied().collect(),
                });
                lasting
            }
            None => self.open_first()?,
        };
        let lasting = self.lasting.insert(lasting);
        let monitor = Monitor::open().map_err(|e| of(&e))?;
        let copies = [
            lasting.listener.as_fd(),
            monitor.as_fd(),
            lasting.records.as_fd(),
        ];
        let copies = copies.iter().map(BorrowedFd::try_clone_to_owned);
        let copies = copies.collect::<io::Result<Vec<OwnedFd>>>();
        Ok((0, copies.map_err(|e| failed("descriptors", &e))?))
    }

    fn offer_once(&mut self) -> Done {
        if let Some(Lasting {
            offer: Some(said), ..
        }) = &self.lasting
        {
            self.said = said.clone();
            return Ok((0, Vec::new()));
        }
        let done = self.offer();
        if let Some(lasting) = &mut self.lasting {
            lasting.offer = Some(self.said.clone());
        }
        done
    }

    fn open_first(&mut self) -> Result<Lasting, Failure> {
        let mut lock = self.lock().map_err(|e| failed("lock", &e))?;
        self.succeed(&mut lock).map_err(|e| failed("lock", &e))?;
        self.lock = Some(lock);
        self.settings.restore_all();
        self.sweep();
        let listener = self.bind().map_err(|e| failed("control socket", &e))?;
        let records = Records::new().map_err(|e| of(&e))?;
        Ok(Lasting {
            offer: None,
            listener,
            records,
        })
    }

    /// Nobody decides any more: what an engine owned is nobody's here.
    pub fn disown(&self) {
        for name in self.taps.keys() {
            // What the kernel keeps, the next engine takes.
            let _ = self.disarm(name);
        }
    }

    /// The lock file says which number a daemon's links carry. A predecessor that is dying would keep its interfaces, their
    /// names and addresses for 20 ms each (T21, T26): they go at once. Then the file says our number.
    fn succeed(&self, lock: &mut Flock<fs::File>) -> io::Result<()> {
        let mut text = String::new();
        // What is no number was never ours.
        let _ = lock.read_to_string(&mut text);
        if let Ok(number) = text.trim().parse::<NonZeroU32>() {
            let number = number.get();
            let links = self.netlink.links().unwrap_or_default();
            let mut carriers = links.iter().filter(|l| l.group == number).peekable();
            if carriers.peek().is_some() && carriers.all(|l| l.kind.as_deref() == Some("tun")) {
                // They may all be gone by now.
                let _ = self.netlink.delete_group(number);
            }
        }
        lock.rewind()?;
        lock.set_len(0)?;
        writeln!(lock, "{}", self.group)
    }

    /// Taken without waiting: EWOULDBLOCK says that another daemon serves this namespace.
    fn lock(&self) -> io::Result<Flock<fs::File>> {
        loop {
            for directory in [self.place.base().to_owned(), self.place.directory()] {
                match fs::DirBuilder::new().mode(0o755).create(&directory) {
                    Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
                    _ => {}
                }
            }
            let mut options = fs::OpenOptions::new();
            let file = options
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .mode(0o600)
                .open(self.place.lock())?;
            let file = fs::File::from(descriptor::copy(&file, AT_ONCE)?);
            let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
                .map_err(|(_, errno)| io::Error::from(errno))?;
            // Who ends takes the file away: a lock on a file that is no longer there protects nothing.
            match fs::metadata(self.place.lock()) {
                Ok(there) if there.ino() == lock.metadata()?.ino() => return Ok(lock),
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
    }

    /// Anybody may look; the peer's uid decides about more.
    fn bind(&self) -> io::Result<UnixListener> {
        let socket = self.place.socket();
        match fs::remove_file(&socket) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = UnixListener::bind(&socket)?;
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666))?;
        Ok(listener)
    }

    /// Addresses go first, the settings that kept the kernel silent about them after.
    pub fn close(&mut self) {
        self.delete_all();
        self.taps.clear();
        for index in self.carpdevs.keys().copied().collect::<Vec<_>>() {
            self.close_carpdev(index);
        }
        self.settings.restore_all();
        self.leave();
    }

    /// The run directory goes with its daemon; the shared one above it stays.
    fn leave(&mut self) {
        if self.lock.is_some() {
            let _ = fs::remove_file(self.place.socket());
            let _ = fs::remove_file(self.place.upgrades());
            let _ = fs::remove_file(self.place.lock());
            let _ = fs::remove_dir(self.place.directory());
            self.lock = None;
        }
    }

    /// One request for all carpN (T26), unless a link of somebody else carries our number; then one by one.
    fn delete_all(&self) {
        let ours: BTreeSet<u32> = self.taps.values().map(|held| held.index).collect();
        if ours.is_empty() {
            return;
        }
        let links = self.netlink.links().unwrap_or_default();
        let carriers: BTreeSet<u32> = links
            .iter()
            .filter(|l| l.group == self.group)
            .map(|l| l.index)
            .collect();
        if carriers == ours && self.netlink.delete_group(self.group).is_ok() {
            return;
        }
        for index in ours {
            let _ = self.netlink.delete(index);
        }
    }
}

fn plain((): ()) -> (u32, Vec<OwnedFd>) {
    (0, Vec::new())
}

fn value(number: u32) -> (u32, Vec<OwnedFd>) {
    (number, Vec::new())
}

pub(super) fn of(error: &Error) -> Failure {
    Failure {
        errno: error.errno(),
        why: error.to_string(),
    }
}

pub(super) fn failed(what: &str, error: &io::Error) -> Failure {
    Failure {
        errno: error.raw_os_error().unwrap_or(0),
        why: format!("{what}: {error}"),
    }
}

pub(super) fn gone(name: &str) -> Failure {
    Failure {
        errno: libc::ENODEV,
        why: format!("{name}: no such interface"),
    }
}
