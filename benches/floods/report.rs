//! The figures as a table for people and as JSON for programs; must not know where they come from.

use crate::measure::Row;
use crate::scene::System;
use std::fmt::Write;

/// More CPU than this a packet must not cost us.
const BOUND_US: f64 = 5.0;

/// One line.
pub fn json(rows: &[Row]) -> String {
    let mut text =
        serde_json::json!({ "bench": "floods", "bound_us": BOUND_US, "rows": rows }).to_string();
    text.push('\n');
    text
}

/// One line for each flood and system, and a verdict.
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<10} {:>6} {:<11}{:>8}{:>9}{:>8}{:>9}{:>8}{:>8}{:>11}{:>10}{:>10}\n",
        "kind",
        "rate",
        "system",
        "packets",
        "counted",
        "unread",
        "us each",
        "ratio",
        "adverts",
        "jitter ms",
        "log lines",
        "stall ms"
    );
    for row in rows {
        let ours = rows
            .iter()
            .find(|one| (one.kind, one.rate, one.system) == (row.kind, row.rate, System::Carp));
        let ratio = ours.map_or_else(
            || "-".to_owned(),
            |ours| format!("{:.1}", row.cpu_us / ours.cpu_us),
        );
        let told = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), |n| n.to_string());
        // Writing into a String does not fail.
        let _ = writeln!(
            text,
            "{:<10} {:>6} {:<11}{:>8}{:>9}{:>8}{:>9.2}{ratio:>8}{:>8}{:>11.1}{:>10}{:>10.1}",
            format!("{:?}", row.kind).to_lowercase(),
            row.rate,
            row.system.name(),
            row.packets,
            told(row.counted),
            told(row.unread),
            row.cpu_us,
            format!("{}/{}", row.adverts, row.due),
            row.jitter_ms,
            row.log_lines,
            row.stall_ms,
        );
    }
    text.push_str(&verdict(rows));
    text
}

fn verdict(rows: &[Row]) -> String {
    let own = || rows.iter().filter(|row| row.system == System::Carp);
    let worst = own().map(|row| row.cpu_us).fold(0.0, f64::max);
    let late = own().filter(|row| (row.adverts as u64) < row.due).count();
    let lines = own().map(|row| row.log_lines).max().unwrap_or(0);
    let stall = rows.iter().map(|row| row.stall_ms).fold(0.0, f64::max);
    format!(
        "\nus each: CPU of all its processes above idle, per packet; ratio: to ours; jitter: the worst interval's distance from 1 s\n\
        ours: at most {worst:.2} us a packet (bound {BOUND_US}), {late} floods with an advertisement missing, at most {lines} log lines\n\
        the machine's own worst stall: {stall:.1} ms\n"
    )
}
