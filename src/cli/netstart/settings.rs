//! sysctl.conf: sets the variables that differ from it, leaves the others alone; must not know what they do.
#![forbid(unsafe_code)]

use super::{Failed, at, tell};
use crate::cli::files::{self, SYSCTLS, canonical};
use crate::cli::sysctl::file::{assignment, change, lines, with};
use crate::cli::{forwarding, plain, start, sysctl};
use crate::control::{Reply, Request, Setting};
use std::path::Path;

/// Sets what the file says, or says what would be set. No file is no error.
///
/// # Errors
/// It could not be read or set; that was said.
pub fn start(directory: &Path, check: bool) -> Result<String, Failed> {
    let path = directory.join(SYSCTLS);
    if matches!(path.try_exists(), Ok(false)) {
        return Ok(String::new());
    }
    let wanted = read(&path)?;
    let place = format!("{}: {}", super::NAME, path.display());
    forwarding::warn_of_settings(&place, &wanted);
    let running = sysctl::read().map_err(|refusal| at(&path, &refusal))?;
    let running = running.settings;
    let become_ = with(running, &wanted);
    if check {
        let change = canonical::difference(&lines(&running), &lines(&become_));
        return Ok(if change.is_empty() {
            change
        } else {
            format!("{}\n{change}", path.display())
        });
    }
    let differs = |setting: &Setting| with(running, &[*setting]) != running;
    let wanted = wanted.into_iter().filter(differs);
    let changes: Vec<Setting> = wanted.map(|line| change(&running, line)).collect();
    if changes.is_empty() {
        return Ok(String::new());
    }
    match start::ask(&Request::Set(changes)).map_err(|refusal| at(&path, &refusal))? {
        Reply::Refused(refusal) => Err(at(&path, &refusal)),
        Reply::Settings(_) => Ok(String::new()),
        _ => Err(at(&path, &plain("the carp daemon answered something else"))),
    }
}

/// One `name=value` a line, `#` begins a comment, blanks around name and value do not count.
fn read(path: &Path) -> Result<Vec<Setting>, Failed> {
    let text = files::read(path).map_err(super::refused)?;
    let text = String::from_utf8_lossy(&text.bytes);
    let (mut settings, mut failed) = (Vec::new(), false);
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let Some(first) = line.split_whitespace().next() else {
            continue;
        };
        let word = match line.split_once('=') {
            Some((name, value)) => format!("{}={}", name.trim(), value.trim()),
            None => first.to_owned(),
        };
        match assignment(&word) {
            Ok(setting) => settings.push(setting),
            Err(refusal) => {
                tell(path, number + 1, &refusal);
                failed = true;
            }
        }
    }
    if failed { Err(Failed) } else { Ok(settings) }
}
