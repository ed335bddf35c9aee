//! A daemon that records what it is asked and answers what it was told to, at a place of its own.
#![allow(clippy::unwrap_used, dead_code)]

use carp::carp::Reason;
use carp::carp::config::{Balancing, Dataplane, InputMode, Lladdr, State, Unit};
use carp::control::path::{self, Place};
use carp::control::socket::{REQUEST_MAX, read_frame, reply_frame};
use carp::control::{Interface, Reply, Request, Served, Traffic, Vhost};
use carp::wire::MacAddr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// A directory that ends with its owner.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("carp-test-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        mode(&path, 0o755);
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where a daemon of this thread's namespace would be, its directory made.
    pub fn place(&self) -> Place {
        let place = Place::new(&self.0, path::namespace().unwrap());
        fs::create_dir_all(place.directory()).unwrap();
        mode(&place.directory(), 0o755);
        place
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The daemon, and the run directory it serves.
pub struct Fake {
    pub directory: Directory,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Fake {
    /// Answers one connection with each of these.
    pub fn answering(replies: Vec<Reply>) -> Self {
        let directory = Directory::new();
        let socket = directory.place().socket();
        let listener = UnixListener::bind(&socket).unwrap();
        mode(&socket, 0o666);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&asked);
        std::thread::spawn(move || {
            for reply in replies {
                let (mut stream, _) = listener.accept().unwrap();
                // A client that refuses us sends nothing.
                let Ok(frame) = read_frame(&mut stream, REQUEST_MAX) else {
                    continue;
                };
                record
                    .lock()
                    .unwrap()
                    .push(serde_json::from_slice(&frame).unwrap());
                stream.write_all(&reply_frame(&reply).unwrap()).unwrap();
            }
        });
        Self { directory, asked }
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

/// What such a daemon may show: a carpN on eth0 with group 1, advskew 100 and 192.0.2.1/24.
pub fn interface(unit: u16, state: State) -> Interface {
    Interface {
        unit: Unit(unit),
        index: 6,
        up: true,
        lladdr: MacAddr::of_vhid(1),
        mtu: 1500,
        carpdev: Some("eth0".into()),
        advbase: 1,
        vhosts: vec![Vhost {
            vhid: 1,
            advskew: 100,
            state,
            reason: Reason::Ready,
        }],
        groups: vec!["carp".into()],
        addresses: vec!["192.0.2.1/24".parse().unwrap()],
        peers: Vec::new(),
        balancing: Balancing::None,
        hash: None,
        drain: false,
        configured_lladdr: Lladdr::Virtual,
        description: None,
        configured_mtu: None,
        debug: false,
        metric: 0,
        input: InputMode::Redirect,
        capture: false,
        dataplane: Served {
            by: Dataplane::Copy,
            why: None,
            hindrance: None,
        },
        traffic: Traffic::default(),
    }
}

/// What a command printed, and its exit status.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub out: String,
    pub err: String,
    pub code: i32,
}

pub fn ran(out: &str, err: &str, code: i32) -> Ran {
    Ran {
        out: out.into(),
        err: err.into(),
        code,
    }
}

/// Our executable, with the run directory of a test and nothing of the caller's environment.
pub fn carp(run: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carp"));
    command.env_clear().env("CARP_RUN", run);
    command
}

/// Runs it with this standard input.
pub fn finish(mut command: Command, input: &[u8]) -> Ran {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Commands that read nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran {
        out: text(output.stdout),
        err: text(output.stderr),
        code: output.status.code().unwrap(),
    }
}

/// Runs `carp` with the words of a line.
pub fn run(directory: &Path, line: &str) -> Ran {
    let mut command = carp(directory);
    command.args(line.split_whitespace());
    finish(command, b"")
}

/// Whether this root may become another user and give files away: not in a user namespace that maps one user only.
pub fn may_become_others() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let span = map
        .split_whitespace()
        .nth(2)
        .and_then(|n| n.parse::<u64>().ok());
    nix::unistd::Uid::effective().is_root() && span.is_some_and(|n| n > 65534)
}

/// An executable where everybody may run it: where it was built may be closed to others. Copied by another process, as a
/// descriptor open for writing would be inherited by whatever a thread of ours starts meanwhile (ETXTBSY).
pub fn copied(executable: &Path, directory: &Directory) -> PathBuf {
    let copy = directory.path().join("executable");
    let status = Command::new("cp")
        .arg(executable)
        .arg(&copy)
        .status()
        .unwrap();
    assert!(status.success());
    mode(&copy, 0o755);
    copy
}
