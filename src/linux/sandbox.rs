//! What a process gives up, and what it takes over from the one that started it; must not know what it does afterwards.

use super::{Error, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// _LINUX_CAPABILITY_VERSION_3 of capability.h: two words a set.
const VERSION_3: u32 = 0x2008_0522;

/// capset(2)'s header.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}

/// capset(2)'s sets, one word of each.
#[repr(C)]
#[derive(Clone, Copy)]
struct CapabilitySets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Gives up every capability, for good: bounding, ambient, inheritable, permitted and effective sets empty, no new privileges by
/// executing anything, no core dump and no tracing by others. Descriptors that are open keep working: packet sockets, a TAP, netlink
/// dumps and events; only changes through netlink and new packet sockets are refused.
///
/// The sets are those of the calling thread and of threads that it starts from now on: call it before there are others.
pub fn drop_privilege() -> Result<()> {
    let failed = |errno: Errno| Error::new("drop privilege", "", errno);
    prctl::set_no_new_privs().map_err(failed)?;
    drop_bounding_set().map_err(failed)?;
    clear_ambient_set().map_err(failed)?;
    let header = CapabilityHeader {
        version: VERSION_3,
        pid: 0,
    };
    let sets = [CapabilitySets {
        effective: 0,
        permitted: 0,
        inheritable: 0,
    }; 2];
    // SAFETY: both point to live structures of the layout and number that version 3 of the interface reads.
    let outcome = unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) };
    Errno::result(outcome).map_err(failed)?;
    prctl::set_dumpable(false).map_err(failed)
}

fn drop_bounding_set() -> nix::Result<()> {
    for capability in 0..libc::c_ulong::from(u8::MAX) {
        // SAFETY: takes numbers only. An unknown capability, the end of the list, is EINVAL.
        let held = unsafe { libc::prctl(libc::PR_CAPBSET_READ, capability, 0, 0, 0) };
        match Errno::result(held) {
            Err(Errno::EINVAL) => return Ok(()),
            Err(errno) => return Err(errno),
            Ok(0) => continue,
            Ok(_) => {}
        }
        // SAFETY: takes numbers only.
        let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        match Errno::result(dropped) {
            // Without CAP_SETPCAP the bound stays; with no new privileges it bounds nothing.
            Err(Errno::EPERM) => return Ok(()),
            outcome => outcome.map(drop)?,
        }
    }
    Ok(())
}

fn clear_ambient_set() -> nix::Result<()> {
    let clear = libc::c_long::from(libc::PR_CAP_AMBIENT_CLEAR_ALL);
    // SAFETY: takes numbers only.
    let outcome = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, clear, 0, 0, 0) };
    Errno::result(outcome).map(drop)
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
