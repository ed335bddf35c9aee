//! Ctrl-C and its kin as something to look at, so that whoever waits can leave in order; must not know what is cleaned up.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;

/// SIGINT, SIGTERM and SIGHUP of this process are queued here from its making on. Threads started earlier would still
/// die of them.
#[derive(Debug)]
pub struct Interrupt {
    queue: SignalFd,
}

impl Interrupt {
    /// Blocks the signals for this thread and those it will start. Children start with nothing blocked.
    ///
    /// # Errors
    /// Those of sigprocmask and signalfd.
    pub fn new() -> io::Result<Self> {
        let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
            .into_iter()
            .collect();
        signals.thread_block()?;
        Ok(Self {
            queue: SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?,
        })
    }

    /// True if one has arrived since the last call.
    #[must_use]
    pub fn arrived(&self) -> bool {
        matches!(self.queue.read_signal(), Ok(Some(_)))
    }
}
