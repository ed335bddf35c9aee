//! The variables as the lines of /etc/carp/sysctl.conf; must not know files.
//!
//! A write to net.inet.carp.demotion adds; a file says what all that is added comes to, so that it may be read again.
#![forbid(unsafe_code)]

use super::{Item, VARIABLES, Variable, item, texts};
use crate::carp::config::Settings;
use crate::cli::personality::Personality;
use crate::cli::plain;
use crate::control::{Refusal, Setting, Sysctls};

/// Reads `name=value`.
///
/// # Errors
/// As at sysctl(8).
pub fn assignment(word: &str) -> Result<Setting, Refusal> {
    match item(word, texts::of(Personality::Openbsd))? {
        Item::Set(variable, value) => Ok((variable.set)(value)),
        Item::Read(_) => Err(plain(format!("{word}: no value"))),
    }
}

/// The settings that a file with these lines stands for, those that it does not name as they are.
#[must_use]
pub fn with(mut settings: Settings, lines: &[Setting]) -> Settings {
    for line in lines {
        settings.set(change(&settings, *line));
    }
    settings
}

/// The change that a line comes to now.
#[must_use]
pub const fn change(settings: &Settings, line: Setting) -> Setting {
    match line {
        Setting::Demotion(sum) => Setting::Demotion(sum.saturating_sub(settings.demotion)),
        line => line,
    }
}

/// What can be written.
fn variables() -> impl Iterator<Item = &'static Variable> {
    VARIABLES
        .iter()
        .filter(|variable| !variable.values.are_none())
}

/// The names of all.
#[must_use]
pub fn names() -> Vec<String> {
    VARIABLES.iter().map(Variable::name).collect()
}

/// A line for each variable.
#[must_use]
pub fn lines(settings: &Settings) -> Vec<String> {
    let written = Sysctls {
        settings: *settings,
        demotion: settings.demotion,
        ..Sysctls::default()
    };
    variables()
        .map(|variable| {
            let value = variable.text((variable.get)(&written));
            format!("{}={value}", variable.name())
        })
        .collect()
}

/// The lines of those that are not as a daemon starts with.
#[must_use]
pub fn changed(settings: &Settings) -> Vec<String> {
    let fresh = lines(&Settings::default());
    let now = lines(settings).into_iter();
    now.filter(|line| !fresh.contains(line)).collect()
}
