//! Command lines of ifconfig and sysctl: exact output, error text, exit status, and the request that a daemon gets.
#![allow(clippy::unwrap_used)]

mod fake_daemon;

use carp::carp::config::{Dataplane, Key, Settings, State, Unit};
use carp::control::{Change, Interface, Refusal, Reply, Request, Setting, Sysctls};
use fake_daemon::{
    Directory, Fake, carp as executable, copied, finish, interface, may_become_others, ran, run,
};
use std::os::unix::process::CommandExt;
use std::path::Path;

fn apply(unit: u16, changes: Vec<Change>) -> Request {
    Request::Apply {
        unit: Unit(unit),
        changes,
    }
}

/// As the daemon shows it, of both families and in these groups.
fn shown(unit: u16, state: State, groups: &[&str]) -> Interface {
    Interface {
        groups: groups.iter().map(|&group| group.into()).collect(),
        addresses: ["192.0.2.1/24", "2001:db8::1/64"]
            .map(|net| net.parse().unwrap())
            .into(),
        ..interface(unit, state)
    }
}

fn text(unit: u16, state: &str, groups: &str) -> String {
    let status = state.to_lowercase();
    format!(
        "carp{unit}: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> mtu 1500\n\
         \tlladdr 00:00:5e:00:01:01\n\
         \tindex 6 priority 15 llprio 3\n\
         \tcarp: {state} carpdev eth0 vhid 1 advbase 1 advskew 100\n\
         \tgroups: {groups}\n\
         \tstatus: {status}\n\
         \tinet 192.0.2.1 netmask 0xffffff00 broadcast 192.0.2.255\n\
         \tinet6 2001:db8::1 prefixlen 64\n"
    )
}

#[test]
fn a_line_is_one_request_and_succeeds_in_silence() {
    let secret = || Change::Pass(Key::from_pass(b"secret"));
    let address = |text: &str, alias| Change::Address {
        address: text.parse().unwrap(),
        alias,
    };
    for (line, expected) in [
        ("carp1 create", apply(1, vec![Change::Create])),
        (
            "carp1 vhid 1 pass secret carpdev eth0 advskew 100 192.0.2.1 netmask 255.255.255.0",
            apply(
                1,
                vec![
                    Change::Vhid(1),
                    secret(),
                    Change::Carpdev(Some("eth0".into())),
                    Change::Advskew(100),
                    address("192.0.2.1/24", false),
                ],
            ),
        ),
        (
            "carp1 inet6 alias 2001:db8::1/64",
            apply(1, vec![address("2001:db8::1/64", true)]),
        ),
        (
            "carp1 -alias 192.0.2.1",
            apply(1, vec![Change::Delete(Some("192.0.2.1".parse().unwrap()))]),
        ),
        ("carp2 advskew 0", apply(2, vec![Change::Advskew(0)])),
        ("carp2 down", apply(2, vec![Change::Down])),
        ("carp2 state foo", apply(2, vec![])),
        ("carp2 destroy", apply(2, vec![Change::Destroy])),
    ] {
        let fake = Fake::answering(vec![Reply::Done]);
        assert_eq!(
            run(fake.directory.path(), &format!("ifconfig {line}")),
            ran("", "", 0),
            "{line}"
        );
        assert_eq!(fake.asked(), [expected], "{line}");
    }
}

#[test]
fn a_wrong_line_sends_nothing() {
    let foreign = "ifconfig: only carp interfaces are shown and configured here; the others are the system's, see ip(8)\n";
    for (line, err) in [
        ("carp1 vhid 0", "ifconfig: vhid 0: too small\n".to_owned()),
        (
            "carp1 vhid 1 carpdev eth0 advskew 255",
            "ifconfig: advskew 255: too large\n".into(),
        ),
        ("carp1 vhid", "ifconfig: 'vhid' requires argument\n".into()),
        (
            "carp1 vhid 1 nonsense",
            "ifconfig: nonsense: bad value\n".into(),
        ),
        (
            "carp1 rtlabel x",
            "ifconfig: rtlabel: not supported yet\n".into(),
        ),
        (
            "carp create",
            "ifconfig: SIOCIFCREATE: Invalid argument\nifconfig: carp is not carp0 to carp32767\n"
                .into(),
        ),
        (
            "eth0",
            format!("ifconfig: eth0: no such interface\n{foreign}"),
        ),
        (
            "eth0 vhid 1",
            format!("ifconfig: SIOCGVH: Inappropriate ioctl for device\n{foreign}"),
        ),
        (
            "abcdefghijklmnop",
            "ifconfig: interface name 'abcdefghijklmnop' too long\n".into(),
        ),
        (
            "carp1 passfile /nonexistent",
            "ifconfig: passfile /nonexistent: No such file or directory\n".into(),
        ),
        (
            "carp1 passfile /",
            "ifconfig: passfile /: Is a directory\n".into(),
        ),
        (
            "carp1 pass -",
            "ifconfig: pass -: nothing there\nifconfig: an empty line is an empty passphrase\n"
                .into(),
        ),
        (
            "-z",
            "usage: ifconfig [-v] [-AaCl] [interface] [inet | inet6] [address] [words ...]\n       ifconfig -g group [[-]carpdemote [number] | drain | undrain]\n".into(),
        ),
    ] {
        let fake = Fake::answering(vec![Reply::Done]);
        assert_eq!(
            run(fake.directory.path(), &format!("ifconfig {line}")),
            ran("", &err, 1),
            "{line}"
        );
        assert_eq!(fake.asked(), [], "{line}");
    }
}

#[test]
fn what_a_terminal_would_obey_is_escaped() {
    let directory = Directory::new();
    let mut command = executable(directory.path());
    command.args(["ifconfig", "carp1", "\x1b]0;x\x07"]);
    assert_eq!(
        finish(command, b""),
        ran("", "ifconfig: \\u{1b}]0;x\\u{7}: bad value\n", 1)
    );
}

#[test]
fn a_refusal_has_two_lines() {
    let refusal = Refusal {
        text: "SIOCSVH: Invalid argument".into(),
        why: Some("no such carpdev: eth9".into()),
    };
    let fake = Fake::answering(vec![Reply::Refused(refusal)]);
    let err = "ifconfig: SIOCSVH: Invalid argument\nifconfig: no such carpdev: eth9\n";
    assert_eq!(
        run(fake.directory.path(), "ifconfig carp1 carpdev eth9"),
        ran("", err, 1)
    );
}

#[test]
fn a_phrase_comes_from_standard_input_or_a_file() {
    let pass = |phrase: &[u8]| {
        apply(
            1,
            vec![Change::Vhid(1), Change::Pass(Key::from_pass(phrase))],
        )
    };
    let fake = Fake::answering(vec![Reply::Done, Reply::Done, Reply::Done]);
    let line = |words: &[&str], input: &[u8]| {
        let mut command = executable(fake.directory.path());
        command.args(["ifconfig", "carp1", "vhid", "1"]).args(words);
        finish(command, input)
    };
    assert_eq!(
        line(&["pass", "-"], b"from a pipe\nnot this\n"),
        ran("", "", 0)
    );
    let file = fake.directory.path().join("key");
    std::fs::write(&file, "from a file\n").unwrap();
    assert_eq!(
        line(&["passfile", file.to_str().unwrap()], b""),
        ran("", "", 0)
    );
    let long = "ifconfig: pass: only the first 19 bytes count\n";
    assert_eq!(
        line(&["pass", "0123456789abcdefghij"], b""),
        ran("", long, 0)
    );
    assert_eq!(
        fake.asked(),
        [
            pass(b"from a pipe"),
            pass(b"from a file"),
            pass(b"0123456789abcdefghi")
        ]
    );
}

#[test]
fn what_follows_the_phrase_stays_in_the_input() {
    let fake = Fake::answering(vec![Reply::Done]);
    let mut shell = std::process::Command::new("/bin/sh");
    let carp = env!("CARGO_BIN_EXE_carp");
    shell.args(["-c", &format!("{carp} ifconfig carp1 pass -; cat")]);
    shell.env("CARP_RUN", fake.directory.path());
    assert_eq!(
        finish(shell, b"secret\nthe rest\n"),
        ran("the rest\n", "", 0)
    );
}

#[test]
fn interfaces_are_shown_one_all_or_a_group() {
    let all = || {
        vec![
            shown(1, State::Master, &["carp"]),
            shown(2, State::Backup, &["carp", "ha"]),
        ]
    };
    let (one, two) = (text(1, "MASTER", "carp"), text(2, "BACKUP", "carp ha"));
    let both = format!("{one}{two}");
    for (line, expected, asked) in [
        ("ifconfig", &both, None),
        ("ifconfig -a", &both, None),
        ("ifconfig -A", &both, None),
        ("ifconfig carp", &both, None),
        ("ifconfig ha", &two, None),
        ("ifconfig carp1", &one, Some(Unit(1))),
    ] {
        let fake = Fake::answering(vec![Reply::Interfaces(all())]);
        assert_eq!(
            run(fake.directory.path(), line),
            ran(expected, "", 0),
            "{line}"
        );
        assert_eq!(fake.asked(), [Request::Show(asked)], "{line}");
    }
}

#[test]
fn a_family_chooses_addresses() {
    let fake = Fake::answering(vec![Reply::Interfaces(vec![shown(
        1,
        State::Master,
        &["carp"],
    )])]);
    let expected = text(1, "MASTER", "carp").replace(
        "\tinet 192.0.2.1 netmask 0xffffff00 broadcast 192.0.2.255\n",
        "",
    );
    assert_eq!(
        run(fake.directory.path(), "ifconfig carp1 inet6"),
        ran(&expected, "", 0)
    );
}

#[test]
fn a_missing_interface_is_told_with_and_without_a_daemon() {
    let err = "ifconfig: carp9: no such interface\n";
    let refusal = Refusal {
        text: "carp9: no such interface".into(),
        why: None,
    };
    for reply in [Reply::Interfaces(vec![]), Reply::Refused(refusal)] {
        let fake = Fake::answering(vec![reply]);
        assert_eq!(
            run(fake.directory.path(), "ifconfig carp9"),
            ran("", err, 1)
        );
    }
    let empty = Directory::new();
    assert_eq!(run(empty.path(), "ifconfig carp9"), ran("", err, 1));
}

#[test]
fn looking_starts_no_daemon() {
    let empty = Directory::new();
    let defaults = "net.inet.carp.allow=1\nnet.inet.carp.preempt=0\nnet.inet.carp.log=2\n";
    for (line, out) in [
        ("ifconfig", ""),
        ("ifconfig -a", ""),
        ("ifconfig -C", "carp\n"),
        ("sysctl net.inet.carp", defaults),
    ] {
        assert_eq!(run(empty.path(), line), ran(out, "", 0), "{line}");
    }
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[test]
fn without_privilege_there_is_no_daemon_either() {
    if !may_become_others() {
        eprintln!(
            "skipped: without_privilege_there_is_no_daemon_either: only root can become somebody else"
        );
        return;
    }
    let empty = Directory::new();
    let copy = copied(Path::new(env!("CARGO_BIN_EXE_carp")), &empty);
    for (line, err) in [
        (
            "ifconfig carp1 create",
            "ifconfig: SIOCIFCREATE: Operation not permitted\n",
        ),
        (
            "ifconfig carp1 vhid 1",
            "ifconfig: SIOCSVH: Operation not permitted\n",
        ),
        (
            "ifconfig carp1 up",
            "ifconfig: SIOCSIFFLAGS: Operation not permitted\n",
        ),
        (
            "ifconfig carp1 192.0.2.1",
            "ifconfig: SIOCAIFADDR: Operation not permitted\n",
        ),
        (
            "ifconfig carp1 destroy",
            "ifconfig: SIOCIFDESTROY: Operation not permitted\n",
        ),
        (
            "sysctl net.inet.carp.preempt=1",
            "sysctl: net.inet.carp.preempt: Operation not permitted\n",
        ),
    ] {
        let mut command = std::process::Command::new(&copy);
        command
            .env_clear()
            .env("CARP_RUN", empty.path())
            .args(line.split(' '))
            .uid(65534)
            .gid(65534);
        assert_eq!(finish(command, b""), ran("", err, 1), "{line}");
    }
}

#[test]
fn destroying_nothing_starts_nothing() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!(
            "skipped: destroying_nothing_starts_nothing: without privilege it is not permitted in the first place"
        );
        return;
    }
    let empty = Directory::new();
    let err = "ifconfig: SIOCIFDESTROY: Device not configured\n";
    assert_eq!(run(empty.path(), "ifconfig carp1 destroy"), ran("", err, 1));
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[test]
fn the_name_it_is_called_by_chooses_the_front_end() {
    let fake = Fake::answering(vec![Reply::Done]);
    let mut command = executable(fake.directory.path());
    command
        .arg0("/sbin/ifconfig")
        .args(["carp1", "-alias", "192.0.2.1"]);
    assert_eq!(finish(command, b""), ran("", "", 0));
    assert_eq!(
        fake.asked(),
        [apply(
            1,
            vec![Change::Delete(Some("192.0.2.1".parse().unwrap()))]
        )]
    );
    let mut command = executable(fake.directory.path());
    command.arg0("carpd").arg("--help");
    assert!(finish(command, b"").out.contains("Usage: carpd"));
}

#[test]
fn the_help_names_what_there_is() {
    let directory = Directory::new();
    let help = "\
carp(4) for Linux: hosts share an address, one of them answers for it

Usage: carp <COMMAND>

Commands:
  ifconfig  Show and configure carp interfaces, in OpenBSD's words
  sysctl    Show and set the names of net.inet.carp
  netstat   Show the counters of the protocol (-s) or of the interfaces (-i), or the hosts heard (peers)
  netstart  Make the interfaces what the files of /etc/carp say
  dump      Show the running configuration as the files that netstart reads
  import    Turn files of the BSDs into hostname.carpN files
  daemon    Serve this network namespace, in the foreground, logging to standard error
  upgrade   Have the running daemon go on as the program that is installed now, without a packet lost
  demo      Build a network in namespaces and show a failover in it
  help      Print this message or the help of the given subcommand(s)

Options:
  -h, --help     Print help
  -V, --version  Print version
";
    assert_eq!(run(directory.path(), "--help"), ran(help, "", 0));
    let usage = run(directory.path(), "ifconfig --help");
    assert_eq!((usage.err.as_str(), usage.code), ("", 0));
    assert!(
        usage
            .out
            .contains("\n  vhid n             the group, 1 to 255\n"),
        "{}",
        usage.out
    );
    let wrong = run(directory.path(), "nonsense");
    assert_eq!((wrong.out.as_str(), wrong.code), ("", 1));
    assert_eq!(run(directory.path(), "").code, 1);
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let directory = Directory::new();
    let mut shell = std::process::Command::new("/bin/sh");
    let carp = env!("CARGO_BIN_EXE_carp");
    shell.args([
        "-c",
        &format!(
            "(trap '' PIPE; sleep 0.1; {carp} ifconfig -C; echo $? >&2) | true; wait; sleep 0.3"
        ),
    ]);
    shell.env("CARP_RUN", directory.path());
    assert_eq!(finish(shell, b""), ran("", "0\n", 0));
}

#[test]
fn sysctls_are_read() {
    let now = Settings {
        allow: true,
        preempt: true,
        log: 7,
        replay: false,
        dataplane: Dataplane::Copy,
        ..Settings::default()
    };
    let now = Sysctls {
        settings: now,
        ..Sysctls::default()
    };
    let own = "net.inet.carp.allow=1\nnet.inet.carp.preempt=1\nnet.inet.carp.log=7\n";
    let listing = &format!(
        "{own}net.inet.carp.replay=0\n\
        net.inet.carp.dataplane=copy\nnet.inet.carp.grace=300\nnet.inet.carp.demotion=0\nnet.inet.carp.senderr_demotion_factor=240\n\
        net.inet.carp.ifdown_demotion_factor=240\nnet.inet.carp.dscp=4\nnet.inet.carp.arpbalance=0\n\
        net.inet.carp.suppress_preempt=0\n"
    );
    for (line, out) in [
        ("net.inet.carp", own),
        ("", listing),
        ("-a", listing),
        ("net", own),
        ("net.inet.carp.preempt", "net.inet.carp.preempt=1\n"),
        ("-n net.inet.carp.log", "7\n"),
        (
            "net.inet.carp.log net.inet.carp.allow",
            "net.inet.carp.log=7\nnet.inet.carp.allow=1\n",
        ),
    ] {
        let fake = Fake::answering(vec![Reply::Settings(now)]);
        assert_eq!(
            run(fake.directory.path(), &format!("sysctl {line}")),
            ran(out, "", 0),
            "{line}"
        );
        assert_eq!(fake.asked(), [Request::Settings], "{line}");
    }
}

#[test]
fn sysctls_are_set_all_or_none() {
    use Setting::{Allow, Log, Preempt};
    let before = Reply::Settings(Sysctls::default());
    for (line, out, asked) in [
        (
            "net.inet.carp.preempt=1",
            "net.inet.carp.preempt: 0 -> 1\n",
            vec![Preempt(true)],
        ),
        (
            "-w net.inet.carp.log=0",
            "net.inet.carp.log: 2 -> 0\n",
            vec![Log(0)],
        ),
        (
            "net.inet.carp.dataplane=tcx",
            "net.inet.carp.dataplane: auto -> tcx\n",
            vec![Setting::Dataplane(Dataplane::Tcx)],
        ),
        ("-n net.inet.carp.allow=0", "0\n", vec![Allow(false)]),
        ("-q net.inet.carp.allow=0", "", vec![Allow(false)]),
        (
            "net.inet.carp.preempt=1 net.inet.carp.log=3 net.inet.carp.preempt=0 net.inet.carp.log",
            "net.inet.carp.preempt: 0 -> 1\nnet.inet.carp.log: 2 -> 3\nnet.inet.carp.preempt: 1 -> 0\nnet.inet.carp.log=3\n",
            vec![Preempt(true), Log(3), Preempt(false)],
        ),
    ] {
        let fake = Fake::answering(vec![before.clone()]);
        assert_eq!(
            run(fake.directory.path(), &format!("sysctl {line}")),
            ran(out, "", 0),
            "{line}"
        );
        assert_eq!(fake.asked(), [Request::Set(asked)], "{line}");
    }
    for (line, err) in [
        (
            "net.inet.carp.preempt=1 net.inet.card.allow",
            "sysctl: third level name card in net.inet.card.allow is invalid\nsysctl: did you mean net.inet.carp.allow?\n",
        ),
        (
            "net.inet.carp.preempt=1 net.inet.carp.log=8",
            "sysctl: net.inet.carp.log: Invalid argument\nsysctl: net.inet.carp.log takes 0 to 7\n",
        ),
    ] {
        let fake = Fake::answering(vec![before.clone()]);
        assert_eq!(
            run(fake.directory.path(), &format!("sysctl {line}")),
            ran("", err, 1),
            "{line}"
        );
        assert_eq!(fake.asked(), [], "{line}");
    }
}
