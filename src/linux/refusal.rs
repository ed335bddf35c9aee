//! Says which system call a filter refused, before the process ends by it; must not know which are allowed.

use super::{Error, Result};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

/// Where the line goes; negative: nowhere.
static LOG: AtomicI32 = AtomicI32::new(-1);
/// What comes before the number.
static BEFORE: OnceLock<Vec<u8>> = OnceLock::new();

/// SYS_SECCOMP of siginfo.h.
const BY_FILTER: libc::c_int = 1;
/// Longer lines are cut.
const LINE: usize = 256;

/// A filter that traps (`SECCOMP_RET_TRAP`) and does not allow getppid(2) ends this process by SIGSYS like one that kills, but
/// first one line goes to `log`, which stays open: `before` and the number of the system call. To be called once.
///
/// # Errors
/// The kernel refused.
pub fn tell(log: OwnedFd, before: &str) -> Result<()> {
    let _ = BEFORE.set(before.as_bytes().to_vec());
    LOG.store(log.into_raw_fd(), Ordering::Relaxed);
    // Once: the next refusal, be it that of the handler itself, has the default effect.
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_RESETHAND;
    let action = SigAction::new(SigHandler::SigAction(refused), flags, SigSet::empty());
    // SAFETY: the handler is async-signal-safe: it reads two statics that are set, its own stack and what the kernel hands it, and
    // calls write(2) and syscall(2).
    unsafe { sigaction(Signal::SIGSYS, &action) }
        .map(drop)
        .map_err(|errno: Errno| Error::new("handle", "refused system calls", errno))
}

extern "C" fn refused(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands a handler with SA_SIGINFO a whole siginfo_t.
    let code = unsafe { (*info).si_code };
    if code == BY_FILTER {
        // SAFETY: as above; the union's part for SIGSYS, which the libc crate does not name, begins after three numbers at the
        // alignment of a pointer, with the address of the call and then its number.
        let number = unsafe {
            let at = (3 * size_of::<libc::c_int>()).next_multiple_of(align_of::<usize>())
                + size_of::<usize>();
            info.cast::<u8>().add(at).cast::<libc::c_int>().read()
        };
        say(number.unsigned_abs());
    }
    // SAFETY: takes nothing. No engine may ask this, so it ends here, by the signal that its parent tells of.
    unsafe { libc::syscall(libc::SYS_getppid) };
}

/// Without allocating: whoever was interrupted may hold the allocator.
fn say(number: u32) {
    let mut line = [0; LINE];
    let before = BEFORE.get().map_or(&[][..], |text| text);
    let mut length = before.len().min(LINE - 16);
    line[..length].copy_from_slice(&before[..length]);
    let mut divisor = 1_000_000_000;
    let mut begun = false;
    while divisor > 0 {
        let digit = number / divisor % 10;
        begun |= digit > 0 || divisor == 1;
        if begun {
            line[length] = b'0' + u8::try_from(digit).unwrap_or(0);
            length += 1;
        }
        divisor /= 10;
    }
    line[length] = b'\n';
    let log = LOG.load(Ordering::Relaxed);
    // SAFETY: writes from a live buffer of at least that length. Nobody hears it if it fails.
    unsafe { libc::write(log, line.as_ptr().cast(), length + 1) };
}
