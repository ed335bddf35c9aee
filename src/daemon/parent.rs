//! The process that keeps the privilege: starts the engine's, serves its door, passes signals on; must not know the protocol.

use super::confine::{self, Nowhere};
use super::crashes::{Crashes, Next};
use super::door::How;
use super::door::serve::Door;
use super::log::{Log, level};
use super::process::Process;
use super::relief::Relief;
use super::start::{Options, PANICKED};
use super::upgrade::{Present, Succession, Upgrades};
use crate::control::path;
use crate::control::plan::refusal;
use crate::control::upgrade::Upgraded;
use crate::linux::channel::Channel;
use crate::linux::pass::Number;
use crate::linux::{clock, random};
use crate::time::Instant;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::AsFd;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

/// After so much time without an order the next engine is started.
const QUIET: Duration = Duration::from_millis(200);

/// Runs until an engine has ended as it should. One that dies has a successor at once. Failure: it said itself why.
///
/// # Errors
/// What kept it from starting, or the door from working.
pub(super) fn keep(options: Options, log: &Log) -> io::Result<ExitCode> {
    confine::check()?;
    let keeper = Keeper {
        options,
        log,
        signals: Signals::take()?,
        nowhere: Nowhere::new(),
        spare: None,
        former: None,
        confined: false,
        upgrades: Upgrades::new(),
        relief: None,
    };
    keeper.keep(open_door()?, None)
}

/// The same for the program that takes the place of another one, whose letter has this number.
///
/// # Errors
/// What is not as the letter says.
pub(super) fn take_over(options: Options, letter: Number) -> io::Result<ExitCode> {
    let Succession {
        build,
        door,
        engine,
        speaks,
        nowhere,
        upgrades,
    } = Succession::take(letter)?;
    let log = Log::new(options.autostarted);
    let keeper = Keeper {
        options,
        log: &log,
        signals: Signals::take()?,
        nowhere,
        spare: None,
        former: None,
        confined: false,
        upgrades,
        relief: Some(Relief::new(speaks)),
    };
    log.line(
        level::NOTICE,
        &format!(
            "version {} goes on for version {build}",
            env!("CARGO_PKG_VERSION")
        ),
    );
    keeper.keep(door, Some(engine))
}

/// What every engine is started with, and the next one.
struct Keeper<'a> {
    options: Options,
    log: &'a Log,
    signals: Signals,
    nowhere: Nowhere,
    /// It has begun and waits for the answer to its first order, so that it goes on at once.
    spare: Option<Process>,
    /// It was relieved, and may not have ended yet.
    former: Option<Process>,
    /// It has given up what it needs no longer.
    confined: bool,
    upgrades: Upgrades,
    /// The engine that serves is of another program, and is to give way.
    relief: Option<Relief>,
}

/// What there is to do.
#[derive(Default)]
struct Woken {
    asked: bool,
    signalled: bool,
    upgrade: bool,
    /// The spare one has asked for something, or has ended.
    spare: Option<PollFlags>,
    /// There is time.
    quiet: bool,
}

impl Keeper<'_> {
    /// Engine after engine, beginning with `first` if it runs already.
    fn keep(mut self, mut door: Door, mut first: Option<Process>) -> io::Result<ExitCode> {
        let mut crashes = Crashes::default();
        let ended = loop {
            match self.run_one(&mut door, first.take())? {
                End::Relieved => door.how = How::GoOn,
                End::Died(status) if door.ready => {
                    let next = crashes.another(clock::now());
                    self.log.line(
                        level::CRIT,
                        &format!("the engine ended with {status}: {next}"),
                    );
                    if !self.follow(&mut door, next)? {
                        break Ok(ExitCode::FAILURE);
                    }
                }
                End::Died(status) => {
                    break Err(io::Error::other(format!("the engine ended with {status}")));
                }
                End::Code(0) => break Ok(ExitCode::SUCCESS),
                End::Code(_) => break Ok(ExitCode::FAILURE),
            }
        };
        door.close();
        for spare in [self.spare, self.former].into_iter().flatten() {
            // It ends when nobody answers its first order.
            let _ = spare.end();
        }
        ended
    }

    /// Prepares for the next engine. False: the daemon is to end.
    fn follow(&mut self, door: &mut Door, next: Next) -> io::Result<bool> {
        let Next::After(pause) = next else {
            door.how = How::GoOn;
            return Ok(true);
        };
        door.how = How::Leave;
        // Should it die as well, nobody hears a goodbye.
        let _ = self.run_one(door, None)?;
        door.disown();
        door.how = How::Anew;
        Ok(!self.signals.within(pause)?)
    }

    /// One engine, from its start to its end.
    fn run_one(&mut self, door: &mut Door, running: Option<Process>) -> io::Result<End> {
        let running = running.or_else(|| self.spare.take().filter(Process::lives));
        let engine = match running {
            Some(engine) => engine,
            None => Process::start(self.options, &self.nowhere, door.ready)?,
        };
        if self.options.autostarted && !door.ready {
            // The command that waits for a line gets the engine's.
            close_stdout()?;
        }
        let served = self.attend(door, &engine);
        if served.is_err() {
            // It said what no engine of ours says.
            engine.signal(Signal::SIGKILL);
        }
        let told = matches!(served, Ok(true));
        // One that dies before it is told is relieved as well.
        if self.relief.take().is_some() && !told {
            // It has nothing left to do, and its end is not waited for now.
            engine.signal(Signal::SIGKILL);
            self.former = Some(engine);
            return Ok(End::Relieved);
        }
        let status = engine.end()?;
        Ok(match status.code() {
            Some(PANICKED) | None if !told => End::Died(status),
            code => End::Code(code.unwrap_or(1)),
        })
    }

    /// Performs what an engine orders until it hangs up. SIGTERM and SIGINT are its: it says goodbye, then asks for the end.
    /// True: one of them came.
    fn attend(&mut self, door: &mut Door, engine: &Process) -> io::Result<bool> {
        let mut told = false;
        if self.relief.is_some() {
            self.start_spare();
        }
        loop {
            let woken = self.wait(&engine.channel, door.ready)?;
            if woken.signalled && self.signals.0.read_signal()?.is_some() {
                engine.signal(Signal::SIGTERM);
                told = true;
                if let Some(relief) = self.relief.as_mut().filter(|relief| !relief.speaks()) {
                    relief.tell(clock::now());
                }
            }
            if woken.asked && !self.perform(door, &engine.channel)? {
                return Ok(told);
            }
            if woken.upgrade {
                self.upgrade(door, engine);
            }
            if woken.quiet {
                self.start_spare();
            }
            told |= self.relieve(engine, woken.spare);
        }
    }

    /// The host is busy if it fails; then the next one starts when it is needed.
    fn start_spare(&mut self) {
        if let Some(former) = self.former.take() {
            let _ = former.end();
        }
        self.spare = Process::start(self.options, &self.nowhere, true).ok();
    }

    /// One order. False: the engine has hung up.
    fn perform(&mut self, door: &mut Door, channel: &Channel) -> io::Result<bool> {
        if self.relief.as_ref().is_some_and(|relief| !relief.speaks()) {
            return Ok(false);
        }
        let answered = perform(door, channel)?;
        if std::mem::take(&mut door.began) {
            self.upgrades.conclude(&Upgraded::Done);
        }
        if let Some(place) = door.place()
            && let Err(e) = self.upgrades.listen(place)
        {
            let text = format!("no upgrade can be asked for: {e}");
            self.log.line(level::ERR, &text);
        }
        if door.ready && !std::mem::replace(&mut self.confined, true) {
            for line in confine::parent() {
                self.log.line(level::NOTICE, &line);
            }
        }
        Ok(answered)
    }

    /// The next step towards another program, which may be the last of this one.
    fn upgrade(&mut self, door: &Door, engine: &Process) {
        let present = Present {
            options: self.options,
            engine: (engine.pid(), &engine.channel),
            nowhere: self.nowhere.descriptor(),
            door,
        };
        if !self.upgrades.go_on(&present) {
            return;
        }
        for idle in [self.spare.take(), self.former.take()]
            .into_iter()
            .flatten()
        {
            idle.signal(Signal::SIGKILL);
            let _ = idle.end();
        }
        let why = self.upgrades.execute(&present);
        self.log.line(level::ERR, &why);
    }

    /// The engine of another program gives way when ours waits for the answer to its first order. True: it was told to end.
    fn relieve(&mut self, engine: &Process, spare: Option<PollFlags>) -> bool {
        let Some(relief) = &mut self.relief else {
            return false;
        };
        let now = clock::now();
        if relief.until().is_some_and(|until| now >= until) {
            engine.signal(Signal::SIGKILL);
        }
        let Some(flags) = spare else {
            return false;
        };
        if !flags.contains(PollFlags::POLLHUP) {
            engine.signal(Signal::SIGUSR1);
            relief.tell(now);
            return false;
        }
        let ended = self.spare.take().map(Process::end);
        let status = match ended {
            Some(Ok(status)) => status.to_string(),
            _ => "nothing".to_owned(),
        };
        let why = format!("the new engine ended with {status} before it began");
        self.log.line(level::CRIT, &why);
        if relief.again() {
            self.start_spare();
            return false;
        }
        let speaks = relief.speaks();
        let text = if speaks {
            self.relief = None;
            "the engine of the old version goes on"
        } else {
            // Nobody does what it orders. Its peers hear that it goes.
            engine.signal(Signal::SIGTERM);
            relief.tell(now);
            "the engine of the old version is not understood and ends"
        };
        self.upgrades
            .conclude(&Upgraded::Refused(refusal(text, why)));
        !speaks
    }

    /// Waits for something to do.
    fn wait(&self, channel: &Channel, ready: bool) -> io::Result<Woken> {
        let (upgrade, due) = self.upgrades.awaited();
        let quiet = (self.spare.is_none() && ready).then(|| clock::now() + QUIET);
        let relief = self.relief.as_ref();
        let late = relief.and_then(Relief::until);
        let relieving = relief.filter(|relief| !relief.told());
        let spare = relieving.and(self.spare.as_ref());
        // Of an engine that is not understood only the end is of interest.
        let orders = if relief.is_none_or(Relief::speaks) {
            PollFlags::POLLIN
        } else {
            PollFlags::empty()
        };
        let mut waited = vec![
            PollFd::new(channel.as_fd(), orders),
            PollFd::new(self.signals.0.as_fd(), PollFlags::POLLIN),
        ];
        let others = [upgrade, spare.map(|spare| spare.channel.as_fd())];
        let places = others.map(|other| {
            let other = PollFd::new(other?, PollFlags::POLLIN);
            waited.push(other);
            Some(waited.len() - 1)
        });
        let until = [due, quiet, late].into_iter().flatten().min();
        match poll(&mut waited, timeout(until)) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Woken::default()),
            Err(e) => return Err(e.into()),
        }
        let any = |place: usize| waited[place].any() == Some(true);
        let over = |until: Option<Instant>| until.is_some_and(|until| clock::now() >= until);
        let [upgrade, spare] = places;
        let (asked, signalled) = (any(0), any(1));
        Ok(Woken {
            asked,
            signalled,
            upgrade: upgrade.is_some_and(any) || over(due),
            spare: spare
                .filter(|place| any(*place))
                .and_then(|place| waited[place].revents()),
            quiet: over(quiet),
        })
    }
}

/// One order. False: the engine has hung up.
fn perform(door: &mut Door, channel: &Channel) -> io::Result<bool> {
    match channel.recv()? {
        Some((message, _)) => door.answer(channel, &message),
        None => Ok(false),
    }
}

/// Until that moment, or a little longer.
fn timeout(until: Option<Instant>) -> PollTimeout {
    until.map_or(PollTimeout::NONE, |until| {
        let left = until.since(clock::now()).as_millis() + 1;
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    })
}

/// How an engine ended.
enum End {
    /// With this status: it wanted to.
    Code(i32),
    /// By a signal, or because it panicked.
    Died(ExitStatus),
    /// It has given way to the next one.
    Relieved,
}

/// `carp door`: serves an engine that somebody else started.
pub(super) fn serve(channel: &Channel) -> io::Result<()> {
    let mut door = open_door()?;
    let served = loop {
        match perform(&mut door, channel) {
            Ok(true) => {}
            served => break served,
        }
    };
    door.close();
    served.map(drop)
}

/// In the namespace and the run directory of this process.
fn open_door() -> io::Result<Door> {
    // Others may look, whatever umask the caller had: it would take their way to the socket.
    let _ = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    Door::new(path::for_daemon()?, random::nonzero_u32()?)
}

/// What ends the daemon, as something that can be waited for.
struct Signals(SignalFd);

impl Signals {
    /// Waits for one. False: none came.
    fn within(&self, span: Duration) -> io::Result<bool> {
        let until = clock::now() + span;
        loop {
            let left = u16::try_from(until.since(clock::now()).as_millis()).unwrap_or(u16::MAX);
            let mut waited = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waited, left) {
                Err(Errno::EINTR) => {}
                outcome => return Ok(outcome? > 0),
            }
        }
    }

    /// A child inherits the mask, and unblocks them when it is ready for them. So does a program that takes our place.
    fn take() -> io::Result<Self> {
        let mut ends = SigSet::empty();
        ends.add(Signal::SIGTERM);
        ends.add(Signal::SIGINT);
        ends.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&ends, flags)?))
    }
}

/// Standard output leads nowhere from now on.
pub(super) fn close_stdout() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    nix::unistd::dup2_stdout(&null)?;
    Ok(())
}
