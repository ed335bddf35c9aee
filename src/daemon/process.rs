//! An engine's process as its parent has it: started or inherited, waited for, ended; must not know what it says.

use super::confine::Nowhere;
use super::start::Options;
use crate::linux::channel::Channel;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};

/// A child of this process, and the far end of its channel.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    pub(super) channel: Channel,
}

impl Process {
    /// The same program, even if its file was replaced meanwhile. It has its own process group: who types ^C at a terminal means
    /// us. `again`: nobody waits for a line of it.
    pub(super) fn start(options: Options, nowhere: &Nowhere, again: bool) -> io::Result<Self> {
        let (near, channel) = Channel::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("carp").arg("engine");
        if options.autostarted {
            command.arg("--autostarted");
        }
        command.args(["--dataplane", options.dataplane.word()]);
        command.process_group(0).stdin(OwnedFd::from(near));
        if again {
            command.stdout(Stdio::null());
        }
        nowhere.pass_to(&mut command)?;
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        Ok(Self::inherited(pid, channel))
    }

    /// One that the program started in whose place this one is.
    pub(super) const fn inherited(pid: i32, channel: Channel) -> Self {
        Self {
            pid: Pid::from_raw(pid),
            channel,
        }
    }

    /// Its number.
    pub(super) const fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// It may have ended by itself; that shows right after.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = kill(self.pid, signal);
    }

    pub(super) fn lives(&self) -> bool {
        matches!(
            waitpid(self.pid, Some(WaitPidFlag::WNOHANG)),
            Ok(WaitStatus::StillAlive)
        )
    }

    /// Hangs up and waits for its end. One that reads then ends by itself.
    pub(super) fn end(self) -> io::Result<ExitStatus> {
        let Self { pid, channel } = self;
        drop(channel);
        loop {
            match waitpid(pid, None) {
                Ok(WaitStatus::Exited(_, code)) => return Ok(ExitStatus::from_raw(code << 8)),
                Ok(WaitStatus::Signaled(_, signal, _)) => {
                    return Ok(ExitStatus::from_raw(signal as i32));
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
