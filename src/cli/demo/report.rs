//! What a run says, and to whom: rows of figures, what can be seen meanwhile, why it ended. Must not know how it is run.

use super::event::{Event, Side};
use crate::lab::figures::{Reach, Takeover};
use crate::lab::prober::Prober;
use crate::time::Instant;
use crate::wire::Family;
use std::io;
use std::time::Duration;

/// What a lab may take to settle beyond the protocol's own times.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Why there are no (more) figures. `Display` may have several lines.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The audience has had enough.
    #[error("interrupted")]
    Interrupted,
    /// An option means nothing in this scenario.
    #[error("{0} are for the scenario failover")]
    Option(&'static str),
    /// The lab could not be built.
    #[error(transparent)]
    Lab(#[from] crate::lab::Error),
    /// The system refused something else.
    #[error("{op}: {source}")]
    Io {
        /// What was tried.
        op: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A daemon ended or did not listen.
    #[error("the daemon on {host} did not start\n{log}")]
    Daemon {
        /// Which host.
        host: &'static str,
        /// Its last lines.
        log: String,
    },
    /// A command failed.
    #[error("on {host}, carp {line} failed\n{said}\n{log}")]
    Command {
        /// Which host.
        host: &'static str,
        /// The words after `carp`.
        line: String,
        /// What it printed.
        said: String,
        /// The last lines of the daemon.
        log: String,
    },
    /// The hosts did not come to the state that the rules want.
    #[error("{when}: {wanted} did not become the one MASTER that answers\n{logs}")]
    Unsettled {
        /// Before what.
        when: String,
        /// Who should be MASTER.
        wanted: &'static str,
        /// The last lines of both daemons.
        logs: String,
    },
}

impl Error {
    /// For `map_err`.
    pub(super) fn io(op: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { op, source }
    }
}

/// What there is to be seen at a moment.
#[derive(Debug)]
pub struct View<'a> {
    /// The event, and when it began.
    pub scene: Option<(Event, Instant)>,
    /// Who advertised last.
    pub masters: Vec<(Family, Option<Side>)>,
    /// The probes, once there are any.
    pub prober: Option<&'a Prober>,
}

/// Whoever watches is called some fifty times a second.
pub trait Audience {
    /// Sees what there is to be seen.
    ///
    /// # Errors
    /// [`Error::Interrupted`] to have the run end in order.
    fn see(&mut self, view: &View<'_>) -> Result<(), Error>;
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Audience for Nobody {
    fn see(&mut self, _view: &View<'_>) -> Result<(), Error> {
        Ok(())
    }
}

/// One event and family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What happened.
    pub event: Event,
    /// For which family.
    pub family: Family,
    /// The MASTER before.
    pub old: Side,
    /// The MASTER after; `None` if nobody advertises.
    pub master: Option<Side>,
    /// What the probes say.
    pub reach: Reach,
    /// What the bridge ports say.
    pub takeover: Takeover,
    /// The machine's own worst stall meanwhile.
    pub stall: Duration,
    /// What a reader should know.
    pub note: Option<String>,
}

/// The whole run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What moved the frames of a.
    pub dataplane: String,
    /// In the order of events, then families.
    pub rows: Vec<Row>,
    /// The machine's own worst stall in all events.
    pub stall: Duration,
}
