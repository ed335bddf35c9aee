//! The carp of a host, driven as its users do: commands, a foreground daemon, signals; must not know networks.

use super::hosts::{Host, SOON, until};
use carp::linux::clock;
use carp::time::Instant;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What a command did.
#[derive(Debug, Clone)]
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Host {
    /// `carp` with these words, on this host, as the user would type it.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_carp"));
        command
            .args(words)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CARP_RUN", &self.run);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn finish(&self, command: &mut Command) -> Done {
        let done = self.place.run(|| command.output().unwrap());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Done {
            code: done.status.code(),
            out: text(done.stdout),
            err: text(done.stderr),
        }
    }

    /// A line of words that must succeed and say nothing on standard error; answers its output.
    #[track_caller]
    pub fn ok(&self, line: &str) -> String {
        let words: Vec<_> = line.split_whitespace().collect();
        let done = self.finish(&mut self.command(&words));
        assert!(
            done.code == Some(0) && done.err.is_empty(),
            "{}: carp {line}: {done:?}",
            self.name
        );
        done.out
    }

    /// A line of words that must be refused: status 1, nothing on standard output; answers standard error.
    #[track_caller]
    pub fn refused(&self, line: &str) -> String {
        let words: Vec<_> = line.split_whitespace().collect();
        let done = self.finish(&mut self.command(&words));
        assert!(
            done.code == Some(1) && done.out.is_empty(),
            "{}: carp {line}: {done:?}",
            self.name
        );
        done.err
    }

    /// Starts `carp daemon` in the foreground and waits until it answers.
    #[track_caller]
    pub fn daemon(&self) {
        self.daemon_with(&[]);
    }

    /// The same with more words on its command line.
    #[track_caller]
    pub fn daemon_with(&self, words: &[&str]) {
        let log = std::fs::File::create(self.log()).unwrap();
        let mut command = self.command(&["daemon"]);
        if !words.contains(&"--dataplane") {
            command.args(["--dataplane", self.plane.word()]);
        }
        command.args(words);
        command.stdout(Stdio::null()).stderr(log);
        let child = self.place.run(|| command.spawn().unwrap());
        let old = self.daemon.lock().unwrap().replace(child);
        assert!(
            old.is_none_or(|mut o| o.try_wait().unwrap().is_some()),
            "one daemon a host"
        );
        let socket = self.run.join(self.place.inode().to_string()).join("ctl");
        let up = || {
            let ready = socket.exists() && self.said().contains("ready\n");
            ready && self.finish(&mut self.command(&["ifconfig", "-a"])).code == Some(0)
        };
        assert!(until(SOON, up), "{}: no daemon: {}", self.name, self.said());
    }

    /// Starts what becomes a daemon, and does not wait for it.
    pub fn launch(&self, mut command: Command) {
        let log = std::fs::File::create(self.log()).unwrap();
        command.stderr(log);
        let child = self.place.run(|| command.spawn().unwrap());
        *self.daemon.lock().unwrap() = Some(child);
    }

    fn log(&self) -> PathBuf {
        self.run.join("stderr")
    }

    /// What the daemon of [`Host::daemon`] said, as evidence when a test fails.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// The processes of a carp on this host: all that live in its namespace or were started from its run directory.
    pub fn processes(&self) -> Vec<Pid> {
        let inode = format!("net:[{}]", self.place.inode());
        let run = format!("CARP_RUN={}", self.run.display());
        let ours = |entry: &Path| {
            let there = std::fs::read_link(entry.join("ns/net"))
                .is_ok_and(|l| l.as_os_str() == inode.as_str());
            let told = std::fs::read(entry.join("environ"))
                .is_ok_and(|e| e.split(|b| *b == 0).any(|v| v == run.as_bytes()));
            there || told
        };
        let entries = std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .map(|e| e.path());
        entries
            .filter(|entry| ours(entry))
            .filter_map(|entry| entry.file_name()?.to_str()?.parse().ok().map(Pid::from_raw))
            .filter(|pid| *pid != nix::unistd::getpid())
            .collect()
    }

    /// The pid of the daemon that [`Host::daemon`] started.
    pub fn pid(&self) -> Pid {
        let daemon = self.daemon.lock().unwrap();
        Pid::from_raw(i32::try_from(daemon.as_ref().expect("a daemon was started").id()).unwrap())
    }

    /// The engine that serves; the one that waits is younger.
    pub fn engine(&self) -> Pid {
        let number = |pid: &Pid, field: usize| -> Option<u64> {
            let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // Counted from the state, which is 0.
            let (_, rest) = text.rsplit_once(") ")?;
            rest.split(' ').nth(field)?.parse().ok()
        };
        let parent = u64::try_from(self.pid().as_raw()).unwrap();
        let children = self.processes().into_iter();
        let children = children.filter(|pid| number(pid, 1) == Some(parent));
        let oldest = children.min_by_key(|pid| (number(pid, 19), pid.as_raw()));
        oldest.expect("a daemon has an engine")
    }

    /// Sends a signal to the daemon; answers the moment before.
    pub fn signal(&self, signal: Signal) -> Instant {
        let at = clock::now();
        kill(self.pid(), signal).unwrap();
        at
    }

    /// Stops (SIGSTOP) or resumes (SIGCONT) all that makes up the daemon. The moment from which on it does nothing, or up to
    /// which it did nothing.
    pub fn freeze(&self, frozen: bool) -> Instant {
        let processes = self.processes();
        let before = clock::now();
        if !frozen {
            processes
                .iter()
                .for_each(|pid| kill(*pid, Signal::SIGCONT).unwrap());
            return before;
        }
        processes
            .iter()
            .for_each(|pid| kill(*pid, Signal::SIGSTOP).unwrap());
        assert!(until(SOON, || processes.iter().all(stands)));
        clock::now()
    }

    /// kill -9 of the daemon, and of what it may have started. The moment when all were told.
    pub fn kill(&self) -> Instant {
        // Found before: the search takes its time, in which those that are not killed yet go on.
        let processes = self.processes();
        self.signal(Signal::SIGKILL);
        for pid in processes {
            let _ = kill(pid, Signal::SIGKILL);
        }
        let at = clock::now();
        self.reap();
        at
    }

    /// kill -9, without waiting for the process and its interfaces to be gone.
    pub fn kill_and_leave(&self) {
        self.signal(Signal::SIGKILL);
        for pid in self.processes() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        let mut daemon = self.daemon.lock().unwrap().take();
        // Somebody has to collect it; not us, now.
        std::thread::spawn(move || daemon.as_mut().map(Child::wait));
    }

    /// SIGTERM, and waits for the polite end.
    pub fn terminate(&self) -> Instant {
        let at = self.signal(Signal::SIGTERM);
        assert!(
            until(SOON, || self.ended()),
            "{}: still there after SIGTERM: {}",
            self.name,
            self.said()
        );
        self.reap();
        at
    }

    /// Whether the daemon's process is gone.
    pub fn ended(&self) -> bool {
        self.daemon
            .lock()
            .unwrap()
            .as_mut()
            .is_none_or(|d| d.try_wait().unwrap().is_some())
    }

    pub(super) fn reap(&self) {
        if let Some(mut daemon) = self.daemon.lock().unwrap().take() {
            let _ = daemon.wait();
        }
    }

    /// The state in the `carp:` line of `interface`.
    pub fn state(&self, interface: &str) -> String {
        let done = self.finish(&mut self.command(&["ifconfig", interface]));
        let line = done
            .out
            .lines()
            .find_map(|l| l.trim_start().strip_prefix("carp: "));
        line.and_then(|l| l.split_whitespace().next())
            .unwrap_or("none")
            .to_owned()
    }

    /// Tells the plane to a daemon that was started by a command, or starts one.
    pub fn choose_plane(&self) {
        self.ok(&format!("sysctl -q net.inet.carp.dataplane={}", self.plane));
    }

    /// Waits for a state.
    #[track_caller]
    pub fn until_state(&self, interface: &str, state: &str) {
        let reached = until(SOON, || self.state(interface) == state);
        assert!(
            reached,
            "{}: {interface} is {}, not {state}; {}",
            self.name,
            self.state(interface),
            self.said()
        );
    }

    /// Becomes MASTER without waiting for the master-down time.
    #[track_caller]
    pub fn master(&self, interface: &str) {
        // With advbase 0 it may be MASTER already.
        let taking_part = until(SOON, || {
            matches!(self.state(interface).as_str(), "BACKUP" | "MASTER")
        });
        assert!(
            taking_part,
            "{}: {interface} is {}; {}",
            self.name,
            self.state(interface),
            self.said()
        );
        self.ok(&format!("ifconfig {interface} state master"));
        self.until_state(interface, "MASTER");
    }
}

/// Whether every thread has taken its SIGSTOP: one that runs does a little more.
fn stands(process: &Pid) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    tasks.flatten().all(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
        matches!(state, Some(b'T' | b'Z'))
    })
}
