//! Root's powers in namespaces of one's own, for tests on a system where one is not root; must not know what is tested.

use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use std::ffi::CStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Has `command` start as root of a new user namespace, in a new network namespace of it. Where the system does not
/// allow that, starting the command fails.
pub fn become_root(command: &mut Command) {
    let uid_map = format!("0 {} 1", nix::unistd::geteuid());
    let gid_map = format!("0 {} 1", nix::unistd::getegid());
    let enter = move || {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
        // Group lists must be given up before an unprivileged process may map its group (user_namespaces(7)).
        put(c"/proc/self/setgroups", b"deny")?;
        put(c"/proc/self/uid_map", uid_map.as_bytes())?;
        put(c"/proc/self/gid_map", gid_map.as_bytes())
    };
    // SAFETY: `enter` does unshare(2), open(2), write(2) and close(2) on memory that was allocated before: async-signal-safe.
    unsafe { command.pre_exec(enter) };
}

fn put(path: &CStr, text: &[u8]) -> io::Result<()> {
    let file = open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    // These files take one write, whole.
    nix::unistd::write(&file, text)?;
    Ok(())
}
