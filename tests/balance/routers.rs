//! Two hosts forward between a network of clients and a server, with rules that know connections: what carp(4) says works.

use crate::support::hosts::{Host, SOON, Segment, until};
use crate::support::nft::{counted, took};
use crate::support::privilege;
use crate::support::talk::{PORT, dial};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The clients' gateway, and the server's.
const NEAR: &str = "192.0.2.1";
const FAR: &str = "198.51.100.1";
const SERVER: &str = "198.51.100.99";

/// What comes from the clients may begin a connection, what comes from the server must belong to one.
const STATEFUL: &str = "
table inet seen {
    counter begun { }
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname { eth0, carp1, carp2 } ip saddr 192.0.2.0/24 ct state new counter name begun accept
    }
}
";

/// a and b between two segments, the server and its listener.
struct Site {
    near: Arc<Segment>,
    routers: [Host; 2],
    server: Host,
    _greeter: Greeter,
}

impl Site {
    /// `None`, with a word to the user, where the kernel follows no connections.
    fn new() -> Option<Self> {
        let (near, far) = (Segment::new(), Segment::new());
        let routers = [("a", 11), ("b", 12)].map(|(name, n)| {
            let host = Host::on(&near, name, n, &[&format!("192.0.2.{n}/24")]);
            host.plug(&far, "eth1", n + 0x40);
            host.address("eth1", &format!("198.51.100.{n}/24"));
            host.sysctl("net/ipv4/ip_forward", "1");
            host
        });
        if !routers.iter().all(|host| took(host, STATEFUL)) {
            privilege::skip_here("this kernel follows no connections for nftables");
            return None;
        }
        routers.iter().for_each(Host::daemon);
        let server = Host::on(&far, "s", 99, &[&format!("{SERVER}/24")]);
        let greeter = Greeter::on(&server);
        Some(Self {
            near,
            routers,
            server,
            _greeter: greeter,
        })
    }

    fn client(&self, name: &'static str, addresses: std::ops::Range<u8>) -> Host {
        let number = addresses.start;
        let client = Host::on(&self.near, name, number, &[]);
        for n in addresses {
            client.address("eth0", &format!("192.0.2.{n}/24"));
        }
        client.route("198.51.100.0/24", Some(NEAR), "eth0");
        client
    }
}

/// A listener on the server that tells each client under which address it came, and then says back what it hears.
struct Greeter {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Greeter {
    fn on(host: &Host) -> Self {
        let listener = host
            .place
            .run(|| TcpListener::bind((SERVER, PORT)).unwrap());
        listener.set_nonblocking(true).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, from)) => {
                        drop(std::thread::spawn(move || greet(stream, from.ip())))
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        let thread = Some(thread);
        Self { over, thread }
    }
}

impl Drop for Greeter {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn greet(mut stream: TcpStream, from: IpAddr) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    let IpAddr::V4(from) = from else {
        return Ok(());
    };
    stream.write_all(&from.octets())?;
    let mut byte = [0];
    while stream.read(&mut byte)? > 0 {
        stream.write_all(&byte)?;
    }
    Ok(())
}

/// Gives a command, which may have something to say.
#[track_caller]
fn configure(host: &Host, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let done = host.finish(&mut host.command(&words));
    assert_eq!(done.code, Some(0), "{line}: {done:?}");
    done.err
}

/// A connection to the server, and the address that it sees.
fn connect(client: &Host, source: Option<&str>) -> Option<(TcpStream, Ipv4Addr)> {
    let mut stream = dial(client, SERVER, source).ok()?;
    let mut seen = [0; 4];
    stream.read_exact(&mut seen).ok()?;
    Some((stream, seen.into()))
}

#[track_caller]
fn goes_on(stream: &mut TcpStream) {
    let mut byte = [0];
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"x");
}

/// Each client is the host's that its address names, and what it translated comes back to it.
fn source_nat_to_an_address_of_each_host_keeps_connections() {
    let Some(site) = Site::new() else { return };
    for (place, host) in site.routers.iter().enumerate() {
        let own = 11 + place;
        let rules = format!(
            "table ip nat {{\nchain post {{\ntype nat hook postrouting priority 100;\n\
             oifname eth1 snat to 198.51.100.{own}\n}}\n}}\n"
        );
        assert!(took(host, &rules), "{rules}");
        let told = configure(host, "sysctl net.inet.carp.arpbalance=1");
        assert!(told.contains("this host forwards"), "{told}");
        host.ok("sysctl net.inet.carp.preempt=1");
        for vhid in [1 + place, 2 - place] {
            let advskew = if vhid == 1 + place { 0 } else { 100 };
            let group = format!("ifconfig carp{vhid} vhid {vhid} pass secret carpdev eth0");
            configure(host, &format!("{group} advskew {advskew} {NEAR}/24"));
        }
    }
    for (host, own, other) in [(0, "carp1", "carp2"), (1, "carp2", "carp1")] {
        site.routers[host].until_state(own, "MASTER");
        site.routers[host].until_state(other, "BACKUP");
    }
    for (name, number) in [("c", 101), ("d", 102), ("e", 103), ("f", 104)] {
        let client = site.client(name, number..number + 1);
        let place = number % 2;
        let (mut stream, seen) = connect(&client, None).unwrap();
        assert_eq!(seen, Ipv4Addr::new(198, 51, 100, 11 + place), "{name}");
        goes_on(&mut stream);
    }
    for host in &site.routers {
        assert_eq!(counted(host, "inet", "begun"), 2, "{}", host.name);
    }
}

/// Both ways of a connection are one host's, though each host hears everything.
fn balancing_ip_on_both_sides_keeps_connections() {
    let Some(site) = Site::new() else { return };
    for (host, nodes) in site.routers.iter().zip(["1:0,2:100", "1:100,2:0"]) {
        host.ok("sysctl net.inet.carp.preempt=1");
        for (carp, carpdev, shared) in [("carp1", "eth0", NEAR), ("carp2", "eth1", FAR)] {
            let line = format!("ifconfig {carp} carpnodes {nodes} balancing ip pass secret");
            let told = configure(host, &format!("{line} carpdev {carpdev} {shared}/24"));
            assert!(told.contains("this host forwards"), "{told}");
        }
    }
    for (host, states) in site
        .routers
        .iter()
        .zip([["MASTER", "BACKUP"], ["BACKUP", "MASTER"]])
    {
        for carp in ["carp1", "carp2"] {
            let text = || host.ok(&format!("ifconfig {carp}"));
            let shown = |place: usize| format!("state {} vhid {} ", states[place], place + 1);
            let so = || [0, 1].map(shown).iter().all(|line| text().contains(line));
            assert!(until(SOON, so), "{}: {}", host.name, text());
        }
    }
    site.server.route("192.0.2.0/24", Some(FAR), "eth0");
    let client = site.client("c", 101..109);
    let mut streams = Vec::new();
    for n in 101..109 {
        let source = format!("192.0.2.{n}");
        let (stream, seen) = connect(&client, Some(&source)).unwrap_or_else(|| panic!("{source}"));
        assert_eq!(seen.to_string(), source);
        streams.push(stream);
    }
    streams.iter_mut().for_each(goes_on);
    for host in &site.routers {
        assert_eq!(counted(host, "inet", "begun"), 4, "{}", host.name);
    }
}

crate::support::planes! {
    source_nat_to_an_address_of_each_host_keeps_connections,
    balancing_ip_on_both_sides_keeps_connections,
}
