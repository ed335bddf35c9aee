//! The demo's command line; must not know how a lab is built.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// What `carp demo` takes.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the demo.
#[must_use]
pub fn run(_args: Args) -> ExitCode {
    super::warn("carp", "demo: not built yet");
    ExitCode::FAILURE
}
