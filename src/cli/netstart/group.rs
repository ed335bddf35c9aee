//! group.GROUP: what is said of an interface group, its demotion; must not know why a group is demoted.
//!
//! A command line adds to the count; a file says what all that is typed comes to, so that it may be read again.
#![forbid(unsafe_code)]

use super::{Failed, at, tell};
use crate::cli::files::shell::Reader;
use crate::cli::files::{self, canonical};
use crate::cli::ifconfig;
use crate::cli::ifconfig::parse::{self, Command};
use crate::cli::{plain, start};
use crate::control::{Refusal, Reply, Request};
use std::ffi::OsString;
use std::path::Path;

/// Makes the count that of the file, or says what would be changed.
///
/// # Errors
/// It could not be read or set; that was said.
pub fn start(directory: &Path, name: &str, check: bool) -> Result<String, Failed> {
    let path = directory.join(files::group(name));
    let wanted = read(&path, name)?;
    let held = match ifconfig::group_of(name) {
        // Its members may be among what would be made.
        Err(_) if check => 0,
        held => held.map_err(|refusal| at(&path, &refusal))?.by_hand,
    };
    if check {
        let lines = [held, wanted].map(canonical::demotion);
        let change = canonical::difference(&lines[0], &lines[1]);
        return Ok(if change.is_empty() {
            change
        } else {
            format!("{}\n{change}", path.display())
        });
    }
    let by = i16::from(wanted) - i16::from(held);
    if by == 0 {
        return Ok(String::new());
    }
    let group = name.to_owned();
    match start::ask(&Request::Demote { group, by }).map_err(|refusal| at(&path, &refusal))? {
        Reply::Done => Ok(String::new()),
        Reply::Refused(refusal) => Err(at(&path, &refusal)),
        _ => Err(at(&path, &plain("the carp daemon answered something else"))),
    }
}

/// The sum of the lines.
fn read(path: &Path, name: &str) -> Result<u8, Failed> {
    let text = files::read(path).map_err(super::refused)?;
    let mut sum: i16 = 0;
    let mut reader = Reader::new(&text.bytes);
    while let Some(number) = reader.begin() {
        let by = reader
            .words()
            .map_err(plain)
            .and_then(|words| line(name, words));
        let by = by.map_err(|refusal| tell(path, number, &refusal))?;
        sum = sum.saturating_add(by);
    }
    let range = |_| {
        at(
            path,
            &plain(format!("carpdemote: {sum} in all, 0 to 255 is possible")),
        )
    };
    u8::try_from(sum).map_err(range)
}

/// What follows `-g GROUP`.
fn line(name: &str, words: Vec<OsString>) -> Result<i16, Refusal> {
    let first = words.first().cloned().unwrap_or_default();
    let mut arguments = vec![OsString::from("-g"), OsString::from(name)];
    arguments.extend(words);
    match parse::parse(&arguments, &|_, _| None) {
        Ok(Command::Demote { by, .. }) => Ok(by),
        Err(parse::Error::Refused(refusal)) => Err(refusal),
        _ => Err(plain(format!("{}: bad value", first.to_string_lossy()))),
    }
}
