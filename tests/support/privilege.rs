//! Tests need root's power over namespaces of their own; where they are run without it they run themselves again as root of
//! a user namespace, where the system allows one.

use std::process::Command;

/// Set in the second run.
const MARK: &str = "CARP_TEST_AS_ROOT";

/// Whether the calling test was run to its end elsewhere. Panics when it failed there; where the system allows no user
/// namespace the test cannot be made and fails.
pub fn run_elsewhere() -> bool {
    if nix::unistd::geteuid().is_root() && carp::linux::netns::Namespace::new().is_ok() {
        return false;
    }
    assert!(
        std::env::var_os(MARK).is_none(),
        "root of a user namespace may not make a network namespace"
    );
    let name = std::thread::current()
        .name()
        .expect("a test's thread has its name")
        .to_owned();
    let mut again = Command::new(std::env::current_exe().unwrap());
    again
        .args([&name, "--exact", "--nocapture", "--include-ignored"])
        .env(MARK, "1");
    carp::linux::userns::become_root(&mut again);
    let done = again
        .output()
        .expect("this system allows no user namespace: run the tests as root");
    assert!(
        done.status.success(),
        "{name}, as root of a user namespace: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    true
}

/// Whether this root may become another user: not in a user namespace that maps one only.
pub fn may_become_nobody() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace()
        .nth(2)
        .and_then(|n| n.parse::<u64>().ok())
        .is_some_and(|n| n > 65534)
}
