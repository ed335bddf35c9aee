//! In BSD the kernel is always there; here a command that configures starts the daemon; must not know what the daemon does.
//!
//! Through systemd where it runs this host and has carpd's unit, else by executing ourselves. The child's standard output is
//! a pipe on which it tells in one line ([`Started`]) that it is ready, or why it is not.
#![forbid(unsafe_code)]

use super::{because, plain, reason, unanswered};
use crate::control::path;
use crate::control::socket::{Client, Error, PATIENCE};
use crate::control::started::{LINE_MAX, Started};
use crate::control::{Change, Refusal, Reply, Request};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Uid;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// The unit that systemd knows us by.
const UNIT: &str = "carpd.service";
/// Where systemd finds units, first match first (systemd.unit(5)).
const UNIT_DIRS: [&str; 6] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator",
];
/// What of the environment a daemon gets: all that decides about its run directory, and a path for its children.
const KEPT: [&str; 3] = ["CARP_RUN", "XDG_RUNTIME_DIR", "PATH"];
/// Between two tries to connect to a daemon that is about to listen.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a daemon that was started is looked for before it is started again.
const LOOK: Duration = Duration::from_millis(300);
/// How long a daemon that ends, or was killed, may need until nobody listens on its socket.
const ENDING: Duration = Duration::from_secs(3);
/// CAP_NET_ADMIN of capability.h.
const CAP_NET_ADMIN: u32 = 12;

/// Asks for a change: of the daemon that runs, else of one that is started for it.
///
/// # Errors
/// Without the privilege BSD's text for the request; else why no daemon came up, or what its answer lacked.
pub fn ask(request: &Request) -> Result<Reply, Refusal> {
    let until = Instant::now() + PATIENCE;
    loop {
        let client = match Client::find() {
            Err(Error::NotRunning) => daemon(request, until)?,
            client => client.map_err(|error| unanswered(&error))?,
        };
        match client.ask(request) {
            // The line before this one may have destroyed its last interface: it was about to end, and did nothing. If it was
            // killed, nothing is left of what it did. If only its engine was, the next one may have gone on from there.
            Err(Error::Closed) if Instant::now() < until && look(&Request::Settings)?.is_none() => {
            }
            reply => return reply.map_err(|error| unanswered(&error)),
        }
    }
}

/// Asks what changes nothing; `None` where no daemon runs: none is started to be looked at.
///
/// # Errors
/// The daemon cannot be asked.
pub fn look(request: &Request) -> Result<Option<Reply>, Refusal> {
    let until = Instant::now() + ENDING;
    loop {
        match Client::find().and_then(|client| client.ask(request)) {
            Err(Error::NotRunning) => return Ok(None),
            // It ends, was killed and the kernel has not closed its socket yet, or has another engine to ask.
            Err(Error::Closed) if Instant::now() < until => thread::sleep(PAUSE),
            asked => return asked.map(Some).map_err(|error| unanswered(&error)),
        }
    }
}

/// Starts a daemon and connects to it, or to the one that another command started meanwhile.
fn daemon(request: &Request, until: Instant) -> Result<Client, Refusal> {
    if !privileged() {
        return Err(request.denied());
    }
    // Where no daemon is there is nothing to be destroyed; none is started to say so.
    if matches!(request, Request::Apply { changes, .. } if changes == &[Change::Destroy]) {
        return Err(plain("SIOCIFDESTROY: Device not configured"));
    }
    while Instant::now() < until {
        if under_systemd() {
            through_systemd()?
        } else {
            by_ourselves(until)?
        }
        // Another daemon that holds the lock may be about to listen, or about to end: look for a while, then start again.
        let look_until = until.min(Instant::now() + LOOK);
        while Instant::now() < look_until {
            match Client::find() {
                Err(Error::NotRunning) => thread::sleep(PAUSE),
                client => return client.map_err(|error| unanswered(&error)),
            }
        }
    }
    Err(plain("the carp daemon was started but does not answer"))
}

/// Could a daemon of ours do anything? root may lack rights over the network namespace all the same: then it says so itself.
fn privileged() -> bool {
    let status = || fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    Uid::effective().is_root() || has_net_admin(&status())
}

/// The line `CapEff:` of proc(5) has CAP_NET_ADMIN.
fn has_net_admin(status: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    bits.is_some_and(|bits| bits >> CAP_NET_ADMIN & 1 == 1)
}

/// systemd's daemon is the host's: not that of another namespace, of another run directory, or of a user.
fn under_systemd() -> bool {
    Uid::effective().is_root()
        && env::var_os("CARP_RUN").is_none()
        && Path::new("/run/systemd/system").is_dir()
        && UNIT_DIRS
            .iter()
            .any(|dir| Path::new(dir).join(UNIT).exists())
        && fs::metadata("/proc/1/ns/net")
            .is_ok_and(|host| path::namespace().is_ok_and(|own| own == host.ino()))
}

fn through_systemd() -> Result<(), Refusal> {
    let mut systemctl = Command::new("systemctl");
    systemctl
        .args(["start", UNIT])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match systemctl.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(because(
            format!("{UNIT} did not start"),
            format!("systemctl: {status}; see journalctl -u {UNIT}"),
        )),
        Err(error) => Err(because(
            format!("{UNIT} did not start"),
            format!("systemctl: {}", reason(&error)),
        )),
    }
}

/// Executes this program as `carpd --autostarted`.
fn by_ourselves(until: Instant) -> Result<(), Refusal> {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("carpd")
        .arg("--autostarted")
        .current_dir("/")
        .env_clear();
    command.envs(
        KEPT.iter()
            .filter_map(|name| env::var_os(name).map(|value| (name, value))),
    );
    reported(command, until)
}

/// Runs the command and waits for its line; the child goes on when it is ready.
fn reported(mut command: Command, until: Instant) -> Result<(), Refusal> {
    let failed = |why: String| because("the carp daemon did not start", why);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| failed(reason(&error)))?;
    let pipe = child
        .stdout
        .take()
        .expect("standard output was made a pipe above");
    let line = line(pipe, until).map_err(|error| failed(reason(&error)))?;
    match Started::read(&line) {
        // Busy: another command was faster, the caller connects to its daemon.
        Some(Started::Ready | Started::Busy) => Ok(()),
        Some(Started::Failed(refusal)) => Err(refusal),
        None if line.is_empty() => {
            let status = child.wait().map_err(|error| failed(reason(&error)))?;
            Err(failed(format!("it ended early, {status}")))
        }
        None => Err(failed(String::from_utf8_lossy(&line).trim_end().to_owned())),
    }
}

/// What comes before a newline or the end, within the time.
fn line(mut pipe: ChildStdout, until: Instant) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    while line.len() < LINE_MAX && line.last() != Some(&b'\n') {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let readable = match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], timeout) {
            Err(nix::errno::Errno::EINTR) => continue,
            readable => readable?,
        };
        if readable == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long"));
        }
        let mut some = [0; 512];
        match pipe.read(&mut some)? {
            0 => break,
            n => line.extend_from_slice(&some[..n]),
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What a daemon that is this shell script comes to.
    fn script_within(limit: Duration, text: &str) -> Result<(), Refusal> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", text]);
        reported(shell, Instant::now() + limit)
    }

    fn script(text: &str) -> Result<(), Refusal> {
        script_within(Duration::from_secs(20), text)
    }

    #[test]
    fn a_child_is_ready_when_it_says_so_and_need_not_end() {
        let before = Instant::now();
        assert_eq!(script("echo '\"ready\"'; exec sleep 9"), Ok(()));
        assert!(before.elapsed() < Duration::from_secs(8));
        assert_eq!(script("printf '\"rea'; sleep 0.1; echo 'dy\"'"), Ok(()));
        assert_eq!(script("echo '\"busy\"'; exit 1"), Ok(()));
    }

    #[test]
    fn a_childs_own_words_reach_the_user() {
        let refusal = because("SIOCIFCREATE: No such device", "/dev/net/tun is missing");
        let mut told = Vec::new();
        Started::Failed(refusal.clone()).report(&mut told).unwrap();
        assert_eq!(
            script(&format!(
                "echo '{}'; exit 1",
                String::from_utf8(told).unwrap().trim()
            )),
            Err(refusal)
        );
        let failed = |why: &str| Err(because("the carp daemon did not start", why));
        assert_eq!(script("echo panicked; exit 101"), failed("panicked"));
        assert_eq!(script("exit 3"), failed("it ended early, exit status: 3"));
        assert_eq!(
            script("kill -9 $$"),
            failed("it ended early, signal: 9 (SIGKILL)")
        );
        assert_eq!(
            script_within(Duration::from_millis(200), "exec sleep 3"),
            failed("it took too long")
        );
    }

    #[test]
    fn a_child_that_talks_on_is_cut() {
        let Err(refusal) = script("exec yes | tr -d '\\n'") else {
            panic!("taken for a daemon")
        };
        assert!(refusal.why.is_some_and(|why| why.len() < 2 * LINE_MAX));
    }

    #[test]
    fn the_capability_is_bit_twelve() {
        assert!(has_net_admin(
            "Name:\tx\nCapInh:\t0000000000000000\nCapEff:\t0000000000001000\n"
        ));
        assert!(!has_net_admin(
            "CapPrm:\t0000000000001000\nCapEff:\t0000000000002000\n"
        ));
        assert!(!has_net_admin(""));
    }
}
