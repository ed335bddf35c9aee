//! The figures as one JSON object for programs; must not know where they come from.

use super::event::{Event, Side};
use super::report::{Report, Row};
use crate::wire::Family;
use serde::Serialize;
use std::time::Duration;

#[derive(Serialize)]
struct Object<'a> {
    scenario: &'static str,
    dataplane: &'a str,
    stall_ms: f64,
    events: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    event: Event,
    family: Family,
    sent: u64,
    lost: u64,
    late: u64,
    outage_ms: f64,
    takeover_ms: Option<f64>,
    excess_ms: Option<f64>,
    overlap_ms: f64,
    stall_ms: f64,
    master: Option<Side>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// One line.
pub(super) fn text(report: &Report) -> String {
    let object = Object {
        scenario: "failover",
        dataplane: &report.dataplane,
        stall_ms: ms(report.stall),
        events: report.rows.iter().map(entry).collect(),
    };
    let mut text =
        serde_json::to_string(&object).expect("numbers and strings under string keys are JSON");
    text.push('\n');
    text
}

fn entry(row: &Row) -> Entry {
    let signed = |nanos: i64| {
        let size = ms(Duration::from_nanos(nanos.unsigned_abs()));
        if nanos < 0 { -size } else { size }
    };
    Entry {
        event: row.event,
        family: row.family,
        sent: row.reach.sent,
        lost: row.reach.lost,
        late: row.reach.late,
        outage_ms: ms(row.reach.outage),
        takeover_ms: row.takeover.takeover.map(ms),
        excess_ms: row.takeover.excess.map(signed),
        overlap_ms: ms(row.takeover.overlap),
        stall_ms: ms(row.stall),
        master: row.master,
        note: row.note.clone(),
    }
}

/// Milliseconds, to the microsecond.
fn ms(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e3
}
