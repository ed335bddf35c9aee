//! Tells a service manager that the daemon answers, or is about to be another program, as sd_notify(3); must not know who manages.

use nix::time::{ClockId, clock_gettime};
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable that names its socket.
pub(in crate::daemon) const SOCKET: &str = "NOTIFY_SOCKET";

/// It answers.
pub(in crate::daemon) fn notify() -> io::Result<()> {
    say("READY=1")
}

/// It is the same service, and answers again in a moment.
pub(in crate::daemon) fn reloading() -> io::Result<()> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    let usec = now.tv_sec() * 1_000_000 + now.tv_nsec() / 1000;
    say(&format!("RELOADING=1\nMONOTONIC_USEC={usec}"))
}

/// One datagram to the socket that the environment names, if it names one.
fn say(text: &str) -> io::Result<()> {
    let Some(socket) = std::env::var_os(SOCKET) else {
        return Ok(());
    };
    UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address(&socket)?)?;
    Ok(())
}

/// A path, or the abstract name behind `@`.
fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(socket),
    }
}
