//! What a daemon that a command started tells it over a pipe, its standard output: one line; must not know processes.
#![forbid(unsafe_code)]

use super::Refusal;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};

/// The longest line, in bytes with its newline.
pub const LINE_MAX: usize = 4096;

/// The outcome of an autostart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Started {
    /// The control socket answers.
    Ready,
    /// Another daemon of this namespace holds the lock: ask that one.
    Busy,
    /// No privilege, no /dev/net/tun, no run directory, ...: the daemon ends.
    Failed(Refusal),
}

impl Started {
    /// Writes the line. A caller that went away meanwhile is no error worth stopping for.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn report(&self, to: &mut impl Write) -> io::Result<()> {
        let mut line = serde_json::to_vec(self).map_err(io::Error::other)?;
        line.push(b'\n');
        to.write_all(&line)?;
        to.flush()
    }

    /// Reads the line, with or without its newline; `None` when it is something else.
    #[must_use]
    pub fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line.strip_suffix(b"\n").unwrap_or(line)).ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_report_is_one_line_and_reads_back() {
        let refusal = Refusal {
            text: "SIOCIFCREATE: No such device".into(),
            why: Some("a\nb".into()),
        };
        for started in [Started::Ready, Started::Busy, Started::Failed(refusal)] {
            let mut line = Vec::new();
            started.report(&mut line).unwrap();
            assert_eq!(line.iter().filter(|&&b| b == b'\n').count(), 1);
            assert_eq!(Started::read(&line), Some(started));
        }
        assert_eq!(Started::read(b"hello\n"), None);
    }
}
