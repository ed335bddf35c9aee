//! The new program in the old one's place: it takes what the letter lists; must not know how the old engine gives way.

use super::letter::Letter;
use super::{Phase, Upgrades};
use crate::daemon::confine::Nowhere;
use crate::daemon::door::serve::Door;
use crate::daemon::process::Process;
use crate::linux::channel::Channel;
use crate::linux::pass::Number;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};

/// What a parent goes on with.
#[derive(Debug)]
pub(in crate::daemon) struct Succession {
    /// The release before.
    pub(in crate::daemon) build: String,
    pub(in crate::daemon) door: Door,
    /// The engine of the release before, which serves.
    pub(in crate::daemon) engine: Process,
    /// This parent understands it.
    pub(in crate::daemon) speaks: bool,
    pub(in crate::daemon) nowhere: Nowhere,
    pub(in crate::daemon) upgrades: Upgrades,
}

impl Succession {
    /// Takes everything: before that the process is to open nothing, as numbers are all that it knows.
    ///
    /// # Errors
    /// Something is not there. Interfaces go when the process ends.
    pub(in crate::daemon) fn take(number: Number) -> io::Result<Self> {
        let taken = |number: Number| number.take().map_err(io::Error::other);
        let letter = Letter::open(taken(number)?)?;
        let (pid, channel) = letter.engine;
        let nowhere: Option<OwnedFd> = letter.nowhere.map(taken).transpose()?;
        Ok(Self {
            speaks: letter.head.speaks(),
            build: letter.head.build,
            door: Door::inherited(letter.holdings)?,
            engine: Process::inherited(pid, Channel::from(taken(channel)?)),
            nowhere: Nowhere::inherited(nowhere),
            upgrades: Upgrades {
                listener: Some(UnixListener::from(taken(letter.listener)?)),
                usual: letter.path,
                phase: Phase::Done(UnixStream::from(taken(letter.asker)?)),
            },
        })
    }
}
