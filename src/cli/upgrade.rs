//! `carp upgrade`: has the running daemon go on as the program that is installed now; must not know how.
#![forbid(unsafe_code)]

use super::{because, plain, reason, refuse, unanswered};
use crate::control::Refusal;
use crate::control::path;
use crate::control::socket::Error;
use crate::control::upgrade::{Upgrade, Upgraded};
use std::path::{self as std_path, PathBuf};
use std::process::ExitCode;

/// Under this name errors are printed.
const NAME: &str = "upgrade";

/// What `carp upgrade` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Do nothing when the daemon runs this very file
    #[arg(long)]
    changed: bool,
    /// The program; without it the path that the daemon was started from, as it is now
    #[arg(value_name = "path", value_hint = clap::ValueHint::FilePath)]
    path: Option<PathBuf>,
}

/// Runs `upgrade`.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match upgrade(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => refuse(NAME, &refusal),
    }
}

fn upgrade(args: &Args) -> Result<(), Refusal> {
    let absolute = |path: &PathBuf| {
        std_path::absolute(path)
            .map_err(|error| because(path.display().to_string(), reason(&error)))
    };
    let upgrade = Upgrade {
        path: args.path.as_ref().map(absolute).transpose()?,
        changed: args.changed,
    };
    match upgrade.ask() {
        Ok(Upgraded::Done) => Ok(()),
        Ok(Upgraded::Refused(refusal)) => Err(refusal),
        Err(Error::NotRunning) if runs() => Err(plain(
            "the carp daemon that runs here cannot be upgraded without a restart",
        )),
        Err(Error::Closed) => Err(because(
            "the carp daemon has ended",
            "its log says why; a command that configures starts another one",
        )),
        Err(error) => Err(unanswered(&error)),
    }
}

/// There is a daemon, only none that could be asked.
fn runs() -> bool {
    path::candidates().is_ok_and(|places| !places.is_empty())
}
