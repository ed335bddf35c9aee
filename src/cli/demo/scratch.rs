//! A private directory that goes when it is dropped; must not know what is put there.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Names to try before giving up: others may have made ours to spite us.
const TRIES: u32 = 100;

/// The directory.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Makes it in the system's directory for temporary files; nobody else may look into it.
    pub(super) fn new() -> io::Result<Self> {
        let base = std::env::temp_dir();
        for number in 0..TRIES {
            let path = base.join(format!("carp-demo-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now could not be removed later either.
        let _ = fs::remove_dir_all(&self.0);
    }
}
