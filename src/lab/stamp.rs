//! Receive times as the kernel took them, on the engine's clock; must not know what is received.

use crate::linux::clock;
use crate::time::Instant;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, SystemTime};

/// Nanoseconds since 1970 at the origin of CLOCK_BOOTTIME: the kernel stamps packets with CLOCK_REALTIME.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(u64);

impl Epoch {
    /// Compares the two clocks; the closest of a few comparisons counts, as any of them may be interrupted.
    #[must_use]
    pub fn measure() -> Self {
        let compare = || {
            let before = clock::now();
            let real = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default();
            let spent = clock::now().since(before);
            let middle = before + spent / 2;
            (spent, nanos(real).saturating_sub(middle.as_nanos()))
        };
        Self(
            (0..5)
                .map(|_| compare())
                .min()
                .map_or(0, |(_, offset)| offset),
        )
    }

    /// A moment of the kernel's stamp.
    #[must_use]
    pub const fn instant(self, real: u64) -> Instant {
        Instant::from_nanos(real.saturating_sub(self.0))
    }

    /// Nanoseconds since 1970.
    #[must_use]
    pub const fn real(self, at: Instant) -> u64 {
        at.as_nanos().saturating_add(self.0)
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Makes the kernel stamp what this socket receives.
///
/// # Errors
/// Those of setsockopt.
pub fn enable(socket: &impl AsFd) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::ReceiveTimestampns, &true)?)
}

/// Receives without waiting: the whole length, which may exceed the buffer's, and the moment of arrival.
///
/// # Errors
/// `WouldBlock` when there is nothing, else those of recvmsg.
pub fn receive(
    socket: &impl AsFd,
    buffer: &mut [u8],
    epoch: Epoch,
) -> io::Result<(usize, Instant)> {
    let mut parts = [IoSliceMut::new(buffer)];
    let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
    let message = recvmsg::<()>(
        socket.as_fd().as_raw_fd(),
        &mut parts,
        Some(&mut control),
        flags,
    )?;
    let stamp = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(time) => Some(nanos(Duration::from(time))),
        _ => None,
    });
    Ok((
        message.bytes,
        stamp.map_or_else(clock::now, |real| epoch.instant(real)),
    ))
}
