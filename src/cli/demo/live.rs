//! What somebody at the terminal sees while it happens: who is MASTER and which probes came back; must not know how the
//! events are made.

use super::event::{Event, Side};
use super::report::{Audience, Error, View};
use crate::lab::capture;
use crate::lab::figures::{LATE, Probe};
use crate::lab::interrupt::Interrupt;
use crate::time::Instant;
use crate::wire::Family;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

/// The picture is drawn again after this time.
const FRAME: Duration = Duration::from_millis(100);
/// One character of the probe row.
const CELL: Duration = Duration::from_millis(20);
const CELLS: u32 = 60;

/// Draws on standard error: a moving picture for a person, else a line per change.
#[derive(Debug)]
pub(super) struct Live {
    interrupt: Interrupt,
    moving: bool,
    drawn: Option<Instant>,
    lines: usize,
    event: Option<Event>,
    masters: Vec<(Family, Option<Side>)>,
}

impl Live {
    pub(super) fn new(interrupt: Interrupt) -> Self {
        let moving = super::watched();
        let live = Self {
            interrupt,
            moving,
            drawn: None,
            lines: 0,
            event: None,
            masters: Vec::new(),
        };
        live.put(
            "client, third host, a and b on one bridge; 192.0.2.1 and 2001:db8::1 are shared\n",
        );
        live
    }

    /// Whatever comes next on the terminal starts below the picture.
    pub(super) fn end(&mut self) {
        self.lines = 0;
        self.put("\n");
    }

    /// Nobody is left to be told when standard error is closed.
    fn put(&self, text: &str) {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    fn draw(&mut self, view: &View<'_>) {
        let now = capture::now();
        if self.drawn.is_some_and(|drawn| now.since(drawn) < FRAME) {
            return;
        }
        self.drawn = Some(now);
        let mut text = String::new();
        if self.lines > 0 {
            let _ = write!(text, "\x1b[{}A\x1b[J", self.lines);
        }
        let picture = picture(view, now);
        self.lines = picture.lines().count();
        text.push_str(&picture);
        self.put(&text);
    }

    /// A line for each change.
    fn tell(&mut self, view: &View<'_>) {
        if self.masters == view.masters {
            return;
        }
        let mut text = since(view, capture::now());
        for (family, master) in &view.masters {
            let _ = write!(text, "  {family}: {}", says(*master));
        }
        text.push('\n');
        self.put(&text);
        self.masters.clone_from(&view.masters);
    }
}

impl Audience for Live {
    fn see(&mut self, view: &View<'_>) -> Result<(), Error> {
        if self.interrupt.arrived() {
            return Err(Error::Interrupted);
        }
        let event = view.scene.map(|(event, _)| event);
        if event != self.event {
            self.event = event;
            // The last picture of the event before stays.
            self.lines = 0;
            let says = event.map_or("", Event::says);
            self.put(&format!("{}: {says}\n", event.map_or("start", Event::name)));
        }
        if self.moving {
            self.draw(view);
        } else {
            self.tell(view);
        }
        Ok(())
    }
}

fn says(master: Option<Side>) -> &'static str {
    match master {
        Some(Side::A) => "a is MASTER",
        Some(Side::B) => "b is MASTER",
        None => "nobody yet ",
    }
}

fn since(view: &View<'_>, now: Instant) -> String {
    view.scene.map_or_else(
        || "  start    ".to_owned(),
        |(_, at)| format!("  {:+7.3} s", now.since(at).as_secs_f64()),
    )
}

fn picture(view: &View<'_>, now: Instant) -> String {
    let mut text = String::new();
    for (family, master) in &view.masters {
        let row = view.prober.map(|prober| {
            let from = now - CELL * CELLS;
            row(&prober.probes(*family, from, now), from, now)
        });
        let _ = writeln!(
            text,
            "{}  {family:<5}  {}  {}",
            since(view, now),
            says(*master),
            row.unwrap_or_default()
        );
    }
    text
}

/// A character per [`CELL`]: `.` all came back, `o` one came late, `x` one did not come back (yet), ` ` none was sent.
fn row(probes: &[Probe], from: Instant, now: Instant) -> String {
    let cell = |number: u32| {
        let begin = from + CELL * number;
        let within = |probe: &&Probe| (begin..begin + CELL).contains(&probe.sent);
        let mark = |probe: &Probe| match probe.round_trip() {
            Some(time) if time > LATE => 'o',
            None if now.since(probe.sent) > LATE => 'x',
            Some(_) => '.',
            None => ' ',
        };
        // Of the marks the worst: x, o, dot, blank are in this order by their codes.
        probes
            .iter()
            .filter(within)
            .map(mark)
            .max_by_key(|mark| " .ox".find(*mark))
            .unwrap_or(' ')
    };
    (0..CELLS).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_the_worst_of_each_cell() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let probe = |sent, answered: Option<u64>| Probe {
            number: 0,
            sent: at(sent),
            answered: answered.map(at),
            fresh: false,
        };
        let probes = [
            probe(0, Some(1)),
            probe(20, Some(21)),
            probe(21, Some(90)),
            probe(40, None),
            probe(41, Some(95)),
            probe(1190, None),
        ];
        let row = row(&probes, at(0), at(1200));
        assert_eq!(row, format!(".ox{}", " ".repeat(57)));
    }
}
