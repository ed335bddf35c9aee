//! What of bpf(2) the loader leaves to us: links at a tcx hook, and a map in our memory; must not know programs.

use super::channel::Channel;
use super::{Error, Result, descriptor};
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

// enum bpf_cmd, enum bpf_attach_type and flags of linux/bpf.h.
const LINK_CREATE: libc::c_int = 28;
const TCX_INGRESS: u32 = 46;
const TCX_EGRESS: u32 = 47;
const BEFORE: u32 = 1 << 3;
const AFTER: u32 = 1 << 4;

/// Above all numbers that interfaces have here.
const HIGH: [libc::c_int; 3] = [1 << 16, 1 << 13, 1000];

/// Where a program is attached.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Hook {
    /// What arrives.
    Ingress,
    /// What leaves.
    Egress,
}

/// The place among other programs at the same hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before those that are there.
    First,
    /// After them.
    Last,
}

/// `union bpf_attr` as BPF_LINK_CREATE reads it for tcx; what follows may be left out.
#[repr(C)]
struct LinkCreate {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
    relative: u32,
    pad: u32,
    expected_revision: u64,
}

/// Attaches a sched_cls program to a tcx hook (Linux 6.6) of the interface with this index. It runs until the last descriptor of
/// the link is closed or the interface goes.
///
/// # Errors
/// EINVAL where the kernel knows no tcx, ENODEV without such an interface, EPERM without CAP_NET_ADMIN and CAP_BPF.
pub fn attach_tcx(
    program: BorrowedFd<'_>,
    index: u32,
    hook: Hook,
    place: Place,
) -> Result<OwnedFd> {
    let failed = |error| Error::new("attach program to", format!("interface {index}"), error);
    let number = |fd: RawFd| u32::try_from(fd).expect("an open descriptor is not negative");
    let attributes = LinkCreate {
        program: number(program.as_raw_fd()),
        interface: index,
        attach_type: match hook {
            Hook::Ingress => TCX_INGRESS,
            Hook::Egress => TCX_EGRESS,
        },
        flags: match place {
            Place::First => BEFORE,
            Place::Last => AFTER,
        },
        relative: 0,
        pad: 0,
        expected_revision: 0,
    };
    // SAFETY: attributes is readable memory of the length given, in the layout of this command.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            LINK_CREATE,
            &raw const attributes,
            size_of::<LinkCreate>(),
        )
    };
    let fd = Errno::result(outcome).map_err(|errno| failed(io::Error::from(errno)))?;
    let fd = RawFd::try_from(fd).map_err(|error| failed(io::Error::other(error)))?;
    // SAFETY: the kernel has just made it for us, close-on-exec as all descriptors of bpf(2).
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A link that outlives every interface that goes with a descriptor of this process, should the process be killed (T30).
///
/// Kernels differ: some let go of what a process had open from the lowest number up, others collect it all and then let go
/// of it in the opposite order. In the queue of a socket the link comes last with both, because the socket has a high number
/// and because its queue is emptied only when it is let go of itself.
#[derive(Debug)]
pub struct LastingLink {
    queue: OwnedFd,
}

impl LastingLink {
    /// Takes the link over; dropping this ends it.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn new(link: OwnedFd) -> Result<Self> {
        let failed = |error: io::Error| Error::new("keep link", "", error);
        let (near, far) = Channel::pair().map_err(failed)?;
        near.send(b"link", &[link.as_fd()]).map_err(failed)?;
        Self::adopt(OwnedFd::from(far))
    }

    /// The same link, held by another process that has interfaces: it lasts until both let go.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn adopt(far: OwnedFd) -> Result<Self> {
        let failed = |error: io::Error| Error::new("keep link", "", error);
        let queue = descriptor::copy(&far, HIGH).or_else(|_| far.try_clone().map_err(failed))?;
        Ok(Self { queue })
    }

    /// What another program left under this number, which is as high as it was.
    #[must_use]
    pub fn inherited(queue: OwnedFd) -> Self {
        Self { queue }
    }
}

impl AsFd for LastingLink {
    /// What [`LastingLink::adopt`] takes.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

/// The values of an array map made with BPF_F_MMAPABLE, as words that programs read at any time. A descriptor is all it takes:
/// no privilege.
#[derive(Debug)]
pub struct Words {
    at: NonNull<AtomicU64>,
    count: usize,
    bytes: NonZeroUsize,
}

// SAFETY: the memory is the process's, not a thread's, and is only reached through atomics.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    /// Maps the first `count` words.
    ///
    /// # Errors
    /// Those of mmap(2): EINVAL when the map is smaller, ENOTSUPP or EPERM for another kind.
    pub fn map(descriptor: impl AsFd, count: usize) -> Result<Self> {
        let failed = |errno: Errno| Error::new("map", "ports", errno);
        let bytes = count
            .checked_mul(size_of::<AtomicU64>())
            .and_then(NonZeroUsize::new)
            .ok_or_else(|| failed(Errno::EINVAL))?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses the place, so that nothing of ours is replaced.
        let at = unsafe { mmap(None, bytes, protection, MapFlags::MAP_SHARED, descriptor, 0) }
            .map_err(failed)?;
        let at = at.cast();
        Ok(Self { at, count, bytes })
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: `map` got as many bytes, aligned to a page, and they stay mapped as long as self. Whoever else writes there,
        // kernel or program, writes whole words.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.count) }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: what `map` got, and no borrow of it can be left.
        let _ = unsafe { munmap(self.at.cast(), self.bytes.get()) };
    }
}
