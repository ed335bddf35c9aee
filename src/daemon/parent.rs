//! The process that keeps the privilege: starts the engine's, serves its door, passes signals on; must not know the protocol.

use super::Options;
use super::confine::{self, Nowhere};
use super::door::How;
use super::door::serve::Door;
use super::log::{Log, level};
use super::start::PANICKED;
use crate::control::path;
use crate::linux::channel::Channel;
use crate::linux::{clock, random};
use crate::time::Instant;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;
use std::{fmt, io};

/// After so many milliseconds without an order the next engine is started.
const QUIET: u16 = 200;
/// So many engines may die within [`WHILE`] before the next ones wait.
const DEATHS: usize = 8;
const WHILE: Duration = Duration::from_secs(10);
/// The first wait and the longest; each is twice the one before.
const PAUSE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// Runs until an engine has ended as it should. One that dies has a successor at once. Failure: it said itself why.
///
/// # Errors
/// What kept it from starting, or the door from working.
pub(super) fn keep(options: Options, log: &Log) -> io::Result<ExitCode> {
    confine::check()?;
    let signals = Signals::take()?;
    let mut door = open_door()?;
    let mut keeper = Keeper {
        options,
        signals,
        nowhere: Nowhere::new(),
        spare: None,
        confined: false,
        log,
    };
    let mut crashes = Crashes::default();
    let ended = loop {
        match keeper.run_one(&mut door)? {
            End::Died(status) if door.ready => {
                let next = crashes.another(clock::now());
                log.line(
                    level::CRIT,
                    &format!("the engine ended with {status}: {next}"),
                );
                if !keeper.follow(&mut door, next)? {
                    break Ok(ExitCode::FAILURE);
                }
            }
            End::Died(status) => {
                break Err(io::Error::other(format!("the engine ended with {status}")));
            }
            End::Code(0) => break Ok(ExitCode::SUCCESS),
            End::Code(_) => break Ok(ExitCode::FAILURE),
        }
    };
    door.close();
    if let Some(Process { mut child, channel }) = keeper.spare {
        // It ends when nobody answers its first order.
        drop(channel);
        let _ = child.wait();
    }
    ended
}

/// What every engine is started with, and the next one.
struct Keeper<'a> {
    options: Options,
    signals: Signals,
    nowhere: Nowhere,
    /// It has begun and waits for the answer to its first order, so that it goes on at once.
    spare: Option<Process>,
    /// It has given up what it needs no longer.
    confined: bool,
    log: &'a Log,
}

/// An engine and the far end of its channel.
struct Process {
    child: Child,
    channel: Channel,
}

impl Keeper<'_> {
    /// Prepares for the next engine. False: the daemon is to end.
    fn follow(&mut self, door: &mut Door, next: Next) -> io::Result<bool> {
        let Next::After(pause) = next else {
            door.how = How::GoOn;
            return Ok(true);
        };
        door.how = How::Leave;
        // Should it die as well, nobody hears a goodbye.
        let _ = self.run_one(door)?;
        door.disown();
        door.how = How::Anew;
        Ok(!self.signals.within(pause)?)
    }

    /// One engine, from its start to its end.
    fn run_one(&mut self, door: &mut Door) -> io::Result<End> {
        let waiting = self.spare.take();
        let alive = |spare: &mut Process| matches!(spare.child.try_wait(), Ok(None));
        let (mut child, channel) =
            match waiting.and_then(|mut spare| alive(&mut spare).then_some(spare)) {
                Some(Process { child, channel }) => (child, channel),
                None => {
                    let Process { child, channel } = self.start(door.ready)?;
                    (child, channel)
                }
            };
        if self.options.autostarted && !door.ready {
            // The command that waits for a line gets the engine's.
            close_stdout()?;
        }
        let served = self.attend(door, &child, &channel);
        if served.is_err() {
            // It said what no engine of ours says.
            let _ = child.kill();
        }
        drop(channel);
        let status = child.wait()?;
        Ok(match status.code() {
            Some(PANICKED) | None if !matches!(served, Ok(true)) => End::Died(status),
            code => End::Code(code.unwrap_or(1)),
        })
    }

    /// The same program, even if its file was replaced meanwhile. It has its own process group: who types ^C at a terminal means us.
    fn start(&self, again: bool) -> io::Result<Process> {
        let (near, channel) = Channel::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("carp").arg("engine");
        if self.options.autostarted {
            command.arg("--autostarted");
        }
        command.args(["--dataplane", self.options.dataplane.word()]);
        command.process_group(0).stdin(OwnedFd::from(near));
        if again {
            command.stdout(Stdio::null());
        }
        self.nowhere.pass_to(&mut command)?;
        let child = command.spawn()?;
        Ok(Process { child, channel })
    }

    /// Performs what an engine orders until it hangs up. SIGTERM and SIGINT are its: it says goodbye, then asks for the end.
    /// True: one of them came.
    fn attend(&mut self, door: &mut Door, child: &Child, channel: &Channel) -> io::Result<bool> {
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        let mut told = false;
        loop {
            let (asked, signalled) = match self.wait(channel, door.ready)? {
                Some(which) => which,
                None => {
                    // The host is busy if it fails; then the next one starts when it is needed.
                    self.spare = self.start(true).ok();
                    continue;
                }
            };
            if signalled && self.signals.0.read_signal()?.is_some() {
                // It may have ended by itself; that shows right after.
                let _ = kill(pid, Signal::SIGTERM);
                told = true;
            }
            if asked && !perform(door, channel)? {
                return Ok(told);
            }
            if door.ready && !std::mem::replace(&mut self.confined, true) {
                for line in confine::parent() {
                    self.log.line(level::NOTICE, &line);
                }
            }
        }
    }

    /// Waits for an order and for a signal. `None`: there was time for a spare.
    fn wait(&self, channel: &Channel, ready: bool) -> io::Result<Option<(bool, bool)>> {
        let patience = match &self.spare {
            None if ready => QUIET.into(),
            _ => PollTimeout::NONE,
        };
        let [channel, signals] = [channel.as_fd(), self.signals.0.as_fd()];
        let mut waited = [channel, signals].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut waited, patience) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some((
                waited[0].any() == Some(true),
                waited[1].any() == Some(true),
            ))),
            Err(Errno::EINTR) => Ok(Some((false, false))),
            Err(e) => Err(e.into()),
        }
    }
}

/// One order. False: the engine has hung up.
fn perform(door: &mut Door, channel: &Channel) -> io::Result<bool> {
    match channel.recv()? {
        Some((message, _)) => door.answer(channel, &message),
        None => Ok(false),
    }
}

/// What becomes of a dead engine's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    AtOnce,
    After(Duration),
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtOnce => f.write_str("another one goes on"),
            Self::After(pause) => write!(
                f,
                "that is too often: goodbye, and another one begins in {} s, demoted",
                pause.as_secs()
            ),
        }
    }
}

/// When engines died of late.
#[derive(Debug, Default)]
struct Crashes {
    recent: VecDeque<Instant>,
    pause: Option<Duration>,
}

impl Crashes {
    fn another(&mut self, now: Instant) -> Next {
        if self
            .recent
            .back()
            .is_some_and(|last| now.since(*last) > WHILE + PAUSE[1])
        {
            self.pause = None;
        }
        self.recent.retain(|at| now.since(*at) <= WHILE);
        self.recent.push_back(now);
        if self.recent.len() <= DEATHS {
            return Next::AtOnce;
        }
        self.recent.clear();
        let pause = self.pause.map_or(PAUSE[0], |last| PAUSE[1].min(last * 2));
        self.pause = Some(pause);
        Next::After(pause)
    }
}

/// How an engine ended.
enum End {
    /// With this status: it wanted to.
    Code(i32),
    /// By a signal, or because it panicked.
    Died(ExitStatus),
}

/// `carp door`: serves an engine that somebody else started.
pub(super) fn serve(channel: &Channel) -> io::Result<()> {
    let mut door = open_door()?;
    let served = loop {
        match perform(&mut door, channel) {
            Ok(true) => {}
            served => break served,
        }
    };
    door.close();
    served.map(drop)
}

/// In the namespace and the run directory of this process.
fn open_door() -> io::Result<Door> {
    // Others may look, whatever umask the caller had: it would take their way to the socket.
    let _ = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    Door::new(path::for_daemon()?, random::nonzero_u32()?)
}

/// What ends the daemon, as something that can be waited for.
struct Signals(SignalFd);

impl Signals {
    /// Waits for one. False: none came.
    fn within(&self, span: Duration) -> io::Result<bool> {
        let until = clock::now() + span;
        loop {
            let left = u16::try_from(until.since(clock::now()).as_millis()).unwrap_or(u16::MAX);
            let mut waited = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waited, left) {
                Err(Errno::EINTR) => {}
                outcome => return Ok(outcome? > 0),
            }
        }
    }

    /// A child inherits the mask, and unblocks them when it is ready for them.
    fn take() -> io::Result<Self> {
        let mut ends = SigSet::empty();
        ends.add(Signal::SIGTERM);
        ends.add(Signal::SIGINT);
        ends.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&ends, flags)?))
    }
}

/// Standard output leads nowhere from now on.
pub(super) fn close_stdout() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    nix::unistd::dup2_stdout(&null)?;
    Ok(())
}
