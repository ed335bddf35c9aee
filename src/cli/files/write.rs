//! Writes files of /etc/carp: whole, readable by root's group only, and over no other text unless that was said; must not
//! know what is in them.
#![forbid(unsafe_code)]

use crate::cli::{because, plain, reason};
use crate::control::Refusal;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// A file to be written.
#[derive(Debug)]
pub struct New {
    /// In the directory.
    pub name: String,
    /// All of it.
    pub text: Zeroizing<String>,
}

/// Writes them all or none; answers a line about each. A file with another text is replaced only with `replace`.
///
/// # Errors
/// The first file that is there, or what the system refuses.
pub fn write(directory: &Path, files: &[New], replace: bool) -> Result<String, Refusal> {
    let mut states = Vec::with_capacity(files.len());
    for file in files {
        let path = directory.join(&file.name);
        let state = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => "written",
            Ok(held) if held == file.text.as_bytes() => "unchanged",
            Ok(_) if replace => "replaced",
            Ok(_) => {
                return Err(because(
                    format!("{}: File exists", path.display()),
                    "nothing was written; -f replaces files that differ",
                ));
            }
            Err(error) => return Err(plain(format!("{}: {}", path.display(), reason(&error)))),
        };
        states.push(state);
    }
    let mut made = DirBuilder::new();
    made.recursive(true).mode(0o755);
    let place = |error| plain(format!("{}: {}", directory.display(), reason(&error)));
    made.create(directory).map_err(place)?;
    let mut said = String::new();
    for (file, state) in files.iter().zip(states) {
        let path = directory.join(&file.name);
        if state != "unchanged" {
            let wrong = |error| plain(format!("{}: {}", path.display(), reason(&error)));
            put(directory, file).map_err(wrong)?;
        }
        said.push_str(&format!("{}: {state}\n", path.display()));
    }
    Ok(said)
}

/// Beside the old file, then in its place: whoever reads meanwhile finds one of them, whole.
fn put(directory: &Path, file: &New) -> io::Result<()> {
    let new = directory.join(format!(".{}.new", file.name));
    // What a killed command may have left.
    let _ = fs::remove_file(&new);
    let mut open = OpenOptions::new();
    open.write(true).create_new(true).mode(0o640);
    let mut to = open.open(&new)?;
    to.write_all(file.text.as_bytes())?;
    to.sync_all()?;
    fs::rename(&new, directory.join(&file.name))
}
