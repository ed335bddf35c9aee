//! `carp demo` as a user runs it: what it prints, what its capture files hold, and that nothing is left of it.
#![allow(clippy::unwrap_used)]

use carp::cli::demo::caption::{Caption, Sent};
use carp::lab::echo::number_in;
use carp::lab::figures::{LOST, Probe, Reach, Sighting, reach, takeover};
use carp::lab::pcapng::{self, Packet};
use carp::lab::sight;
use carp::time::Instant;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

const EVENTS: [&str; 6] = ["kill", "return", "link", "link-return", "down", "up"];

/// A directory of this test, which is the demo's place for temporary files too.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("carp-demo-test-{}-{name}", std::process::id()));
        fs::create_dir_all(path.join("tmp")).unwrap();
        Self(path)
    }

    fn tmp(&self) -> PathBuf {
        self.0.join("tmp")
    }

    fn demo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_carp"));
        command
            .arg("demo")
            .args(arguments)
            .env("TMPDIR", self.tmp())
            .stdin(Stdio::null());
        command
    }

    /// Processes that were given a run directory in here.
    fn processes(&self) -> Vec<String> {
        let mark = self.tmp().to_str().unwrap().to_owned();
        let ours = |pid: &String| {
            let run = |environment: &[u8]| {
                environment.split(|byte| *byte == 0).any(|entry| {
                    let entry = String::from_utf8_lossy(entry);
                    entry
                        .strip_prefix("CARP_RUN=")
                        .is_some_and(|run| run.starts_with(&mark))
                })
            };
            fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| run(&environment))
        };
        let names = fs::read_dir("/proc")
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            .filter(ours)
            .collect()
    }

    fn assert_nothing_left(&self) {
        assert_eq!(self.processes(), Vec::<String>::new());
        assert_eq!(
            fs::read_dir(self.tmp()).unwrap().count(),
            0,
            "temporary files of the demo"
        );
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn object(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).expect("one JSON object on standard output")
}

fn number(row: &Value, key: &str) -> f64 {
    row[key]
        .as_f64()
        .unwrap_or_else(|| panic!("{key} in {row}"))
}

fn integer(row: &Value, key: &str) -> u64 {
    row[key]
        .as_u64()
        .unwrap_or_else(|| panic!("{key} in {row}"))
}

/// A quick group: 39 ms between advertisements, master-down time of b 352 ms.
const QUICK: [&str; 4] = ["--advbase", "0", "--advskew", "10,30"];

#[test]
fn the_table_can_be_computed_again_from_the_capture_files() {
    let place = Place::new("recount");
    let pcap = place.0.join("pcap");
    let mut command = place.demo(&["--json", "--pcap", pcap.to_str().unwrap()]);
    let output = command.args(QUICK).output().unwrap();
    let object = object(&output);
    place.assert_nothing_left();
    check_schema(&object);
    let rows = object["events"].as_array().unwrap();
    assert_eq!(rows.len(), 12);
    for (event, pair) in EVENTS.iter().zip(rows.chunks(2)) {
        let leaves = ["kill", "link", "down"].contains(event);
        for (family, row) in ["inet", "inet6"].iter().zip(pair) {
            assert_eq!(
                (row["event"].as_str(), row["family"].as_str()),
                (Some(*event), Some(*family))
            );
            assert_eq!(row["master"], if leaves { "b" } else { "a" }, "{row}");
            assert!(row["takeover_ms"].is_number(), "{row}");
        }
        recount(&pcap.join(format!("{event}.pcapng")), pair);
    }
    readable_by_tcpdump(&pcap);
}

fn check_schema(object: &Value) {
    assert_eq!(object["scenario"].as_str(), Some("failover"));
    let plane = object["dataplane"].as_str().unwrap();
    assert!(["tcx", "clsact", "copy"].contains(&plane), "{plane}");
    let worst = number(object, "stall_ms");
    for row in object["events"].as_array().unwrap() {
        let (sent, lost) = (integer(row, "sent"), integer(row, "lost"));
        assert!(sent > 1000 && lost + integer(row, "late") <= sent, "{row}");
        assert_eq!(number(row, "outage_ms") > 0.0, lost > 0, "{row}");
        assert!(
            number(row, "overlap_ms") >= 0.0 && number(row, "stall_ms") <= worst,
            "{row}"
        );
        assert_eq!(
            row["takeover_ms"].is_null(),
            row["excess_ms"].is_null(),
            "{row}"
        );
    }
}

/// The figures of one file against those that were printed.
fn recount(path: &Path, rows: &[Value]) {
    let capture = pcapng::read(fs::File::open(path).map(std::io::BufReader::new).unwrap()).unwrap();
    assert_eq!(
        capture.interfaces,
        ["client", "third", "a", "b"],
        "one block per bridge port"
    );
    let caption: Caption = serde_json::from_str(&capture.comment).unwrap();
    let old = capture
        .interfaces
        .iter()
        .position(|name| name == caption.old.name())
        .unwrap();
    let shared = caption.shared();
    let sighting = |packet: &Packet| {
        let sight = sight::sight(&packet.bytes, &shared)?;
        Some(Sighting {
            at: Instant::from_nanos(packet.time),
            port: packet.interface,
            sight,
        })
    };
    let sightings: Vec<Sighting> = capture.packets.iter().filter_map(sighting).collect();
    for (row, sent) in rows.iter().zip(&caption.probes) {
        let figures = takeover(&sightings, &caption.question(sent.family, old));
        let close = |key: &str, nanos: f64| {
            let printed = number(row, key);
            assert!(
                (printed - nanos / 1e6).abs() < 0.0011,
                "{key}: printed {printed}, computed {nanos} ns, {row}"
            );
        };
        close("takeover_ms", figures.takeover.unwrap().as_secs_f64() * 1e9);
        #[allow(clippy::cast_precision_loss)]
        close("excess_ms", figures.excess.unwrap() as f64);
        close("overlap_ms", figures.overlap.as_secs_f64() * 1e9);
        assert_eq!(
            capture.interfaces[figures.master.unwrap()],
            row["master"].as_str().unwrap()
        );
        let reach = recount_probes(&capture.packets, &caption, sent);
        assert_eq!(
            (reach.sent, reach.lost),
            (integer(row, "sent"), integer(row, "lost")),
            "{row}"
        );
        let outage = number(row, "outage_ms") - reach.outage.as_secs_f64() * 1000.0;
        assert!(
            outage.abs() <= 10.0 + number(row, "stall_ms"),
            "{row}, computed {reach:?}"
        );
    }
}

/// From the echo frames at the ports. A probe that waited in the client and was dropped there has no frame.
fn recount_probes(packets: &[Packet], caption: &Caption, sent: &Sent) -> Reach {
    let mut seen: BTreeMap<u64, (Option<Instant>, Option<Instant>)> = BTreeMap::new();
    for packet in packets {
        let Some((family, reply, _, payload)) = sight::echo(&packet.bytes) else {
            continue;
        };
        let Some(number) = number_in(payload).filter(|_| family == sent.family) else {
            continue;
        };
        let at = Some(Instant::from_nanos(packet.time));
        let (request, answer) = seen.entry(number).or_default();
        let time = if reply { answer } else { request };
        *time = time.or(at);
    }
    let period = Duration::from_nanos(caption.period);
    let mut last = Instant::from_nanos(caption.at) - Duration::from_millis(100) - period;
    let probe = |number| {
        let (request, answered) = seen.get(&number).copied().unwrap_or_default();
        last = request.unwrap_or(last + period);
        let answered = answered.filter(|at| at.since(last) <= LOST);
        Probe {
            number,
            sent: last,
            answered,
            fresh: false,
        }
    };
    let probes: Vec<Probe> = (sent.first..sent.first + sent.count).map(probe).collect();
    reach(&probes, period)
}

fn readable_by_tcpdump(directory: &Path) {
    for event in EVENTS {
        let file = directory.join(format!("{event}.pcapng"));
        let Ok(output) = Command::new("tcpdump")
            .args(["-n", "-r"])
            .arg(&file)
            .arg("ip proto 112")
            .output()
        else {
            eprintln!("tcpdump is not installed: its part of this test is left out");
            return;
        };
        assert!(output.status.success(), "{}", said(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.contains("224.0.0.18"),
            "{event}: no advertisement in {text}"
        );
    }
}

#[test]
fn with_equal_skews_nobody_preempts_and_the_row_says_so() {
    let place = Place::new("equal");
    let arguments = [
        "--json",
        "--family",
        "inet",
        "--advbase",
        "0",
        "--advskew",
        "30,30",
    ];
    let object = object(&place.demo(&arguments).output().unwrap());
    place.assert_nothing_left();
    let rows = object["events"].as_array().unwrap();
    assert_eq!(rows.len(), 6);
    for (event, row) in EVENTS.iter().zip(rows) {
        assert_eq!(
            (row["event"].as_str(), row["master"].as_str()),
            (Some(*event), Some("b")),
            "{row}"
        );
        let first = *event == "kill";
        assert_eq!(row["takeover_ms"].is_number(), first, "{row}");
        assert_eq!(row["note"].is_null(), first, "{row}");
        if !first {
            assert_eq!(integer(row, "lost"), 0, "{row}");
        }
    }
    assert_eq!(rows[1]["note"], "equal advskew: nobody preempts");
}

#[test]
fn ctrl_c_leaves_nothing_at_any_time() {
    for (name, signal, enough) in [
        ("at-once", Signal::SIGINT, 0),
        ("one-daemon", Signal::SIGTERM, 1),
        ("two-daemons", Signal::SIGINT, 2),
    ] {
        let place = Place::new(name);
        let mut demo = place.demo(&["--json"]);
        let mut child = demo
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for(&mut child, || {
            fs::read_dir(place.tmp()).unwrap().count() > 0 && place.processes().len() >= enough
        });
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        let asked = std::time::Instant::now();
        let output = child.wait_with_output().unwrap();
        // After two seconds the demo would have killed a daemon that did not end by itself.
        assert!(
            asked.elapsed() < Duration::from_secs(2),
            "{name}: a daemon did not heed SIGTERM"
        );
        assert_eq!(output.status.code(), Some(130), "{name}");
        assert_eq!(output.stdout, b"", "{name}: half an object is none");
        place.assert_nothing_left();
    }
}

fn wait_for(child: &mut Child, done: impl Fn() -> bool) {
    for _ in 0..2000 {
        assert_eq!(child.try_wait().unwrap(), None, "the demo ended");
        if done() {
            return;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("not in 20 s");
}

#[test]
fn bad_arguments_are_refused_in_one_clear_line_and_nothing_is_built() {
    let place = Place::new("bad");
    for (arguments, expected) in [
        (&["--advskew", "100,0"][..], "must not be larger"),
        (&["--advskew", "0,255"], "a number from 0 to 254"),
        (&["--advskew", "5"], "two numbers are wanted"),
        (&["--advbase", "255"], "0..=254"),
        (&["--advbase", "one"], "invalid digit"),
        (&["--family", "ipx"], "inet, inet6, both"),
        (&["--pcap", "/proc/nowhere"], "make directory for captures"),
        (&["more"], "failover, balance"),
        (&["balance", "more"], "unexpected argument"),
        (&["balance", "--keep"], "for the scenario failover"),
    ] {
        let output = place.demo(arguments).output().unwrap();
        assert!(matches!(output.status.code(), Some(1 | 2)), "{arguments:?}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
        assert!(
            said(&output).contains(expected),
            "{arguments:?}: {}",
            said(&output)
        );
        place.assert_nothing_left();
    }
}

#[test]
fn keep_tells_how_to_enter_and_the_way_is_open() {
    let place = Place::new("keep");
    let out = place.0.join("out");
    let mut command = place.demo(&["--keep", "--family", "inet"]);
    command
        .args(QUICK)
        .stdout(fs::File::create(&out).unwrap())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut text = String::new();
    for _ in 0..600 {
        sleep(Duration::from_millis(100));
        text = fs::read_to_string(&out).unwrap();
        if text.contains("logs:") || child.try_wait().unwrap().is_some() {
            break;
        }
    }
    let line = text
        .lines()
        .find(|line| line.trim_start().starts_with("a "))
        .expect("a way to host a");
    let words: Vec<&str> = line.split_whitespace().skip(1).collect();
    let (program, arguments) = words.split_first().unwrap();
    let (_shell, arguments) = arguments.split_last().unwrap();
    let inside = Command::new(program)
        .args(arguments)
        .args([env!("CARGO_BIN_EXE_carp"), "ifconfig", "carp1"])
        .output();
    kill(
        Pid::from_raw(child.id().try_into().unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    let status = child.wait().unwrap();
    if let Ok(inside) = inside {
        assert!(
            String::from_utf8_lossy(&inside.stdout).contains("carp: MASTER"),
            "{}",
            said(&inside)
        );
    }
    assert!(status.success(), "the events were all shown");
    place.assert_nothing_left();
}

#[test]
fn askers_are_shared_and_none_is_forgotten() {
    let place = Place::new("balance");
    let output = place.demo(&["balance", "--json"]).output().unwrap();
    let object = object(&output);
    assert_eq!(object["scenario"], "balance");
    for key in ["unanswered", "double"] {
        assert_eq!(
            integer(&object, key),
            0,
            "{key} in {object}: {}",
            said(&output)
        );
    }
    let hosts = object["hosts"].as_array().unwrap();
    let names: Vec<_> = hosts.iter().map(|host| host["name"].clone()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    // The one that was killed is among them, and answered less.
    let answered: Vec<u64> = hosts.iter().map(|host| integer(host, "answered")).collect();
    assert!(
        answered[1] > 100 && answered[1] < answered[0].min(answered[2]),
        "{object}"
    );
    let total: u64 = answered.iter().sum();
    let (asked, repeated) = (integer(&object, "requests"), integer(&object, "repeated"));
    // The last round's answers may still be on their way.
    let once = total - integer(&object, "overlap");
    assert!(once <= asked && once + repeated + 64 >= asked, "{object}");
    place.assert_nothing_left();
}
