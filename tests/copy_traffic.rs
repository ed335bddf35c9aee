//! Whole network stacks talking through the copying data plane, with checksum and segmentation offload on everywhere (T19).
#![allow(clippy::unwrap_used)]

mod site;

use carp::dataplane::{Counters, Gate, Port};
use carp::lab::net::Lab;
use carp::linux::netlink::{AddressFlags, MacvlanMode, NeighbourState};
use carp::wire::MacAddr;
use site::{C, Site};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const SHARED: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
const CLIENT: [&str; 2] = ["192.0.2.13", "2001:db8::13"];
const MEGABYTE: usize = 1 << 20;

/// A port with both addresses, open, and the neighbours known to each other.
fn serving() -> (Site, Port) {
    let site = Site::new();
    let port = site.port("carp1", 1, &["192.0.2.1/24", "2001:db8::1/64"]);
    site.gate(&port, Gate::Open);
    for (shared, client) in SHARED.iter().zip(CLIENT) {
        site.introduce("c", shared.parse().unwrap(), port.mac);
        introduce_client(&site, port.id, client.parse().unwrap());
    }
    (site, port)
}

fn introduce_client(site: &Site, index: u32, ip: IpAddr) {
    site.netlink("a", |netlink| {
        netlink
            .replace_neighbour(index, ip, C, NeighbourState::Permanent)
            .unwrap();
    });
}

/// What a byte at this place of the stream is.
fn pattern() -> Vec<u8> {
    (0..MEGABYTE)
        .map(|place| u8::try_from((place * 31 + (place >> 8)) % 251).unwrap())
        .collect()
}

/// Sends so many megabytes from the client to `server`, or the other way, checks each byte, and tells the seconds.
fn stream(lab: &Lab, server: &str, address: IpAddr, megabytes: usize, to_client: bool) -> f64 {
    let listener = lab
        .host(server)
        .run(|| TcpListener::bind((address, 0)).unwrap());
    let at = listener.local_addr().unwrap();
    let client = lab
        .host("c")
        .run(|| TcpStream::connect_timeout(&at, Duration::from_secs(5)).unwrap());
    let (accepted, _) = listener.accept().unwrap();
    let (mut from, mut to) = if to_client {
        (accepted, client)
    } else {
        (client, accepted)
    };
    for socket in [&from, &to] {
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        socket
            .set_write_timeout(Some(Duration::from_secs(20)))
            .unwrap();
    }
    let pattern = pattern();
    let since = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..megabytes {
                from.write_all(&pattern).unwrap();
            }
            from.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut received = vec![0; MEGABYTE];
        for _ in 0..megabytes {
            to.read_exact(&mut received).unwrap();
            assert!(received == pattern);
        }
        assert_eq!(to.read(&mut received).unwrap(), 0);
    });
    since.elapsed().as_secs_f64()
}

#[test]
fn a_hundred_megabytes_of_tcp_arrive_whole_both_ways_in_both_families() {
    let (site, port) = serving();
    for address in SHARED {
        for to_client in [false, true] {
            let before = site.copier.counters(port.id).unwrap();
            stream(&site.lab, "a", address.parse().unwrap(), 100, to_client);
            let after = site.copier.counters(port.id).unwrap();
            let (frames, bytes) = carried(to_client, before, after);
            assert!(
                bytes > 100 * 1_048_576,
                "it went through the copier: {bytes}"
            );
            assert!(
                bytes / frames > 3000,
                "as super-packets: {bytes} bytes in {frames} frames"
            );
        }
    }
}

/// Frames and bytes in the direction of the data.
fn carried(outward: bool, before: Counters, after: Counters) -> (u64, u64) {
    if outward {
        (
            after.out_frames - before.out_frames,
            after.out_bytes - before.out_bytes,
        )
    } else {
        (
            after.in_frames - before.in_frames,
            after.in_bytes - before.in_bytes,
        )
    }
}

#[test]
fn udp_is_answered_in_both_families_also_in_fragments() {
    let (site, _) = serving();
    for (shared, client) in SHARED.iter().zip(CLIENT) {
        let bind = |host: &str, address: &str| {
            let address = SocketAddr::new(address.parse().unwrap(), 0);
            let socket = site
                .lab
                .host(host)
                .run(|| UdpSocket::bind(address).unwrap());
            socket
                .set_read_timeout(Some(Duration::from_secs(3)))
                .unwrap();
            socket
        };
        let (server, client) = (bind("a", shared), bind("c", client));
        let (at_server, at_client) = (server.local_addr().unwrap(), client.local_addr().unwrap());
        let mut buffer = vec![0; 65536];
        for size in [1, 18, 1000, 1472, 5000, 30_000] {
            let sent: Vec<u8> = pattern()[..size].to_vec();
            client.send_to(&sent, at_server).unwrap();
            let (length, from) = server.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..length], from), (&sent[..], at_client));
            server.send_to(&sent, at_client).unwrap();
            let (length, from) = client.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..length], from), (&sent[..], at_server));
        }
    }
}

/// The kernel behind carpN asks for its neighbours itself, and hears the answers.
#[test]
fn carpn_resolves_its_neighbours_through_the_copier() {
    let site = Site::new();
    let port = site.port("carp1", 1, &["192.0.2.1/24", "2001:db8::1/64"]);
    site.gate(&port, Gate::Open);
    for (shared, client) in SHARED.iter().zip(CLIENT) {
        site.introduce("c", shared.parse().unwrap(), port.mac);
        let address: IpAddr = client.parse().unwrap();
        let listener = site
            .lab
            .host("c")
            .run(|| TcpListener::bind((address, 0)).unwrap());
        let at = listener.local_addr().unwrap();
        let stream = site
            .lab
            .host("a")
            .run(|| TcpStream::connect_timeout(&at, Duration::from_secs(5)).unwrap());
        assert_eq!(
            stream.local_addr().unwrap().ip(),
            shared.parse::<IpAddr>().unwrap()
        );
        let known = site.netlink("a", |netlink| netlink.neighbours(port.id).unwrap());
        let entry = known
            .iter()
            .find(|neighbour| neighbour.ip == address)
            .unwrap();
        assert_eq!(entry.mac, Some(C));
    }
}

/// Not a test: `cargo test --release --test copy_traffic -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn throughput_beside_a_veth_and_a_macvlan() {
    let (mut site, port) = serving();
    let direct = ["198.51.100.1", "198.51.100.2"].map(|text| text.parse::<IpAddr>().unwrap());
    let net = |address: IpAddr| ipnetwork::IpNetwork::new(address, 24).unwrap();
    let flags = AddressFlags {
        nodad: false,
        metric: None,
    };
    site.netlink("c", |netlink| {
        let index = netlink.link("eth0").unwrap().unwrap().index;
        netlink
            .add_address(index, "198.51.100.13/24".parse().unwrap(), flags)
            .unwrap();
    });
    site.lab
        .add_host("d", MacAddr([2, 0, 0, 0, 0, 5]), &[net(direct[0])])
        .unwrap();
    site.lab
        .add_host("m", MacAddr([2, 0, 0, 0, 0, 6]), &[])
        .unwrap();
    site.netlink("m", |netlink| {
        let lower = netlink.link("eth0").unwrap().unwrap().index;
        let macvlan = netlink
            .create_macvlan("v0", lower, MacvlanMode::Private)
            .unwrap();
        netlink.set_up(macvlan, true).unwrap();
        netlink.add_address(macvlan, net(direct[1]), flags).unwrap();
    });
    site::wake_links(&site.lab);
    let shared: IpAddr = SHARED[0].parse().unwrap();
    let hosts = [
        ("veth", "d", direct[0]),
        ("macvlan", "m", direct[1]),
        ("copy", "a", shared),
    ];
    for to_client in [false, true] {
        let mut rates = [const { Vec::new() }; 3];
        for round in 0..9 {
            for place in 0..3 {
                let (_, host, address) = hosts[(place + round) % 3];
                let seconds = stream(&site.lab, host, address, 1000, to_client);
                rates[(place + round) % 3].push(8.0 * 1.048_576 / seconds);
            }
        }
        for ((name, ..), rates) in hosts.iter().zip(&mut rates) {
            rates.sort_by(f64::total_cmp);
            let way = if to_client { "out" } else { "in" };
            println!(
                "TCP {way:3} {name:8} {:5.1} Gb/s [{:.1}-{:.1}]",
                rates[4], rates[0], rates[8]
            );
        }
    }
    println!(
        "{:?}, {} wake-ups",
        site.copier.counters(port.id).unwrap(),
        site.copier.wakeups()
    );
}
