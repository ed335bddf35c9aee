//! What needs no network: time, messages with descriptors, settings, the thread's namespace.

use crate::as_root;
use carp::linux::channel::{Channel, MAX_MESSAGE};
use carp::linux::clock::{self, TimerFd};
use carp::linux::netlink::Netlink;
use carp::linux::netns::Namespace;
use carp::linux::readiness::Readiness;
use carp::linux::sysctl;
use carp::time::Instant;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

#[test]
fn the_timer_fires_once_at_its_deadline() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    runtime.block_on(async {
        let timer = Readiness::new(TimerFd::new().unwrap()).unwrap();
        assert_eq!(
            timer.get_ref().read().unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        let deadline = clock::now() + Duration::from_millis(30);
        timer.get_ref().set(Some(deadline)).unwrap();
        timer.read(TimerFd::read).await.unwrap();
        let late = clock::now().since(deadline);
        assert!(clock::now() >= deadline);
        // Shared machines stall; what must not happen is a second or a wrong clock.
        assert!(late < Duration::from_millis(500), "{late:?} late");
        assert_eq!(
            timer.get_ref().read().unwrap_err().kind(),
            ErrorKind::WouldBlock
        );

        // The past fires at once, even the origin, and a disarmed timer never.
        timer.get_ref().set(Some(Instant::ZERO)).unwrap();
        timer.read(TimerFd::read).await.unwrap();
        timer
            .get_ref()
            .set(Some(clock::now() + Duration::from_millis(5)))
            .unwrap();
        timer.get_ref().set(None).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(
            timer.get_ref().read().unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    });
}

#[test]
fn what_is_paused_wakes_nobody_until_it_is_resumed() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut timer = Readiness::new(TimerFd::new().unwrap()).unwrap();
        let soon = |timer: &Readiness<TimerFd>| {
            let at = clock::now() + Duration::from_millis(5);
            timer.get_ref().set(Some(at)).unwrap();
        };
        for _ in 0..3 {
            soon(&timer);
            timer.read(TimerFd::read).await.unwrap();
        }
        timer.pause();
        timer.pause();
        let paused = timer.read(TimerFd::read).await.unwrap_err();
        assert_eq!(paused.kind(), ErrorKind::NotConnected);
        soon(&timer);
        std::thread::sleep(Duration::from_millis(20));
        timer.get_ref().read().unwrap();
        soon(&timer);
        std::thread::sleep(Duration::from_millis(20));
        timer.resume().unwrap();
        timer.resume().unwrap();
        // What came before it was resumed is not lost.
        timer.read(TimerFd::read).await.unwrap();
        soon(&timer);
        timer.read(TimerFd::read).await.unwrap();
    });
}

#[test]
fn a_channel_passes_messages_and_descriptors_whole() {
    let (near, far) = Channel::pair().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let long: Vec<u8> = (0..MAX_MESSAGE)
        .map(|i| u8::try_from(i % 251).unwrap())
        .collect();
    near.send(b"with two", &[writer.as_fd(), writer.as_fd()])
        .unwrap();
    near.send(&long, &[]).unwrap();
    drop(writer);
    let (message, mut descriptors) = far.recv().unwrap().unwrap();
    assert_eq!(
        (message.as_slice(), descriptors.len()),
        (&b"with two"[..], 2)
    );
    File::from(descriptors.remove(0))
        .write_all(b"through")
        .unwrap();
    drop(descriptors);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through");
    let (message, descriptors) = far.recv().unwrap().unwrap();
    assert!(message == long && descriptors.is_empty());

    assert_eq!(
        near.send(&vec![0; MAX_MESSAGE + 1], &[])
            .unwrap_err()
            .raw_os_error(),
        Some(libc::EMSGSIZE)
    );
    assert!(near.send(b"", &[]).is_err());
    let many = vec![reader.as_fd(); 17];
    assert!(near.send(b"x", &many).is_err());
    near.send(b"x", &many[..16]).unwrap();
    assert_eq!(far.recv().unwrap().unwrap().1.len(), 16);

    far.set_nonblocking(true).unwrap();
    assert_eq!(far.recv().unwrap_err().kind(), ErrorKind::WouldBlock);
    near.send(b"last", &[]).unwrap();
    drop(near);
    assert_eq!(far.recv().unwrap().unwrap().0, b"last");
    assert!(far.recv().unwrap().is_none());
    assert_eq!(
        far.send(b"x", &[]).unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
}

#[test]
fn messages_from_outside_the_rules_are_errors_and_leak_nothing() {
    use nix::sys::socket::{
        AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, setsockopt,
        socketpair, sockopt,
    };
    use std::os::fd::AsRawFd;
    let (raw, end) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .unwrap();
    let far = Channel::from(end);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let numbers = vec![writer.as_raw_fd(); 40];
    let parts = [std::io::IoSlice::new(b"forty")];
    sendmsg::<()>(
        raw.as_raw_fd(),
        &parts,
        &[ControlMessage::ScmRights(&numbers)],
        MsgFlags::empty(),
        None,
    )
    .unwrap();
    assert_eq!(far.recv().unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
    drop(writer);
    // All copies of the writing end are closed, or this would wait for ever.
    assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);

    setsockopt(&raw, sockopt::SndBuf, &(2 * MAX_MESSAGE)).unwrap();
    let long = vec![7; MAX_MESSAGE + 1];
    sendmsg::<()>(
        raw.as_raw_fd(),
        &[std::io::IoSlice::new(&long)],
        &[],
        MsgFlags::empty(),
        None,
    )
    .unwrap();
    assert_eq!(far.recv().unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
    // The next message is the next one.
    sendmsg::<()>(
        raw.as_raw_fd(),
        &[std::io::IoSlice::new(b"ok")],
        &[],
        MsgFlags::empty(),
        None,
    )
    .unwrap();
    assert_eq!(far.recv().unwrap().unwrap().0, b"ok");
}

#[test]
fn settings_follow_the_thread_and_take_names_with_dots() {
    as_root!();
    let (one, two) = (Namespace::new().unwrap(), Namespace::new().unwrap());
    let name = "net/ipv4/conf/eth0.10/arp_ignore";
    let make = || {
        Netlink::open()
            .unwrap()
            .create_veth("eth0.10", "peer")
            .unwrap();
        sysctl::write(name, "0").unwrap();
    };
    one.run(make);
    two.run(make);
    one.run(|| sysctl::write(name, "1").unwrap());
    assert_eq!(two.run(|| sysctl::read(name).unwrap()), "0");
    assert_eq!(one.run(|| sysctl::read(name).unwrap()), "1");
    let error = one.run(|| sysctl::read("net/ipv4/conf/nope/arp_ignore").unwrap_err());
    assert_eq!(error.errno(), libc::ENOENT);
    let error = one.run(|| sysctl::write(name, "many").unwrap_err());
    assert_eq!(
        error.to_string(),
        format!("write setting {name}: Invalid argument")
    );
}

#[test]
fn a_namespace_hands_on_the_panic_of_what_ran_inside() {
    as_root!();
    let ns = Namespace::new().unwrap();
    let outside = Namespace::current().unwrap().inode();
    let caught = std::panic::catch_unwind(|| ns.run(|| panic!("inside")));
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"inside"));
    assert_eq!(Namespace::current().unwrap().inode(), outside);
    let inode = ns.run(|| {
        let path = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let child = std::process::Command::new("/bin/sh")
            .args(["-c", "readlink /proc/self/ns/net"])
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(child.stdout).unwrap().trim(),
            path.to_str().unwrap(),
            "children live there"
        );
        path.to_str().unwrap().to_owned()
    });
    assert_eq!(inode, format!("net:[{}]", ns.inode()));
}
