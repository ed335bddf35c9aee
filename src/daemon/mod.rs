//! One task owns the engine: inputs in, actions out; must not know the words typed by a user.
//!
//! Tasks that read (packet sockets, the door, connections, the kernel's events, signals) only hand `Event`s to it. What it
//! wants done to the system goes through the [`door`]. Two rules keep that consistent whatever the door answers and when:
//!
//! * A command line is a transaction (`transact`): one at a time, effects first, committed when all of them are confirmed, else undone.
//! * Everything else is reconciled (`settle`): what is wanted is compared with what was confirmed after every event, and
//!   ordered again after a failure.
#![forbid(unsafe_code)]

mod ask;
mod attend;
mod carpdev;
pub mod confine;
mod crashes;
pub mod door;
mod foreign;
mod interface;
mod keep;
mod kernel;
mod links;
mod load;
mod local;
mod log;
mod pace;
mod parent;
mod perform;
mod plane;
mod process;
mod relief;
mod resume;
mod run;
mod settle;
mod start;
mod transact;
mod upgrade;

use crate::carp::Engine;
use crate::carp::config::{Carpdev, InputMode, Settings, Unit};
use crate::control::{Reply, Request};
use crate::dataplane::{Counters, Plane};
use crate::linux::clock;
use crate::linux::frames::Frames;
use crate::linux::monitor::Monitor;
use crate::time::Instant;
use carpdev::Attached;
use door::client::Client;
use door::{Effect, Outcome};
use interface::Interface;
use kernel::Kernel;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use tokio::sync::{mpsc, oneshot};
use transact::Transaction;

pub use crate::carp::config::Dataplane;
pub use links::{hardware, links};
pub use start::{Begin, Options, daemon, door_process, engine_process};

/// What the reading tasks hand to the one that owns the engine.
#[derive(Debug)]
enum Event {
    /// Frames from a carpdev, in order.
    Frames(Carpdev, Frames),
    /// The far end of the door answered.
    Outcome(Outcome, Vec<OwnedFd>),
    /// The far end of the door is gone: nothing can be done to the system any more.
    DoorGone,
    /// A front end asks.
    Asked(Asked),
    /// Links or addresses changed, or a dump is due.
    Kernel(Vec<crate::linux::monitor::Event>),
    /// Look again at what failed.
    Retry,
    /// SIGTERM, SIGINT.
    End,
    /// SIGUSR1: another engine is to go on.
    Relieved,
    /// No front end waits for an answer any more.
    Vacant,
    /// Whoever still waits has waited long enough.
    Overdue,
}

/// A request and where its reply goes.
#[derive(Debug)]
struct Asked {
    request: Request,
    /// The asker may change things.
    may_change: bool,
    reply: oneshot::Sender<Reply>,
}

/// What an order was for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    /// The step that the current transaction waits for.
    Step,
    /// A promotion, or a new address list.
    Arm(Unit, u64),
    /// The end of mastership.
    Disarm(Unit),
    /// The beginning is over.
    Ready,
    /// Addresses of a carpN that another program removed.
    PutBack(Unit),
    /// The counters of the data plane in the kernel.
    Count,
    /// The link of a carpN.
    Shape(Unit),
    /// What a carpdev listens for.
    Listen(u32),
    /// A carpdev that came back.
    Reopen(String),
    /// A carpdev nobody uses.
    CloseCarpdev(u32),
    /// The end.
    Close,
}

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Not at all.
    No,
    /// Goodbyes are said, the linger runs.
    Retiring,
    /// The far end removes everything.
    Closing,
    /// Nothing is left.
    Over,
}

/// How an engine gives way to another one: it ends without a word when nobody waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relief {
    /// Not at all.
    No,
    /// Front ends are still in.
    Asked,
    /// Since then there are none; orders may be under way.
    Vacant(Instant),
    /// However that is.
    Overdue,
}

/// The state of the one task.
struct Daemon {
    engine: Engine,
    settings: Settings,
    /// By how much each interface group is demoted by hand, where that is not 0.
    demoted: BTreeMap<String, u8>,
    door: Client,
    plane: Plane,
    /// What programs in the kernel had counted when they were last asked: carpdev, vhid, counters.
    counted: Vec<(u32, u8, Counters)>,
    kernel: Kernel,
    monitor: Rc<crate::linux::readiness::Readiness<Monitor>>,
    interfaces: BTreeMap<Unit, Interface>,
    carpdevs: BTreeMap<u32, Attached>,
    /// Orders under way and what they were for.
    pending: BTreeMap<u64, (Purpose, Effect)>,
    /// What failed and is not tried again before the next [`Event::Retry`].
    failed: BTreeSet<Purpose>,
    transaction: Option<Transaction>,
    waiting: VecDeque<Asked>,
    /// carpN that may not be as they were ordered.
    doubts: BTreeSet<Unit>,
    /// The host's own addresses as the engine knows them.
    local: Vec<(Carpdev, std::net::IpAddr)>,
    /// Who looks, until the counters are there.
    looking: Vec<Asked>,
    /// The data planes that can be had, and the one in use.
    offer: plane::Offer,
    choice: plane::Choice,
    /// Carpdevs, by name, that got another data plane than the one chosen.
    fallbacks: BTreeMap<String, plane::Choice>,
    /// For which carpdev, by name, and input mode the log has told what a packet filter sees.
    told: BTreeSet<(String, InputMode)>,
    /// carpN that the engine has let go of.
    retired: BTreeSet<Unit>,
    /// What the copiers of former engines carried, by index of carpN.
    carried: BTreeMap<u32, Counters>,
    /// Frames that were lost for want of room, as far as they were asked for.
    fullsock: u64,
    /// Something was done since what is there was last compared with what is wanted.
    stirred: bool,
    /// The state, for the next engine.
    kept: keep::Kept,
    ending: Ending,
    /// At the end everything stays for the next engine.
    leaving: bool,
    /// How far it is with giving way to another engine.
    relief: Relief,
    entrance: attend::Entrance,
    /// End by itself when nothing is left to do.
    autostarted: bool,
    /// Something was asked for, or long enough nothing.
    begun: bool,
    adverts: mpsc::Sender<Event>,
    events: mpsc::Sender<Event>,
    log: log::Log,
}

impl Daemon {
    /// Gives an order and remembers what for.
    fn order(&mut self, purpose: Purpose, effect: Effect) {
        let id = self.door.order(effect.clone());
        self.pending.insert(id, (purpose, effect));
    }

    /// True while an order for this purpose is under way.
    fn under_way(&self, purpose: &Purpose) -> bool {
        self.pending.values().any(|(held, _)| held == purpose)
    }

    /// One input for the engine at this moment, and all that comes of it.
    fn tell(&mut self, input: crate::carp::Input<'_>) {
        self.engine.handle(clock::now(), input);
        self.perform();
    }
}
