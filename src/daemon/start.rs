//! Begins each of the two processes, and says a process's last word; must not know what either does.

use super::attend::{self, Entrance};
use super::door::client::{Client, Outcomes};
use super::door::{Effect, Heir, How, Outcome, Said};
use super::keep::Kept;
use super::log::{Log, level};
use super::plane::{Choice, Offer, choose};
use super::run::{Queues, listen_to_door, run, watch};
use super::{Daemon, Ending, Event, Purpose, Relief, confine, parent, upgrade};
use crate::carp::config::{Dataplane, Settings};
use crate::carp::{Engine, Input};
use crate::control::Refusal;
use crate::control::plan::refusal;
use crate::control::started::Started;
use crate::dataplane::Plane;
use crate::linux::channel::Channel;
use crate::linux::clock::{self, TimerFd};
use crate::linux::monitor::Monitor;
use crate::linux::pass::Number;
use crate::linux::readiness::Readiness;
use crate::linux::records::Records;
use crate::linux::{random, sandbox};
use nix::sys::signal::SigSet;
use nix::unistd::Uid;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, SystemTime};
use std::{fs, io, panic};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Events that wait for the one task. Reading tasks stop when it is full, and the kernel drops what comes then.
const QUEUE: usize = 64;
/// An autostarted daemon that nobody asks anything ends.
const IDLE: Duration = Duration::from_secs(10);
/// The status of a process that panicked, as std has it.
pub(super) const PANICKED: i32 = 101;

/// How to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Started by a command: detached, logs to syslog, ends by itself, says `ready` or why not on standard output.
    pub autostarted: bool,
    /// The data plane to begin with.
    pub dataplane: Dataplane,
    /// Where from.
    pub begin: Begin,
}

/// Where a daemon begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Begin {
    /// With nothing.
    #[default]
    Anew,
    /// It says whether it could take the place of the daemon that has written the letter under this number.
    Trial(RawFd),
    /// It takes it.
    Succession(RawFd),
}

/// `carp daemon`: runs until it is told to end.
#[must_use]
pub fn daemon(options: Options) -> ExitCode {
    sandbox::be_called(c"carpd");
    match options.begin {
        Begin::Anew => {}
        Begin::Trial(letter) => return tried(upgrade::look(options, Number::new(letter))),
        Begin::Succession(letter) => {
            return parent::take_over(options, Number::new(letter))
                .unwrap_or_else(|e| concluded(options, Err(refused(e))));
        }
    }
    // Whoever started us may have blocked what ends us; a child inherits that.
    let _ = SigSet::all().thread_unblock();
    if options.autostarted {
        // Already a leader of its session when a test or a unit file started it so.
        let _ = sandbox::detach();
        // What the shell of the command had open (a pipe, a lock) must not stay open for as long as we run.
        let _ = sandbox::close_inherited(3);
    }
    // With the old limit it serves fewer interfaces.
    let _ = sandbox::raise_descriptors();
    let log = Log::new(options.autostarted);
    parent::keep(options, &log).unwrap_or_else(|e| concluded(options, Err(refused(e))))
}

/// `carp door`: the far end alone, its channel on standard input.
#[must_use]
pub fn door_process() -> ExitCode {
    let served = standard_input().and_then(|channel| parent::serve(&channel));
    concluded(Options::default(), served.map_err(refused))
}

/// `carp engine`: the near end alone, without privilege.
#[must_use]
pub fn engine_process(options: Options) -> ExitCode {
    sandbox::be_called(c"carp-engine");
    end_with_any_thread();
    let alone = || -> io::Result<(Channel, Start)> {
        let log = Log::new(options.autostarted);
        let channel = standard_input()?;
        let owner = Uid::effective().as_raw();
        let caller = io::stdout().as_fd().try_clone_to_owned()?;
        let null = fs::OpenOptions::new().write(true).open("/dev/null")?;
        let missing = confine::begin()?;
        let start = Start {
            options,
            log,
            owner,
            missing,
            caller: options.autostarted.then_some((caller, null)),
        };
        Ok((channel, start))
    };
    concluded(
        options,
        alone()
            .map_err(refused)
            .and_then(|(channel, start)| engine(start, channel)),
    )
}

/// What an engine has before it is confined.
struct Start {
    options: Options,
    log: Log,
    /// Who started the daemon.
    owner: u32,
    /// What it could not give up.
    missing: Vec<String>,
    /// The command that waits for a line, and what standard output is afterwards.
    caller: Option<(OwnedFd, fs::File)>,
}

/// A thread that panics takes the process along: half an engine is none.
fn end_with_any_thread() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |what| {
        tell(what);
        std::process::exit(PANICKED);
    }));
}

fn standard_input() -> io::Result<Channel> {
    Ok(Channel::from(io::stdin().as_fd().try_clone_to_owned()?))
}

/// The deciding side.
fn engine(start: Start, channel: Channel) -> Result<(), Started> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(refused)?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let mut door = Client::new(channel).map_err(refused)?;
        let outcomes = door.outcomes();
        let plane = Plane::start().map_err(refused)?;
        let Some(opened) = opened(&mut door, &outcomes).await? else {
            // A spare that was never needed.
            return Ok(());
        };
        if opened
            .heir
            .as_ref()
            .is_some_and(|heir| heir.how == How::Look)
        {
            return examine(&start.log, opened.records);
        }
        let offer = offered(&mut door, &outcomes).await?;
        let choice = choose(start.options.dataplane, &offer).map_err(Started::Failed)?;
        begin(start, door, outcomes, opened, (plane, offer, choice))
            .await
            .map_err(refused)
    })
}

/// Goes on from the records as far as that touches nothing, as confined as an engine is.
fn examine(log: &Log, records: Records) -> Result<(), Started> {
    confine::finish(&mut Vec::new(), log.way(level::CRIT));
    let (whole, units) = Kept::new(records)
        .examine()
        .map_err(|why| Started::Failed(refusal(&why, why.clone())))?;
    let now = clock::now();
    let mut engine = Engine::new(0).with_clock(now, wall_clock());
    if let Some(whole) = whole {
        engine.resume(now, whole, units);
    }
    while engine.poll().is_some() {}
    Ok(())
}

async fn begin(
    start: Start,
    door: Client,
    outcomes: Outcomes,
    opened: Opened,
    (plane, offer, choice): (Plane, Offer, Choice),
) -> io::Result<()> {
    let Start { options, .. } = start;
    let Opened { listener, heir, .. } = opened;
    let monitor = Rc::new(Readiness::new(opened.monitor)?);
    let (adverts, adverts_in) = mpsc::channel(QUEUE);
    let (events, events_in) = mpsc::channel(QUEUE);
    let mut daemon = Daemon {
        engine: Engine::new(random::u64()?).with_clock(clock::now(), wall_clock()),
        settings: Settings {
            dataplane: options.dataplane,
            ..Settings::default()
        },
        demoted: BTreeMap::new(),
        doubts: BTreeSet::new(),
        local: Vec::new(),
        door,
        plane,
        counted: Vec::new(),
        kernel: super::Kernel::default(),
        monitor: Rc::clone(&monitor),
        interfaces: BTreeMap::new(),
        carpdevs: BTreeMap::new(),
        pending: BTreeMap::new(),
        failed: BTreeSet::new(),
        transaction: None,
        waiting: VecDeque::new(),
        looking: Vec::new(),
        offer,
        choice,
        fallbacks: BTreeMap::new(),
        told: BTreeSet::new(),
        retired: BTreeSet::new(),
        carried: BTreeMap::new(),
        fullsock: 0,
        stirred: true,
        kept: Kept::new(opened.records),
        ending: Ending::No,
        leaving: false,
        relief: Relief::No,
        entrance: Entrance::new(),
        autostarted: options.autostarted,
        begun: false,
        adverts,
        events: events.clone(),
        log: start.log,
    };
    daemon
        .kernel
        .dump(monitor.get_ref())
        .map_err(io::Error::other)?;
    daemon.tell(Input::Settings(daemon.settings));
    if let Some(heir) = heir {
        daemon.resume(&outcomes, heir).await?;
    }
    tokio::task::spawn_local(watch(monitor, events.clone()));
    tokio::task::spawn_local(listen_to_door(outcomes, events.clone()));
    let entrance = daemon.entrance.clone();
    let attend = attend::attend(listener, start.owner, events.clone(), entrance);
    tokio::task::spawn_local(attend);
    obey_signals(&events)?;
    // The parent keeps them to itself, and a child inherits that.
    let _ = SigSet::all().thread_unblock();
    if options.autostarted {
        tokio::task::spawn_local(end_when_idle(events));
    }
    let timer = Readiness::new(TimerFd::new().map_err(io::Error::other)?)?;
    let caller = start.caller.map(|(caller, null)| {
        // Nobody else reads what it says from now on.
        let _ = nix::unistd::dup2_stdout(&null);
        fs::File::from(caller)
    });
    let mut missing = start.missing;
    confine::finish(&mut missing, daemon.log.way(level::CRIT));
    for line in missing {
        daemon.log.line(level::NOTICE, &line);
    }
    daemon.tell_plane();
    daemon.log.line(level::INFO, "ready");
    daemon.order(Purpose::Ready, Effect::Ready);
    if let Some(mut caller) = caller {
        // The command may have gone away.
        let _ = Started::Ready.report(&mut caller);
    }
    run(
        daemon,
        Queues {
            adverts: adverts_in,
            events: events_in,
        },
        timer,
    )
    .await
}

/// Since 1970; before that it is none.
fn wall_clock() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default()
}

/// What the first order brings.
struct Opened {
    listener: UnixListener,
    monitor: Monitor,
    records: Records,
    heir: Option<Heir>,
}

/// The first order, waited for, maybe long: its answer makes an engine the one. `None`: it never will be.
async fn opened(door: &mut Client, outcomes: &Outcomes) -> Result<Option<Opened>, Started> {
    door.order(Effect::Open);
    let Some((Outcome { result, said, .. }, descriptors)) =
        outcomes.next().await.map_err(refused)?
    else {
        return Ok(None);
    };
    result.map_err(|failure| match failure.errno {
        libc::EWOULDBLOCK => Started::Busy,
        errno => Started::Failed(refusal(&described(errno), failure.why)),
    })?;
    let sockets = <[OwnedFd; 3]>::try_from(descriptors);
    let [listener, monitor, records] =
        sockets.map_err(|_| refused(io::Error::other("the door gave no sockets")))?;
    Ok(Some(Opened {
        listener: UnixListener::from(listener),
        monitor: Monitor::from(monitor),
        records: Records::from(records),
        heir: match said {
            Said::Heir(heir) => Some(heir),
            _ => None,
        },
    }))
}

/// The second order, waited for as well: which data planes there are.
async fn offered(door: &mut Client, outcomes: &Outcomes) -> Result<Offer, Started> {
    door.order(Effect::Offer);
    match outcomes.next().await.map_err(refused)? {
        Some((
            Outcome {
                said: Said::Offer { tcx, clsact },
                ..
            },
            _,
        )) => Ok(Offer { tcx, clsact }),
        Some(_) => Ok(Offer::none("the privileged side knows of none")),
        None => Err(refused(io::Error::other("the privileged side is gone"))),
    }
}

fn obey_signals(events: &mpsc::Sender<Event>) -> io::Result<()> {
    let meanings: [(_, fn() -> Event); 3] = [
        (SignalKind::terminate(), || Event::End),
        (SignalKind::interrupt(), || Event::End),
        (SignalKind::user_defined1(), || Event::Relieved),
    ];
    for (kind, event) in meanings {
        let mut signals = signal(kind)?;
        let events = events.clone();
        tokio::task::spawn_local(async move {
            while signals.recv().await.is_some() {
                let _ = events.send(event()).await;
            }
        });
    }
    Ok(())
}

async fn end_when_idle(events: mpsc::Sender<Event>) {
    tokio::time::sleep(IDLE).await;
    let _ = events.send(Event::Retry).await;
}

/// The last word of a program on trial.
fn tried(result: io::Result<()>) -> ExitCode {
    let (started, code) = match result {
        Ok(()) => (Started::Ready, ExitCode::SUCCESS),
        Err(e) => (
            Started::Failed(refusal(&e.to_string(), e.to_string())),
            ExitCode::FAILURE,
        ),
    };
    // Who tried it has gone away, and decides nothing any more.
    let _ = started.report(&mut io::stdout());
    code
}

/// The last word of a process.
fn concluded(options: Options, result: Result<(), Started>) -> ExitCode {
    let Err(started) = result else {
        return ExitCode::SUCCESS;
    };
    if options.autostarted {
        // The command may have gone away; nobody else reads this.
        let _ = started.report(&mut io::stdout());
    } else {
        match started {
            Started::Failed(Refusal { text, why }) => {
                eprintln!("carpd: {text}");
                if let Some(why) = why {
                    eprintln!("carpd: {why}");
                }
            }
            _ => eprintln!("carpd: another daemon serves this network namespace"),
        }
    }
    ExitCode::FAILURE
}

fn refused(error: io::Error) -> Started {
    let errno = error.raw_os_error().unwrap_or(0);
    Started::Failed(refusal(&described(errno), error.to_string()))
}

/// What a command that wanted an interface says (BSD names the ioctl).
fn described(errno: i32) -> String {
    match errno {
        0 => "SIOCIFCREATE: Input/output error".to_owned(),
        libc::EACCES => "SIOCIFCREATE: Operation not permitted".to_owned(),
        errno => format!(
            "SIOCIFCREATE: {}",
            nix::errno::Errno::from_raw(errno).desc()
        ),
    }
}
