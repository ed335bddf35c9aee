//! The order of things: build, settle, let an event happen, observe, compute; a library function for the demo and the
//! tests. Must not know who watches or how the figures are printed.

use super::event::{Event, Side};
use super::observe::{LEAD, observe};
use super::plan::Plan;
use super::stage::{Stage, side};
use crate::lab::capture;
use crate::lab::figures::{LATE, Reach, Takeover, dead_time, interval};
use crate::lab::prober::Prober;
use crate::time::Instant;
use crate::wire::Family;
use std::fs;
use std::io;
use std::time::Duration;

/// What a lab may take to settle beyond the protocol's own times.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Nothing else may be heard and nothing lost for this time before an event.
const CALM: Duration = Duration::from_millis(250);

/// Why there are no (more) figures. `Display` may have several lines.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The audience has had enough.
    #[error("interrupted")]
    Interrupted,
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
    /// In the order of events, then families.
    pub rows: Vec<Row>,
    /// The machine's own worst stall in all events.
    pub stall: Duration,
}

/// Builds the lab and brings both hosts into the group: a MASTER, b BACKUP, probes answered.
///
/// # Errors
/// What failed; nothing is left of the lab then.
pub fn build(plan: &Plan, audience: &mut dyn Audience) -> Result<Stage, Error> {
    if let Some(directory) = &plan.pcap {
        fs::create_dir_all(directory).map_err(Error::io("make directory for captures"))?;
    }
    let mut stage = Stage::new(plan)?;
    stage.join(Side::A, plan, audience)?;
    let until = capture::now() + dead_time(plan.advbase, plan.skews.a) + PATIENCE;
    let all = |stage: &Stage| masters(stage).all(|master| master == Some(Side::A));
    if !stage.wait_for(until, audience, all)? {
        return Err(unsettled(&stage, "at the start".to_owned(), Side::A));
    }
    stage.join(Side::B, plan, audience)?;
    stage.watch()?;
    Ok(stage)
}

/// Lets everything happen. The report holds the events that were observed, all of them if the result is `Ok`.
pub fn play(
    plan: &Plan,
    stage: &mut Stage,
    audience: &mut dyn Audience,
) -> (Report, Result<(), Error>) {
    let mut report = Report::default();
    let outcome = play_into(&mut report, plan, stage, audience);
    (report, outcome)
}

/// Builds, plays, tears down.
///
/// # Errors
/// Those of [`build`] and [`play`].
pub fn run(plan: &Plan, audience: &mut dyn Audience) -> Result<Report, Error> {
    let mut stage = build(plan, audience)?;
    let (report, outcome) = play(plan, &mut stage, audience);
    outcome.map(|()| report)
}

fn play_into(
    report: &mut Report,
    plan: &Plan,
    stage: &mut Stage,
    audience: &mut dyn Audience,
) -> Result<(), Error> {
    let mut dice = plan.seed.unwrap_or_else(|| capture::now().as_nanos());
    let mut master = Side::A;
    for event in Event::ALL {
        settle(plan, stage, audience, event, master)?;
        // At any point of the interval: a MASTER is not so kind as to fail just after it advertised.
        let phase = interval(plan.advbase, plan.skews.b.min(plan.skews.a)) * roll(&mut dice) / 256;
        stage.wait(capture::now() + phase, audience)?;
        let rows = observe(plan, stage, audience, event, master)?;
        report.stall = rows
            .iter()
            .map(|row| row.stall)
            .chain([report.stall])
            .max()
            .unwrap_or_default();
        report.rows.extend(rows);
        master = event.successor(master, plan);
    }
    Ok(())
}

/// A number below 256 (the multiplier and increment of Knuth's MMIX, high bits).
fn roll(dice: &mut u64) -> u32 {
    *dice = dice
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    u32::from(dice.to_be_bytes()[0])
}

/// Who advertised last, by family.
pub(super) fn masters(stage: &Stage) -> impl Iterator<Item = Option<Side>> + '_ {
    stage
        .families()
        .iter()
        .map(|family| stage.capture.master(*family).and_then(side))
}

fn unsettled(stage: &Stage, when: String, wanted: Side) -> Error {
    Error::Unsettled {
        when,
        wanted: wanted.name(),
        logs: stage.logs(),
    }
}

/// Waits until `master` alone has been heard for a while, lately in each family, and all probes came back; then forgets
/// what was captured and waits for one more advertisement of each family, the last one before the event.
fn settle(
    plan: &Plan,
    stage: &Stage,
    audience: &mut dyn Audience,
    event: Event,
    master: Side,
) -> Result<(), Error> {
    let until = capture::now() + dead_time(plan.advbase, plan.skews.b) * 2 + PATIENCE;
    let heard_since = |stage: &Stage, from: Instant| {
        let heard = stage.capture.heard();
        stage.families().iter().all(|family| {
            let ours = |heard: &&capture::Heard| {
                heard.family == *family && side(heard.port) == Some(master)
            };
            heard.iter().find(ours).is_some_and(|heard| heard.at > from)
        })
    };
    let begun = capture::now();
    let calm = |stage: &Stage| {
        heard_since(stage, begun)
            && stage.capture.heard().iter().all(|heard| {
                side(heard.port) == Some(master) || capture::now().since(heard.at) > CALM
            })
            && stage
                .families()
                .iter()
                .all(|family| answered(stage, *family))
    };
    let mut settled = stage.wait_for(until, audience, calm)?;
    if settled {
        stage.capture.clear();
        let cleared = capture::now();
        let until = cleared + interval(plan.advbase, plan.skews.b) + PATIENCE;
        settled = stage.wait_for(until, audience, |stage| heard_since(stage, cleared))?;
        // The frames of all probes that belong to the event.
        stage.wait(cleared + LEAD * 2, audience)?;
    }
    if settled {
        Ok(())
    } else {
        Err(unsettled(stage, format!("before {event}"), master))
    }
}

/// Probes were sent in the last while and all came back.
fn answered(stage: &Stage, family: Family) -> bool {
    let Some(prober) = &stage.prober else {
        return false;
    };
    let to = capture::now() - LATE;
    let probes = prober.probes(family, to - CALM, to);
    !probes.is_empty() && probes.iter().all(|probe| probe.answered.is_some())
}
