//! How to enter a lab that stays up; must not know what happened in it.

use super::node::run_directory;
use super::plan::Plan;
use super::stage::Stage;
use crate::lab::net::Host;
use std::fmt::Write;
use std::os::fd::{AsFd, AsRawFd};

/// Prints a command for each host, where the table went too or, with JSON there, on standard error.
pub(super) fn explain(plan: &Plan, stage: &Stage, json: bool) {
    let text = text(plan, stage);
    if json {
        eprint!("{text}")
    } else {
        print!("{text}")
    }
}

fn text(plan: &Plan, stage: &Stage) -> String {
    let mut text =
        String::from("\nThe lab stays up until Ctrl-C. To enter a host, from another terminal:\n");
    let run = run_directory(stage.directory());
    for host in stage.hosts() {
        let _ = writeln!(
            text,
            "  {:<7} {} env CARP_RUN={} sh",
            host.name(),
            enter(host),
            run.display()
        );
    }
    let _ = writeln!(
        text,
        "and there, on a or b: {} ifconfig carp1",
        plan.program.display()
    );
    let _ = writeln!(
        text,
        "the daemons' logs: {}/a.log and b.log",
        stage.directory().display()
    );
    text
}

/// The namespaces have no names; this process holds them.
fn enter(host: &Host) -> String {
    let me = std::process::id();
    let net = host.namespace().as_fd().as_raw_fd();
    // In the user namespace of one who is not root there is only one id.
    let user = format!("--user=/proc/{me}/ns/user --preserve-credentials ");
    let user = if own_user_namespace() {
        user
    } else {
        String::new()
    };
    format!("nsenter {user}--net=/proc/{me}/fd/{net}")
}

/// True if uid 0 here is somebody else outside.
fn own_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().nth(1) != Some("0")
}
