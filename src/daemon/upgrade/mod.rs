//! Another program takes the place of a daemon's parent: who asks for it, which program, whether it can; must not know the protocol.
//!
//! The parent executes the new program in place: one process, so that service managers and pid files stay right, and every
//! descriptor stays open under its number, as a [`letter`] lists them. The engine of the old version goes on serving until one
//! of the new version waits for the answer to its first order; then it gives way as in a crash, only that it finishes what
//! it has in hand first.
//!
//! All that can fail is tried before: the new program reads the letter and the state in a process of its own, and an engine of
//! its own resumes from them. Who asks does it over a socket that only the parent reads: an engine that somebody has taken
//! over cannot name a program.
#![forbid(unsafe_code)]

mod letter;
mod look;
mod program;
mod succeed;
mod trial;

pub(super) use look::look;
pub(super) use succeed::Succession;

use super::start::Options;
use crate::control::Refusal;
use crate::control::path::Place;
use crate::control::plan::refusal;
use crate::control::socket::{self, REQUEST_MAX};
use crate::control::upgrade::{Upgrade, Upgraded};
use crate::linux::channel::Channel;
use crate::linux::clock;
use crate::linux::pass::{Number, Parcel};
use crate::time::Instant;
use letter::Letter;
use nix::errno::Errno;
use nix::unistd::Uid;
use program::Program;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};
use trial::Trial;

/// The options of a command line that name a letter.
const TAKES_OVER: &str = "--takes-over";
const TRIES: &str = "--tries";
/// What of the environment the next program gets: what decides about its run directory, and where a service manager listens.
const KEPT: [&str; 4] = [
    "CARP_RUN",
    "XDG_RUNTIME_DIR",
    "PATH",
    super::door::ready::SOCKET,
];
/// For who has connected to say what he wants, and to take his answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Upgrades that are asked for, one after the other; who asks meanwhile waits in the queue of the socket.
#[derive(Debug)]
pub(super) struct Upgrades {
    listener: Option<UnixListener>,
    /// The program that is taken when none is named.
    usual: PathBuf,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Idle,
    /// Somebody has connected, and says what he wants until then.
    Asked(UnixStream, Instant),
    Trying {
        asker: UnixStream,
        /// What is to be taken when none is named, from then on.
        usual: PathBuf,
        program: Program,
        trial: Trial,
    },
    /// It can take over.
    Fit {
        asker: UnixStream,
        usual: PathBuf,
        program: Program,
    },
    /// It is this program that was asked for; its engine is not ready yet.
    Done(UnixStream),
}

/// What a letter needs to know beside the door.
pub(super) struct Present<'a> {
    pub(super) options: Options,
    pub(super) engine: (i32, &'a Channel),
    pub(super) nowhere: Option<BorrowedFd<'a>>,
    pub(super) door: &'a super::door::serve::Door,
}

impl Upgrades {
    /// None can be asked for yet.
    pub(super) fn new() -> Self {
        Self {
            listener: None,
            usual: started_from(),
            phase: Phase::Idle,
        }
    }

    /// Listens at the place of an instance, once.
    pub(super) fn listen(&mut self, place: &Place) -> io::Result<()> {
        if self.listener.is_some() {
            return Ok(());
        }
        let socket = place.upgrades();
        match fs::remove_file(&socket) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = UnixListener::bind(&socket)?;
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        self.listener = Some(listener);
        Ok(())
    }

    /// What is waited for, and until when.
    pub(super) fn awaited(&self) -> (Option<BorrowedFd<'_>>, Option<Instant>) {
        match &self.phase {
            Phase::Idle => (self.listener.as_ref().map(AsFd::as_fd), None),
            Phase::Asked(asker, until) => (Some(asker.as_fd()), Some(*until)),
            Phase::Trying { trial, .. } => (trial.output(), Some(trial.next_look())),
            Phase::Fit { .. } | Phase::Done(_) => (None, None),
        }
    }

    /// Goes on as far as it can without waiting. True: a program was found fit, see [`execute`](Self::execute).
    pub(super) fn go_on(&mut self, present: &Present<'_>) -> bool {
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        self.phase = match phase {
            Phase::Idle => self.accept(),
            Phase::Asked(asker, until) => self.hear(asker, until, present),
            Phase::Trying {
                asker,
                usual,
                program,
                mut trial,
            } => match trial.verdict() {
                None => Phase::Trying {
                    asker,
                    usual,
                    program,
                    trial,
                },
                Some(Ok(())) => Phase::Fit {
                    asker,
                    usual,
                    program,
                },
                Some(Err(why)) => refuse(asker, unfit(&program, why)),
            },
            phase => phase,
        };
        matches!(self.phase, Phase::Fit { .. })
    }

    /// Executes the program that was found fit. Returns why it could not, for the log; everything is as it was then.
    pub(super) fn execute(&mut self, present: &Present<'_>) -> String {
        let Phase::Fit {
            asker,
            usual,
            program,
        } = std::mem::replace(&mut self.phase, Phase::Idle)
        else {
            return String::new();
        };
        let refusal = self.become_it(&program, &usual, &asker, present);
        let text = format!(
            "{}: {}",
            refusal.text,
            refusal.why.as_deref().unwrap_or_default()
        );
        self.phase = refuse(asker, refusal);
        text
    }

    /// The new engine serves, or there is none.
    pub(super) fn conclude(&mut self, outcome: &Upgraded) {
        if matches!(self.phase, Phase::Done(_))
            && let Phase::Done(asker) = std::mem::replace(&mut self.phase, Phase::Idle)
        {
            answer(asker, outcome);
        }
    }

    fn accept(&self) -> Phase {
        let accepted = self.listener.as_ref().map(UnixListener::accept);
        let Some(Ok((asker, _))) = accepted else {
            return Phase::Idle;
        };
        let owner = Uid::effective().as_raw();
        if !socket::uid_of(&asker).is_ok_and(|uid| socket::may_change(uid, owner)) {
            return Phase::Idle;
        }
        Phase::Asked(asker, clock::now() + PATIENCE)
    }

    fn hear(&self, mut asker: UnixStream, until: Instant, present: &Present<'_>) -> Phase {
        if clock::now() >= until {
            return Phase::Idle;
        }
        let patience = asker
            .set_nonblocking(false)
            .and_then(|()| asker.set_read_timeout(Some(PATIENCE / 10)));
        let request = patience.map_err(Into::into).and_then(|()| {
            let frame = socket::read_frame(&mut asker, REQUEST_MAX)?;
            Ok::<Upgrade, socket::Error>(serde_json::from_slice(&frame)?)
        });
        let Ok(Upgrade { path, changed }) = request else {
            return Phase::Idle;
        };
        let usual = path.unwrap_or_else(|| self.usual.clone());
        let begun = Program::at(&usual).and_then(|program| {
            if changed && program.runs() {
                return Ok(None);
            }
            let begun = self.begin(&program, &usual, &asker, present);
            let trial = begun.map_err(|error| unfit(&program, words_of(&error)))?;
            Ok(Some((program, trial)))
        });
        match begun {
            Ok(Some((program, trial))) => Phase::Trying {
                asker,
                usual,
                program,
                trial,
            },
            Ok(None) => {
                answer(asker, &Upgraded::Done);
                Phase::Idle
            }
            Err(refusal) => refuse(asker, refusal),
        }
    }

    fn begin(
        &self,
        program: &Program,
        usual: &Path,
        asker: &UnixStream,
        present: &Present<'_>,
    ) -> io::Result<Trial> {
        let mut letter = self.letter(usual, asker, present, &mut Parcel::default())?;
        letter.holdings.records = trial::RECORDS;
        let line = line(present.options, TRIES, trial::LETTER);
        let files = (letter.seal()?, present.door.records()?);
        Trial::begin(program.path(), (line, environment()), files)
    }

    fn letter(
        &self,
        usual: &Path,
        asker: &UnixStream,
        present: &Present<'_>,
        parcel: &mut Parcel,
    ) -> io::Result<Letter> {
        let missing = || io::Error::other("no engine has begun");
        let listener = self.listener.as_ref().ok_or_else(missing)?;
        let holdings = present.door.pass(parcel).ok_or_else(missing)?;
        let (pid, channel) = present.engine;
        let engine = (pid, parcel.put(channel));
        let nowhere = present.nowhere.map(|nowhere| parcel.put(nowhere));
        let sockets = [parcel.put(listener), parcel.put(asker)];
        Ok(Letter::new(
            (usual.to_owned(), engine),
            nowhere,
            sockets,
            holdings,
        ))
    }

    /// Executes the program. Returns why it could not.
    fn become_it(
        &self,
        program: &Program,
        usual: &Path,
        asker: &UnixStream,
        present: &Present<'_>,
    ) -> Refusal {
        if Program::at(program.path()).as_ref() != Ok(program) {
            return unfit(program, "the file was changed while it was tried".into());
        }
        let mut parcel = Parcel::default();
        let mut execute = || -> io::Result<()> {
            let letter = self.letter(usual, asker, present, &mut parcel)?.seal()?;
            let number = parcel.put(&letter);
            parcel.survive(true).map_err(io::Error::other)?;
            // A manager that does not listen needs no telling.
            let _ = super::door::ready::reloading();
            let line = line(present.options, TAKES_OVER, number);
            execve(program.path(), &line)
        };
        let failed = execute();
        let _ = parcel.survive(false);
        let _ = super::door::ready::notify();
        let why = failed.err().as_ref().map_or_else(String::new, words_of);
        unfit(program, why)
    }
}

/// Returns if it failed only.
fn execve(path: &Path, line: &[OsString]) -> io::Result<()> {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    let text = |bytes: &[u8]| CString::new(bytes).map_err(io::Error::other);
    let words = line.iter().map(|word| text(word.as_bytes()));
    let words = words.collect::<io::Result<Vec<_>>>()?;
    let variables = environment().into_iter().map(|(name, value)| {
        let pair = [name.as_bytes(), b"=", value.as_bytes()].concat();
        text(&pair)
    });
    let variables = variables.collect::<io::Result<Vec<_>>>()?;
    // Not by std, which would have SIGPIPE end this process if it comes back.
    nix::unistd::execve(&text(path.as_os_str().as_bytes())?, &words, &variables)?;
    Ok(())
}

/// As this process was called, so that lists of processes and what looks for them show the same.
fn line(options: Options, word: &str, letter: Number) -> Vec<OsString> {
    let name = env::args_os().next().unwrap_or_else(|| "carpd".into());
    let daemon = Path::new(&name)
        .file_name()
        .is_some_and(|name| name == "carpd");
    let mut line = vec![name];
    if !daemon {
        line.push("daemon".into());
    }
    if options.autostarted {
        line.push("--autostarted".into());
    }
    line.extend(["--dataplane", options.dataplane.word(), word].map(OsString::from));
    line.push(letter.to_string().into());
    line
}

fn environment() -> Vec<(&'static str, OsString)> {
    let kept = KEPT.into_iter();
    kept.filter_map(|name| env::var_os(name).map(|value| (name, value)))
        .collect()
}

/// The path by which this program was called if that leads to it, so that a symbolic link is followed anew each time; else its
/// file's.
fn started_from() -> PathBuf {
    let file = env::current_exe().unwrap_or_default();
    let called = env::args_os().next().map(PathBuf::from);
    let leads =
        |path: &PathBuf| path.is_absolute() && fs::canonicalize(path).ok().as_ref() == Some(&file);
    called.filter(leads).unwrap_or(file)
}

fn unfit(program: &Program, why: String) -> Refusal {
    let shown = program.path().display();
    refusal(&format!("{shown} does not take over"), why)
}

fn refuse(asker: UnixStream, refusal: Refusal) -> Phase {
    answer(asker, &Upgraded::Refused(refusal));
    Phase::Idle
}

/// Who has gone away does not want it.
fn answer(mut asker: UnixStream, upgraded: &Upgraded) {
    let _ = asker.set_write_timeout(Some(PATIENCE));
    if let Ok(frame) = socket::request_frame(upgraded) {
        let _ = asker.write_all(&frame);
    }
}

/// The system's words, without Rust's number.
fn words_of(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(
        || error.to_string(),
        |number| Errno::from_raw(number).desc().to_owned(),
    )
}
