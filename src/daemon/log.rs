//! Lines for the log: syslog when nobody watches, standard error in the foreground; must not know what they are about.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

/// Syslog levels by their numbers (RFC 5424 section 6.2.1).
pub mod level {
    /// Between BACKUP and MASTER.
    pub const CRIT: u8 = 2;
    /// What does not work.
    pub const ERR: u8 = 3;
    /// To and from INIT.
    pub const WARNING: u8 = 4;
    /// Normal, and worth knowing.
    pub const NOTICE: u8 = 5;
    /// Start and end.
    pub const INFO: u8 = 6;
}

/// LOG_DAEMON, shifted.
const DAEMON: u8 = 3 << 3;
/// How a line begins on standard error.
const FOREGROUND: &str = "carpd: ";

/// Where lines go.
#[derive(Debug)]
pub enum Log {
    /// `carpd: text` on standard error.
    Foreground,
    /// The socket of syslog or the journal.
    Syslog(UnixDatagram),
    /// Neither is there.
    Nowhere,
}

impl Log {
    /// Of a daemon in the background or in the foreground.
    #[must_use]
    pub fn new(background: bool) -> Self {
        if background {
            Self::syslog()
        } else {
            Self::Foreground
        }
    }

    /// The system's log, if there is one.
    fn syslog() -> Self {
        let socket = UnixDatagram::unbound().and_then(|socket| {
            socket.connect("/dev/log")?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        socket.map_or(Self::Nowhere, Self::Syslog)
    }

    /// A way to it that stays when this one is gone, and what a line begins with there; `None`: nowhere.
    #[must_use]
    pub fn way(&self, level: u8) -> Option<(OwnedFd, String)> {
        let (to, head) = match self {
            Self::Foreground => (
                io::stderr().as_fd().try_clone_to_owned(),
                FOREGROUND.to_owned(),
            ),
            Self::Syslog(socket) => (socket.as_fd().try_clone_to_owned(), head(level)),
            Self::Nowhere => return None,
        };
        Some((to.ok()?, head))
    }

    /// One line; control characters are escaped, since names and packets of others are in it.
    pub fn line(&self, level: u8, text: &str) {
        let text: String = text
            .chars()
            .flat_map(|c| {
                if c.is_control() {
                    c.escape_default().collect()
                } else {
                    vec![c]
                }
            })
            .collect();
        match self {
            Self::Foreground => eprintln!("{FOREGROUND}{text}"),
            Self::Syslog(socket) => {
                let line = head(level) + &text;
                // A full log must not stop the protocol.
                let _ = socket.send(line.as_bytes());
            }
            Self::Nowhere => {}
        }
    }
}

/// How a line begins for syslog.
fn head(level: u8) -> String {
    let process = std::process::id();
    format!("<{}>carpd[{process}]: ", DAEMON | level.min(7))
}
