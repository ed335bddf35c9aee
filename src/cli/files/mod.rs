//! What stands in /etc/carp: names, trust, quoting, the form of each file; must not know the daemon.
#![forbid(unsafe_code)]

pub mod canonical;
pub mod hostname;
pub mod shell;
pub mod write;

use super::{plain, reason};
use crate::carp::config::Unit;
use crate::control::Refusal;
use nix::fcntl::OFlag;
use nix::unistd::Uid;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where the files are; commands that are to look elsewhere say so with `-d`.
pub const DIRECTORY: &str = "/etc/carp";
/// The name of the variables' file.
pub const SYSCTLS: &str = "sysctl.conf";
/// The longest file that is read, in bytes.
const FILE_MAX: usize = 256 << 10;

/// The front ends' option.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    /// Directory of the files
    #[arg(short = 'd', value_name = "directory", default_value = DIRECTORY)]
    pub directory: PathBuf,
}

/// A file, read, and what to say of it.
#[derive(Debug)]
pub struct Text {
    /// Its bytes, wiped when dropped: they may hold a passphrase.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Others may read it.
    pub open_to_others: bool,
}

/// What a directory holds for us.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The N of every hostname.carpN.
    pub units: Vec<Unit>,
    /// The GROUP of every group.GROUP.
    pub groups: Vec<String>,
    /// Names that look like one and are none.
    pub strange: Vec<String>,
}

/// The name of an interface's file.
#[must_use]
pub fn hostname(unit: Unit) -> String {
    format!("hostname.{unit}")
}

/// The name of a group's file.
#[must_use]
pub fn group(name: &str) -> String {
    format!("group.{name}")
}

/// Checks the directory and lists it; `None` when there is no such directory.
///
/// # Errors
/// Owned or writable by somebody who may not say what root runs, or not readable.
pub fn list(directory: &Path) -> Result<Option<Listing>, Refusal> {
    let wrong = |why: String| plain(format!("{}: {why}", directory.display()));
    let metadata = match fs::symlink_metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata.map_err(|error| wrong(reason(&error)))?,
    };
    if !metadata.is_dir() {
        return Err(wrong("not a directory".into()));
    }
    trusted(&metadata).map_err(wrong)?;
    let mut listing = Listing::default();
    for entry in fs::read_dir(directory).map_err(|error| wrong(reason(&error)))? {
        let entry = entry.map_err(|error| wrong(reason(&error)))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(group) = name.strip_prefix("group.").filter(|group| is_group(group)) {
            listing.groups.push(group.to_owned());
        }
        let Some(interface) = name.strip_prefix("hostname.") else {
            continue;
        };
        let numbered = interface
            .strip_prefix("carp")
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
        match Unit::from_name(interface) {
            Some(unit) => listing.units.push(unit),
            None if numbered => listing.strange.push(name.to_owned()),
            // An editor's copy, or another program's.
            None => {}
        }
    }
    listing.units.sort_unstable();
    listing.groups.sort_unstable();
    listing.strange.sort_unstable();
    Ok(Some(listing))
}

/// An editor's copies have other letters, or end in a digit, as no group does.
fn is_group(name: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    name.chars().all(part) && name.ends_with(|c: char| !c.is_ascii_digit())
}

/// Reads a file that nobody but root and the user can have written.
///
/// # Errors
/// What hinders.
pub fn read(path: &Path) -> Result<Text, Refusal> {
    let wrong = |why: &str| plain(format!("{}: {why}", path.display()));
    // A FIFO must not hold us, a link not lead elsewhere.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let open = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    let file = open.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => wrong("a symbolic link"),
        _ => wrong(&reason(&error)),
    })?;
    // Of what was opened, not of what has the name by now.
    let metadata = file.metadata().map_err(|error| wrong(&reason(&error)))?;
    if !metadata.is_file() {
        return Err(wrong("not a regular file"));
    }
    trusted(&metadata).map_err(|why| wrong(&why))?;
    let bytes = whole(file).map_err(|error| wrong(&reason(&error)))?;
    if bytes.len() > FILE_MAX {
        return Err(wrong("too long"));
    }
    Ok(Text {
        bytes,
        open_to_others: metadata.mode() & 0o004 != 0,
    })
}

/// At most one byte more than a file may have.
fn whole(file: File) -> io::Result<Zeroizing<Vec<u8>>> {
    // All room from the start: a vector that grows leaves its old bytes behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_MAX + 1));
    let most = u64::try_from(FILE_MAX + 1).unwrap_or(u64::MAX);
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Nobody but root and the user may say what is run: the owner, and who else may write.
fn trusted(metadata: &Metadata) -> Result<(), String> {
    let uid = metadata.uid();
    if uid != 0 && uid != Uid::effective().as_raw() {
        return Err(format!("owned by uid {uid}, not by root"));
    }
    if metadata.mode() & 0o022 != 0 {
        let mode = metadata.mode() & 0o7777;
        return Err(format!(
            "writable by others than its owner (mode {mode:04o})"
        ));
    }
    Ok(())
}
