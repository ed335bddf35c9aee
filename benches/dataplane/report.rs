//! The figures as a table for people and as JSON for programs; must not know where they come from.

use crate::measure::{FIGURES, Measure, Sample};
use crate::scene::Plane;
use crate::statistics::{Interval, bootstrap, median};
use serde::Serialize;
use std::fmt::Write;
use std::time::Duration;

/// The samples of one measure on one plane, one for each round.
#[derive(Debug)]
pub struct Series {
    groups: u8,
    measure: Measure,
    plane: Plane,
    samples: Vec<Sample>,
}

impl Series {
    pub fn new(groups: u8, measure: Measure, plane: Plane) -> Self {
        Self {
            groups,
            measure,
            plane,
            samples: Vec::new(),
        }
    }

    pub fn add(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    fn values(&self, figure: usize) -> Vec<f64> {
        self.samples
            .iter()
            .map(|sample| sample.figures[figure])
            .collect()
    }
}

/// One figure on one plane.
#[derive(Debug, Serialize)]
struct Row {
    groups: u8,
    figure: &'static str,
    unit: &'static str,
    measure: Measure,
    plane: Plane,
    median: f64,
    /// Of each round.
    values: Vec<f64>,
    /// Whether the comparisons are ratios, or else differences.
    ratio: bool,
    to_alias: Option<Interval>,
    to_macvlan: Option<Interval>,
    to_floor: Option<Interval>,
    stall_ms: f64,
}

/// All figures of a run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    bench: &'static str,
    /// The share of the machine that was busy before the run began.
    busy: f64,
    /// TCP's congestion control.
    congestion: String,
    /// Samples taken again because the machine stalled.
    pub repeated: usize,
    rows: Vec<Row>,
}

impl Report {
    pub fn new(busy: f64, congestion: String) -> Self {
        Self {
            bench: "dataplane",
            busy,
            congestion,
            ..Self::default()
        }
    }

    /// The series of one measure, of the same rounds.
    pub fn add(&mut self, series: Vec<Series>) {
        let against = |one: &Series, plane: Plane, figure: usize, ratio: bool| {
            let other = series.iter().find(|other| other.plane == plane)?;
            if one.plane == plane || one.samples.is_empty() {
                return None;
            }
            let pairs = one.values(figure).into_iter().zip(other.values(figure));
            let compared = pairs.map(|(a, b)| if ratio { a / b } else { a - b });
            Some(bootstrap(&compared.collect::<Vec<_>>()))
        };
        for number in 0..FIGURES {
            for one in &series {
                let figure = one.measure.figures()[number];
                let stalls = one.samples.iter().map(|sample| sample.stall);
                self.rows.push(Row {
                    groups: one.groups,
                    figure: figure.name,
                    unit: figure.unit,
                    measure: one.measure,
                    plane: one.plane,
                    median: median(&one.values(number)),
                    values: one.values(number),
                    ratio: figure.ratio,
                    to_alias: against(one, Plane::Alias, number, figure.ratio),
                    to_macvlan: against(one, Plane::Macvlan, number, figure.ratio),
                    to_floor: against(one, one.plane.floor(), number, figure.ratio),
                    stall_ms: stalls.max().unwrap_or(Duration::ZERO).as_secs_f64() * 1e3,
                });
            }
        }
    }

    /// One line.
    pub fn json(&self) -> String {
        let mut text = serde_json::json!(self).to_string();
        text.push('\n');
        text
    }

    /// One line for each figure and plane.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:>6} {:<11}{:>8} {:<8}{:>9}  {:<22}{:<22}{:<22}{:>8}\n",
            "groups",
            "figure",
            "unit",
            "plane",
            "median",
            "to alias",
            "to macvlan",
            "to floor",
            "stall ms"
        );
        for row in &self.rows {
            // Writing into a String does not fail.
            let _ = writeln!(
                text,
                "{:>6} {:<11}{:>8} {:<8}{:>9.2}  {:<22}{:<22}{:<22}{:>8.1}",
                row.groups,
                row.figure,
                row.unit,
                row.plane.name(),
                row.median,
                shown(row.to_alias, row.ratio),
                shown(row.to_macvlan, row.ratio),
                shown(row.to_floor, row.ratio),
                row.stall_ms,
            );
        }
        let rounds = self.rows.first().map_or(0, |row| row.values.len());
        let stall = self.rows.iter().map(|row| row.stall_ms).fold(0.0, f64::max);
        let _ = writeln!(
            text,
            "\n{rounds} paired rounds; ratio (echo: difference) within a round: median [95 % bootstrap interval]\n\
            CPU: the whole machine's; idle it was busy for {:.1} %; TCP: {}\n\
            the machine's own worst stall: {stall:.1} ms; {} samples taken again because of one",
            self.busy * 100.0,
            self.congestion,
            self.repeated,
        );
        text
    }
}

fn shown(interval: Option<Interval>, ratio: bool) -> String {
    match interval {
        None => "-".to_owned(),
        Some(Interval { median, low, high }) if ratio => {
            format!("{median:.2} [{low:.2}-{high:.2}]")
        }
        Some(Interval { median, low, high }) => {
            format!("{median:+.1} [{low:+.1} {high:+.1}]")
        }
    }
}
