//! What each process gives up, as far as it has it and the kernel lets it; must not know what it does afterwards.

use crate::linux::capabilities::{self, Capability};
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
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = User::named(USER, &passwd);
    let user = match sandbox::may_become(user) {
        Ok(()) => Some(user),
        Err(e) => {
            wish("has no user of its own", Err(e));
            None
        }
    };
    sandbox::drop_privilege(user).map_err(io::Error::other)?;
    wish("may open files", sandbox::close_files());
    Ok(missing)
}

/// What a parent needs to the end: interfaces, sockets and programs, and a word to engines of another user.
const PARENT: [Capability; 4] = [
    Capability::Kill,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::Bpf,
];
/// Without these there is no carp interface.
const NEEDED: [Capability; 2] = [Capability::NetAdmin, Capability::NetRaw];
/// What engines give up their rights with; root's get it by being executed.
const GIVING_UP: [Capability; 4] = [
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::SysAdmin,
];

/// Whether the daemon has what it cannot do without.
///
/// # Errors
/// EPERM, and what is missing.
pub(super) fn check() -> io::Result<()> {
    let missing = NEEDED.into_iter().filter(|one| !capabilities::has(&[*one]));
    let missing: Vec<String> = missing.map(|one| one.to_string()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let why = format!("the daemon needs {}", missing.join(" and "));
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

/// The parent's part, once its run directory is made: capabilities, core files. The bounding set stays, for engines and for what
/// an admin has it run. What it keeps that it should not, one line each.
pub(super) fn parent() -> Vec<String> {
    let mut kept = PARENT.to_vec();
    if !capabilities::come_by_executing() {
        kept.extend(GIVING_UP);
    } else if !capabilities::is_known(Capability::Bpf) {
        kept.push(Capability::SysAdmin);
    }
    let mut missing = Vec::new();
    for (what, done) in [
        ("keeps its capabilities", capabilities::keep_only(&kept)),
        ("may leave a core file", sandbox::hide_memory()),
    ] {
        if let Err(e) = done {
            missing.push(format!("the parent {what}: {e}"));
        }
    }
    missing
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
/// `log` hears what ended it should it try something else: where, and how a line begins.
pub fn finish(missing: &mut Vec<String>, log: Option<(OwnedFd, String)>) {
    let told = log.map(|(log, head)| (log, head + "no engine may make system call "));
    if let Err(e) = syscalls::confine(told) {
        missing.push(format!("the engine may use all system calls: {e}"));
    }
}
