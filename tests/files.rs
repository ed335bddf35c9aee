//! The files of /etc/carp on a host: read, checked, reloaded under traffic, dumped; commands run only from root's files.
#![allow(clippy::unwrap_used)]

mod support;

use carp::linux::clock;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::hosts::{Done, Host, Segment};
use support::scene::{SHARED, SHARED6};
use support::talk::{Service, who};

/// A host with a carpdev and a directory of files, and a client.
struct Site {
    a: Host,
    c: Host,
    etc: PathBuf,
}

const CARP1: &str = "\
# the gate
inet 192.0.2.1 255.255.255.0 NONE vhid 1 carpdev eth0 \\
\tadvskew 0 pass 'sec ret'
inet6 alias 2001:db8::1 64
";
const CARP2: &str = "carpdev eth0 vhid 2 pass other\ninet 192.0.2.2 0xffffff00\n";

impl Site {
    fn new() -> Self {
        let site = Self::without_daemon();
        site.a.daemon();
        site
    }

    fn without_daemon() -> Self {
        let segment = Segment::new();
        let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24", "2001:db8::11/64"]);
        let c = Host::on(&segment, "c", 0x0c, &["192.0.2.13/24", "2001:db8::13/64"]);
        let etc = a.run.join("etc");
        fs::create_dir(&etc).unwrap();
        Self { a, c, etc }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.etc.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        path
    }

    /// A front end that is told of our directory.
    fn run(&self, line: &str) -> Done {
        let (front, rest) = line.split_once(' ').unwrap_or((line, ""));
        let etc = self.etc.to_str().unwrap();
        let mut words = vec![front, "-d", etc];
        words.extend(rest.split_whitespace());
        self.a.finish(&mut self.a.command(&words))
    }

    #[track_caller]
    fn ok(&self, line: &str) -> String {
        let done = self.run(line);
        assert!(
            done.code == Some(0) && done.err.is_empty(),
            "{line}: {done:?}"
        );
        done.out
    }

    /// What it says on standard error, without the directory's name.
    #[track_caller]
    fn refused(&self, line: &str) -> String {
        let done = self.run(line);
        assert_eq!(done.code, Some(1), "{line}: {done:?}");
        done.err.replace(&format!("{}/", self.etc.display()), "")
    }
}

#[test]
fn a_reload_touches_only_what_differs() {
    support::privileged!();
    let site = Site::new();
    let a = &site.a;
    site.write("hostname.carp1", CARP1);
    let second = site.write("hostname.carp2", CARP2);
    site.write(
        "sysctl.conf",
        "# ours\nnet.inet.carp.preempt = 1\nnet.inet.carp.log=6\n",
    );
    assert_eq!(site.ok("netstart"), "");
    assert_eq!(a.ok("sysctl -n net.inet.carp.preempt"), "1\n");
    a.master("carp1");
    a.master("carp2");
    let _service = Service::on(a);
    for shared in [SHARED, SHARED6] {
        assert_eq!(who(&site.c, shared, None).unwrap(), "a");
    }
    let before = (a.said(), a.ok("ifconfig -a"), a.ok("dump -k"));
    let wire = a.sends("eth0");
    let from = clock::now();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Nothing that is asked meanwhile goes without an answer.
        let asking = scope.spawn(|| {
            let mut answers = 0;
            while !over.load(Ordering::Relaxed) {
                assert_eq!(who(&site.c, SHARED, None).unwrap(), "a");
                answers += 1;
            }
            answers
        });
        for _ in 0..12 {
            assert_eq!(site.ok("netstart"), "");
            assert_eq!(site.ok("netstart carp1 carp2"), "");
            assert_eq!(site.ok("netstart -n"), "");
            std::thread::sleep(Duration::from_millis(250));
        }
        over.store(true, Ordering::Relaxed);
        assert!(asking.join().unwrap() > 10);
    });
    assert_eq!((a.said(), a.ok("ifconfig -a"), a.ok("dump -k")), before);
    let adverts = |vhid: u8| {
        let all = wire.after(from, |_| true);
        let at = all.iter().filter(|f| {
            f.advert()
                .is_some_and(|s| s.source.is_ipv4() && s.vhid == vhid)
        });
        at.map(|f| f.at).collect::<Vec<_>>()
    };
    for vhid in [1, 2] {
        let times = adverts(vhid);
        // One a second: whoever restarts the timer sends at once, or holds the next one back.
        assert!((2..=8).contains(&times.len()), "{times:?}");
        for pair in times.windows(2) {
            let apart = pair[1].since(pair[0]);
            assert!(apart > Duration::from_millis(700), "vhid {vhid}: {apart:?}");
        }
    }

    // What differs is changed, and the other group does not notice.
    fs::write(second, CARP2.replace("vhid 2", "vhid 2 advskew 7")).unwrap();
    let from = clock::now();
    assert_eq!(site.ok("netstart"), "");
    assert!(
        a.ok("ifconfig carp2")
            .contains(" vhid 2 advbase 1 advskew 7\n")
    );
    assert!(a.ok("ifconfig carp2").contains("MASTER"));
    std::thread::sleep(Duration::from_millis(300));
    let all = wire.after(from, |_| true);
    let first = all.iter().filter(|f| {
        f.advert()
            .is_some_and(|s| s.vhid == 1 && s.source.is_ipv4())
    });
    assert!(first.count() <= 1);
    assert_eq!(a.said(), before.0, "no transition");
}

/// The carpdev's own address is kept as that, so a file that names it must not differ for ever.
#[test]
fn a_check_sees_with_the_daemons_eyes() {
    support::privileged!();
    let site = Site::new();
    let own = "vhid 1 carpdev eth0 lladdr 02:00:00:00:00:0a\n192.0.2.1/24\n";
    site.write("hostname.carp1", own);
    assert!(site.ok("netstart -n").contains("+lladdr carpdev\n"));
    assert_eq!(site.ok("netstart"), "");
    assert_eq!(site.ok("netstart -n"), "");
}

#[test]
fn a_check_starts_no_daemon() {
    support::privileged!();
    let site = Site::without_daemon();
    site.write("hostname.carp1", CARP1);
    site.write("sysctl.conf", "net.inet.carp.preempt=1\n");
    site.write("group.ha", "carpdemote 3\n");
    let shown = site.ok("netstart -n");
    for line in [
        "+create\n",
        "+vhid 1\n",
        "+net.inet.carp.preempt=1\n",
        "+carpdemote 3\n",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    site.write("hostname.carp2", "vhid 2\n\ninet 127.0.0.1 8\n");
    let why = "127.0.0.1 is a loopback address\n";
    let said = site.refused("netstart -n carp2");
    assert!(
        said.starts_with("netstart: hostname.carp2:3: SIOCAIFADDR: "),
        "{said}"
    );
    assert!(said.ends_with(why), "{said}");
    assert!(site.a.processes().is_empty(), "nobody was started");
}

#[test]
fn a_wrong_file_changes_nothing_of_its_interface_and_the_others_go_on() {
    support::privileged!();
    let site = Site::new();
    let a = &site.a;
    a.ok("ifconfig carp1 vhid 1 carpdev eth0 192.0.2.1/24");
    let before = a.ok("dump carp1");
    for (text, said) in [
        (
            "advskew 3\n\nvhid 300 # much\n",
            "netstart: hostname.carp1:3: vhid 300: too large\n",
        ),
        (
            "advskew 3\nvhid 1 \\\ncarpdev\nbogus",
            "netstart: hostname.carp1:2: 'carpdev' requires argument\nnetstart: hostname.carp1:4: bogus: bad value\n",
        ),
        (
            "advskew 3\ncarpdev nosuch0",
            "netstart: hostname.carp1:2: SIOCSVH: Invalid argument\nnetstart: hostname.carp1:2: carpdev nosuch0: no such interface\n",
        ),
        (
            "advskew 3\nvhid 1\ninet 127.0.0.1 255.0.0.0",
            "netstart: hostname.carp1:3: SIOCAIFADDR: Can't assign requested address\nnetstart: hostname.carp1:3: 127.0.0.1 is a loopback address\n",
        ),
        (
            "carpdev eth0 vhid 1 pass $secret",
            "netstart: hostname.carp1:1: pass: '$' means nothing here, put it in single quotes\n",
        ),
    ] {
        site.write("hostname.carp1", text);
        site.write("hostname.carp2", CARP2);
        assert_eq!(site.refused("netstart -n"), said);
        assert_eq!(a.ok("ifconfig -a").matches("index").count(), 1);
        assert_eq!(site.refused("netstart"), said);
        assert_eq!(a.ok("dump carp1"), before, "{text}");
        assert!(
            a.ok("dump carp2").contains("vhid 2\n"),
            "the other one was started"
        );
        a.ok("ifconfig carp2 destroy");
    }
    site.write("hostname.carp1", "inet 192.0.2.1 24 vhid 1 carpdev eth0");
    site.write("hostname.carp007", "");
    site.write("hostname.carp1~", "nonsense");
    site.write(
        "sysctl.conf",
        "net.inet.carp.log = 2 # c\nnet.inet.card.allow=1\nnet.inet.carp.preempt 1\nnet.inet.carp.grace=1 2\n",
    );
    let said = site.refused("netstart");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines[0],
        "netstart: hostname.carp007: the name of no interface, which is carp0 to carp32767"
    );
    assert!(
        lines[1].starts_with("netstart: sysctl.conf:2: third level name card"),
        "{said}"
    );
    assert_eq!(
        lines[2],
        "netstart: sysctl.conf:2: did you mean net.inet.carp.allow?"
    );
    assert_eq!(
        lines[3],
        "netstart: sysctl.conf:3: net.inet.carp.preempt: no value"
    );
    assert_eq!(
        lines[4],
        "netstart: sysctl.conf:4: net.inet.carp.grace: value is invalid: 1 2"
    );
    assert_eq!(lines.len(), 5, "{said}");
    assert_eq!(
        site.refused("netstart carp9"),
        "netstart: hostname.carp9: No such file or directory\n"
    );
    assert_eq!(
        site.refused("netstart eth0"),
        "netstart: eth0: no carp interface's name\n"
    );
}

#[test]
fn what_would_change_is_shown_and_nothing_is_changed() {
    support::privileged!();
    let site = Site::new();
    let a = &site.a;
    a.ok("ifconfig carp1 vhid 1 carpdev eth0 pass old advskew 100 192.0.2.1/24");
    a.ok("ifconfig carp1 alias 192.0.2.9/24");
    site.write("hostname.carp1", CARP1);
    site.write("hostname.carp2", &format!("{CARP2}!touch x \\$if\n"));
    site.write("sysctl.conf", "net.inet.carp.preempt=1\n");
    site.write("group.ha", "carpdemote 3\n");
    site.write("group.carp", "carpdemote\n");
    let before = (a.ok("dump -k"), a.ok("ifconfig -a"));
    let shown = site
        .ok("netstart -n")
        .replace(&format!("{}/", site.etc.display()), "");
    let expected = "\
sysctl.conf
-net.inet.carp.preempt=0
+net.inet.carp.preempt=1
group.carp
+carpdemote 1
hostname.carp1
-advskew 100
-pass ...
+pass ...
-inet alias 192.0.2.9 255.255.255.0
+inet6 2001:db8::1 64
hostname.carp2
+create
+carpdev eth0
+vhid 2
+pass ...
+inet 192.0.2.2 255.255.255.0
+up
!touch x $if
group.ha
+carpdemote 3
";
    assert_eq!(shown, expected);
    assert_eq!((a.ok("dump -k"), a.ok("ifconfig -a")), before);
}

#[test]
fn dump_and_netstart_are_the_identity() {
    support::privileged!();
    let site = Site::new();
    let a = &site.a;
    for line in [
        "carp0 create",
        "carp1 vhid 1 pass it's;$x advbase 2 advskew 100 carpdev eth0 inet6 fe80::7/64",
        "carp1 192.0.2.1/25",
        "carp1 alias 192.0.2.2/32",
        "carp1 inet6 alias 2001:db8::1/64",
        "carp2 vhid 2 carpdev eth0 192.0.2.3/24",
        "carp2 down",
        "carp3 up advskew 9 group ha carppeer 192.0.2.12 description gate mtu 1400",
        "-g carp carpdemote 128",
        "-g carp carpdemote 7",
        "-g ha carpdemote",
    ] {
        a.ok(&format!("ifconfig {line}"));
    }
    a.ok("sysctl net.inet.carp.demotion=5");
    a.ok("sysctl net.inet.carp.log=5");
    let dumped = a.ok("dump -k");
    let written = site.ok("dump -k -w");
    assert_eq!(written.matches(": written\n").count(), 7, "{written}");
    assert_eq!(site.ok("netstart -n"), "", "the files are what runs");
    for name in ["carp0", "carp1", "carp2", "carp3"] {
        let mode = fs::metadata(site.etc.join(format!("hostname.{name}")))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o640);
        a.ok(&format!("ifconfig {name} destroy"));
    }
    a.ok("ifconfig -g carp -carpdemote 128");
    a.ok("ifconfig -g carp -carpdemote 7");
    a.ok("sysctl net.inet.carp.log=2 net.inet.carp.demotion=-5");
    assert_eq!(a.ok("dump -k"), "");
    assert_eq!(site.ok("netstart"), "");
    assert_eq!(a.ok("dump -k"), dumped);
    assert!(
        site.ok("dump -k -w")
            .lines()
            .all(|line| line.ends_with(": unchanged"))
    );

    // Without -k nothing is told, and what is printed cannot be taken for a group without passphrase.
    let hidden = a.ok("dump carp1");
    assert!(
        !hidden.contains("it's") && hidden.contains("\npass\n"),
        "{hidden}"
    );
    site.write("hostname.carp1", &hidden);
    assert_eq!(
        site.refused("netstart carp1"),
        "netstart: hostname.carp1:6: 'pass' requires argument\n"
    );
    assert_eq!(
        site.refused("dump -w"),
        "dump: carp1 has a passphrase: -k writes it\n"
    );
    let said = site.refused("dump -k -w");
    assert!(
        said.starts_with("dump: hostname.carp1: File exists\n"),
        "{said}"
    );
    assert!(
        site.ok("dump -k -w -f")
            .contains("hostname.carp1: replaced\n")
    );
    assert_eq!(site.ok("netstart"), "");
    assert_eq!(a.ok("dump -k"), dumped);
    assert_eq!(
        site.refused("dump carp7"),
        "dump: carp7: no such interface\n"
    );
}

#[test]
fn only_roots_files_are_believed() {
    support::privileged!();
    let site = Site::new();
    let path = site.write(
        "hostname.carp1",
        &format!("{CARP1}!touch {}/ran\n", site.etc.display()),
    );
    let mode = |mode| fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    let untouched = || {
        assert_eq!(site.a.ok("ifconfig -a"), "");
        assert!(!site.etc.join("ran").exists());
    };
    for wrong in [0o660, 0o642, 0o666] {
        mode(wrong);
        let text = format!(
            "netstart: hostname.carp1: writable by others than its owner (mode {wrong:04o})\n"
        );
        assert_eq!(site.refused("netstart"), text);
        untouched();
    }
    mode(0o640);
    if support::may_become_nobody() {
        std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
        assert_eq!(
            site.refused("netstart"),
            "netstart: hostname.carp1: owned by uid 65534, not by root\n"
        );
        untouched();
        std::os::unix::fs::chown(&path, Some(0), None).unwrap();
    }
    let other = site.etc.join("elsewhere");
    fs::rename(&path, &other).unwrap();
    symlink(&other, &path).unwrap();
    assert_eq!(
        site.refused("netstart"),
        "netstart: hostname.carp1: a symbolic link\n"
    );
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(
        site.refused("netstart"),
        "netstart: hostname.carp1: not a regular file\n"
    );
    fs::remove_dir(&path).unwrap();
    fs::rename(&other, &path).unwrap();
    fs::set_permissions(&site.etc, Permissions::from_mode(0o777)).unwrap();
    let said = site.refused("netstart");
    assert!(
        said.ends_with("etc: writable by others than its owner (mode 0777)\n"),
        "{said}"
    );
    untouched();
    fs::set_permissions(&site.etc, Permissions::from_mode(0o755)).unwrap();
    // That others can read it is told, and no reason to stay without the address.
    mode(0o644);
    let done = site.run("netstart");
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(
        done.err
            .ends_with("holds a passphrase and is readable by everybody: chmod 0640\n"),
        "{done:?}"
    );
    assert!(site.etc.join("ran").exists());
}

#[test]
fn commands_run_in_their_place_and_only_for_a_right_file() {
    support::privileged!();
    let site = Site::new();
    let log = site.etc.join("log");
    let note = |text: &str| {
        format!(
            "!echo {text} \\$if \"$({} ifconfig \\$if 2>&1 | head -1)\" >>{}\n",
            env!("CARGO_BIN_EXE_carp"),
            log.display()
        )
    };
    site.write(
        "hostname.carp1",
        &format!("{}up\n{}vhid 300\n", note("before"), note("after")),
    );
    site.refused("netstart");
    assert!(
        !log.exists(),
        "a file is read before anything of it is done"
    );
    site.write(
        "hostname.carp1",
        &format!("{}carpdev nosuch0\n{}", note("before"), note("after")),
    );
    site.refused("netstart");
    assert_eq!(
        fs::read_to_string(&log).unwrap(),
        "before carp1 carp1: no such interface\n".replace("carp1 carp1", "carp1 ifconfig: carp1")
    );
    fs::remove_file(&log).unwrap();
    site.write(
        "hostname.carp1",
        &format!("{}{CARP1}{}", note("before"), note("after")),
    );
    assert_eq!(site.ok("netstart -n").matches("!echo").count(), 2);
    assert!(!log.exists());
    site.ok("netstart");
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "before carp1 ifconfig: carp1: no such interface");
    assert!(
        lines[1].starts_with("after carp1 carp1: flags=8843<UP,"),
        "{text}"
    );
    assert_eq!(lines.len(), 2);
    // One that fails is told; what stands beside it is done.
    site.write(
        "hostname.carp1",
        &format!("{CARP1}!exit 3\nadvskew 9\n!echo said\n"),
    );
    let done = site.run("netstart");
    assert_eq!(
        (done.code, done.out.as_str()),
        (Some(1), "said\n"),
        "{done:?}"
    );
    assert!(
        done.err
            .ends_with("hostname.carp1:5: !exit 3: exit status: 3\n"),
        "{done:?}"
    );
    assert!(site.a.ok("ifconfig carp1").contains("advskew 9\n"));
}

#[test]
fn passphrases_leave_only_to_root() {
    support::privileged!();
    if !support::may_become_nobody() {
        return;
    }
    let site = Site::new();
    let a = &site.a;
    a.ok("ifconfig carp1 vhid 1 pass secret carpdev eth0 192.0.2.1/24");
    assert!(a.ok("dump -k carp1").contains("\npass secret\n"));
    let copy = a.run.join("carp");
    fs::copy(env!("CARGO_BIN_EXE_carp"), &copy).unwrap();
    let as_nobody = |words: &[&str]| {
        let mut command = std::process::Command::new(&copy);
        command.args(words).env_clear().env("CARP_RUN", &a.run);
        a.finish(command.uid(65534).gid(65534))
    };
    let open = as_nobody(&["dump", "carp1"]);
    assert_eq!((open.code, open.out), (Some(0), a.ok("dump carp1")));
    let closed = as_nobody(&["dump", "-k", "carp1"]);
    assert_eq!((closed.code, closed.out.as_str()), (Some(1), ""));
    assert_eq!(closed.err, "dump: -k: Operation not permitted\n");
    // Whoever may not change anything may not load a file either.
    let etc = a.run.join("theirs");
    fs::create_dir(&etc).unwrap();
    fs::write(etc.join("hostname.carp1"), "carpdev eth0 vhid 1\n").unwrap();
    let done = as_nobody(&["netstart", "-d", etc.to_str().unwrap()]);
    assert_eq!(done.code, Some(1));
    assert!(
        done.err
            .ends_with("hostname.carp1: SIOCSVH: Operation not permitted\n"),
        "{done:?}"
    );
}
