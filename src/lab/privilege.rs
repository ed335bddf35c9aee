//! The right to make namespaces, for whoever is not root; must not know what they are for.

use crate::linux::{Error, Result, userns};
use nix::unistd::Uid;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Returns at once for root. Anybody else becomes root of a user namespace, by executing this program again with the same
/// arguments; call it before any thread is started.
///
/// # Errors
/// When the system has no user namespaces for this user.
pub fn obtain() -> Result<()> {
    if Uid::effective().is_root() {
        return Ok(());
    }
    let failed = |source| Error::new("demo without root needs a user namespace", "", source);
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.args(std::env::args_os().skip(1));
    userns::become_root(&mut command);
    // exec returns only if it failed.
    Err(failed(command.exec()))
}
