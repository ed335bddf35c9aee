//! Lines for the log: syslog when nobody watches, standard error in the foreground; must not know what they are about.

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
            Self::Foreground => eprintln!("carpd: {text}"),
            Self::Syslog(socket) => {
                let line = format!(
                    "<{}>carpd[{}]: {text}",
                    DAEMON | level.min(7),
                    std::process::id()
                );
                // A full log must not stop the protocol.
                let _ = socket.send(line.as_bytes());
            }
            Self::Nowhere => {}
        }
    }
}
