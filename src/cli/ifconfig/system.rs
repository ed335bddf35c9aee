//! The system's own ifconfig, for all that is not carp's: found, and handed the line untouched; must not know words.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs, io};

const PROGRAM: &str = "ifconfig";
/// Looked into after PATH, which an ordinary user's shell may keep short.
const BEHIND: [&str; 2] = ["/sbin", "/usr/sbin"];
/// Where this program is, whatever it was called by.
const OURSELVES: &str = "/proc/self/exe";

/// The system's ifconfig.
#[derive(Debug)]
pub struct Real {
    path: PathBuf,
    /// What it is called by: what we were called by.
    name: OsString,
}

impl Real {
    /// The first one behind us.
    #[must_use]
    pub fn find(name: &OsStr) -> Option<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let places = env::split_paths(&path).chain(BEHIND.iter().map(PathBuf::from));
        let files: Vec<_> = places.map(|place| place.join(PROGRAM)).collect();
        Some(Self {
            path: behind(identity(Path::new(OURSELVES))?, &files)?,
            name: name.to_owned(),
        })
    }

    /// Becomes it. Comes back only where that fails.
    pub fn become_it(&self, words: &[OsString]) -> io::Error {
        self.command(words).exec()
    }

    /// What it prints but the interfaces of these names, and how it ends.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn without(&self, words: &[OsString], names: &[String]) -> io::Result<(Vec<u8>, ExitCode)> {
        let output = self.command(words).stderr(Stdio::inherit()).output()?;
        let code = output
            .status
            .code()
            .and_then(|code| u8::try_from(code).ok());
        let code = code.map_or(ExitCode::FAILURE, ExitCode::from);
        Ok((paragraphs_without(&output.stdout, names), code))
    }

    fn command(&self, words: &[OsString]) -> Command {
        let mut command = Command::new(&self.path);
        command.arg0(&self.name).args(words);
        command
    }
}

/// Device and inode of an executable file.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = fs::metadata(path).ok()?;
    let runs = file.is_file() && file.permissions().mode() & 0o111 != 0;
    runs.then(|| (file.dev(), file.ino()))
}

/// The first file behind the last one that is we. Several of us, even copies, then never call each other in a circle: each
/// looks only further on.
fn behind(ourselves: (u64, u64), files: &[PathBuf]) -> Option<PathBuf> {
    let found: Vec<_> = files.iter().map(|file| identity(file)).collect();
    let last = found.iter().rposition(|id| *id == Some(ourselves));
    let from = last.map_or(0, |at| at + 1);
    let at = found.iter().skip(from).position(Option::is_some)?;
    files.get(from + at).cloned()
}

/// The text without the paragraphs that begin with one of these names. A blank line ends a paragraph.
fn paragraphs_without(text: &[u8], names: &[String]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut skipped = false;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if !line.first().is_none_or(|byte| byte.is_ascii_whitespace()) {
            let end = line
                .iter()
                .position(|b| *b == b':' || b.is_ascii_whitespace());
            let head = &line[..end.unwrap_or(line.len())];
            skipped = names.iter().any(|name| name.as_bytes() == head);
        }
        if !skipped {
            out.extend_from_slice(line);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn carps_paragraphs_are_left_out() {
        let text =
            b"carp1: flags=1\n  inet x\n\ncarp10: flags=1\n  y\n\neth0      Link\n          z\n\n";
        let names = ["carp1".to_owned(), "eth".to_owned()];
        let left = b"carp10: flags=1\n  y\n\neth0      Link\n          z\n\n";
        assert_eq!(paragraphs_without(text, &names), left);
        assert_eq!(paragraphs_without(text, &[]), text);
    }

    #[test]
    fn the_one_behind_us_is_taken_and_never_one_before() {
        let ours = identity(Path::new(OURSELVES)).unwrap();
        let path = PathBuf::from;
        let (we, other, none) = (path(OURSELVES), path("/bin/sh"), path("/nonexistent"));
        for (files, expected) in [
            (vec![&we, &none, &other], Some(&other)),
            (vec![&other, &we, &none], None),
            (vec![&we, &other, &we], None),
            (vec![&none, &other], Some(&other)),
            (vec![&we], None),
        ] {
            let files: Vec<_> = files.into_iter().cloned().collect();
            assert_eq!(behind(ours, &files).as_ref(), expected, "{files:?}");
        }
    }
}
