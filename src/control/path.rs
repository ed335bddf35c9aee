//! Where the control socket is: one per network namespace; must not know what is said over it.
//!
//! `DIR/<inode of the network namespace>/ctl`. `ip netns exec` keeps /run, so a command run in a namespace finds the daemon
//! of that namespace with no option, and a container without our /run cannot reach it.
#![forbid(unsafe_code)]

use nix::unistd::{AccessFlags, Uid, access};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The network namespace of the calling thread; `/proc/self` would be that of the main thread.
const NAMESPACE: &str = "/proc/thread-self/ns/net";
/// Where root's daemons keep their sockets.
const ROOT_DIR: &str = "/run/carp";

/// The run directory of one daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `$CARP_RUN`, `/run/carp` or `$XDG_RUNTIME_DIR/carp`: shared by the namespaces.
    base: PathBuf,
    /// The inode of the network namespace.
    namespace: u64,
}

impl Place {
    /// The place under `base` of the namespace with this inode.
    #[must_use]
    pub fn new(base: impl Into<PathBuf>, namespace: u64) -> Self {
        Self {
            base: base.into(),
            namespace,
        }
    }

    /// The directory of all namespaces, mode 0755.
    #[must_use]
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The directory of this namespace, mode 0755.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.base.join(self.namespace.to_string())
    }

    /// The control socket, mode 0666: anybody may look, the peer's uid decides about more.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory().join("ctl")
    }

    /// The socket for upgrades, mode 0600, which the parent serves itself.
    #[must_use]
    pub fn upgrades(&self) -> PathBuf {
        self.directory().join("upgrade")
    }

    /// The single-instance lock, for flock.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.directory().join("lock")
    }
}

/// Where a daemon of this process's namespace and user puts its socket.
///
/// # Errors
/// When the namespace cannot be read, or no directory may be written.
pub fn for_daemon() -> io::Result<Place> {
    let namespace = namespace()?;
    let base = Environment::read().daemon_base(run_is_ours);
    let missing =
        || io::Error::other("/run is not ours and neither CARP_RUN nor XDG_RUNTIME_DIR is set");
    Ok(Place::new(base.ok_or_else(missing)?, namespace))
}

/// Where a command may find the daemon of its namespace: all places that have a socket, root's first.
///
/// # Errors
/// When the namespace cannot be read.
pub fn candidates() -> io::Result<Vec<Place>> {
    let namespace = namespace()?;
    let places = Environment::read()
        .client_bases()
        .into_iter()
        .map(|base| Place::new(base, namespace));
    Ok(places
        .filter(|place| fs::symlink_metadata(place.socket()).is_ok())
        .collect())
}

/// In a user namespace /run may be somebody else's.
fn run_is_ours() -> bool {
    let deepest = if Path::new(ROOT_DIR).exists() {
        ROOT_DIR
    } else {
        "/run"
    };
    access(deepest, AccessFlags::W_OK).is_ok()
}

/// The inode of the calling thread's network namespace.
///
/// # Errors
/// When /proc is not mounted.
pub fn namespace() -> io::Result<u64> {
    Ok(fs::metadata(NAMESPACE)?.ino())
}

/// What of the process decides about the directory.
#[derive(Debug, Clone)]
struct Environment {
    /// `CARP_RUN`.
    carp_run: Option<OsString>,
    /// `XDG_RUNTIME_DIR`.
    runtime: Option<OsString>,
    /// uid 0, maybe of a user namespace in which /run belongs to somebody else.
    root: bool,
}

impl Environment {
    fn read() -> Self {
        let set = |name| env::var_os(name).filter(|value| Path::new(value).is_absolute());
        Self {
            carp_run: set("CARP_RUN"),
            runtime: set("XDG_RUNTIME_DIR"),
            root: Uid::effective().is_root(),
        }
    }

    fn own(&self) -> Option<PathBuf> {
        self.runtime.as_ref().map(|dir| Path::new(dir).join("carp"))
    }

    fn daemon_base(&self, run_is_ours: impl FnOnce() -> bool) -> Option<PathBuf> {
        if let Some(dir) = &self.carp_run {
            return Some(PathBuf::from(dir));
        }
        if self.root && run_is_ours() {
            Some(PathBuf::from(ROOT_DIR))
        } else {
            self.own()
        }
    }

    /// Root's daemon first: everybody may look at it.
    fn client_bases(&self) -> Vec<PathBuf> {
        match &self.carp_run {
            Some(dir) => vec![PathBuf::from(dir)],
            None => [Some(PathBuf::from(ROOT_DIR)), self.own()]
                .into_iter()
                .flatten()
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(carp_run: Option<&str>, runtime: Option<&str>, root: bool) -> Environment {
        Environment {
            carp_run: carp_run.map(OsString::from),
            runtime: runtime.map(OsString::from),
            root,
        }
    }

    #[test]
    fn the_directory_follows_the_rules() {
        let x = Some("/run/user/7");
        for (environment, run_is_ours, expected) in [
            (environment(Some("/r"), x, true), true, Some("/r")),
            (environment(None, x, true), true, Some("/run/carp")),
            (environment(None, x, true), false, Some("/run/user/7/carp")),
            (environment(None, x, false), true, Some("/run/user/7/carp")),
            (environment(None, None, false), true, None),
        ] {
            assert_eq!(
                environment.daemon_base(|| run_is_ours),
                expected.map(PathBuf::from),
                "{environment:?}"
            );
        }
    }

    #[test]
    fn a_command_looks_at_roots_daemon_first_and_only_at_carp_run_when_set() {
        let both = [PathBuf::from("/run/carp"), PathBuf::from("/x/carp")];
        assert_eq!(environment(None, Some("/x"), false).client_bases(), both);
        assert_eq!(
            environment(Some("/r"), Some("/x"), true).client_bases(),
            [PathBuf::from("/r")]
        );
    }

    #[test]
    fn a_place_is_named_after_the_namespace() {
        let place = Place::new("/run/carp", 4026531840);
        assert_eq!(place.socket(), Path::new("/run/carp/4026531840/ctl"));
        assert_eq!(place.lock(), Path::new("/run/carp/4026531840/lock"));
        assert!(namespace().is_ok_and(|inode| inode > 0));
    }
}
