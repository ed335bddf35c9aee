//! The figures as a table for people; must not know where they come from.

use super::report::{Report, Row};
use std::fmt::Write;
use std::time::Duration;

const HEAD: [&str; 11] = [
    "event",
    "family",
    "MASTER",
    "outage ms",
    "sent",
    "lost",
    "late",
    "takeover ms",
    "excess ms",
    "two owners ms",
    "stall ms",
];
/// Columns of words; the others are numbers and stand to the right.
const WORDS: usize = 3;

/// The table, the legend and the machine's worst stall.
pub(super) fn text(report: &Report) -> String {
    let cells: Vec<[String; 11]> = report.rows.iter().map(cells).collect();
    let width = |column: usize| {
        cells
            .iter()
            .map(|row| row[column].len())
            .chain([HEAD[column].len()])
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let mut text = line(&HEAD.map(str::to_owned), &widths, None);
    for (row, cells) in report.rows.iter().zip(&cells) {
        text.push_str(&line(cells, &widths, row.note.as_deref()));
    }
    let _ = writeln!(
        text,
        "\nlost: no reply in 1 s; late: over 50 ms; takeover: from the event to the first advert of the new MASTER;"
    );
    let _ = writeln!(
        text,
        "excess: beyond what the protocol's timers allow; two owners: both hosts sent as owner of the address"
    );
    let _ = writeln!(
        text,
        "the machine's own worst stall: {} ms",
        ms(report.stall)
    );
    text
}

fn cells(row: &Row) -> [String; 11] {
    let name = |side: Option<super::event::Side>| side.map_or("nobody", |side| side.name());
    let master = if row.master == Some(row.old) {
        row.old.name().to_owned()
    } else {
        format!("{} -> {}", row.old.name(), name(row.master))
    };
    [
        row.event.name().to_owned(),
        row.family.to_string(),
        master,
        ms(row.reach.outage),
        row.reach.sent.to_string(),
        row.reach.lost.to_string(),
        row.reach.late.to_string(),
        row.takeover.takeover.map_or_else(dash, ms),
        row.takeover.excess.map_or_else(dash, signed_ms),
        ms(row.takeover.overlap),
        ms(row.stall),
    ]
}

fn line(cells: &[String; 11], widths: &[usize], note: Option<&str>) -> String {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let gap = if column == 0 { "" } else { "  " };
        let _ = if column < WORDS {
            write!(text, "{gap}{cell:<width$}")
        } else {
            write!(text, "{gap}{cell:>width$}")
        };
    }
    if let Some(note) = note {
        let _ = write!(text, "  {note}");
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn dash() -> String {
    "-".to_owned()
}

/// Milliseconds with one decimal.
fn ms(span: Duration) -> String {
    format!("{:.1}", span.as_secs_f64() * 1000.0)
}

fn signed_ms(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    format!("{sign}{}", ms(Duration::from_nanos(nanos.unsigned_abs())))
}
