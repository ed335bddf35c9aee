//! One event: make it happen, watch long enough, compute its rows, write its capture file; must not know the other events.

use super::caption::{Caption, Sent};
use super::event::{Event, Side};
use super::plan::Plan;
use super::report::{Audience, Error, PATIENCE, Row};
use super::stage::{SHARED, Stage, masters, port_of, side};
use crate::lab::capture::{self, Frame};
use crate::lab::figures::{LOST, Probe, Question, dead_time, reach, takeover};
use crate::lab::prober::Prober;
use crate::time::Instant;
use crate::wire::Family;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::Duration;

/// Probes of this time before the event belong to it: among them is the last one answered before.
pub(super) const LEAD: Duration = Duration::from_millis(100);
/// What is observed after the new MASTER is there.
const AFTER: Duration = Duration::from_secs(1);

/// An event that is over.
struct Past {
    event: Event,
    /// The MASTER before.
    old: Side,
    at: Instant,
    /// Probes sent before this moment belong to it.
    end: Instant,
    frames: Vec<Frame>,
    probes: Vec<(Family, Vec<Probe>)>,
    notes: Vec<String>,
}

/// Lets `event` happen while `old` is MASTER; a row per family.
pub(super) fn observe(
    plan: &Plan,
    stage: &mut Stage,
    audience: &mut dyn Audience,
    event: Event,
    old: Side,
) -> Result<Vec<Row>, Error> {
    let at = stage.act(event, plan, audience)?;
    let successor = event.successor(old, plan);
    stage.wait(at + event.due(plan), audience)?;
    let moved = |stage: &Stage| masters(stage).all(|master| master == Some(successor));
    let late = capture::now() + dead_time(plan.advbase, plan.skews.b) + PATIENCE;
    let mut notes: Vec<String> = event
        .note(old, plan)
        .map(str::to_owned)
        .into_iter()
        .collect();
    if !stage.wait_for(late, audience, moved)? {
        notes.push(format!("{} did not take over", successor.name()));
    }
    let end = capture::now() + AFTER;
    stage.wait(end + LOST, audience)?;
    if stage.capture.dropped() > 0 {
        notes.push(format!("{} frames not captured", stage.capture.dropped()));
    }
    let frames = stage.capture.frames(Instant::ZERO, capture::now());
    let sent = |family: &Family| (*family, sent(stage, *family, at, end));
    let probes = plan.families.iter().map(sent).collect();
    let past = Past {
        event,
        old,
        at,
        end,
        frames,
        probes,
        notes,
    };
    if let Some(directory) = &plan.pcap {
        write(stage, directory, &past.frames, &caption(plan, stage, &past))?;
    }
    Ok(rows(plan, stage, &past))
}

fn sent(stage: &Stage, family: Family, at: Instant, end: Instant) -> Vec<Probe> {
    stage
        .prober
        .as_ref()
        .map(|prober| prober.probes(family, at - LEAD, end))
        .unwrap_or_default()
}

fn period(stage: &Stage) -> Duration {
    stage.prober.as_ref().map_or(Duration::ZERO, Prober::period)
}

fn rows(plan: &Plan, stage: &Stage, past: &Past) -> Vec<Row> {
    let sightings = stage.capture.sightings(&past.frames);
    let stall = stage.stall.worst(past.at - LEAD, past.end);
    let row = |(family, probes): &(Family, Vec<Probe>)| {
        let question = Question {
            family: *family,
            at: past.at,
            old: port_of(past.old),
            rule: past.event.rule(plan),
        };
        let takeover = takeover(&sightings, &question);
        Row {
            event: past.event,
            family: *family,
            old: past.old,
            master: takeover.master.and_then(side),
            reach: reach(probes, period(stage)),
            takeover,
            stall,
            note: (!past.notes.is_empty()).then(|| past.notes.join(", ")),
        }
    };
    past.probes.iter().map(row).collect()
}

fn caption(plan: &Plan, stage: &Stage, past: &Past) -> Caption {
    let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let sent = |(family, probes): &(Family, Vec<Probe>)| Sent {
        family: *family,
        first: probes.first().map_or(0, |probe| probe.number),
        count: probes.len() as u64,
    };
    Caption {
        event: past.event,
        at: stage.capture.real(past.at),
        old: past.old,
        rule: nanos(past.event.rule(plan)),
        vhid: SHARED.vhid,
        inet: SHARED.inet,
        inet6: SHARED.inet6,
        period: nanos(period(stage)),
        probes: past.probes.iter().map(sent).collect(),
    }
}

fn write(
    stage: &Stage,
    directory: &Path,
    frames: &[Frame],
    caption: &Caption,
) -> Result<(), Error> {
    let write = || {
        let file = File::create(directory.join(format!("{}.pcapng", caption.event)))?;
        let comment = serde_json::to_string(caption)?;
        stage.capture.write(frames, &comment, BufWriter::new(file))
    };
    write().map_err(Error::io("write capture"))
}
