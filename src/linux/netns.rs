//! Network namespaces without names or mounts; must not know what is built in them.

use super::netlink::Netlink;
use super::{Error, Result};
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

/// A network namespace, held by a descriptor: it and all that is in it vanish with the last descriptor and process.
#[derive(Debug)]
pub struct Namespace {
    file: File,
    inode: u64,
}

impl Namespace {
    /// A new one with `lo` up, made on a short-lived thread: the caller stays where it is.
    pub fn new() -> Result<Self> {
        on_new_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)
                .map_err(|errno| Error::new("create network namespace", "", errno))?;
            let netlink = Netlink::open()?;
            if let Some(lo) = netlink.link("lo")? {
                netlink.set_up(lo.index, true)?;
            }
            Self::current()
        })?
    }

    /// That of the calling thread.
    pub fn current() -> Result<Self> {
        // Not /proc/self, which is the main thread's.
        const PATH: &str = "/proc/thread-self/ns/net";
        let failed = |error| Error::new("open network namespace", PATH, error);
        let file = File::open(PATH).map_err(failed)?;
        let inode = file.metadata().map_err(failed)?.ino();
        Ok(Self { file, inode })
    }

    /// One that was passed to this process.
    pub fn inherited(descriptor: OwnedFd) -> Result<Self> {
        let file = File::from(descriptor);
        let failed = |error| Error::new("take network namespace", "", error);
        let inode = file.metadata().map_err(failed)?.ino();
        Ok(Self { file, inode })
    }

    /// Its inode number, which names it on this machine.
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Moves the calling thread, and the children it will start, into it.
    pub fn enter(&self) -> Result<()> {
        setns(&self.file, CloneFlags::CLONE_NEWNET)
            .map_err(|errno| Error::new("enter network namespace", "", errno))
    }

    /// Runs `work` inside, on a thread of its own; children that it starts live inside as well. A panic of `work` is the caller's.
    ///
    /// # Panics
    /// Where [`Namespace::try_run`] fails; for a demo or a test.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.try_run(work)
            .expect("whoever made a namespace may enter it, while it keeps its privilege")
    }

    /// As [`Namespace::run`], but lack of threads or privilege is an error.
    pub fn try_run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> Result<R> {
        on_new_thread(|| self.enter().map(|()| work()))?
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Runs `work` on a thread that ends with it, and hands on its panic.
fn on_new_thread<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, work)
            .map_err(|error| Error::new("start thread", "", error))?;
        Ok(thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
