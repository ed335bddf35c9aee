//! What a process can still do after it has given up its powers; each test in a process of its own.

use crate::privilege::{alone, this_test};
use crate::{as_root, net, test_name};
use carp::lab::net::Lab;
use carp::linux::channel::Channel;
use carp::linux::filter::Filter;
use carp::linux::monitor::{Event, Monitor};
use carp::linux::netlink::{AddressFlags, Netlink};
use carp::linux::netns::Namespace;
use carp::linux::packet::{PacketSocket, Vnet};
use carp::linux::sandbox;
use carp::wire::MacAddr;
use std::io::Read;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const A: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const B: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

/// The capability sets of the calling thread, as the kernel prints them.
fn capabilities() -> Vec<String> {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    [
        "CapInh:",
        "CapPrm:",
        "CapEff:",
        "CapBnd:",
        "CapAmb:",
        "NoNewPrivs:",
    ]
    .map(line)
    .to_vec()
}

#[test]
fn without_privilege_open_descriptors_work_and_changes_do_not() {
    as_root!();
    if !alone(&test_name!()) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    lab.add_host("a", A, &[net("192.0.2.1/24")]).unwrap();
    lab.add_host("b", B, &[]).unwrap();
    let index = lab.host("a").ports()[0].index;
    let (monitor, sender) = lab.host("a").run(|| {
        (
            Monitor::open().unwrap(),
            PacketSocket::open(index, Vnet::No).unwrap(),
        )
    });
    let (ear, netlink) = lab.host("b").run(|| {
        let socket = PacketSocket::open(lab.host("b").ports()[0].index, Vnet::No).unwrap();
        socket.set_filter(&Filter::unicast_to(&[B])).unwrap();
        (socket, Netlink::open().unwrap())
    });
    let at_a = lab.host("a").run(|| Netlink::open().unwrap());
    let (change_now, go) = std::sync::mpsc::channel();
    let (done, changed) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        // This thread keeps its powers and makes the change of which the other is to hear.
        scope.spawn(move || {
            go.recv().unwrap();
            at_a.add_address(
                index,
                net("2001:db8::1/64"),
                AddressFlags {
                    nodad: true,
                    metric: None,
                },
            )
            .unwrap();
            done.send(()).unwrap();
        });
        scope.spawn(move || {
            sandbox::enter_empty_netns().unwrap();
            sandbox::drop_privilege(None).unwrap();
            let none = "0000000000000000";
            assert_eq!(capabilities(), [none, none, none, none, none, "1"]);
            // Neither over a new socket nor over one opened before.
            let refused = |error: carp::linux::Error| assert_eq!(error.errno(), libc::EPERM);
            refused(Netlink::open().unwrap().create_bridge("br").unwrap_err());
            refused(netlink.create_bridge("br").unwrap_err());
            refused(PacketSocket::open(1, Vnet::No).unwrap_err());
            refused(Namespace::new().unwrap_err());
            let seen: Vec<String> = Netlink::open().unwrap().links().unwrap().into_iter().map(|link| link.name).collect();
            assert_eq!(seen, ["lo"], "an empty namespace");

            let inherited = Monitor::from(monitor.as_fd().try_clone_to_owned().unwrap());
            let links = inherited.links().unwrap();
            assert_eq!(links.iter().find(|link| link.name == "eth0").unwrap().mac, A);
            let has = |text: &str| inherited.addresses(Some(index)).unwrap().iter().any(|address| address.net == net(text));
            assert!(has("192.0.2.1/24") && !has("2001:db8::1/64"));
            change_now.send(()).unwrap();
            changed.recv().unwrap();
            let end = Instant::now() + Duration::from_secs(10);
            let told = |event: &Event| matches!(event, Event::Address { address, added: true } if address.net == net("2001:db8::1/64"));
            while !inherited.read().is_ok_and(|events| events.iter().any(told)) {
                assert!(Instant::now() < end, "the event never came");
                std::thread::sleep(Duration::from_millis(2));
            }

            let frame = [&B.0[..], &A.0, &[0x88, 0xb5], &[0x5a; 46]].concat();
            sender.send(&frame).unwrap();
            let end = Instant::now() + Duration::from_secs(5);
            let mut buffer = [0; 128];
            let arrived = loop {
                match ear.recv(&mut buffer) {
                    Ok(length) => break buffer[..length] == frame,
                    Err(_) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
                    Err(error) => panic!("{error}"),
                }
            };
            assert!(arrived);
        });
    });
}

#[test]
fn descriptors_are_passed_by_number_and_the_rest_is_closed() {
    const NUMBER: i32 = 9;
    let name = test_name!();
    if std::env::var_os("CARP_TEST_HEIR").is_some() {
        let own = std::fs::File::open("/dev/null").unwrap();
        let channel = Channel::from(sandbox::inherited(NUMBER).unwrap());
        assert_eq!(
            sandbox::inherited(NUMBER).unwrap_err().errno(),
            libc::EBADF,
            "taken once"
        );
        sandbox::close_inherited(3).unwrap();
        own.metadata().unwrap();
        sandbox::detach().unwrap();
        assert_eq!(nix::unistd::getsid(None).unwrap(), nix::unistd::getpid());
        channel.send(b"here", &[]).unwrap();
        assert_eq!(channel.recv().unwrap().unwrap().0, b"end");
        return;
    }
    let (near, far) = Channel::pair().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    // A descriptor that leaks into the child, as a careless shell's would.
    let leak = nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_DUPFD(20)).unwrap();
    let mut command = this_test(&name);
    command
        .env("CARP_TEST_HEIR", "1")
        .stdout(std::process::Stdio::null());
    sandbox::pass_descriptor(&mut command, far.as_fd(), NUMBER).unwrap();
    assert!(sandbox::pass_descriptor(&mut command, far.as_fd(), 2).is_err());
    let mut child = command.spawn().unwrap();
    drop((command, far, writer));
    nix::unistd::close(leak).unwrap();
    assert_eq!(near.recv().unwrap().unwrap().0, b"here");
    // The child lives and has closed its copy.
    assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
    near.send(b"end", &[]).unwrap();
    assert!(child.wait().unwrap().success());
}
