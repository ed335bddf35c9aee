//! What the engine's process gives up, as far as it has it and the kernel lets it; must not know what it does afterwards.

use crate::linux::netns::Namespace;
use crate::linux::sandbox::{self, User};
use crate::linux::{Error, syscalls};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::process::Command;

/// The number under which a parent passes the namespace.
const NAMESPACE: RawFd = 3;

/// Whose process the engine is, if there is such a user.
const USER: &str = "_carp";
/// All that an engine may map, in bytes: 255 groups need a tenth of it.
const MEMORY: u64 = 1 << 30;

/// Before anything else is begun: network, user, capabilities, files, memory. What is missing here, one line each.
///
/// # Errors
/// Privilege could not be given up.
pub fn begin() -> io::Result<Vec<String>> {
    let mut missing = Vec::new();
    let mut wish = |what: &str, done: Result<(), Error>| {
        if let Err(e) = done {
            missing.push(format!("the engine {what}: {e}"));
        }
    };
    wish("sees this network", leave_network());
    wish("may map all memory", sandbox::bound_memory(MEMORY));
    let user = sandbox::may_change_user().then(|| {
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        User::named(USER, &passwd)
    });
    // In a user namespace that has no other there is none to become.
    let alone = user.is_some_and(|user| !sandbox::is_mapped(user));
    sandbox::drop_privilege(user.filter(|_| !alone)).map_err(io::Error::other)?;
    wish("may open files", sandbox::close_files());
    Ok(missing)
}

/// A network namespace with nothing in it, for all engines of a parent: to make one and to remove it takes the kernel its time.
#[derive(Debug)]
pub(super) struct Nowhere(Option<Namespace>);

impl Nowhere {
    /// Without the right to make one there is none, and engines say so.
    pub(super) fn new() -> Self {
        Self(Namespace::new().ok())
    }

    /// Each engine makes its own.
    pub(super) const fn none() -> Self {
        Self(None)
    }

    /// The one that another program has passed.
    pub(super) fn inherited(descriptor: Option<OwnedFd>) -> Self {
        Self(descriptor.and_then(|passed| Namespace::inherited(passed).ok()))
    }

    /// To pass it on.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(AsFd::as_fd)
    }

    /// Passes it to an engine about to start.
    pub(super) fn pass_to(&self, command: &mut Command) -> io::Result<()> {
        let pass =
            |nowhere: &Namespace| sandbox::pass_descriptor(command, nowhere.as_fd(), NAMESPACE);
        self.0
            .as_ref()
            .map_or(Ok(()), pass)
            .map_err(io::Error::other)
    }
}

fn leave_network() -> Result<(), Error> {
    match sandbox::inherited(NAMESPACE) {
        Ok(passed) => Namespace::inherited(passed)?.enter(),
        Err(_) => sandbox::enter_empty_netns(),
    }
}

/// When everything is open, and before anybody is listened to.
pub fn finish(missing: &mut Vec<String>) {
    if let Err(e) = syscalls::confine() {
        missing.push(format!("the engine may use all system calls: {e}"));
    }
}
