//! What is shipped beside the program: completions as it writes them, in shells that take them; service files.
#![allow(clippy::unwrap_used)]

mod fake_daemon;
mod support;

use carp::cli::ifconfig::words::{Sense, WORDS};
use fake_daemon::Directory;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use support::hosts::Host;

/// Shell, and its file.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "carp.bash"),
    ("zsh", "_carp"),
    ("fish", "carp.fish"),
];

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("dist")
        .join(path)
}

fn completions(shell: &str) -> String {
    let mut carp = Command::new(env!("CARGO_BIN_EXE_carp"));
    let output = carp.args(["completions", shell]).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command, or says that it is not here.
fn ran(test: &str, program: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
    {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("skipped: {test}: {program}: {error}");
            None
        }
    }
}

#[test]
fn completions_are_those_that_the_program_writes() {
    for (shell, file) in SHELLS {
        let text = fs::read_to_string(shipped("completions").join(file)).unwrap();
        let hint = format!("carp completions {shell} >dist/completions/{file}");
        assert!(text == completions(shell), "write it anew: {hint}");
        for word in WORDS {
            let later = matches!(word.sense, Sense::Later);
            let part = |c: char| c.is_ascii_alphanumeric() || c == '-';
            let there = text.split(|c| !part(c)).any(|part| part == word.name);
            assert!(later || there, "{file} lacks {}", word.name);
        }
    }
}

#[test]
fn bash_completes() {
    let file = shipped("completions/carp.bash");
    let ask = |line: &str| {
        let script = format!(
            ". {}; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _carp; echo \"${{COMPREPLY[*]}}\"",
            file.display()
        );
        let output = ran("bash_completes", "bash", &["-c", &script])?;
        assert!(output.stderr.is_empty(), "{line}: {output:?}");
        Some(String::from_utf8(output.stdout).unwrap())
    };
    for (line, expected) in [
        ("carp ne", "netstat netstart\n"),
        ("carp ifconfig carp1 vh", "vhid\n"),
        ("carp ifconfig carp1 vhid ''", "\n"),
        ("carp ifconfig carp1 state m", "master\n"),
        ("carp ifconfig carp1 input ''", "redirect accept\n"),
        ("carp ifconfig carp1 -cap", "-capture\n"),
        ("carp ifconfig carp1 carpdev l", "lo\n"),
        ("carp ifconfig -g wan un", "undrain\n"),
        ("carp ifconfig --a", "--as\n"),
        ("carp ifconfig --as free", "freebsd9 freebsd\n"),
        ("carp ifconfig --as freebsd9 carp1 adv", "advbase advskew\n"),
        ("carp sysctl --as n", "netbsd\n"),
        ("carp netstat p", "peers\n"),
        ("carp u", "upgrade\n"),
        ("carp upgrade -", "--changed\n"),
        ("carp daemon --dataplane c", "clsact copy\n"),
        ("carp netstart -", "-n -d\n"),
        ("carp sysctl net.inet.carp.pr", "net.inet.carp.preempt\n"),
    ] {
        let Some(text) = ask(line) else { return };
        assert_eq!(text, expected, "{line}");
    }
}

#[test]
fn fish_completes() {
    let file = shipped("completions/carp.fish");
    for (line, expected) in [
        ("carp ifconfig carp1 vh", "vhid\tthe group, 1 to 255\n"),
        ("carp ifconfig carp1 vhid ", ""),
        ("carp ifconfig -g wan un", "undrain\n"),
        ("carp ifconfig carp1 state m", "master\n"),
        ("carp ifconfig carp1 input r", "redirect\n"),
        ("carp ifconfig carp1 -cap", "-capture\tundo capture\n"),
        (
            "carp ifconfig --as n",
            "netbsd\tthe words and texts of openbsd, freebsd9, freebsd or netbsd\n",
        ),
        (
            "carp ifconfig --as netbsd carp1 vh",
            "vhid\tthe group, 1 to 255\n",
        ),
        (
            "carp netstat --as o",
            "openbsd\tIn the words of openbsd, freebsd9, freebsd or netbsd\n",
        ),
        ("carp netstat pe", "peers\n"),
        (
            "carp daemon --dataplane t",
            "tcx\tWhat moves frames, as net.inet.carp.dataplane: auto, tcx, clsact or copy\n",
        ),
        ("carp sysctl net.inet.carp.pr", "net.inet.carp.preempt\n"),
    ] {
        let script = format!("source {}; complete -C '{line}'", file.display());
        let Some(output) = ran("fish_completes", "fish", &["--no-config", "-c", &script]) else {
            return;
        };
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            expected,
            "{line}"
        );
    }
}

#[test]
fn zsh_takes_its_file() {
    let file = shipped("completions/_carp");
    if let Some(output) = ran("zsh_takes_its_file", "zsh", &["-n", file.to_str().unwrap()]) {
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
    }
}

#[test]
fn scripts_are_right_for_a_shell() {
    for file in ["plain/rc.carp", "openrc/carpd"] {
        let path = shipped(file);
        let output = ran(
            "scripts_are_right_for_a_shell",
            "/bin/sh",
            &["-n", path.to_str().unwrap()],
        );
        let output = output.unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
    }
}

/// Fails when netstart may find no daemon yet: it would start one, which the service knows nothing of.
#[test]
fn openrc_waits_for_its_daemon() {
    let directory = Directory::new();
    let at = |name: &str| directory.path().join(name);
    let (stub, log) = (at("carp"), at("log"));
    let answers = format!(
        "#!/bin/sh\necho \"$1\" >>{0}\n[ $(wc -l <{0}) -ge 3 ]\n",
        log.display()
    );
    fs::write(&stub, answers).unwrap();
    fake_daemon::mode(&stub, 0o755);
    let script = fs::read_to_string(shipped("openrc/carpd")).unwrap();
    let script = script.replace("/usr/bin/carp", stub.to_str().unwrap()) + "\nstart_post\n";
    let test = "openrc_waits_for_its_daemon";
    assert!(
        ran(test, "/bin/sh", &["-c", &script])
            .unwrap()
            .status
            .success()
    );
    assert_eq!(
        fs::read_to_string(log).unwrap(),
        "upgrade\nupgrade\nupgrade\nnetstart\n"
    );
}

/// Only that nothing of it is installed here may be found.
#[test]
fn systemd_takes_the_unit() {
    let unit = shipped("systemd/carpd.service");
    let arguments = ["verify", unit.to_str().unwrap()];
    let Some(output) = ran("systemd_takes_the_unit", "systemd-analyze", &arguments) else {
        return;
    };
    let text = String::from_utf8_lossy(&output.stderr);
    let missing = |line: &&str| line.contains("is not executable") || line.contains("'man ");
    let wrong: Vec<_> = text.lines().filter(|line| !missing(line)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(text.contains("carpd.service"), "it was looked at: {text:?}");
}

#[test]
fn a_daemon_tells_its_service_manager_that_it_is_ready() {
    support::privileged!();
    let a = Host::alone("a");
    let path = a.run.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut daemon = a.command(&["daemon"]);
    daemon.env("NOTIFY_SOCKET", &path).stderr(Stdio::null());
    let mut child = a.place.run(|| daemon.spawn().unwrap());
    let mut text = [0; 64];
    let length = socket.recv(&mut text).unwrap();
    assert_eq!(&text[..length], b"READY=1");
    // From that moment on it answers, and no other is started.
    let child_id = child.id();
    a.ok("ifconfig carp1 create");
    let pids: Vec<_> = a.processes().iter().map(|pid| pid.as_raw()).collect();
    assert!(pids.contains(&i32::try_from(child_id).unwrap()), "{pids:?}");
    // It and its engines.
    let of_daemon = |pid: &&i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.split(' ').nth(1));
        parent == Some(&*child_id.to_string())
    };
    assert_eq!(pids.iter().filter(of_daemon).count() + 1, pids.len());
    child.kill().unwrap();
    child.wait().unwrap();
}
