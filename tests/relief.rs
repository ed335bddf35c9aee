//! The engine of one version gives way to that of the next, or goes on when there is none.
#![allow(clippy::unwrap_used)]

mod support;

use carp::linux::clock;
use nix::sys::signal::{Signal, kill};
use std::path::{Path, PathBuf};
use support::frames::Frame;
use support::hosts::{SOON, until};
use support::installed::{Installed, program, upgrade};

/// Passes its trial; but no engine that it starts in the old one's place has room for its thread, so each ends before it has
/// asked for anything. `first`: what else is done before the program takes over.
fn mortal(installed: &Installed, first: &str) -> PathBuf {
    let lame = "case \"$*\" in *--tries*) ;; *) export RUST_MIN_STACK=1152921504606846976;; esac";
    installed.script("mortal", &format!("{first}\n{lame}\nexec $carp \"$@\""))
}

/// Says in the letter that the engine that serves speaks another language.
fn foreign(installed: &Installed) -> String {
    let letter = installed.path("doctored");
    format!(
        "for last; do :; done\n\
         sed 's/\"orders\":[0-9]*/\"orders\":9/' </proc/self/fd/$last >{letter}\n\
         exec 3<{letter}\n\
         case \"$*\" in *--tries*) ;; *) set -- daemon --dataplane $3 --takes-over 3;; esac",
        letter = letter.display()
    )
}

fn goodbye(frame: &Frame) -> bool {
    frame.advert().is_some_and(|seen| seen.goodbye())
}

#[test]
fn an_engine_that_dies_right_after_an_upgrade_has_a_successor() {
    let Some((a, installed)) = Installed::one() else {
        return;
    };
    for _ in 0..3 {
        upgrade(&a, &installed.path("carp"));
        let victim = a.engine();
        kill(victim, Signal::SIGKILL).unwrap();
        let gone = || !Path::new(&format!("/proc/{victim}")).exists();
        let next = || gone() && a.state("carp1") == "MASTER";
        assert!(until(SOON, next), "{}", a.said());
    }
    a.terminate();
    assert_eq!(a.carrier("carp1"), None, "{}", a.said());
}

/// Its orders are of another language: it can finish nothing, but its state is all that counts.
#[test]
fn an_engine_that_is_not_understood_gives_way() {
    let Some((a, installed)) = Installed::one() else {
        return;
    };
    let script = format!("{}\nexec $carp \"$@\"", foreign(&installed));
    let path = installed.script("foreign", &script);
    let (pid, index) = (a.pid(), a.index("carp1"));
    let wire = a.sends("eth0");
    upgrade(&a, &path);
    assert_eq!((a.pid(), a.index("carp1")), (pid, index));
    assert_eq!(a.state("carp1"), "MASTER", "{}", a.said());
    assert!(!wire.frames().iter().any(goodbye));
    assert!(!a.said().contains("the engine ended"), "{}", a.said());
}

#[test]
fn where_no_new_engine_starts_the_old_one_goes_on() {
    let Some((a, installed)) = Installed::one() else {
        return;
    };
    let before = (a.pid(), a.engine(), a.index("carp1"));
    let wire = a.sends("eth0");
    let said = a.refused(&format!("upgrade {}", mortal(&installed, "").display()));
    assert_eq!(
        said,
        "upgrade: the engine of the old version goes on\n\
         upgrade: the new engine ended with exit status: 1 before it began\n"
    );
    assert_eq!((a.pid(), a.engine(), a.index("carp1")), before);
    assert_eq!(program(&a), installed.path("carp"), "under the new parent");
    let tried = a.said().matches("before it began").count();
    assert_eq!(tried, 3, "{}", a.said());
    // Which does what it orders.
    a.ok("ifconfig carp1 inet alias 192.0.2.33/24");
    assert!(a.has_address("carp1", "192.0.2.33"), "{}", a.said());
    wire.expect(clock::now(), SOON, "advertisement", |f| {
        f.advert().is_some()
    });
    // Until there is one that starts.
    upgrade(&a, &installed.path("carp"));
    assert_ne!(a.engine(), before.1);
    assert_eq!((a.pid(), a.index("carp1")), (before.0, before.2));
    assert_eq!(a.state("carp1"), "MASTER", "{}", a.said());
    assert!(!wire.frames().iter().any(goodbye), "{}", a.said());
    a.terminate();
    assert_eq!(a.carrier("carp1"), None, "{}", a.said());
}

/// It could order nothing, neither to become MASTER nor to be none: it leaves that to others.
#[test]
fn where_no_new_engine_starts_one_that_is_not_understood_says_goodbye() {
    let Some((a, installed)) = Installed::one() else {
        return;
    };
    let wire = a.sends("eth0");
    let path = mortal(&installed, &foreign(&installed));
    let said = a.refused(&format!("upgrade {}", path.display()));
    assert_eq!(
        said,
        "upgrade: the engine of the old version is not understood and ends\n\
         upgrade: the new engine ended with exit status: 1 before it began\n"
    );
    assert!(until(SOON, || a.ended()), "{}", a.said());
    assert!(wire.frames().iter().any(goodbye), "{}", a.said());
    assert!(until(SOON, || a.processes().is_empty()));
    assert_eq!(a.carrier("carp1"), None);
}
