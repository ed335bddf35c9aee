//! A host of the lab that runs the daemon and is given commands as a user would give them; must not know the events.

use super::report::Error;
use crate::control::path::Place;
use crate::lab::net::Host;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A daemon that takes longer to listen has failed.
const START: Duration = Duration::from_secs(10);
/// A polite daemon needs its linger after a goodbye and little more.
const STOP: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(2);
/// Lines of a daemon's log that are shown when it failed.
const TAIL: usize = 6;

/// The daemon of one host. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Node {
    name: &'static str,
    program: PathBuf,
    run: PathBuf,
    log: PathBuf,
    daemon: Option<Child>,
}

impl Node {
    /// Nothing runs yet. `scratch` will hold the run directory and the log.
    pub(super) fn new(name: &'static str, program: &Path, scratch: &Path) -> Self {
        let log = scratch.join(format!("{name}.log"));
        Self {
            name,
            program: program.to_owned(),
            run: run_directory(scratch),
            log,
            daemon: None,
        }
    }

    /// Starts `carp daemon` on `host` and waits until it listens: a command given earlier would start a second one.
    pub(super) fn start(
        &mut self,
        host: &Host,
        meanwhile: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let log = File::create(&self.log).map_err(Error::io("create log"))?;
        let mut command = self.command(&["daemon"]);
        command.stdout(Stdio::null()).stderr(log);
        let child = host
            .namespace()
            .try_run(|| command.spawn())?
            .map_err(Error::io("start daemon"))?;
        self.daemon = Some(child);
        let socket = Place::new(&self.run, host.namespace().inode()).socket();
        let until = Instant::now() + START;
        while UnixStream::connect(&socket).is_err() {
            let ended = self
                .daemon
                .as_mut()
                .is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if ended || Instant::now() > until {
                return Err(Error::Daemon {
                    host: self.name,
                    log: self.tail(),
                });
            }
            meanwhile()?;
            sleep(PAUSE);
        }
        Ok(())
    }

    /// Gives one command, the words after `carp`; the answer is what it printed.
    pub(super) fn carp(&self, host: &Host, words: &[&str]) -> Result<String, Error> {
        let mut command = self.command(words);
        let output = host
            .namespace()
            .try_run(|| command.output())?
            .map_err(Error::io("run carp"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr)
            .trim_end()
            .to_owned();
        Err(Error::Command {
            host: self.name,
            line: words.join(" "),
            said,
            log: self.tail(),
        })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        // A group of its own: Ctrl-C is for us, and we end the daemon.
        command
            .args(words)
            .env("CARP_RUN", &self.run)
            .stdin(Stdio::null())
            .process_group(0);
        command
    }

    /// `kill -9` of all its processes, as when the host dies: its engine alone would say goodbye.
    pub(super) fn die(&mut self) {
        for engine in self.daemon.iter().flat_map(|child| engines(child.id())) {
            let _ = kill(engine, Signal::SIGKILL);
        }
        self.kill();
    }

    /// `kill -9` of what is its child.
    fn kill(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The last lines of the log.
    pub(super) fn tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    /// Asks it to end, and waits.
    fn stop(&mut self) {
        let Some(child) = &mut self.daemon else {
            return;
        };
        if let Ok(pid) = i32::try_from(child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let until = Instant::now() + STOP;
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
            sleep(PAUSE);
        }
        self.kill();
    }
}

/// The children of a daemon; none where the kernel does not tell (CONFIG_PROC_CHILDREN).
fn engines(daemon: u32) -> Vec<Pid> {
    let told = fs::read_to_string(format!("/proc/{daemon}/task/{daemon}/children"));
    let told = told.unwrap_or_default();
    let pids = told.split_whitespace().filter_map(|pid| pid.parse().ok());
    pids.map(Pid::from_raw).collect()
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What `CARP_RUN` is in the lab.
pub(super) fn run_directory(scratch: &Path) -> PathBuf {
    scratch.join("run")
}
