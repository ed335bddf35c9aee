//! The process that keeps the privilege: starts the engine's, serves its door, passes signals on; must not know the protocol.

use super::Options;
use super::door::serve::Door;
use crate::control::path;
use crate::linux::channel::Channel;
use crate::linux::random;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode};

/// Runs until the engine has ended. Failure: it said itself why.
///
/// # Errors
/// What kept it from starting, or the door from working.
pub(super) fn keep(options: Options) -> io::Result<ExitCode> {
    let signals = Signals::take()?;
    let mut door = open_door()?;
    let (near, far) = Channel::pair()?;
    let mut engine = start(options, near)?;
    if options.autostarted {
        // The command that waits for a line gets the engine's.
        close_stdout()?;
    }
    let pid = Pid::from_raw(i32::try_from(engine.id()).map_err(io::Error::other)?);
    let served = attend(&mut door, &far, Some((&signals, pid)));
    drop(far);
    if served.is_err() {
        // It said what no engine of ours says.
        let _ = engine.kill();
    }
    let status = engine.wait()?;
    door.close();
    served?;
    match status.code() {
        Some(0) => Ok(ExitCode::SUCCESS),
        Some(_) => Ok(ExitCode::FAILURE),
        None => Err(io::Error::other(format!("the engine ended with {status}"))),
    }
}

/// `carp door`: serves an engine that somebody else started.
pub(super) fn serve(channel: &Channel) -> io::Result<()> {
    let mut door = open_door()?;
    let served = attend(&mut door, channel, None);
    door.close();
    served
}

/// In the namespace and the run directory of this process.
fn open_door() -> io::Result<Door> {
    // Others may look, whatever umask the caller had: it would take their way to the socket.
    let _ = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    Door::new(path::for_daemon()?, random::nonzero_u32()?)
}

/// The same program, even if its file was replaced meanwhile. It has its own process group: who types ^C at a terminal means us.
fn start(options: Options, near: Channel) -> io::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("carp").arg("engine");
    if options.autostarted {
        command.arg("--autostarted");
    }
    command.args(["--dataplane", options.dataplane.word()]);
    command.process_group(0).stdin(OwnedFd::from(near));
    command.spawn()
}

/// Performs what an engine orders until it hangs up. SIGTERM and SIGINT are its: it says goodbye, then asks for the end.
fn attend(door: &mut Door, channel: &Channel, engine: Option<(&Signals, Pid)>) -> io::Result<()> {
    loop {
        let mut waited = vec![PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
        waited.extend(engine.map(|(signals, _)| PollFd::new(signals.0.as_fd(), PollFlags::POLLIN)));
        match poll(&mut waited, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            outcome => outcome?,
        };
        let ready = |at: usize| waited.get(at).and_then(PollFd::any).unwrap_or(false);
        let (asked, signalled) = (ready(0), ready(1));
        if let Some((signals, pid)) = engine.filter(|_| signalled)
            && signals.0.read_signal()?.is_some()
        {
            // It may have ended by itself; that shows right after.
            let _ = kill(pid, Signal::SIGTERM);
        }
        if asked {
            let Some((message, _)) = channel.recv()? else {
                return Ok(());
            };
            if !door.answer(channel, &message)? {
                return Ok(());
            }
        }
    }
}

/// What ends the daemon, as something that can be waited for.
struct Signals(SignalFd);

impl Signals {
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
