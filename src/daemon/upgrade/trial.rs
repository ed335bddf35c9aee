//! A program that is tried: started beside everything, with copies to read, and heard; must not know what it reads.

use crate::control::started::{LINE_MAX, Started};
use crate::linux::clock;
use crate::linux::pass::Number;
use crate::linux::sandbox;
use crate::time::Instant;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Where it finds what.
pub(super) const LETTER: Number = Number::new(3);
pub(super) const RECORDS: Number = Number::new(4);
/// It has so long for all of it: milliseconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// So much of a line of its own is passed on, in characters.
const WORDS: usize = 300;
/// Between looks at a process that has said all and ends.
const PAUSE: Duration = Duration::from_millis(2);

/// A program on trial; dropped, it is ended.
#[derive(Debug)]
pub(super) struct Trial {
    child: Child,
    /// Both of its outputs, until their end.
    output: Option<PipeReader>,
    said: Vec<u8>,
    until: Instant,
}

impl Trial {
    /// Starts it with nothing but the letter, the records to look at, and a place for its words.
    pub(super) fn begin(
        path: &Path,
        (line, environment): (Vec<OsString>, Vec<(&str, OsString)>),
        (letter, records): (OwnedFd, OwnedFd),
    ) -> io::Result<Self> {
        let (output, input) = io::pipe()?;
        let mut line = line.into_iter();
        let mut command = Command::new(path);
        command
            .arg0(line.next().unwrap_or_default())
            .args(line)
            .current_dir("/")
            .env_clear()
            .envs(environment)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(input.try_clone()?)
            .stderr(input);
        for (file, number) in [(&letter, LETTER), (&records, RECORDS)] {
            sandbox::pass_descriptor(&mut command, file.as_fd(), number.get())
                .map_err(io::Error::other)?;
        }
        Ok(Self {
            child: command.spawn()?,
            output: Some(output),
            said: Vec::new(),
            until: clock::now() + PATIENCE,
        })
    }

    /// What tells that it has said something.
    pub(super) fn output(&self) -> Option<BorrowedFd<'_>> {
        self.output.as_ref().map(AsFd::as_fd)
    }

    /// When to look at it however silent it is.
    pub(super) fn next_look(&self) -> Instant {
        match self.output {
            Some(_) => self.until,
            None => self.until.min(clock::now() + PAUSE),
        }
    }

    /// `None`: it goes on. To be called when there is output, or time is over.
    pub(super) fn verdict(&mut self) -> Option<Result<(), String>> {
        if clock::now() >= self.until {
            let text = format!("it did not say in {} s whether it can", PATIENCE.as_secs());
            return Some(Err(text));
        }
        if let Some(mut output) = self.output.as_ref() {
            let mut some = [0; 512];
            match output.read(&mut some) {
                Ok(1..) if self.said.len() > LINE_MAX => {
                    return Some(Err("it says too much".into()));
                }
                Ok(count @ 1..) => {
                    self.said.extend_from_slice(&some[..count]);
                    return None;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => return None,
                Ok(_) | Err(_) => self.output = None,
            }
        }
        let status = match self.child.try_wait() {
            Ok(None) => return None,
            Ok(Some(status)) => status,
            Err(error) => return Some(Err(super::words_of(&error))),
        };
        Some(self.judge(status))
    }

    /// What it said, and how it ended.
    fn judge(&self, status: ExitStatus) -> Result<(), String> {
        let mut lines = self.said.split(|byte| *byte == b'\n');
        let plain = |line: &&[u8]| !line.is_empty() && Started::read(line).is_none();
        let words = lines.clone().find(plain).map(|line| {
            let text: String = String::from_utf8_lossy(line).chars().take(WORDS).collect();
            text.trim().to_owned()
        });
        let rest = match lines.find_map(Started::read) {
            Some(Started::Ready) if status.success() => return Ok(()),
            Some(Started::Failed(refusal)) => refusal.text,
            _ if words.is_some() && !status.success() => status.to_string(),
            _ => format!("it did not say that it can, and ended with {status}"),
        };
        // What its engine said stands before what it says of that.
        Err(words.map_or_else(|| rest.clone(), |words| format!("{words}; {rest}")))
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let (Ok(None), Ok(group)) = (self.child.try_wait(), i32::try_from(self.child.id())) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}
