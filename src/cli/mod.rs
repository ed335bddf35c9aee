//! Front ends: words in, text out; must not know how the daemon works.
#![forbid(unsafe_code)]

pub mod completions;
pub mod demo;
pub mod dump;
pub mod files;
mod forwarding;
pub mod ifconfig;
pub mod import;
pub mod netstart;
pub mod netstat;
pub mod personality;
pub mod start;
pub mod sysctl;
pub mod upgrade;

use crate::control::Refusal;
use crate::control::socket::Error;
use std::io::{self, Write};
use std::process::ExitCode;

/// Prints on standard output. A reader that went away is a success, as with any BSD tool in a pipe.
fn say(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// Prints one line on standard error under the program's name.
pub fn warn(program: &str, text: &str) {
    // Nobody is left to be told when standard error is closed.
    let _ = writeln!(io::stderr().lock(), "{program}: {}", escape(text));
}

/// Prints a refusal, BSD's words first, and chooses BSD's exit status.
pub fn refuse(program: &str, refusal: &Refusal) -> ExitCode {
    warn(program, &refusal.text);
    if let Some(why) = &refusal.why {
        warn(program, why);
    }
    ExitCode::FAILURE
}

/// A refusal that needs no second line.
fn plain(text: impl Into<String>) -> Refusal {
    Refusal {
        text: text.into(),
        why: None,
    }
}

/// A refusal whose words hide the reason.
fn because(text: impl Into<String>, why: impl Into<String>) -> Refusal {
    Refusal {
        text: text.into(),
        why: Some(why.into()),
    }
}

/// A conversation that failed, for the user.
fn unanswered(error: &Error) -> Refusal {
    match error {
        Error::Untrusted { .. } => because(
            error.to_string(),
            "nothing was sent: that is not a daemon of root or of yours",
        ),
        Error::Io(error) => because("the carp daemon cannot be reached", reason(error)),
        Error::Malformed(_) => {
            because("the carp daemon speaks another language", error.to_string())
        }
        _ => plain(format!("the carp daemon: {error}")),
    }
}

/// The system's words for an error, without Rust's number.
fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}

/// Text from outside may hold what a terminal would obey.
fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default())
        } else {
            shown.push(c)
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(
            escape("carp1\x1b[2J\n\u{9b}é"),
            "carp1\\u{1b}[2J\\n\\u{9b}é"
        );
    }

    #[test]
    fn reasons_are_the_systems_words() {
        assert_eq!(
            reason(&io::Error::from_raw_os_error(2)),
            "No such file or directory"
        );
    }
}
