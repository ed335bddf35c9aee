//! The variables as the lines of /etc/carp/sysctl.conf; must not know files.
#![forbid(unsafe_code)]

use super::{Item, VARIABLES, apply, item};
use crate::carp::config::Settings;
use crate::cli::plain;
use crate::control::{Refusal, Setting};

/// Reads `name=value`.
///
/// # Errors
/// As at sysctl(8).
pub fn assignment(word: &str) -> Result<Setting, Refusal> {
    match item(word)? {
        Item::Set(variable, value) => Ok((variable.set)(value)),
        Item::Read(_) => Err(plain(format!("{word}: no value"))),
    }
}

/// The settings after these changes.
#[must_use]
pub fn with(mut settings: Settings, changes: &[Setting]) -> Settings {
    for change in changes {
        apply(&mut settings, *change);
    }
    settings
}

/// The names of all.
#[must_use]
pub fn names() -> Vec<String> {
    VARIABLES.iter().map(super::Variable::name).collect()
}

/// A line for each variable.
#[must_use]
pub fn lines(settings: &Settings) -> Vec<String> {
    let line = |variable: &super::Variable| {
        let value = (variable.get)(settings);
        format!("{}={value}", variable.name())
    };
    VARIABLES.iter().map(line).collect()
}

/// The lines of those that are not as a daemon starts with.
#[must_use]
pub fn changed(settings: &Settings) -> Vec<String> {
    let fresh = lines(&Settings::default());
    let now = lines(settings).into_iter();
    now.filter(|line| !fresh.contains(line)).collect()
}
