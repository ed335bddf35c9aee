//! The words of data planes and their counters.

use super::support::hosts::{Host, SOON, Segment, until};
use super::support::plane::{current, in_kernel};
use super::support::scene::{SHARED, SHARED6, Scene, join, join_numbered};
use super::support::talk::{Service, bulk, who};
use super::{VIRTUAL, bare};
use carp::carp::config::Dataplane;
use carp::wire::MacAddr;

fn the_plane_in_use_is_told() {
    let (a, _c) = bare();
    let plane = current();
    assert!(
        a.said().contains(&format!("data plane: {plane}\n")),
        "{}",
        a.said()
    );
    let verbose = a.ok("ifconfig -v carp1");
    let line = format!("\tinput: redirect\n\tdataplane: {plane}\n\tin: ");
    assert!(verbose.contains(&line), "{verbose}");
    let plain = a.ok("ifconfig carp1");
    assert!(
        !plain.contains("input") && !plain.contains("dataplane"),
        "{plain}"
    );
    assert_eq!(
        a.ok("sysctl -n net.inet.carp.dataplane"),
        format!("{plane}\n")
    );
}

fn another_plane_needs_an_empty_host() {
    let (a, _c) = bare();
    let other = if in_kernel() { "copy" } else { "auto" };
    let line = format!("sysctl net.inet.carp.preempt=1 net.inet.carp.dataplane={other}");
    assert_eq!(
        a.refused(&line),
        "sysctl: net.inet.carp.dataplane: Device busy\nsysctl: carp1 is there: destroy all carp interfaces first\n"
    );
    assert_eq!(
        a.ok("sysctl -n net.inet.carp.preempt"),
        "0\n",
        "the whole line is refused"
    );
    a.ok(&format!("sysctl net.inet.carp.dataplane={}", current()));
    a.ok("ifconfig carp1 destroy");
    a.ok("sysctl net.inet.carp.dataplane=copy");
    join(&a, "eth0", 0);
    a.master("carp1");
    assert!(a.ok("ifconfig -v carp1").contains("\tdataplane: copy\n"));
}

fn accept_is_had_or_the_interface_stays_in_init() {
    let scene = Scene::bare();
    let a = &scene.a;
    let _service = Service::on(a);
    join(a, "eth0", 0);
    a.master("carp1");
    a.ok("ifconfig carp1 input accept");
    if in_kernel() {
        assert!(a.ok("ifconfig carp1").contains("\n\tinput: accept\n"));
        a.master("carp1");
        assert_eq!(who(&scene.c, SHARED, None).unwrap(), "a");
        return;
    }
    a.until_state("carp1", "INIT");
    let shown = a.ok("ifconfig carp1");
    let why = "input accept needs the data plane tcx or clsact, copy is in use";
    assert!(
        shown.contains(&format!("\n\tinput: accept ({why})\n")),
        "{shown}"
    );
    assert!(shown.contains("\tstatus: invalid\n"), "{shown}");
    assert!(
        a.said().contains(&format!("carp1 stays in INIT: {why}\n")),
        "{}",
        a.said()
    );
    // It served what was in flight.
    assert!(until(SOON, || !a.has_address("carp1", SHARED)));
    assert!(who(&scene.c, SHARED, None).is_err(), "nobody owns {SHARED}");
    a.ok("ifconfig carp1 input redirect");
    a.master("carp1");
    assert_eq!(who(&scene.c, SHARED, None).unwrap(), "a");
}

/// The numbers of carp1 in the table of `netstat`, from the line of its link.
fn counted(a: &Host, option: &str) -> Vec<u64> {
    let text = a.ok(&format!("netstat {option} -I carp1"));
    let link = text.lines().find(|line| line.contains("<Link>")).unwrap();
    let numbers = link.split_whitespace().skip(4);
    numbers.map(|number| number.parse().unwrap()).collect()
}

fn what_passes_is_counted() {
    let (a, c) = bare();
    let _service = Service::on(&a);
    let (packets, bytes) = (counted(&a, "-i"), counted(&a, "-b"));
    assert_eq!((packets.len(), bytes.len()), (5, 2));
    assert!(bulk(&c, SHARED, 10).unwrap());
    let passed = || {
        let now = counted(&a, "-b");
        now.iter()
            .zip(&bytes)
            .all(|(now, before)| now - before > 10_000_000)
    };
    assert!(
        until(SOON, passed),
        "{bytes:?} then {:?}",
        counted(&a, "-b")
    );
    let now = counted(&a, "-i");
    // Super-packets hold 64 kB at most.
    assert!(
        now[0] > packets[0] + 150 && now[2] > packets[2] + 150,
        "{packets:?} then {now:?}"
    );
    let shown = a.ok("ifconfig -v carp1");
    let line = |word: &str| {
        shown
            .lines()
            .find(|l| l.trim_start().starts_with(word))
            .unwrap()
            .to_owned()
    };
    let figure = |word: &str| {
        line(word)
            .split(' ')
            .nth(3)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    assert!(
        figure("in:") > 10_000_000 && figure("out:") > 10_000_000,
        "{shown}"
    );
}

fn rules_that_will_not_match_are_named_once() {
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    a.daemon();
    join_numbered(&a, "eth0", 1, 0);
    join_numbered(&a, "eth0", 2, 0);
    a.ok("ifconfig carp1 advskew 1");
    let redirect = "input redirect: firewall rules see what it receives as iifname carp1; those for iifname eth0 do not match it";
    assert_eq!(
        a.said().matches("firewall rules").count(),
        1,
        "{}",
        a.said()
    );
    assert!(
        a.said().contains(&format!("carp1: {redirect}\n")),
        "{}",
        a.said()
    );
    a.ok("ifconfig carp2 input accept");
    let accept = "carp2: input accept: firewall rules see what it receives as iifname eth0; those for iifname carp2 do not match it";
    assert_eq!(a.said().contains(accept), in_kernel(), "{}", a.said());
}

/// Fails when frames for a MAC that tells no vhid are not found, or those of the MAC that it replaces still are.
fn a_chosen_lladdr_is_served_and_moves() {
    let scene = Scene::bare();
    let (a, b, c) = (&scene.a, &scene.b, &scene.c);
    let _services = (Service::on(a), Service::on(b));
    let chosen = MacAddr([2, 0, 0x5e, 0x10, 0x20, 0x30]);
    for (host, advskew) in [(b, 100), (a, 0)] {
        host.ok("ifconfig carp1 create");
        host.ok(&format!("ifconfig carp1 lladdr {chosen}"));
        join(host, "eth0", advskew);
    }
    a.master("carp1");
    b.until_state("carp1", "BACKUP");
    let served_by = |name: &str| {
        for shared in [SHARED, SHARED6] {
            let reached = || who(c, shared, None).is_ok_and(|n| n == name);
            assert!(until(SOON, reached), "{shared} is not served by {name}");
            assert_eq!(c.neighbour("eth0", shared), Some(chosen));
        }
    };
    served_by("a");
    a.ok("ifconfig carp1 down");
    b.until_state("carp1", "MASTER");
    served_by("b");
    for host in [a, b] {
        host.ok("ifconfig carp1 -lladdr");
    }
    a.ok("ifconfig carp1 up");
    a.master("carp1");
    b.until_state("carp1", "BACKUP");
    let moved = || {
        let reached = who(c, SHARED, None).is_ok_and(|name| name == "a");
        reached && c.neighbour("eth0", SHARED) == Some(VIRTUAL)
    };
    assert!(until(SOON, moved), "{:?}", c.neighbour("eth0", SHARED));
}

super::support::planes! {
    a_chosen_lladdr_is_served_and_moves,
    the_plane_in_use_is_told,
    another_plane_needs_an_empty_host,
    accept_is_had_or_the_interface_stays_in_init,
    what_passes_is_counted,
    rules_that_will_not_match_are_named_once,
}

/// A daemon with these capabilities only; answers its exit status, if it ended, and what it said.
fn with_capabilities(host: &Host, capabilities: &str, plane: Dataplane) -> (Option<i32>, String) {
    let mut command = host.command(&["daemon", "--dataplane", plane.word()]);
    let program = command.get_program().to_owned();
    let words: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    command = std::process::Command::new("setpriv");
    command
        .arg(format!("--bounding-set={capabilities}"))
        .arg("--")
        .arg(program)
        .args(words);
    command
        .env_clear()
        .env("CARP_RUN", &host.run)
        .env("PATH", "/usr/bin:/bin");
    let log = host.run.join("log");
    command.stderr(std::fs::File::create(&log).unwrap());
    let mut child = host.place.run(|| command.spawn().unwrap());
    let said = || std::fs::read_to_string(&log).unwrap();
    assert!(until(SOON, || child.try_wait().unwrap().is_some()
        || said().contains("ready")));
    let code = child
        .try_wait()
        .unwrap()
        .map(|status| status.code().unwrap());
    if code.is_none() {
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(child.id().try_into().unwrap()),
            nix::sys::signal::Signal::SIGTERM,
        )
        .unwrap();
        child.wait().unwrap();
    }
    (code, said())
}

#[test]
fn without_the_capability_it_copies_and_says_so() {
    if !super::support::plane::begin(Dataplane::Clsact) {
        return;
    }
    let host = Host::alone("a");
    let without = "-all,+net_admin,+net_raw";
    let (code, said) = with_capabilities(&host, without, Dataplane::Auto);
    assert_eq!(code, None, "{said}");
    assert!(
        said.contains("data plane: copy (tcx: ") && said.contains("Operation not permitted"),
        "{said}"
    );
    let (code, said) = with_capabilities(&host, without, Dataplane::Clsact);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("net.inet.carp.dataplane: Operation not supported\n"),
        "{said}"
    );
    assert!(
        said.contains("carpd: clsact: "),
        "the second line tells why: {said}"
    );
    let enough = "-all,+net_admin,+net_raw,+bpf";
    let (code, said) = with_capabilities(&host, enough, Dataplane::Clsact);
    assert_eq!(code, None, "{said}");
    assert!(said.contains("data plane: clsact\n"), "{said}");
}
