//! Capabilities of the calling thread: which it has, and giving them up; must not know what for.

use super::{Error, Result};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd::Uid;
use std::fmt;

/// _LINUX_CAPABILITY_VERSION_3 of capability.h: two words a set.
const VERSION_3: u32 = 0x2008_0522;
/// SECBIT_NOROOT of securebits.h.
const NO_ROOT: libc::c_int = 1;

/// Those of capability.h that are spoken of here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Signals to processes of other users.
    Kill = 5,
    /// Other groups.
    Setgid = 6,
    /// Other users.
    Setuid = 7,
    /// Shrinking the bounding set.
    Setpcap = 8,
    /// Interfaces, addresses, settings of the network.
    NetAdmin = 12,
    /// Packet sockets.
    NetRaw = 13,
    /// Namespaces, and on kernels before 5.8 programs in the kernel.
    SysAdmin = 21,
    /// Programs in the kernel.
    Bpf = 39,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "CAP_KILL",
            Self::Setgid => "CAP_SETGID",
            Self::Setuid => "CAP_SETUID",
            Self::Setpcap => "CAP_SETPCAP",
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::NetRaw => "CAP_NET_RAW",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Bpf => "CAP_BPF",
        })
    }
}

/// capset(2)'s header.
#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

/// capset(2)'s sets, one word of each.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Words {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const OWN: Header = Header {
    version: VERSION_3,
    pid: 0,
};

/// Whether the calling thread has all of these in effect.
#[must_use]
pub fn has(wanted: &[Capability]) -> bool {
    sets().is_ok_and(|sets| {
        let has = |capability: &Capability| {
            let (word, bit) = place(*capability);
            sets[word].effective & bit != 0
        };
        wanted.iter().all(has)
    })
}

/// Whether the kernel knows it.
#[must_use]
pub fn is_known(capability: Capability) -> bool {
    // SAFETY: takes numbers only.
    let held = unsafe { libc::prctl(libc::PR_CAPBSET_READ, capability as libc::c_ulong, 0, 0, 0) };
    held >= 0
}

/// Whether a program that is executed gets the whole bounding set, as root's do.
#[must_use]
pub fn come_by_executing() -> bool {
    // SAFETY: takes numbers only.
    let bits = unsafe { libc::prctl(libc::PR_GET_SECUREBITS, 0, 0, 0, 0) };
    Uid::effective().is_root() && bits & NO_ROOT == 0 && !prctl::get_no_new_privs().unwrap_or(false)
}

/// Gives up all but these, of which none is gained. The bounding set stays: a program that root executes has what it has elsewhere.
pub fn keep_only(kept: &[Capability]) -> Result<()> {
    let mut mask = [0; 2];
    for capability in kept {
        let (word, bit) = place(*capability);
        mask[word] |= bit;
    }
    let mut sets = sets().map_err(failed)?;
    for (words, mask) in sets.iter_mut().zip(mask) {
        words.permitted &= mask;
        words.effective &= mask;
        words.inheritable &= mask;
    }
    set(&sets).map_err(failed)
}

/// Gives up what is left beside the bounding set.
pub(super) fn clear() -> nix::Result<()> {
    let ambient = libc::c_long::from(libc::PR_CAP_AMBIENT_CLEAR_ALL);
    // SAFETY: takes numbers only.
    Errno::result(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, ambient, 0, 0, 0) })?;
    set(&[Words::default(); 2])
}

/// Nothing can be gained any more by executing anything.
pub(super) fn empty_bounding_set() -> nix::Result<()> {
    for capability in 0..libc::c_ulong::from(u8::MAX) {
        // SAFETY: takes numbers only. An unknown capability, the end of the list, is EINVAL.
        let held = unsafe { libc::prctl(libc::PR_CAPBSET_READ, capability, 0, 0, 0) };
        match Errno::result(held) {
            Err(Errno::EINVAL) => return Ok(()),
            Err(errno) => return Err(errno),
            Ok(0) => continue,
            Ok(_) => {}
        }
        // SAFETY: takes numbers only.
        let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        match Errno::result(dropped) {
            // Without CAP_SETPCAP the bound stays; with no new privileges it bounds nothing.
            Err(Errno::EPERM) => return Ok(()),
            outcome => outcome.map(drop)?,
        }
    }
    Ok(())
}

/// Word and bit.
fn place(capability: Capability) -> (usize, u32) {
    let number = capability as usize;
    (number / 32, 1 << (number % 32))
}

fn sets() -> nix::Result<[Words; 2]> {
    let (own, mut sets) = (OWN, [Words::default(); 2]);
    // SAFETY: both point to live structures of the layout and number that version 3 of the interface reads and writes.
    let outcome = unsafe { libc::syscall(libc::SYS_capget, &raw const own, sets.as_mut_ptr()) };
    Errno::result(outcome).map(|_| sets)
}

fn set(sets: &[Words; 2]) -> nix::Result<()> {
    let own = OWN;
    // SAFETY: both point to live structures of the layout and number that version 3 of the interface reads.
    let outcome = unsafe { libc::syscall(libc::SYS_capset, &raw const own, sets.as_ptr()) };
    Errno::result(outcome).map(drop)
}

fn failed(errno: Errno) -> Error {
    Error::new("drop privilege", "", errno)
}
