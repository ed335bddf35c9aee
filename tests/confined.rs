//! What an engine can do that somebody else has taken over: nothing that it does not have already. Each attack runs in a process
//! that has given up what an engine gives up.
#![allow(clippy::unwrap_used)]

mod support;

use carp::daemon::confine;
use carp::daemon::door::Effect;
use carp::linux::channel::Channel;
use carp::wire::MacAddr;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use support::forger::Forger;
use support::hosts::{Host, SOON, Segment, own_mac, until};
use support::privilege;

/// Set in the process that attacks.
const ATTACK: &str = "CARP_TEST_ATTACK";

/// What is tried, by name. Each must end its process before it returns.
const ATTACKS: &[(&str, fn())] = &[
    ("open a file", || drop(std::fs::File::open("/etc/passwd"))),
    ("make a file", || {
        drop(std::fs::File::create("/tmp/carp-test-attack"))
    }),
    ("list a directory", || drop(std::fs::read_dir("/"))),
    ("remove a file", || {
        drop(std::fs::remove_file("/tmp/carp-test-attack"))
    }),
    ("connect by TCP", || drop(TcpStream::connect("127.0.0.1:9"))),
    ("listen for TCP", || drop(TcpListener::bind("127.0.0.1:0"))),
    ("make a UDP socket", || drop(UdpSocket::bind("127.0.0.1:0"))),
    ("connect to a local socket", || {
        drop(UnixStream::connect("/run/dbus/system_bus_socket"))
    }),
    ("make a local socket", || drop(UnixDatagram::unbound())),
    ("make a packet socket", || {
        drop(carp::linux::packet::PacketSocket::open(
            1,
            carp::linux::packet::Vnet::No,
        ))
    }),
    ("make a netlink socket", || {
        drop(carp::linux::netlink::Netlink::open())
    }),
    ("make a TAP", || {
        drop(carp::linux::tap::Tap::create("carp9"))
    }),
    ("write a sysctl", || {
        drop(carp::linux::sysctl::write("net/ipv4/ip_forward", "1"))
    }),
    ("execute a program", || {
        drop(Command::new("/bin/true").status())
    }),
    ("start a thread", || {
        drop(std::thread::Builder::new().spawn(|| ()))
    }),
    ("make a namespace", || {
        drop(carp::linux::sandbox::enter_empty_netns())
    }),
    ("signal its parent", || {
        let _ = nix::sys::signal::kill(nix::unistd::getppid(), None);
    }),
    ("become root", || {
        let _ = nix::unistd::setuid(nix::unistd::Uid::from_raw(0));
    }),
    ("be traced again", || {
        let _ = nix::sys::prctl::set_dumpable(true);
    }),
    ("load a program into the kernel", || {
        drop(carp::dataplane::bpf::Loaded::new())
    }),
    ("change its limits", || {
        drop(carp::linux::sandbox::bound_memory(1 << 40))
    }),
    ("leave its root", || {
        let _ = nix::unistd::chroot("/");
    }),
    ("pair sockets", || drop(Channel::pair())),
];

/// For these libc blocks all signals, and whoever is told of one that is blocked is just ended.
const MUTE: [&str; 2] = ["execute a program", "start a thread"];

#[test]
fn an_attacker_in_the_engine_is_ended_whatever_he_tries() {
    if privilege::run_elsewhere() {
        return;
    }
    if let Ok(name) = std::env::var(ATTACK) {
        let (_, attack) = ATTACKS.iter().find(|(known, _)| *known == name).unwrap();
        let mut missing = confine::begin().unwrap();
        let log = std::io::stderr().as_fd().try_clone_to_owned().unwrap();
        confine::finish(&mut missing, Some((log, "attack: ".to_owned())));
        // Not by way of std's lock and buffers.
        let _ = nix::unistd::write(std::io::stderr(), b"confined\n");
        attack();
        let _ = nix::unistd::write(std::io::stderr(), b"still there\n");
        std::process::exit(3);
    }
    for (name, _) in ATTACKS {
        let mut child =
            privilege::this_test("an_attacker_in_the_engine_is_ended_whatever_he_tries");
        let done = child.env(ATTACK, name).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(said.contains("confined"), "{name}: {said}");
        let number = said.split("no engine may make system call ").nth(1);
        let number = number.and_then(|rest| rest.trim().parse::<u16>().ok());
        assert!(number.is_some() || MUTE.contains(name), "{name}: {said}");
        assert_eq!(
            done.status.signal(),
            Some(libc::SIGSYS),
            "{name}: {}: {said}",
            done.status
        );
    }
}

/// What the real one has given up, as the kernel tells it.
#[test]
fn the_engine_of_a_daemon_is_confined() {
    if privilege::run_elsewhere() {
        return;
    }
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    a.daemon();
    let parent = a.pid();
    let engine = a
        .processes()
        .into_iter()
        .find(|pid| *pid != parent)
        .unwrap();
    let read = |pid, file| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let status = read(engine, "status");
    let value = |text: &str, key: &str| {
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix(key).map(str::trim));
        line.unwrap_or_else(|| panic!("no {key}")).to_owned()
    };
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(value(&status, set), "0000000000000000", "{set}");
    }
    assert_eq!(value(&status, "NoNewPrivs:"), "1");
    assert_eq!(value(&status, "Seccomp:"), "2");
    if privilege::may_become_nobody() {
        assert!(
            !value(&status, "Uid:")
                .split_whitespace()
                .any(|id| id == "0"),
            "{status}"
        );
        assert!(
            !value(&status, "Gid:")
                .split_whitespace()
                .any(|id| id == "0"),
            "{status}"
        );
        assert_eq!(value(&status, "Groups:"), "");
    }
    let limits = read(engine, "limits");
    let cores = value(&limits, "Max core file size");
    assert!(cores.starts_with('0'), "{cores}");
    let of = |pid| std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    assert_ne!(of(engine), of(parent), "it sees the host's network");
}

/// What its parent keeps, and that what it starts gets no less than before.
#[test]
fn the_parent_of_a_daemon_keeps_what_it_needs() {
    if privilege::run_elsewhere() {
        return;
    }
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    a.daemon();
    let read = |pid, file| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let value = |text: &str, key: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(key));
        line.unwrap_or_else(|| panic!("no {key}")).trim().to_owned()
    };
    let own = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let status = || read(a.pid(), "status");
    // CAP_KILL, CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF of capability.h.
    let kept = 1_u64 << 5 | 1 << 12 | 1 << 13 | 1 << 39;
    let held = |key: &str| u64::from_str_radix(&value(&status(), key), 16).unwrap();
    assert!(until(SOON, || held("CapEff:") & !kept == 0), "{}", status());
    assert_eq!(held("CapEff:") & !(1 << 39), kept & !(1 << 39));
    assert_eq!((held("CapPrm:"), held("CapInh:")), (held("CapEff:"), 0));
    assert_eq!(value(&status(), "CapBnd:"), value(&own, "CapBnd:"));
    let cores = value(&read(a.pid(), "limits"), "Max core file size");
    assert!(cores.starts_with('0'), "{cores}");
    // With them it does all that it did.
    a.ok("ifconfig carp1 vhid 1 carpdev eth0 advbase 0 advskew 20 192.0.2.1/24");
    assert!(until(SOON, || a.has_address("carp1", "192.0.2.1")));
    // Programs were loaded after the rest was given up.
    assert!(!a.said().contains("eth0: data plane"), "{}", a.said());
    a.terminate();
    assert_eq!(a.carrier("carp1"), None);
}

#[test]
fn a_forged_order_is_refused_and_changes_nothing() {
    if privilege::run_elsewhere() {
        return;
    }
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    let mut forger = Forger::on(&a);
    assert!(forger.ask(Effect::Open).result.is_ok());
    let (mac, index) = (MacAddr::of_vhid(1), a.index("eth0"));
    let carp1 = || "carp1".to_owned();
    assert!(
        forger
            .ask(Effect::Create { name: carp1(), mac })
            .result
            .is_ok()
    );
    let listen = |index, groups: &[&str], bridge| Effect::Listen {
        index,
        name: "eth0".to_owned(),
        groups: groups.iter().map(|g| g.parse().unwrap()).collect(),
        macs: vec![(mac, 1)],
        shared: Vec::new(),
        units: Vec::new(),
        bridge,
    };
    let arm = |name: &str, address: &str, like: &str| Effect::Arm {
        name: name.to_owned(),
        addresses: vec![address.parse().unwrap()],
        like: like.to_owned(),
    };
    let shape = |name: &str, mac, mtu| Effect::Configure {
        name: name.to_owned(),
        mac,
        mtu,
        up: false,
    };
    let open = |name: &str| Effect::OpenCarpdev {
        name: name.to_owned(),
        planes: vec![carp::daemon::Dataplane::Copy],
    };
    let early = [
        arm("carp1", "192.0.2.1/24", "eth0"),
        listen(index, &["224.0.0.18"], None),
    ];
    for effect in early {
        assert!(
            forger.ask(effect.clone()).result.is_err(),
            "before it was opened: {effect:?}"
        );
    }
    assert!(forger.ask(open("eth0")).result.is_ok());
    let multicast = MacAddr([1, 0, 0x5e, 0, 0, 18]);
    let names = ["eth0", "lo", "tun0", "carp99999", "../eth0", ""];
    let mut forged = vec![
        Effect::Disarm {
            name: "eth0".into(),
        },
        Effect::Destroy {
            name: "eth0".into(),
        },
        Effect::Disarm {
            name: "carp2".into(),
        },
        Effect::Create {
            name: carp1(),
            mac: multicast,
        },
        shape("eth0", own_mac(9), 1500),
        shape("carp2", own_mac(9), 1500),
        shape("carp1", multicast, 1500),
        shape("carp1", mac, 0),
        shape("carp1", mac, u32::MAX),
        arm("eth0", "192.0.2.1/24", "eth0"),
        arm("carp1", "127.0.0.1/8", "eth0"),
        arm("carp1", "224.0.0.1/4", "eth0"),
        arm("carp1", "0.0.0.0/0", "eth0"),
        arm("carp1", "192.0.2.1/24", "lo"),
        arm("carp1", "192.0.2.1/24", "../../ipv6/conf/eth0"),
        listen(index + 1000, &["224.0.0.18"], None),
        listen(index, &["192.0.2.9"], None),
        listen(index, &["224.0.0.18"], Some(index)),
        open("lo"),
        open("carp1"),
        open("../eth0"),
        open("eth7"),
    ];
    forged.extend(names.map(|name| Effect::Create {
        name: name.into(),
        mac,
    }));
    let links = || {
        a.net(|net| {
            net.links()
                .unwrap()
                .into_iter()
                .map(|l| format!("{l:?}"))
                .collect::<Vec<_>>()
        })
    };
    let before = links();
    for effect in forged {
        let outcome = forger.ask(effect.clone());
        assert!(outcome.result.is_err(), "{effect:?}: {outcome:?}");
    }
    assert_eq!(links(), before);
    assert!(a.has_address("eth0", "192.0.2.11") && !a.has_address("carp1", "192.0.2.1"));
    // What is no order at all ends it, and all that it made.
    forger
        .channel
        .send(b"{\"id\":1,\"effect\":\"Reboot\"}", &[a.place.as_fd()])
        .unwrap();
    assert!(forger.channel.recv().unwrap().is_none());
    assert!(forger.ends());
    assert_eq!(a.carrier("carp1"), None);
}
