//! What a process gives up, and what it takes over from the one that started it; must not know what it does afterwards.

use super::capabilities::{self, Capability};
use super::{Error, Result};
use landlock::{
    ABI, Access, AccessFs, AccessNet, RestrictionStatus, Ruleset, RulesetAttr, RulesetError,
    RulesetStatus, Scope,
};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What ps(1) and top(1) call this process, instead of the `exe` of /proc/self/exe; at most 15 bytes.
pub fn be_called(name: &CStr) {
    // It is only a name.
    let _ = prctl::set_name(name);
}

/// Gives up every capability, for good: bounding, ambient, inheritable, permitted and effective sets empty, no new privileges by
/// executing anything, no core dump and no tracing by others; and goes on as `user`, in no other group than its own.
/// Descriptors that are open keep working: packet sockets, a TAP, netlink dumps and events; only changes through netlink and new
/// packet sockets are refused.
///
/// The sets are those of the calling thread and of threads that it starts from now on: call it before there are others.
///
/// # Errors
/// Of several steps some may have been taken then: end the process.
pub fn drop_privilege(user: Option<User>) -> Result<()> {
    let failed = |errno: Errno| Error::new("drop privilege", "", errno);
    prctl::set_no_new_privs().map_err(failed)?;
    capabilities::empty_bounding_set().map_err(failed)?;
    if let Some(User { uid, gid }) = user {
        setgroups(&[]).map_err(failed)?;
        setresgid(gid, gid, gid).map_err(failed)?;
        setresuid(uid, uid, uid).map_err(failed)?;
    }
    capabilities::clear().map_err(failed)?;
    hide_memory()
}

/// No core file, and no look into memory by others (ptrace(2), /proc).
///
/// # Errors
/// The kernel refused.
pub fn hide_memory() -> Result<()> {
    let failed = |errno: Errno| Error::new("hide memory", "", errno);
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(failed)?;
    prctl::set_dumpable(false).map_err(failed)
}

/// A process without privilege: who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// Never 0.
    pub uid: Uid,
    /// Its only group.
    pub gid: Gid,
}

impl User {
    /// The user of this name in `passwd`, a text as /etc/passwd; uid 65534, who is nobody, without one.
    #[must_use]
    pub fn named(name: &str, passwd: &str) -> Self {
        let found = passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let ours = fields.next() == Some(name);
            let mut number = || fields.nth(1)?.parse().ok();
            let uid: u32 = number().filter(|uid| ours && *uid != 0)?;
            let gid = line.split(':').nth(3)?.parse().ok()?;
            Some((uid, gid))
        });
        let (uid, gid) = found.unwrap_or((65534, 65534));
        Self {
            uid: Uid::from_raw(uid),
            gid: Gid::from_raw(gid),
        }
    }
}

/// Whether this process may become this user, who is of its user namespace, and could still be ended by its parent then.
///
/// # Errors
/// EPERM: a capability is missing, or a user namespace maps too little: which.
pub fn may_become(user: User) -> Result<()> {
    let denied = |what: String| Err(Error::new("become another user", what, Errno::EPERM));
    for needed in [Capability::Kill, Capability::Setgid, Capability::Setuid] {
        if !capabilities::has(&[needed]) {
            return denied(format!("without {needed}"));
        }
    }
    if !is_mapped(user) {
        let uid = user.uid;
        return denied(format!("with uid {uid} in this user namespace"));
    }
    Ok(())
}

/// Whether this number is a user's own in the user namespace of this process: all whom it does not know share one.
#[must_use]
pub fn knows_user(uid: u32) -> bool {
    const OVERFLOW: u32 = 65534;
    uid != OVERFLOW || maps("uid_map", uid)
}

/// Whether this user and group exist in the user namespace of this process, and lists of groups may be given up there.
fn is_mapped(user: User) -> bool {
    let listed =
        std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() != "deny");
    listed && maps("uid_map", user.uid.as_raw()) && maps("gid_map", user.gid.as_raw())
}

fn maps(file: &str, id: u32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/thread-self/{file}")).unwrap_or_default();
    text.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        let (first, count) = (numbers.next(), numbers.nth(1));
        matches!((first, count), (Some(Ok(first)), Some(Ok(count))) if id.wrapping_sub(first) < count)
    })
}

/// At most this many bytes of memory, everything counted that is mapped.
pub fn bound_memory(bytes: u64) -> Result<()> {
    setrlimit(Resource::RLIMIT_AS, bytes, bytes)
        .map_err(|errno| Error::new("bound", "memory", errno))
}

/// No file can be opened any more, no socket bound or connected by TCP, no signal sent to other processes, as far as this kernel's
/// Landlock (5.13 and later) knows of these. For the calling thread and those that it starts from now on.
///
/// # Errors
/// A kernel without it; nothing has changed then.
pub fn close_files() -> Result<()> {
    let failed = |error| Error::new("close", "file system", io::Error::other(error));
    let latest = ABI::V6;
    let restrict = || -> std::result::Result<RestrictionStatus, RulesetError> {
        let rules = Ruleset::default()
            .handle_access(AccessFs::from_all(latest))?
            .handle_access(AccessNet::from_all(latest))?
            .scope(Scope::from_all(latest))?;
        rules.create()?.restrict_self()
    };
    let status = restrict().map_err(failed)?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err(Error::new("close", "file system", Errno::ENOSYS));
    }
    Ok(())
}

/// Moves the calling thread, and those it starts from now on, into a network namespace with nothing in it.
pub fn enter_empty_netns() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|errno| Error::new("create network namespace", "", errno))
}

/// Leaves the session and the terminal of whoever started this process (setsid(2)).
pub fn detach() -> Result<()> {
    nix::unistd::setsid()
        .map(drop)
        .map_err(|errno| Error::new("start session", "", errno))
}

/// As many open descriptors as the hard limit allows: every carpN takes a handful, and there may be 255.
pub fn raise_descriptors() -> Result<()> {
    let failed = |errno: Errno| Error::new("raise limit", "of descriptors", errno);
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(failed)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(failed)
}

/// Closes what this process inherited by execve(2) at `first_fd` and above. What it has opened itself stays: all of that is
/// close-on-exec, and nothing that is can have been inherited.
pub fn close_inherited(first_fd: RawFd) -> Result<()> {
    const LIST: &str = "/proc/thread-self/fd";
    let failed = |error| Error::new("list descriptors", LIST, error);
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(LIST).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        numbers.extend(name.to_str().and_then(|text| text.parse::<RawFd>().ok()));
    }
    for number in numbers.into_iter().filter(|number| *number >= first_fd) {
        // Its Drop closes it. One that is ours, or is gone by now (that of the listing), is an error and stays.
        drop(inherited(number));
    }
    Ok(())
}

/// Takes a descriptor, not a standard one, that this process inherited by execve(2) under a number agreed upon; `EBADF` if
/// there is none.
/// From then on it is close-on-exec like all others.
pub fn inherited(number: RawFd) -> Result<OwnedFd> {
    let failed = |errno: Errno| Error::new("take descriptor", number.to_string(), errno);
    // Below are std's own.
    if number < 3 {
        return Err(failed(Errno::EBADF));
    }
    // SAFETY: used for fcntl(2) only, which answers EBADF if it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = FdFlag::from_bits_retain(fcntl(borrowed, FcntlArg::F_GETFD).map_err(failed)?);
    if flags.contains(FdFlag::FD_CLOEXEC) {
        return Err(failed(Errno::EBADF));
    }
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(failed)?;
    // SAFETY: it is open, and nobody in this process owns it: what we open is born close-on-exec, and what was taken here before
    // has been made so.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Has `command` start with this descriptor under this number, to be taken with [`inherited`].
/// `number` must be at least 3 and below 64.
pub fn pass_descriptor(
    command: &mut Command,
    descriptor: BorrowedFd<'_>,
    number: RawFd,
) -> Result<()> {
    /// Where the copies wait, so that placing one does not close another.
    const ABOVE: RawFd = 64;
    let failed = |errno: Errno| Error::new("pass descriptor", number.to_string(), errno);
    if !(3..ABOVE).contains(&number) {
        return Err(failed(Errno::EINVAL));
    }
    let copy = fcntl(descriptor, FcntlArg::F_DUPFD_CLOEXEC(ABOVE)).map_err(failed)?;
    // SAFETY: fcntl has just made it for us.
    let copy = unsafe { OwnedFd::from_raw_fd(copy) };
    let place = move || {
        // SAFETY: takes numbers only, in a child that is about to execute and owns nothing under `number`: the only descriptor
        // that std itself needs there, its pipe for errors, is replaced only if it happens to have this number.
        Errno::result(unsafe { libc::dup2(copy.as_raw_fd(), number) })
            .map(drop)
            .map_err(io::Error::from)
    };
    // SAFETY: `place` calls dup2(2) only, which is async-signal-safe.
    unsafe { command.pre_exec(place) };
    Ok(())
}
