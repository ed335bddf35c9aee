//! What a packet filter and a capture see: T13, T18.

use super::support::frames::{Frame, echo_request};
use super::support::hosts::{Host, SOON, Segment, own_mac, until};
use super::support::nft::{counted, nft, took};
use super::support::plane::in_kernel;
use super::support::scene::{SHARED, SHARED6, Scene, join};
use super::support::talk::{Service, who};
use super::{VIRTUAL, bare};
use carp::linux::clock;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Packets of a named counter.
fn count(host: &Host, name: &str) -> u64 {
    counted(host, "inet", name)
}

/// Counts what comes for the shared address by carp1 and by eth0.
const SEEN: &str = r#"
table inet seen {
    counter carpn { }
    counter carpdev { }
    chain input {
        type filter hook input priority 0;
        ip daddr 192.0.2.1 iifname "carp1" counter name carpn
        ip daddr 192.0.2.1 iifname "eth0" counter name carpdev
    }
}
"#;

fn the_input_mode_says_where_rules_match() {
    let scene = Scene::bare();
    let (a, c) = (&scene.a, &scene.c);
    let _service = Service::on(a);
    nft(a, SEEN);
    join(a, "eth0", 0);
    a.master("carp1");
    assert_eq!(who(c, SHARED, None).unwrap(), "a");
    assert!(count(a, "carpn") > 0);
    assert_eq!(count(a, "carpdev"), 0);
    if !in_kernel() {
        return;
    }
    let before = count(a, "carpn");
    a.ok("ifconfig carp1 input accept");
    assert_eq!(a.state("carp1"), "MASTER", "it changes while it serves");
    assert_eq!(who(c, SHARED, None).unwrap(), "a");
    assert_eq!(count(a, "carpn"), before);
    assert!(count(a, "carpdev") > 0);
    let before = count(a, "carpdev");
    a.ok("ifconfig carp1 input redirect");
    assert_eq!(who(c, SHARED, None).unwrap(), "a");
    assert_eq!(count(a, "carpdev"), before);
}

/// Fails when what a neighbour answers does not reach carpN, which asked. Everything that a sends leaves by carpN here.
fn a_carpdev_without_addresses_serves_in_accept_mode() {
    if !in_kernel() {
        return;
    }
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &[]);
    let c = Host::on(&segment, "c", 0x0c, &["192.0.2.13/24", "2001:db8::13/64"]);
    a.daemon();
    let _service = Service::on(&a);
    join(&a, "eth0", 0);
    a.ok("ifconfig carp1 input accept");
    a.master("carp1");
    assert_eq!(who(&c, SHARED, None).unwrap(), "a");
    assert_eq!(who(&c, SHARED6, None).unwrap(), "a");
    let known = |ip| a.neighbour("carp1", ip) == Some(own_mac(0x0c));
    assert!(known("192.0.2.13") && known("2001:db8::13"));
}

fn a_rule_on_the_interface_where_it_is_seen_stops_it() {
    let scene = Scene::bare();
    let (a, c) = (&scene.a, &scene.c);
    let _service = Service::on(a);
    join(a, "eth0", 0);
    a.master("carp1");
    let drop = |interface: &str| {
        let rules = format!(
            "table inet shut\ndelete table inet shut\ntable inet shut {{\nchain input {{\ntype filter hook input priority 0;\n\
            iifname \"{interface}\" tcp dport 7000 drop\n}}\n}}\n"
        );
        nft(a, &rules);
    };
    drop("eth0");
    assert_eq!(who(c, SHARED, None).unwrap(), "a");
    drop("carp1");
    assert!(who(c, SHARED, None).is_err());
    if in_kernel() {
        a.ok("ifconfig carp1 input accept");
        assert_eq!(who(c, SHARED, None).unwrap(), "a");
        drop("eth0");
        assert!(who(c, SHARED, None).is_err());
    }
}

/// Counts echo requests and replies at every device hook of both interfaces.
fn device_hooks() -> String {
    let mut rules = String::from("table netdev seen {\n");
    for interface in ["eth0", "carp1"] {
        for hook in ["ingress", "egress"] {
            let name = format!("{interface}_{hook}");
            rules += &format!(
                "counter {name} {{ }}\nchain {name} {{\ntype filter hook {hook} device \"{interface}\" priority 0;\n\
                icmp type {{ echo-request, echo-reply }} counter name {name}\n}}\n"
            );
        }
    }
    rules + "}\n"
}

/// Fails when chains of the netdev family put our programs out of work, or see other frames than the manual says. carpdev has
/// no address, so that the replies leave by carpN.
fn chains_at_the_device_hooks_go_on_beside_us() {
    let (a, c) = bare();
    if !took(&a, &device_hooks()) {
        super::support::privilege::skip_here("this kernel has no egress hook for nftables");
        return;
    }
    let (from_a, out) = (a.sends("eth0"), c.outlet("eth0"));
    let client = (own_mac(0x0c), "192.0.2.13".parse().unwrap());
    let answered = |seq| {
        let echo = echo_request(client, (VIRTUAL, SHARED.parse().unwrap()), 5, seq);
        let mark = clock::now();
        out.send(&echo).unwrap();
        let reply = |f: &Frame| f.echo().is_some_and(|e| !e.request && e.seq == seq);
        from_a.seek(mark, Duration::from_secs(2), reply).is_some()
    };
    for seq in 1..=3 {
        assert!(answered(seq));
    }
    let seen = |name| counted(&a, "netdev", name);
    // The programs take a frame away before the chain of carpdev sees it (T18), the copier takes a second look at it.
    let before_us = if in_kernel() { 0 } else { 3 };
    assert_eq!(seen("eth0_ingress"), before_us);
    assert_eq!(seen("carp1_ingress"), 3);
    assert_eq!(seen("carp1_egress"), 3);
    // What a program has led from one interface to the other is past the other's egress chain.
    let after_us = if in_kernel() { 0 } else { 3 };
    assert_eq!(seen("eth0_egress"), after_us);
    let drop = |interface: &str, hook: &str| {
        let rules = format!(
            "table netdev shut\ndelete table netdev shut\ntable netdev shut {{\nchain shut {{\n\
            type filter hook {hook} device \"{interface}\" priority 0;\nip protocol icmp drop\n}}\n}}\n"
        );
        nft(&a, &rules);
    };
    drop("carp1", "ingress");
    assert!(!answered(4));
    drop("eth0", "egress");
    assert_eq!(answered(5), in_kernel());
    drop("eth0", "ingress");
    assert!(answered(6), "what is handed to carp1 is past it");
    drop("carp1", "egress");
    assert!(!answered(7));
}

/// tcpdump on carp1, and the lines that it has printed.
struct Tcpdump {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Tcpdump {
    fn on(a: &Host) -> Self {
        let mut command = Command::new("tcpdump");
        command.args(["-i", "carp1", "-n", "-l", "--immediate-mode", "icmp"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = a.place.run(|| command.spawn().unwrap());
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = told.any(|line| line.unwrap().starts_with("listening on carp1"));
        assert!(listening, "tcpdump did not start");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (sink, out) = (Arc::clone(&lines), child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                sink.lock().unwrap().push(line);
            }
        });
        // Its standard error must stay open.
        std::thread::spawn(move || told.for_each(drop));
        Self { child, lines }
    }

    fn saw(&self, what: &str) -> bool {
        self.lines
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains(what))
    }
}

impl Drop for Tcpdump {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn a_capture_on_carpn_sees_both_directions() {
    let (a, c) = bare();
    let (request, reply) = (
        "192.0.2.13 > 192.0.2.1: ICMP echo request",
        "192.0.2.1 > 192.0.2.13: ICMP echo reply",
    );
    let from_a = a.sends("eth0");
    let outlet = c.outlet("eth0");
    let mut round = 0;
    let mut ping = || {
        round += 1;
        let client = (own_mac(0x0c), "192.0.2.13".parse().unwrap());
        let echo = echo_request(client, (VIRTUAL, SHARED.parse().unwrap()), 0x13, round);
        outlet.send(&echo).unwrap();
        let answer = |f: &super::support::frames::Frame| {
            f.echo().is_some_and(|e| !e.request && e.seq == round)
        };
        from_a.expect(carp::time::Instant::ZERO, SOON, "echo reply", answer);
        // It leaves once, whoever listens.
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(from_a.after(carp::time::Instant::ZERO, answer).len(), 1);
    };
    ping();
    let plain = Tcpdump::on(&a);
    ping();
    assert!(until(SOON, || plain.saw(request)));
    assert_eq!(
        plain.saw(reply),
        !in_kernel(),
        "{:?}",
        plain.lines.lock().unwrap()
    );
    drop(plain);
    a.ok("ifconfig carp1 capture");
    assert!(
        a.ok("ifconfig carp1")
            .contains("\tinput: redirect capture\n")
    );
    assert_eq!(a.state("carp1"), "MASTER");
    let both = Tcpdump::on(&a);
    ping();
    assert!(
        until(SOON, || both.saw(request) && both.saw(reply)),
        "{:?}",
        both.lines.lock().unwrap()
    );
    drop(both);
    a.ok("ifconfig carp1 -capture");
    assert!(!a.ok("ifconfig carp1").contains("capture"));
    ping();
}

super::support::planes! {
    chains_at_the_device_hooks_go_on_beside_us,
    the_input_mode_says_where_rules_match,
    a_carpdev_without_addresses_serves_in_accept_mode,
    a_rule_on_the_interface_where_it_is_seen_stops_it,
    a_capture_on_carpn_sees_both_directions,
}
