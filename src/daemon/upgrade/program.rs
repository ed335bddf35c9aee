//! Which file may take the place of a daemon that has privilege; must not know what is in it.

use crate::control::Refusal;
use crate::control::plan::refusal;
use crate::linux::sandbox;
use nix::unistd::Uid;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a mode says: set-uid and set-gid, sticky, writable by group or others, executable by somebody.
const SET_ID: u32 = 0o6000;
const STICKY: u32 = 0o1000;
const WRITABLE: u32 = 0o022;
const EXECUTABLE: u32 = 0o111;

/// A file that may be executed in our place, and which one it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    /// Without symbolic links.
    path: PathBuf,
    identity: Identity,
}

/// Another file, or another content, has another one.
type Identity = (u64, u64, u64, i64, i64);

impl Program {
    /// Looks at it: it and every directory above it belong to root or to whom this process runs as, and nobody else may write.
    pub(super) fn at(path: &Path) -> Result<Self, Refusal> {
        let shown = path.display();
        let refused = |error: io::Error| {
            refusal(
                &format!("{shown}: cannot be executed"),
                super::words_of(&error),
            )
        };
        let path = fs::canonicalize(path).map_err(refused)?;
        let metadata = fs::metadata(&path).map_err(refused)?;
        let objection = objection(&path, &metadata);
        if let Some(why) = objection {
            return Err(refusal(
                &format!("{shown}: must not be executed for a daemon"),
                why,
            ));
        }
        Ok(Self {
            identity: identity(&metadata),
            path,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// It is the very file that this process runs.
    pub(super) fn runs(&self) -> bool {
        fs::metadata("/proc/self/exe").is_ok_and(|ours| identity(&ours) == self.identity)
    }
}

fn identity(metadata: &Metadata) -> Identity {
    (
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    )
}

fn objection(path: &Path, metadata: &Metadata) -> Option<String> {
    let mode = metadata.mode();
    if !metadata.is_file() {
        return Some("it is no regular file".into());
    }
    if mode & EXECUTABLE == 0 {
        return Some("it is not executable".into());
    }
    if mode & SET_ID != 0 {
        return Some("it changes its user or group".into());
    }
    path.ancestors()
        .find_map(|part| open_to_others(part, part == path))
}

/// Why others could put another file there.
fn open_to_others(part: &Path, last: bool) -> Option<String> {
    let shown = part.display();
    let Ok(metadata) = fs::symlink_metadata(part) else {
        return Some(format!("{shown} cannot be looked at"));
    };
    let uid = metadata.uid();
    let ours = uid == 0 || uid == Uid::effective().as_raw();
    // In a user namespace that knows few users, what is above belongs to others by nature; they made it.
    if !ours && (last || sandbox::knows_user(uid)) {
        return Some(format!("{shown} belongs to uid {uid}"));
    }
    // Others may not rename what is not theirs in a sticky directory.
    let sticky = !last && metadata.mode() & STICKY != 0;
    (metadata.mode() & WRITABLE != 0 && !sticky).then(|| format!("{shown} is writable by others"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    fn why(path: &Path) -> String {
        Program::at(path).unwrap_err().why.unwrap()
    }

    #[test]
    fn only_what_nobody_else_can_change_may_be_executed() {
        let directory = std::env::temp_dir().join(format!("carp-program-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        mode(&directory, 0o755);
        let file = directory.join("carpd");
        assert_eq!(why(&file), "No such file or directory");
        fs::write(&file, "#!/bin/true").unwrap();
        mode(&file, 0o644);
        assert_eq!(why(&file), "it is not executable");
        mode(&file, 0o755);
        let link = directory.join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let seen = Program::at(&link).unwrap();
        assert_eq!(seen.path(), fs::canonicalize(&file).unwrap());
        assert!(!seen.runs());
        for (bad, part) in [
            (0o775, "writable"),
            (0o757, "writable"),
            (0o4755, "user or group"),
        ] {
            mode(&file, bad);
            assert!(why(&link).contains(part), "{bad:o}: {}", why(&link));
        }
        mode(&file, 0o755);
        assert_ne!(
            Program::at(&link).unwrap(),
            seen,
            "a changed file is another one"
        );
        mode(&directory, 0o777);
        assert!(why(&link).contains("writable by others"));
        mode(&directory, 0o1777);
        assert!(Program::at(&link).is_ok());
        assert_eq!(why(&directory), "it is no regular file");
        fs::remove_dir_all(&directory).unwrap();
    }
}
