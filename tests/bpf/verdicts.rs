//! What the programs do with frames, at every gate, by either way of attaching them.

use super::site::{A, BOTH, C, FOREVER, SHARED, SHARED6, Site, V, numbers, ping, pong};
use super::support::frames::{Frame, arp_request, solicitation, tagged};
use super::support::hosts::SOON;
use super::support::wire::Wire;
use carp::dataplane::bpf::BEHIND;
use carp::dataplane::{Gate, Own, Port};
use carp::linux::clock;
use carp::linux::filter::Filter;
use carp::linux::netlink::MacvlanMode;
use carp::linux::packet::{Heard, PacketSocket, Vnet};
use carp::wire::{MacAddr, nd};
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, socket,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

const CLIENT: &str = "192.0.2.13";
const QUIET: Duration = Duration::from_millis(150);

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

/// Fails when a gate is not looked at, and for each tag that is.
#[test]
fn what_comes_in_is_what_the_gate_and_the_tag_allow() {
    if !super::begin() {
        return;
    }
    for means in BOTH {
        let mut site = Site::new(means);
        let (carp1, out) = (site.carp1(), site.c.outlet("eth0"));
        for (gate, seq) in [
            (Gate::Shut, 1),
            (Gate::Inward, 2),
            (Gate::Open, 3),
            (Gate::Yielded, 4),
            (Gate::Shut, 5),
        ] {
            site.gate(gate);
            out.send(&ping(seq)).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        site.gate(Gate::Open);
        let mut other = ping(10);
        other[5] = 8;
        for frame in [
            tagged(&ping(6), 0x8100, 0),
            tagged(&ping(7), 0x8100, 10),
            tagged(&ping(8), 0x88a8, 0),
            tagged(&tagged(&ping(9), 0x8100, 10), 0x8100, 0),
            other,
        ] {
            out.send(&frame).unwrap();
        }
        out.send(&ping(99)).unwrap();
        let arrived = numbers(&carp1, 1);
        // A bridge on the way may take a priority tag for one of VLAN 1.
        let arrived: Vec<_> = arrived.into_iter().filter(|seq| *seq != 6).collect();
        assert_eq!(arrived, [2, 3, 4, 99], "{means:?}");
        assert_eq!(site.counted().in_drops, 2, "{means:?}");
    }
}

/// Fails when the lease is compared with a clock of another kind, or a coarse one (T23 of the lease: 4 ms steps).
#[test]
fn nothing_passes_after_the_lease_and_everything_before_it() {
    if !super::begin() {
        return;
    }
    for means in BOTH {
        let mut site = Site::new(means);
        site.gate(Gate::Open);
        let (carp1, from_a) = (site.carp1(), site.a.sends("eth0"));
        let (out, by_carp1) = (site.c.outlet("eth0"), site.by_carp1());
        let end = clock::now() + Duration::from_millis(200);
        site.lease(end);
        for seq in 0..400 {
            out.send(&ping(seq)).unwrap();
            let _ = by_carp1.send(&pong(seq));
            std::thread::sleep(Duration::from_millis(1));
        }
        for (wire, ident) in [(&carp1, 1), (&from_a, 2)] {
            let passed: Vec<_> = wire
                .frames()
                .into_iter()
                .filter(|f| f.echo().is_some_and(|e| e.ident == ident))
                .collect();
            let last = passed.last().expect("some passed").at;
            // The stamp is taken right after the program ran.
            assert!(
                last < end + Duration::from_millis(2),
                "{means:?}: {:?} past the lease",
                last.since(end)
            );
            assert!(
                end.since(last) < Duration::from_millis(60),
                "{means:?}: the last one came {:?} early",
                end.since(last)
            );
        }
        let counted = site.counted();
        assert!(counted.in_drops > 0 && counted.out_drops > 0);
        // Renewed, it serves again.
        site.lease(clock::now() + FOREVER);
        let mark = clock::now();
        out.send(&ping(1000)).unwrap();
        carp1.expect(mark, SOON, "frame under the new lease", |f| {
            f.echo().is_some_and(|e| e.seq == 1000)
        });
    }
}

/// Fails when a question for a shared address reaches the kernel in any disguise: carpdev answers then (T1), or a macvlan upon it
/// where nothing looks at what leaves.
#[test]
fn the_kernel_does_not_hear_who_asks_for_a_shared_address() {
    if !super::begin() {
        return;
    }
    for means in BOTH {
        let mut site = Site::new(means);
        site.a.net(|net| {
            let eth0 = net.link("eth0").unwrap().unwrap().index;
            let mode = MacvlanMode::Private;
            let macvlan = net.create_macvlan("upon", eth0, mode).unwrap();
            net.set_up(macvlan, true).unwrap();
        });
        let upon = Wire::at(&site.a.place, "upon");
        let out = site.c.outlet("eth0");
        let from_a = site.a.sends("eth0");
        let (asker, asker6) = ((C, v4(CLIENT)), (C, "2001:db8::13".parse().unwrap()));
        let ask = |mark| {
            for to in [MacAddr::BROADCAST, V, A] {
                out.send(&arp_request(asker, v4(SHARED), to)).unwrap();
            }
            for to in [None, Some(V), Some(A)] {
                let plain = solicitation(asker6, SHARED6.parse().unwrap(), to);
                out.send(&behind_options(&plain)).unwrap();
                out.send(&plain).unwrap();
            }
            let answer =
                |f: &Frame| f.claims(IpAddr::V4(v4(SHARED))) || f.claims(SHARED6.parse().unwrap());
            from_a.seek(mark, QUIET, answer)
        };
        // In every state: the addresses are on carpN for a moment after the gate is shut, and past the lease of a dead engine.
        for gate in [Gate::Inward, Gate::Open, Gate::Yielded, Gate::Shut] {
            site.gate(gate);
            assert!(ask(clock::now()).is_none(), "{means:?} {gate:?}");
        }
        site.lease(clock::now());
        assert!(ask(clock::now()).is_none(), "{means:?} past the lease");
        let asks = |f: &Frame| f.arp().is_some_and(|p| p.tpa == v4(SHARED));
        let passed_on: Vec<_> = upon.frames().into_iter().filter(asks).collect();
        assert_eq!(passed_on.len(), 0, "{means:?}: {passed_on:?}");
        // Others' questions are answered.
        let mark = clock::now();
        out.send(&arp_request(asker, v4("192.0.2.11"), MacAddr::BROADCAST))
            .unwrap();
        from_a.expect(mark, SOON, "answer of carpdev", |f| {
            f.claims("192.0.2.11".parse().unwrap())
        });
        // Without programs the kernel answers: that is what was kept from it.
        let kernel = site.kernel.take().unwrap();
        site.a.net(move |net| kernel.close(net));
        assert!(ask(clock::now()).is_some(), "nobody was there to answer");
    }
}

/// Fails when the engine's sockets behind the programs miss a question, are told another asker or another one of our MACs than
/// was asked, or hear one of a VLAN (T23).
#[test]
fn what_is_withheld_reaches_the_engines_sockets() {
    if !super::begin() {
        return;
    }
    for means in BOTH {
        let mut site = Site::new(means);
        site.gate(Gate::Open);
        let carpdev = site.port.carpdev;
        let hear = |what| {
            let six = [SHARED6.parse().unwrap()];
            let filter = Filter::neighbours(BEHIND, &[v4(SHARED)], &six);
            let open = || PacketSocket::mute(carpdev, Vnet::No).unwrap();
            let socket = site.a.place.run(open);
            socket.set_filter(&filter).unwrap();
            socket.hear(what).unwrap();
            socket
        };
        let (arp, six) = (hear(Heard::Arp), hear(Heard::Ipv6));
        let out = site.c.outlet("eth0");
        let (asker, asker6) = ((C, v4(CLIENT)), (C, "2001:db8::13".parse().unwrap()));
        let solicited = |to| solicitation(asker6, SHARED6.parse().unwrap(), to);
        let asked = |to| arp_request(asker, v4(SHARED), to);
        // To everybody and to carpdev is the same to the engine.
        for (to, seen) in [(MacAddr::BROADCAST, A), (V, V), (A, A)] {
            for (kind, vid) in [(0x8100, 10), (0x88a8, 0)] {
                out.send(&tagged(&asked(to), kind, vid)).unwrap();
            }
            out.send(&asked(to)).unwrap();
            let heard = next(&arp);
            assert_eq!(heard[..6], seen.0, "{means:?} ARP to {to}");
            assert_eq!(heard[6..42], asked(to)[6..42]);
        }
        for (to, seen) in [(None, A), (Some(V), V), (Some(A), A)] {
            for (kind, vid) in [(0x8100, 10), (0x88a8, 0)] {
                out.send(&tagged(&solicited(to), kind, vid)).unwrap();
            }
            out.send(&solicited(to)).unwrap();
            let heard = next(&six);
            assert_eq!(heard[..6], seen.0, "{means:?} solicitation to {to:?}");
            assert_eq!(heard[6..], solicited(to)[6..]);
        }
        // What answers a question of the shared address is handed to carp1, and heard as it was addressed.
        let carp1 = site.a.hears("carp1");
        let mark = clock::now();
        let answer = nd::Advertisement {
            src_mac: C,
            dst_mac: V,
            src: asker6.1,
            dst: SHARED6.parse().unwrap(),
            target: asker6.1,
            router: false,
            solicited: true,
            overriding: false,
            target_link_layer: Some(C),
        };
        let answer = answer.emit();
        out.send(&answer).unwrap();
        assert_eq!(next(&six), answer, "{means:?}");
        carp1.expect(mark, SOON, "advertisement", |f| f.bytes == answer);
        assert!(arp.recv(&mut [0; 128]).is_err() && six.recv(&mut [0; 128]).is_err());
    }
}

/// The next frame that a socket hears.
fn next(socket: &PacketSocket) -> Vec<u8> {
    let mut frame = vec![0; 256];
    let mut length = 0;
    let heard = super::support::hosts::until(SOON, || {
        socket.recv(&mut frame).is_ok_and(|read| {
            length = read;
            true
        })
    });
    assert!(heard, "nothing was heard");
    frame.truncate(length);
    frame
}

/// The same solicitation behind a destination options header.
fn behind_options(frame: &[u8]) -> Vec<u8> {
    let mut out = frame.to_vec();
    let length = u16::from_be_bytes([frame[18], frame[19]]) + 8;
    out[18..20].copy_from_slice(&length.to_be_bytes());
    out[20] = 60;
    out.splice(54..54, [58, 0, 1, 4, 0, 0, 0, 0]);
    out
}

/// T2. Fails when ARP leaves carpdev as the shared address with carpdev's MAC, or at all from a BACKUP without an address.
#[test]
fn carpdev_never_asks_as_a_shared_address() {
    if !super::begin() {
        return;
    }
    for means in BOTH {
        let mut site = Site::new(means);
        let by_eth0 = site.a.outlet("eth0");
        let from_a = site.a.sends("eth0");
        let target = v4("192.0.2.99");
        let leaked = arp_request((A, v4(SHARED)), target, MacAddr::BROADCAST);
        let ours = arp_request((V, v4(SHARED)), target, MacAddr::BROADCAST);
        let leaves = |frame: &[u8]| {
            let mark = clock::now();
            // One that is dropped is an error (ENOBUFS).
            let _ = by_eth0.send(frame);
            from_a.seek(mark, QUIET, |f| f.arp().is_some_and(|p| p.tpa == target))
        };
        // With an address of its own carpdev speaks as that.
        for gate in [Gate::Open, Gate::Shut] {
            site.gate(gate);
            let arp = leaves(&leaked).expect("an ARP request").arp().unwrap();
            assert_eq!((arp.sha, arp.spa), (A, v4("192.0.2.11")), "{means:?}");
        }
        assert_eq!(leaves(&ours).unwrap().bytes[..42], ours[..42]);
        // Without one, as the MASTER or not at all.
        let nameless = Own {
            inet: None,
            ..site.own
        };
        site.plane.change_carpdev(site.port.carpdev, nameless);
        assert!(leaves(&leaked).is_none(), "{means:?}");
        site.gate(Gate::Open);
        let frame = leaves(&leaked).expect("an ARP request");
        assert_eq!(frame.bytes[..42], ours[..42], "{means:?}");
        site.lease(clock::now());
        assert!(leaves(&leaked).is_none(), "{means:?}");
        // What a stopped engine says on waking up comes too late, and what another host says passes while we are none.
        assert!(leaves(&ours).is_none(), "{means:?}");
        site.gate(Gate::Shut);
        assert_eq!(leaves(&ours).unwrap().bytes[..42], ours[..42]);
    }
}

/// T2. Fails when the answer for a carpdev that asked as the shared address goes to carpN only: its neighbour never resolves.
#[test]
fn an_answer_reaches_the_carpdev_that_asked_as_the_shared_address() {
    if !super::begin() {
        return;
    }
    for means in BOTH {
        let mut site = Site::new(means);
        let nameless = Own {
            inet: None,
            ..site.own
        };
        site.plane.change_carpdev(site.port.carpdev, nameless);
        site.gate(Gate::Open);
        site.a.net(|net| {
            let eth0 = net.link("eth0").unwrap().unwrap().index;
            net.del_address(eth0, "192.0.2.11/24".parse().unwrap())
                .unwrap();
        });
        site.a.route("192.0.2.13/32", None, "eth0");
        let socket = super::support::talk::datagrams(&site.a, SHARED, 0, None);
        socket.send_to(b"x", "192.0.2.13:9").unwrap();
        let known = || site.a.neighbour("eth0", CLIENT) == Some(C);
        assert!(super::support::hosts::until(SOON, known), "{means:?}");
        assert_eq!(site.c.neighbour("eth0", SHARED), Some(V), "{means:?}");
    }
}

/// Fails for each rule of leaving that a gate does not follow.
#[test]
fn what_leaves_is_what_the_gate_allows() {
    if !super::begin() {
        return;
    }
    for means in BOTH {
        let mut site = Site::new(means);
        let (from_a, by_carp1) = (site.a.sends("eth0"), site.by_carp1());
        let from6: (MacAddr, Ipv6Addr) = (V, SHARED6.parse().unwrap());
        let gratuitous = arp_request((V, v4(SHARED)), v4(SHARED), MacAddr::BROADCAST);
        let asks6 = solicitation(from6, "2001:db8::13".parse().unwrap(), None);
        let send = |seq| {
            for frame in [&pong(seq), &gratuitous, &asks6, &behind_options(&asks6)] {
                let _ = by_carp1.send(frame);
            }
            let _ = by_carp1.send(&tagged(&pong(50), 0x8100, 10));
        };
        let heard = |mark| {
            std::thread::sleep(Duration::from_millis(100));
            // The kernel itself says something now and then.
            from_a.after(mark, |f| ours(f) && !is_mld(f))
        };
        let mark = clock::now();
        site.gate(Gate::Shut);
        send(1);
        assert_eq!(heard(mark).len(), 0, "{means:?}");

        let mark = clock::now();
        site.gate(Gate::Open);
        send(2);
        let all = heard(mark);
        assert_eq!(all.len(), 4, "{means:?}: {all:?}");
        assert!(all.iter().all(|f| f.src() == V));

        let mark = clock::now();
        site.gate(Gate::Yielded);
        send(3);
        let all = heard(mark);
        assert_eq!(all.len(), 1, "{means:?}: {all:?}");
        assert_eq!((all[0].src(), all[0].echo().unwrap().seq), (A, 3));

        let mark = clock::now();
        site.gate(Gate::Open);
        site.lease(clock::now());
        send(4);
        assert_eq!(heard(mark).len(), 0, "{means:?}: past the lease");
        let counted = site.counted();
        // The kernel says something by itself now and then.
        assert!(counted.out_frames >= 5, "{means:?}");
        assert!(counted.out_bytes > 5 * 42);
        assert!(counted.out_drops >= 5 + 1 + 4 + 5);
    }
}

/// One of the frames that the test sends by carp1.
fn ours(frame: &Frame) -> bool {
    let client: Ipv6Addr = "2001:db8::13".parse().unwrap();
    let asks = frame.nd().is_some_and(|n| n.target == client)
        || frame.ethertype() == 0x86dd && frame.bytes[20] == 60;
    frame.echo().is_some() || frame.arp().is_some_and(|p| p.tpa == v4(SHARED)) || asks
}

fn is_mld(frame: &Frame) -> bool {
    frame.dst() == MacAddr([0x33, 0x33, 0, 0, 0, 0x16])
}

/// Fails when a frame of the arming time is lost, doubled, or leaves under a gate that never opened.
#[test]
fn what_carpn_sends_while_arming_leaves_once_when_the_gate_opens() {
    if !super::begin() {
        return;
    }
    for means in BOTH {
        let mut site = Site::new(means);
        let (from_a, by_carp1) = (site.a.sends("eth0"), site.by_carp1());
        site.gate(Gate::Shut);
        let _ = by_carp1.send(&pong(1));
        site.gate(Gate::Inward);
        by_carp1.send(&pong(2)).unwrap();
        assert!(numbers(&from_a, 2).is_empty(), "{means:?}");
        site.gate(Gate::Shut);
        std::thread::sleep(Duration::from_millis(20));
        site.gate(Gate::Inward);
        for seq in 3..203 {
            let _ = by_carp1.send(&pong(seq));
            if seq == 153 {
                site.gate(Gate::Open);
            }
        }
        let mut left = numbers(&from_a, 2);
        left.sort_unstable();
        assert_eq!(left, (3..203).collect::<Vec<_>>(), "{means:?}");
    }
}

/// Fails when accepted frames are handed to carpN, or the host does not take them on carpdev.
#[test]
fn accepted_frames_stay_on_the_carpdev() {
    if !super::begin() {
        return;
    }
    for means in BOTH {
        let mut site = Site::new(means);
        let accepting = Port {
            accept: true,
            ..site.port.clone()
        };
        site.plane.change_port(accepting);
        site.gate(Gate::Open);
        let (carp1, from_a) = (site.carp1(), site.a.sends("eth0"));
        let mark = clock::now();
        site.c.outlet("eth0").send(&ping(1)).unwrap();
        from_a.expect(mark, SOON, "reply", |f| {
            f.echo().is_some_and(|e| !e.request && e.seq == 1)
        });
        assert!(numbers(&carp1, 1).is_empty(), "{means:?}");
        assert_eq!(site.counted().in_frames, 1);
    }
}

/// T13. Fails when a capture on carpN misses what leaves, or a captured frame leaves twice, or waits in the TAP.
#[test]
fn a_capture_sees_what_leaves_and_the_wire_sees_it_once() {
    if !super::begin() {
        return;
    }
    for means in BOTH {
        let mut site = Site::new(means);
        site.gate(Gate::Open);
        let (from_a, by_carp1) = (site.a.sends("eth0"), site.by_carp1());
        let capture = |site: &mut Site, on| {
            let port = Port {
                capture: on,
                ..site.port.clone()
            };
            site.plane.change_port(port);
        };
        let (before, carp1) = (site.a.place.run(outgoing), site.port.id);
        by_carp1.send(&pong(1)).unwrap();
        assert_eq!(
            count(&before, carp1),
            0,
            "the redirect comes before the capture"
        );
        capture(&mut site, true);
        by_carp1.send(&pong(2)).unwrap();
        assert_eq!(count(&before, carp1), 1, "{means:?}");
        capture(&mut site, false);
        by_carp1.send(&pong(3)).unwrap();
        // Nothing of the capture waits in the TAP.
        site.gate(Gate::Shut);
        site.gate(Gate::Inward);
        site.gate(Gate::Open);
        assert_eq!(numbers(&from_a, 2), [1, 2, 3], "{means:?}");
    }
}

/// A socket that hears what every interface of this namespace sends.
fn outgoing() -> OwnedFd {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let everything = SockProtocol::EthAll;
    socket(AddressFamily::Packet, SockType::Raw, flags, everything).unwrap()
}

/// How many frames of ours it has heard from the interface `index` since.
fn count(fd: &OwnedFd, index: u32) -> usize {
    std::thread::sleep(Duration::from_millis(50));
    let mut buffer = [0; 2000];
    let mut found = 0;
    while let Ok((length, from)) = recvfrom::<LinkAddr>(fd.as_raw_fd(), &mut buffer) {
        let there = from.is_some_and(|from| u32::try_from(from.ifindex()) == Ok(index));
        let ours = buffer[..length].windows(9).any(|w| w == b"carp test");
        found += usize::from(there && ours);
    }
    found
}
