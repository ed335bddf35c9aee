//! Puts the processes together: door and engine as threads of one process, or apart; must not know what either does.

use super::door::client::{Client, Outcomes};
use super::door::{Effect, Outcome, Said, serve};
use super::log::{Log, level};
use super::plane::{Choice, Offer, choose};
use super::run::{Queues, listen_to_door, run, watch};
use super::{Daemon, Ending, Event, attend};
use crate::carp::Engine;
use crate::carp::config::{Dataplane, Settings};
use crate::control::plan::refusal;
use crate::control::started::Started;
use crate::control::{Refusal, path};
use crate::dataplane::Plane;
use crate::linux::channel::Channel;
use crate::linux::clock::{self, TimerFd};
use crate::linux::monitor::Monitor;
use crate::linux::readiness::Readiness;
use crate::linux::{random, sandbox};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::process::{Child, Command, ExitCode};
use std::rc::Rc;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Events that wait for the one task. Reading tasks stop when it is full, and the kernel drops what comes then.
const QUEUE: usize = 64;
/// An autostarted daemon that nobody asks anything ends.
const IDLE: Duration = Duration::from_secs(10);

/// How to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Started by a command: detached, logs to syslog, ends by itself, says `ready` or why not on standard output.
    pub autostarted: bool,
    /// The engine in a process of its own, without privilege.
    pub separate: bool,
    /// The data plane to begin with.
    pub dataplane: Dataplane,
}

/// `carp daemon`: runs until it is told to end.
#[must_use]
pub fn daemon(options: Options) -> ExitCode {
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
    let pair = Channel::pair().map_err(refused);
    concluded(
        options,
        pair.and_then(|(near, far)| {
            if options.separate {
                apart(options, near, &far)
            } else {
                together(options, near, far)
            }
        }),
    )
}

/// One process: the door on a thread of its own.
fn together(options: Options, near: Channel, far: Channel) -> Result<(), Started> {
    let door = std::thread::Builder::new()
        .name("door".into())
        .spawn(move || far_end(&far))
        .map_err(refused)?;
    let result = engine(options, near);
    let served = door
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the door panicked")));
    result.and(served.map_err(refused))
}

/// Two processes: this one keeps the privilege and serves the door, the child decides.
fn apart(options: Options, near: Channel, far: &Channel) -> Result<(), Started> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("engine").stdin(OwnedFd::from(near));
    if options.autostarted {
        command.arg("--autostarted");
    }
    command.args(["--dataplane", options.dataplane.word()]);
    let mut child = command.spawn().map_err(refused)?;
    drop(command);
    pass_signals_to(&child).map_err(refused)?;
    let served = far_end(far);
    let status = child.wait().map_err(refused)?;
    served.map_err(refused)?;
    if status.success() {
        Ok(())
    } else {
        Err(refused(io::Error::other(format!(
            "the engine ended with {status}"
        ))))
    }
}

/// SIGTERM and SIGINT to the privileged process are the engine's: it says goodbye, then asks for the end.
fn pass_signals_to(child: &Child) -> io::Result<()> {
    let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let _inside = runtime.enter();
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! { Some(()) = term.recv() => {}, Some(()) = int.recv() => {}, else => return }
                // The child may have ended by itself; it is waited for right after.
                let _ = kill(pid, Signal::SIGTERM);
            }
        });
    })?;
    Ok(())
}

/// `carp door`: the far end alone, its channel on standard input.
#[must_use]
pub fn door_process() -> ExitCode {
    concluded(
        Options::default(),
        standard_input()
            .and_then(|channel| far_end(&channel))
            .map_err(refused),
    )
}

/// `carp engine`: the near end alone, without privilege and in an empty network namespace.
#[must_use]
pub fn engine_process(options: Options) -> ExitCode {
    let alone = || -> io::Result<Channel> {
        let channel = standard_input()?;
        sandbox::enter_empty_netns().map_err(io::Error::other)?;
        sandbox::drop_privilege().map_err(io::Error::other)?;
        Ok(channel)
    };
    concluded(
        options,
        alone()
            .map_err(refused)
            .and_then(|channel| engine(options, channel)),
    )
}

fn standard_input() -> io::Result<Channel> {
    Ok(Channel::from(io::stdin().as_fd().try_clone_to_owned()?))
}

/// The privileged side: in the namespace and the run directory of this process.
fn far_end(channel: &Channel) -> io::Result<()> {
    // Others may look, whatever umask the caller had: it would take their way to the socket.
    let _ = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    serve::serve(channel, path::for_daemon()?, random::nonzero_u32()?)
}

/// The deciding side.
fn engine(options: Options, channel: Channel) -> Result<(), Started> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(refused)?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let mut door = Client::new(channel).map_err(refused)?;
        let outcomes = door.outcomes();
        let opened = opened(&mut door, &outcomes).await?;
        let offer = offered(&mut door, &outcomes).await?;
        let choice = choose(options.dataplane, &offer).map_err(Started::Failed)?;
        begin(options, door, outcomes, opened, (offer, choice))
            .await
            .map_err(refused)
    })
}

async fn begin(
    options: Options,
    door: Client,
    outcomes: Outcomes,
    (listener, monitor): (UnixListener, Monitor),
    (offer, choice): (Offer, Choice),
) -> io::Result<()> {
    let monitor = Rc::new(Readiness::new(monitor)?);
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
        plane: Plane::start()?,
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
        fullsock: 0,
        stirred: true,
        ending: Ending::No,
        autostarted: options.autostarted,
        begun: false,
        adverts,
        events: events.clone(),
        log: if options.autostarted {
            Log::syslog()
        } else {
            Log::Foreground
        },
    };
    daemon
        .kernel
        .dump(monitor.get_ref())
        .map_err(io::Error::other)?;
    tokio::task::spawn_local(watch(monitor, events.clone()));
    tokio::task::spawn_local(listen_to_door(outcomes, events.clone()));
    tokio::task::spawn_local(attend::attend(listener, events.clone()));
    end_on_signals(&events)?;
    if options.autostarted {
        tokio::task::spawn_local(end_when_idle(events));
    }
    daemon.tell_plane();
    daemon.log.line(level::INFO, "ready");
    ready(options);
    let timer = Readiness::new(TimerFd::new().map_err(io::Error::other)?)?;
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

/// The first order, waited for: without it there is no daemon.
async fn opened(
    door: &mut Client,
    outcomes: &Outcomes,
) -> Result<(UnixListener, Monitor), Started> {
    door.order(Effect::Open);
    let Some((Outcome { result, .. }, descriptors)) = outcomes.next().await.map_err(refused)?
    else {
        return Err(refused(io::Error::other("the privileged side is gone")));
    };
    result.map_err(|failure| match failure.errno {
        libc::EWOULDBLOCK => Started::Busy,
        errno => Started::Failed(refusal(&described(errno), failure.why)),
    })?;
    let sockets = <[OwnedFd; 2]>::try_from(descriptors);
    let [listener, monitor] =
        sockets.map_err(|_| refused(io::Error::other("the door gave no sockets")))?;
    Ok((UnixListener::from(listener), Monitor::from(monitor)))
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

fn end_on_signals(events: &mpsc::Sender<Event>) -> io::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind)?;
        let events = events.clone();
        tokio::task::spawn_local(async move {
            while signals.recv().await.is_some() {
                let _ = events.send(Event::End).await;
            }
        });
    }
    Ok(())
}

async fn end_when_idle(events: mpsc::Sender<Event>) {
    tokio::time::sleep(IDLE).await;
    let _ = events.send(Event::Retry).await;
}

/// Tells the command that started us, which then asks, or the service manager.
fn ready(options: Options) {
    if options.autostarted {
        report(&Started::Ready);
    } else if let Some(socket) = std::env::var_os("NOTIFY_SOCKET") {
        // As sd_notify(3). A manager that does not listen gives up on us by itself.
        let _ = notify(&socket, b"READY=1");
    }
}

/// One datagram to a socket's path, or to the abstract name behind `@`.
fn notify(socket: &OsStr, text: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(text, &address)?;
    Ok(())
}

/// The last word of a process.
fn concluded(options: Options, result: Result<(), Started>) -> ExitCode {
    let Err(started) = result else {
        return ExitCode::SUCCESS;
    };
    if options.autostarted {
        report(&started);
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

/// Writes the line and closes the pipe, so that the command sees its end.
fn report(started: &Started) {
    // The command may have gone away; nobody else reads this.
    let _ = started.report(&mut io::stdout());
    if let Ok(null) = std::fs::OpenOptions::new().write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stdout(&null);
    }
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
