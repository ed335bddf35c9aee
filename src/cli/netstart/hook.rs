//! Runs the commands of a file that only root can have written; must not know what they are for.
#![forbid(unsafe_code)]

use super::{Failed, NAME};
use crate::carp::config::Unit;
use crate::cli::{reason, warn};
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs one command to its end, by a shell in which `$if` is the interface. Its output is ours.
///
/// # Errors
/// It could not be run, or did not succeed; that was said.
pub fn run(path: &Path, number: usize, unit: Unit, command: &OsStr) -> Result<(), Failed> {
    let mut shell = Command::new("/bin/sh");
    shell
        .arg("-c")
        .arg(command)
        .env("if", unit.to_string())
        .current_dir("/")
        .stdin(Stdio::null());
    let why = match shell.status() {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => status.to_string(),
        Err(error) => reason(&error),
    };
    let place = format!("{}:{number}", path.display());
    warn(
        NAME,
        &format!("{place}: !{}: {why}", command.to_string_lossy()),
    );
    Err(Failed)
}
