//! TAPs, asserted by what the kernel lists and by the frames that arrive; each test in a namespace of its own.
#![allow(clippy::unwrap_used)]

use carp::linux::netlink::Netlink;
use carp::linux::netns::Namespace;
use carp::linux::packet::{PacketSocket, VNET_HEADER, Vnet};
use carp::linux::sysctl;
use carp::linux::tap::{Tap, set_carrier};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

fn names() -> Vec<String> {
    let links = Netlink::open().unwrap().links().unwrap();
    links
        .into_iter()
        .map(|link| link.name)
        .filter(|name| name != "lo")
        .collect()
}

/// What the program was refused with, and how long that took.
fn refusal(name: &str) -> (i32, Duration) {
    let since = Instant::now();
    let errno = Tap::create(name)
        .map(|tap| tap.name().to_owned())
        .unwrap_err()
        .errno();
    (errno, since.elapsed())
}

#[test]
fn a_tap_is_what_was_asked_for_and_goes_with_its_descriptor() {
    Namespace::new().unwrap().run(|| {
        let tap = Tap::create("carp1").unwrap();
        let netlink = Netlink::open().unwrap();
        let link = netlink.link("carp1").unwrap().unwrap();
        assert_eq!((tap.name(), tap.index()), ("carp1", link.index));
        assert_eq!(link.kind.as_deref(), Some("tun"));
        assert!(!link.up);
        let flags = OFlag::from_bits_retain(fcntl(&tap, FcntlArg::F_GETFL).unwrap());
        assert!(flags.contains(OFlag::O_NONBLOCK));
        let flags = FdFlag::from_bits_retain(fcntl(&tap, FcntlArg::F_GETFD).unwrap());
        assert!(flags.contains(FdFlag::FD_CLOEXEC));
        drop(tap);
        assert_eq!(names(), [""; 0]);
    });
}

#[test]
fn carrier_is_off_from_the_start_and_follows_us() {
    Namespace::new().unwrap().run(|| {
        let netlink = Netlink::open().unwrap();
        let tap = Tap::create("carp1").unwrap();
        let running = || netlink.link("carp1").unwrap().unwrap().running;
        netlink.set_up(tap.index(), true).unwrap();
        assert!(!running());
        tap.set_carrier(true).unwrap();
        assert!(running());
        set_carrier(&tap, false).unwrap();
        assert!(!running());
        netlink.delete(tap.index()).unwrap();
        assert_eq!(tap.set_carrier(true).unwrap_err().errno(), libc::EBADFD);
    });
}

#[test]
fn what_cannot_be_a_name_is_refused_and_never_cut() {
    Namespace::new().unwrap().run(|| {
        assert_eq!(refusal("carp567890123456").0, libc::ENAMETOOLONG);
        for name in [
            "", ".", "..", "a/b", "a b", "a:b", "carp%d", "a\0b", "a\tb", "a\u{b}b",
        ] {
            assert_eq!(refusal(name).0, libc::EINVAL, "{name:?}");
        }
        assert_eq!(names(), [""; 0]);
        let longest = Tap::create("carp56789012345").unwrap();
        assert_eq!(names(), [longest.name()]);
        let text = Tap::create("carp567890123456").unwrap_err().to_string();
        assert!(
            text.contains("carp567890123456") && text.contains("name too long"),
            "{text}"
        );
    });
}

/// A persistent TAP, to which TUNSETIFF would attach without a word, is in the tests of `linux::tap`.
#[test]
fn a_taken_name_is_refused_whoever_has_it() {
    Namespace::new().unwrap().run(|| {
        let netlink = Netlink::open().unwrap();
        netlink.create_bridge("carp1").unwrap();
        assert_eq!(refusal("carp1").0, libc::EEXIST);
        let held = Tap::create("carp2").unwrap();
        assert_eq!(refusal("carp2").0, libc::EEXIST);
        let mut left = names();
        left.sort();
        assert_eq!(left, ["carp1", held.name()]);
    });
}

/// T21: the predecessor's last moments.
#[test]
fn a_name_that_becomes_free_in_a_moment_is_had() {
    Namespace::new().unwrap().run(|| {
        let dying = Tap::create("carp1").unwrap();
        let old = dying.index();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            drop(dying);
        });
        let tap = Tap::create("carp1").unwrap();
        assert_ne!(tap.index(), old);
        let (errno, patience) = refusal("carp1");
        assert_eq!(errno, libc::EEXIST);
        assert!(patience < Duration::from_secs(2), "{patience:?}");
    });
}

#[test]
fn without_the_device_the_error_names_it() {
    Namespace::new().unwrap().run(|| {
        // A mount namespace of this thread alone, in which /dev/net is empty.
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(
            None::<&str>,
            "/",
            None::<&str>,
            MsFlags::MS_REC | MsFlags::MS_PRIVATE,
            None::<&str>,
        )
        .unwrap();
        mount(
            Some("none"),
            "/dev/net",
            Some("tmpfs"),
            MsFlags::empty(),
            None::<&str>,
        )
        .unwrap();
        let error = Tap::create("carp1").unwrap_err();
        assert_eq!(error.errno(), libc::ENOENT);
        assert_eq!(
            error.to_string(),
            "open /dev/net/tun: No such file or directory"
        );
        assert_eq!(names(), [""; 0]);
    });
}

/// T24, T33: with a look at the link in between, no first frame after "carrier on" is lost; without it some are.
#[test]
fn the_first_frame_after_carrier_leaves_once_the_link_was_looked_at() {
    let lost = |look: bool| {
        Namespace::new()
            .unwrap()
            .run(|| (0..20).filter(|_| first_frame_is_lost(look)).count())
    };
    let (blind, settled) = (lost(false), lost(true));
    eprintln!("first frames lost of 20: {blind} at once, {settled} after one RTM_GETLINK");
    assert_eq!(settled, 0);
}

fn first_frame_is_lost(look: bool) -> bool {
    let netlink = Netlink::open().unwrap();
    let tap = Tap::create("carp1").unwrap();
    // Nothing but our own frame.
    sysctl::write("net/ipv6/conf/carp1/disable_ipv6", "1").unwrap();
    netlink.set_up(tap.index(), true).unwrap();
    let sender = PacketSocket::open(tap.index(), Vnet::No).unwrap();
    tap.set_carrier(true).unwrap();
    if look {
        assert!(netlink.link_by_index(tap.index()).unwrap().unwrap().running);
    }
    let frame = [&[0xff; 6], &[2, 0, 0, 0, 0, 1], &[0x88, 0xb5][..], &[7; 46]].concat();
    sender.send(&frame).unwrap();
    let fd = OwnedFd::from(tap);
    let mut buffer = [0; 2048];
    let until = Instant::now() + Duration::from_millis(20);
    while Instant::now() < until {
        if let Ok(length) = nix::unistd::read(&fd, &mut buffer) {
            assert_eq!(buffer[VNET_HEADER..length], frame);
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    true
}
