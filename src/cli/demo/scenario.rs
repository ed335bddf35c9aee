//! The order of things: build, settle, let an event happen, observe, compute; a library function for the demo and the
//! tests. Must not know who watches or how the figures are printed.

use super::event::{Event, Side};
use super::observe::{LEAD, observe};
use super::plan::Plan;
use super::report::{Audience, Error, PATIENCE, Report};
use super::stage::{Stage, masters, side};
use crate::lab::capture;
use crate::lab::figures::{LATE, dead_time, interval};
use crate::time::Instant;
use crate::wire::Family;
use std::fs;
use std::time::Duration;

/// Nothing else may be heard and nothing lost for this time before an event.
const CALM: Duration = Duration::from_millis(250);

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
    report.dataplane = stage.dataplane()?;
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
