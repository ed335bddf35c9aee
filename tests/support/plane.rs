//! The same test on every data plane that the machine offers; must not know what a test does.

use super::hosts::Host;
use super::privilege;
use carp::carp::config::Dataplane;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

/// Makes a test of each named function for each data plane: `copy::NAME`, `tcx::NAME` and `clsact::NAME`. Where the machine
/// does not offer one, the test says so and is skipped.
macro_rules! planes {
    ($($name:ident),+ $(,)?) => {
        $crate::support::plane::planes!(@one copy Copy $($name)+);
        $crate::support::plane::planes!(@one tcx Tcx $($name)+);
        $crate::support::plane::planes!(@one clsact Clsact $($name)+);
    };
    (@one $module:ident $plane:ident $($name:ident)+) => {
        mod $module {
            $(
                #[test]
                fn $name() {
                    if $crate::support::plane::begin(carp::carp::config::Dataplane::$plane) {
                        super::$name();
                    }
                }
            )+
        }
    };
}
pub(crate) use planes;

thread_local! {
    /// That of the test on this thread.
    static PLANE: Cell<Dataplane> = const { Cell::new(Dataplane::Auto) };
}

/// That of the test on this thread; `auto` for a test that has none.
pub fn current() -> Dataplane {
    PLANE.get()
}

/// This test has one of the planes that programs in the kernel make.
pub fn in_kernel() -> bool {
    matches!(current(), Dataplane::Tcx | Dataplane::Clsact)
}

/// How often something that takes long is done: what `variable` asks for, or enough to see that it holds.
pub fn rounds(variable: &str) -> usize {
    let asked = std::env::var(variable).ok();
    let asked = asked.and_then(|text| text.parse().ok());
    asked.unwrap_or(if first() { 20 } else { 5 })
}

/// This test has the plane that `auto` prefers: the others make fewer rounds of what takes long.
pub fn first() -> bool {
    let best = if offered(Dataplane::Tcx).is_ok() {
        Dataplane::Tcx
    } else {
        Dataplane::Copy
    };
    current() == best || current() == Dataplane::Auto
}

/// True when the calling test may go on, with hosts of this plane; false when it has run elsewhere or cannot run here.
pub fn begin(plane: Dataplane) -> bool {
    if privilege::run_elsewhere() {
        return false;
    }
    if let Err(why) = offered(plane) {
        assert!(
            !expected(plane),
            "this kernel must offer {plane} to us: {why}"
        );
        privilege::skip_here(&why);
        return false;
    }
    PLANE.set(plane);
    true
}

/// Whether a daemon starts with this plane forced, or why not; tried once in a process.
fn offered(plane: Dataplane) -> Result<(), String> {
    static TRIED: Mutex<BTreeMap<Dataplane, Result<(), String>>> = Mutex::new(BTreeMap::new());
    let mut tried = TRIED.lock().unwrap();
    tried.entry(plane).or_insert_with(|| attempt(plane)).clone()
}

fn attempt(plane: Dataplane) -> Result<(), String> {
    if plane == Dataplane::Copy {
        return Ok(());
    }
    let host = Host::alone("trial");
    let mut command = host.command(&["daemon", "--dataplane", plane.word()]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = host.place.run(|| command.spawn().unwrap());
    let socket = host.run.join(host.place.inode().to_string()).join("ctl");
    let serves = || socket.exists();
    let over = super::hosts::until(Duration::from_secs(10), || {
        serves() || child.try_wait().unwrap().is_some()
    });
    assert!(over, "neither a daemon nor a reason why there is none");
    if serves() {
        child.kill().unwrap();
        child.wait().unwrap();
        return Ok(());
    }
    let said = child.wait_with_output().unwrap().stderr;
    let said = String::from_utf8_lossy(&said);
    Err(said.lines().last().unwrap_or("no reason").to_owned())
}

/// The kernel is new enough, and we have CAP_BPF in the user namespace where it counts: no reason to be without.
fn expected(plane: Dataplane) -> bool {
    let release = nix::sys::utsname::uname().unwrap();
    let release = release.release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut number = || {
        numbers
            .next()
            .and_then(|n| n.parse::<u32>().ok())
            .unwrap_or(0)
    };
    let version = (number(), number());
    let enough = match plane {
        Dataplane::Tcx => (6, 6),
        _ => (5, 11),
    };
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = u64::from_str_radix(bits.unwrap_or("0").trim(), 16).unwrap();
    let capable = bits >> 39 & 1 == 1 && bits >> 12 & 1 == 1;
    let initial = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    let initial = initial.split_whitespace().nth(2) == Some("4294967295");
    version >= enough && capable && initial
}
