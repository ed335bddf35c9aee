//! What an engine may ask of the kernel once it runs: an allow-list with the reason of each entry; must not know what for.
//!
//! Anything else ends the process. In particular it opens, makes and executes nothing, has no socket but those it was given, and
//! gets no memory that can be executed.
//!
//! Which of several calls a C library makes for one purpose differs: the list has those of glibc 2.31 to 2.41 and of musl 1.2.
//! What they need to start a thread (clone3, rseq, set_robust_list) is not among them: all threads are there before. Nor is what
//! open would be needed for; glibc before 2.35 reads the number of processors from a file when a second thread first allocates,
//! which is before, too.

use super::{Error, Result, refusal};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter_all_threads,
};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

/// The low 32 bits of one argument are this.
type Only = (u8, u32);

/// A system call, its arguments where they matter (one row for each combination), and why it is needed.
const ALLOWED: &[(libc::c_long, &[Only], &str)] = &[
    (libc::SYS_read, &[], "frames from TAPs, timers, signals"),
    (libc::SYS_write, &[], "frames to TAPs, the foreground's log"),
    (libc::SYS_readv, &[], "frames in parts"),
    (libc::SYS_writev, &[], "frames in parts"),
    (
        libc::SYS_recvfrom,
        &[],
        "frames, requests, lengths of messages",
    ),
    (
        libc::SYS_recvmsg,
        &[],
        "outcomes with descriptors, link events",
    ),
    (libc::SYS_recvmmsg, &[], "frames in batches"),
    (
        libc::SYS_sendto,
        &[],
        "frames, replies, dumps of links, syslog",
    ),
    (libc::SYS_sendmsg, &[], "orders, frames in parts"),
    (libc::SYS_sendmmsg, &[], "frames in batches"),
    (libc::SYS_pwrite64, &[], "records of the state"),
    (libc::SYS_pread64, &[], "records of the state"),
    (libc::SYS_fallocate, &[], "records that are forgotten"),
    (libc::SYS_accept4, &[], "front ends"),
    (libc::SYS_shutdown, &[], "the end of a reply"),
    (libc::SYS_getsockname, &[], "what a connection is"),
    (
        libc::SYS_close,
        &[],
        "descriptors that are not needed any more",
    ),
    (libc::SYS_epoll_ctl, &[], "the loops"),
    (libc::SYS_epoll_pwait, &[], "the loops"),
    (libc::SYS_ppoll, &[], "answers to dumps"),
    (libc::SYS_timerfd_settime, &[], "the protocol's timer"),
    (libc::SYS_futex, &[], "the table of the copier"),
    (
        libc::SYS_sched_yield,
        &[],
        "a queue whose other end is just at it",
    ),
    (
        libc::SYS_sched_getaffinity,
        &[],
        "glibc 2.35: how many arenas; 2.41: and states of the vdso's getrandom",
    ),
    (
        libc::SYS_prctl,
        &[(0, PR_SET_VMA)],
        "glibc 2.39: names for memory, if its tunables say so",
    ),
    (libc::SYS_clock_gettime, &[], "where the vdso has to ask"),
    (
        libc::SYS_clock_nanosleep,
        &[],
        "a copier that cannot wait for events",
    ),
    (
        libc::SYS_restart_syscall,
        &[],
        "a wait that SIGSTOP interrupted",
    ),
    (libc::SYS_rt_sigreturn, &[], "signals"),
    (libc::SYS_rt_sigprocmask, &[], "the end of a thread"),
    (libc::SYS_sigaltstack, &[], "the end of a thread"),
    (libc::SYS_brk, &[], "memory"),
    (libc::SYS_munmap, &[], "memory"),
    (libc::SYS_mremap, &[], "memory"),
    (libc::SYS_madvise, &[], "memory"),
    (libc::SYS_getrandom, &[], "seeds of hash tables"),
    (libc::SYS_getpid, &[], "the log"),
    (libc::SYS_gettid, &[], "what a panic says"),
    (libc::SYS_exit, &[], "the end"),
    (libc::SYS_exit_group, &[], "the end"),
    (
        libc::SYS_fcntl,
        &[(1, F_DUPFD_CLOEXEC)],
        "a duplicate for a loop",
    ),
    (
        libc::SYS_fcntl,
        &[(1, F_GETFD)],
        "std's check of descriptors",
    ),
    (libc::SYS_fcntl, &[(1, F_GETFL)], "non-blocking"),
    (libc::SYS_fcntl, &[(1, F_SETFL)], "non-blocking"),
    (libc::SYS_ioctl, &[(1, FIONBIO)], "non-blocking"),
    (
        libc::SYS_ioctl,
        &[(1, TUNATTACHFILTER)],
        "a TAP that programs serve is deaf",
    ),
    (libc::SYS_ioctl, &[(1, TUNDETACHFILTER)], "and hears again"),
    (
        libc::SYS_setsockopt,
        &[(1, SOL_SOCKET), (2, SO_ATTACH_FILTER)],
        "what sockets of a carpdev let through",
    ),
    (
        libc::SYS_setsockopt,
        &[(1, SOL_SOCKET), (2, SO_SNDBUF)],
        "room for a long order",
    ),
    (
        libc::SYS_getsockopt,
        &[(1, SOL_SOCKET), (2, SO_PEERCRED)],
        "who asks",
    ),
    (
        libc::SYS_getsockopt,
        &[(1, SOL_SOCKET), (2, SO_ERROR)],
        "what befell a connection",
    ),
    (
        libc::SYS_getsockopt,
        &[(1, SOL_PACKET), (2, PACKET_STATISTICS)],
        "advertisements that were lost",
    ),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_epoll_wait, &[], "the loops"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_poll, &[], "answers to dumps"),
    (
        libc::SYS_rt_sigaction,
        &[(0, SIGABRT)],
        "abort(3) of glibc and musl: the default",
    ),
    (libc::SYS_nanosleep, &[], "sleep(3) of musl before 1.2"),
    (
        libc::SYS_epoll_pwait2,
        &[],
        "the loops, should they want nanoseconds",
    ),
];

/// These get memory: only without leave to execute it.
const MEMORY: [libc::c_long; 2] = [libc::SYS_mmap, libc::SYS_mprotect];
/// The argument of both that says what is allowed.
const PROTECTION: u8 = 2;

const F_DUPFD_CLOEXEC: u32 = libc::F_DUPFD_CLOEXEC.cast_unsigned();
const F_GETFD: u32 = libc::F_GETFD.cast_unsigned();
const F_GETFL: u32 = libc::F_GETFL.cast_unsigned();
const F_SETFL: u32 = libc::F_SETFL.cast_unsigned();
const SOL_SOCKET: u32 = libc::SOL_SOCKET.cast_unsigned();
const SOL_PACKET: u32 = libc::SOL_PACKET.cast_unsigned();
const SO_ATTACH_FILTER: u32 = libc::SO_ATTACH_FILTER.cast_unsigned();
const SO_SNDBUF: u32 = libc::SO_SNDBUF.cast_unsigned();
const SO_PEERCRED: u32 = libc::SO_PEERCRED.cast_unsigned();
const SO_ERROR: u32 = libc::SO_ERROR.cast_unsigned();
// linux/prctl.h; not in the libc crate for every target.
const PR_SET_VMA: u32 = 0x5356_4d41;
const SIGABRT: u32 = libc::SIGABRT.cast_unsigned();
const PACKET_STATISTICS: u32 = libc::PACKET_STATISTICS.cast_unsigned();
// Numbers of ioctl(2) are 32 bits wide on every Linux.
#[allow(clippy::cast_possible_truncation)]
const FIONBIO: u32 = libc::FIONBIO as u32;
#[allow(clippy::cast_possible_truncation)]
const TUNATTACHFILTER: u32 = libc::TUNATTACHFILTER as u32;
#[allow(clippy::cast_possible_truncation)]
const TUNDETACHFILTER: u32 = libc::TUNDETACHFILTER as u32;

/// From now on this process, all its threads, may only do what is on the list, and never get more. No new privileges must
/// have been given up before, see [`drop_privilege`](super::sandbox::drop_privilege). Whatever else it tries ends it by SIGSYS,
/// and a line that begins as `log` says and ends with the number of the call is written there first.
///
/// # Errors
/// A kernel without seccomp; nothing has changed then.
pub fn confine(log: Option<(OwnedFd, String)>) -> Result<()> {
    let failed = |error| Error::new("install", "seccomp filter", io::Error::other(error));
    // Without anybody to tell the kernel ends it by itself; one that tells gets no second chance, see there.
    let told = log.is_some_and(|(log, before)| refusal::tell(log, &before).is_ok());
    let refused = if told {
        SeccompAction::Trap
    } else {
        SeccompAction::KillProcess
    };
    let program = program(refused).map_err(failed)?;
    apply_filter_all_threads(&program).map_err(failed)
}

fn program(refused: SeccompAction) -> std::result::Result<BpfProgram, seccompiler::Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for (call, arguments, _) in ALLOWED {
        let rules = rules.entry(*call).or_default();
        if !arguments.is_empty() {
            let is = |&(at, value): &Only| condition(at, SeccompCmpOp::Eq, value);
            let conditions = arguments.iter().map(is).collect::<Result2<Vec<_>>>()?;
            rules.push(SeccompRule::new(conditions)?);
        }
    }
    // abort(3), of this process only: what it would be told by otherwise is that it was refused that.
    let own = condition(0, SeccompCmpOp::Eq, std::process::id())?;
    let abort = condition(2, SeccompCmpOp::Eq, SIGABRT)?;
    rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![own, abort])?]);
    let executable = u64::from(libc::PROT_EXEC.cast_unsigned());
    for call in MEMORY {
        let plain = condition(PROTECTION, SeccompCmpOp::MaskedEq(executable), 0)?;
        rules.insert(call, vec![SeccompRule::new(vec![plain])?]);
    }
    let filter = SeccompFilter::new(
        rules,
        refused,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}

type Result2<T> = std::result::Result<T, seccompiler::BackendError>;

fn condition(at: u8, operation: SeccompCmpOp, value: u32) -> Result2<SeccompCondition> {
    SeccompCondition::new(at, SeccompCmpArgLen::Dword, operation, value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_a_reason_and_none_is_there_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for (call, arguments, why) in ALLOWED {
            assert!(!why.is_empty() && seen.insert((call, arguments)), "{call}");
            // A call without conditions would make those of its other rows void.
            let bare = ALLOWED.iter().any(|(c, a, _)| c == call && a.is_empty());
            assert!(arguments.is_empty() || !bare, "{call}");
        }
        assert!(program(SeccompAction::KillProcess).is_ok());
    }
}
