//! Lets a test have root's powers: at once for root, else by running it again in a user namespace of its own.
//!
//! At the top of a test: `if !privilege::privileged(&test_name!()) { return; }`. Whoever is root just goes on; for others the test
//! runs in a child, whose success is asserted here. Where the system allows no user namespaces, the test says on standard
//! error `skipped: NAME: reason`.
#![allow(dead_code)]

use carp::linux::netns::Namespace;
use carp::linux::userns;
use std::io::Write;
use std::process::{Command, Output};

/// Set in a child to the name of the test that it is to run.
const IN_USERNS: &str = "CARP_TEST_IN_USERNS";
const ALONE: &str = "CARP_TEST_ALONE";
/// The status of a child that found itself without privilege after all, as in automake.
const SKIPPED: i32 = 77;

/// The full name of the test in which it stands, as libtest knows it.
#[macro_export]
macro_rules! test_name {
    () => {{
        let here = std::any::type_name_of_val(&|| ());
        let (_crate, path) = here.split_once("::").unwrap();
        path.split_once("::{{closure}}").unwrap().0.to_owned()
    }};
}

/// True if the caller may build namespaces and networks. False if the test has run elsewhere or cannot run here.
#[must_use]
pub fn privileged(test: &str) -> bool {
    let missing = match Namespace::new() {
        Ok(_) => return true,
        Err(error) => error.to_string(),
    };
    if is_child(IN_USERNS, test) {
        let _ = writeln!(std::io::stderr(), "{missing}");
        std::process::exit(SKIPPED);
    }
    let mut child = this_test(test);
    child.env(IN_USERNS, test);
    userns::become_root(&mut child);
    match child.output() {
        Ok(output) if output.status.code() == Some(SKIPPED) => {
            skip(test, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(output) => assert_passed(test, &output),
        Err(error) => skip(test, &format!("{missing}; user namespace: {error}")),
    }
    false
}

/// True in a process in which only this test runs, so that it may give up privileges or descriptors. False after it has run there.
#[must_use]
pub fn alone(test: &str) -> bool {
    if is_child(ALONE, test) {
        return true;
    }
    let output = this_test(test).env(ALONE, test).output().unwrap();
    assert_passed(test, &output);
    false
}

/// This very test, in a new process.
pub fn this_test(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command
}

fn is_child(variable: &str, test: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| value == test)
}

/// A child that ran no test at all (a wrong name) has not passed.
#[track_caller]
fn assert_passed(test: &str, output: &Output) {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let ran = out.contains("1 passed");
    assert!(
        output.status.success() && ran,
        "{test} failed in a child: {}\n{out}\n{err}",
        output.status
    );
}

/// Written past libtest's capture, so that it is seen.
fn skip(test: &str, reason: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason}");
}

/// Whether the calling test, named by its thread, was run to its end elsewhere or cannot run here: it needs namespaces and
/// TAPs, and some systems keep the latter from everybody but the real root.
pub fn run_elsewhere() -> bool {
    let thread = std::thread::current();
    let name = thread.name().expect("a test's thread has its name");
    if !privileged(name) {
        return true;
    }
    let tun = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun");
    let Err(error) = tun else { return false };
    if is_child(IN_USERNS, name) {
        let _ = writeln!(std::io::stderr(), "/dev/net/tun: {error}");
        std::process::exit(SKIPPED);
    }
    skip(name, &format!("/dev/net/tun: {error}"));
    true
}

/// Says that the calling test, named by its thread, cannot run here; in a child for its parent.
pub fn skip_here(reason: &str) {
    let thread = std::thread::current();
    let name = thread.name().expect("a test's thread has its name");
    if is_child(IN_USERNS, name) {
        let _ = writeln!(std::io::stderr(), "{reason}");
        std::process::exit(SKIPPED);
    }
    skip(name, reason);
}

/// Whether this root may become another user: not in a user namespace that maps one only.
pub fn may_become_nobody() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let span = map.split_whitespace().nth(2);
    span.and_then(|n| n.parse::<u64>().ok())
        .is_some_and(|n| n > 65534)
}
