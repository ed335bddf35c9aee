//! The door under any orders: whatever an engine says that somebody has taken over, the parent lives, what is not its own
//! stays as it is, and when the engine has hung up nothing is left.
//!
//! Runs as the tests of `fuzz` do, see there.
#![allow(clippy::unwrap_used)]

mod support;

use bolero::TypeGenerator;
use carp::control::path::Place;
use carp::daemon::Dataplane;
use carp::daemon::door::serve::Door;
use carp::daemon::door::{Effect, Order, Outcome};
use carp::linux::channel::Channel;
use carp::linux::clock;
use carp::wire::MacAddr;
use ipnetwork::IpNetwork;
use std::net::IpAddr;
use std::time::Duration;
use support::forger::Forger;
use support::hosts::{Host, Segment};
use support::privilege;

/// How long it tries.
const TIME: Duration = Duration::from_secs(4);

const NAMES: [&str; 10] = [
    "carp1", "carp1", "carp2", "carp255", "eth0", "lo", "carp01", "../eth0", "carp1/x", "",
];
const NETS: [&str; 10] = [
    "192.0.2.1/24",
    "2001:db8::1/64",
    "198.51.100.1/32",
    // The host's own.
    "192.0.2.11/24",
    "127.0.0.1/8",
    "224.0.0.18/4",
    "0.0.0.0/0",
    "::/0",
    "fe80::1/64",
    "ff02::12/128",
];
const PLANES: [Dataplane; 4] = [
    Dataplane::Copy,
    Dataplane::Tcx,
    Dataplane::Clsact,
    Dataplane::Auto,
];
/// What must not change on a carpdev when all is over.
const SETTINGS: [&str; 4] = [
    "net/ipv4/conf/eth0/arp_ignore",
    "net/ipv4/conf/eth0/arp_announce",
    "net/ipv4/conf/eth0/forwarding",
    "net/ipv4/conf/all/forwarding",
];

/// An order, as small numbers.
#[derive(Debug, Clone, TypeGenerator)]
enum Said {
    Open,
    Offer,
    Count,
    Create(u8, Mac),
    Destroy(u8),
    Configure(u8, Mac, u32, bool),
    Arm(
        u8,
        #[generator(bolero::produce::<Vec<u8>>().with().len(0..4usize))] Vec<u8>,
        u8,
    ),
    PutBack(
        u8,
        #[generator(bolero::produce::<Vec<u8>>().with().len(0..4usize))] Vec<u8>,
    ),
    Disarm(u8),
    OpenCarpdev(
        u8,
        #[generator(bolero::produce::<Vec<u8>>().with().len(0..5usize))] Vec<u8>,
    ),
    Listen(Listening),
    CloseCarpdev(u8),
    Close,
    /// One byte of the next order is another one.
    Spoilt(u16, u8),
}

#[derive(Debug, Clone, TypeGenerator)]
struct Mac(#[generator(0..5)] u8);

#[derive(Debug, Clone, TypeGenerator)]
struct Listening {
    index: u8,
    name: u8,
    #[generator(bolero::produce::<Vec<u8>>().with().len(0..4usize))]
    groups: Vec<u8>,
    #[generator(bolero::produce::<Vec<(Mac, u8)>>().with().len(0..4usize))]
    macs: Vec<(Mac, u8)>,
    #[generator(bolero::produce::<Vec<(u8, u8)>>().with().len(0..4usize))]
    shared: Vec<(u8, u8)>,
    #[generator(bolero::produce::<Vec<u8>>().with().len(0..3usize))]
    units: Vec<u8>,
    bridge: Option<u8>,
}

fn of<T: Copy>(table: &[T], number: u8) -> T {
    table[usize::from(number) % table.len()]
}

fn name(number: u8) -> String {
    of(&NAMES, number).to_owned()
}

fn net(number: u8) -> IpNetwork {
    of(&NETS, number).parse().unwrap()
}

impl Mac {
    fn address(&self) -> MacAddr {
        let zero = MacAddr::ZERO;
        let multicast = MacAddr([1, 0, 0x5e, 0, 0, 18]);
        of(
            &[MacAddr::of_vhid(1), MacAddr::of_vhid(2), multicast, zero],
            self.0,
        )
    }
}

impl Said {
    /// `index` is eth0's.
    fn effect(&self, eth0: u32) -> Option<Effect> {
        let index = |number: u8| of(&[eth0, eth0, eth0 + 1, 1, 0, u32::MAX], number);
        let nets = |numbers: &[u8]| numbers.iter().map(|n| net(*n)).collect::<Vec<_>>();
        Some(match self {
            Self::Open => Effect::Open,
            Self::Offer => Effect::Offer,
            Self::Count => Effect::Count,
            Self::Create(of, mac) => Effect::Create {
                name: name(*of),
                mac: mac.address(),
            },
            Self::Destroy(of) => Effect::Destroy { name: name(*of) },
            Self::Configure(of, mac, mtu, up) => Effect::Configure {
                name: name(*of),
                mac: mac.address(),
                mtu: *mtu % 70_000,
                up: *up,
            },
            Self::Arm(of, addresses, like) => Effect::Arm {
                name: name(*of),
                addresses: nets(addresses),
                like: name(*like),
            },
            Self::PutBack(of, addresses) => Effect::PutBack {
                name: name(*of),
                addresses: nets(addresses),
            },
            Self::Disarm(of) => Effect::Disarm { name: name(*of) },
            Self::OpenCarpdev(device, planes) => Effect::OpenCarpdev {
                name: if *device < 200 {
                    "eth0".to_owned()
                } else {
                    name(*device)
                },
                planes: planes.iter().map(|plane| of(&PLANES, *plane)).collect(),
            },
            Self::Listen(to) => {
                let ip = |number: &u8| net(*number).ip();
                Effect::Listen {
                    index: index(to.index),
                    name: name(to.name),
                    groups: to.groups.iter().map(ip).collect::<Vec<IpAddr>>(),
                    macs: to.macs.iter().map(|(mac, n)| (mac.address(), *n)).collect(),
                    shared: to.shared.iter().map(|(at, n)| (ip(at), *n)).collect(),
                    units: to.units.iter().map(|unit| name(*unit)).collect(),
                    bridge: to.bridge.map(index),
                }
            }
            Self::CloseCarpdev(device) => Effect::CloseCarpdev {
                index: index(*device),
            },
            Self::Close => Effect::Close,
            Self::Spoilt(..) => return None,
        })
    }
}

/// What is there and not the door's.
fn others(host: &Host) -> Vec<String> {
    host.net(|net| {
        let links = net.links().unwrap().into_iter();
        let others = links.filter(|link| !link.name.starts_with("carp"));
        let shown = others.map(|link| {
            let addresses = net.addresses(Some(link.index)).unwrap();
            let addresses: Vec<_> = addresses.iter().map(|a| a.net).collect();
            let (name, mac, mtu, up) = (link.name, link.mac, link.mtu, link.up);
            format!("{name} {mac} {mtu} {up} {addresses:?}")
        });
        shown.collect()
    })
}

fn settings(host: &Host) -> Vec<String> {
    let values = SETTINGS.iter().map(|name| host.sysctl_value(name));
    values.collect()
}

#[test]
fn any_orders_leave_what_is_not_the_doors() {
    if privilege::run_elsewhere() {
        return;
    }
    let segment = Segment::new();
    let host = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    let eth0 = host.index("eth0");
    let (before, set) = (others(&host), settings(&host));
    bolero::check!()
        .with_generator(bolero::produce::<Vec<Said>>().with().len(1..24usize))
        .with_test_time(TIME)
        .for_each(|story| {
            let mut forger = Forger::on(&host);
            forger.ask(Effect::Open);
            let mut spoil = None;
            for said in story {
                let Some(effect) = said.effect(eth0) else {
                    if let Said::Spoilt(at, with) = said {
                        spoil = Some((*at, *with));
                    }
                    continue;
                };
                let Some((at, with)) = spoil.take() else {
                    forger.ask(effect);
                    continue;
                };
                let order = Order { id: 1, effect };
                let mut bytes = serde_json::to_vec(&order).unwrap();
                let length = bytes.len();
                bytes[usize::from(at) % length] = with;
                if forger.say(&bytes).is_none() {
                    assert!(forger.ends(), "it did not end as it should");
                    break;
                }
            }
            assert_eq!(others(&host), before);
            forger.hang_up();
            assert_eq!(others(&host), before);
            assert_eq!(settings(&host), set);
            let left = host.net(|net| net.links().unwrap());
            assert!(!left.iter().any(|link| link.name.starts_with("carp")));
        });
}

/// What the second process costs: the same order to a door in this one, over the same kind of socket.
#[test]
fn an_order_to_another_process_costs_little_more() {
    if privilege::run_elsewhere() {
        return;
    }
    let segment = Segment::new();
    let host = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    let orders = [
        Effect::Open,
        Effect::Create {
            name: "carp1".to_owned(),
            mac: MacAddr::of_vhid(1),
        },
    ];
    let disarm = Effect::Disarm {
        name: "carp1".to_owned(),
    };
    let mut near = host.place.run(|| {
        let place = Place::new(&host.run, host.place.inode());
        let mut door = Door::new(place, 4711).unwrap();
        let (here, there) = Channel::pair().unwrap();
        let mut ask = |effect: &Effect| {
            let effect = effect.clone();
            let order = serde_json::to_vec(&Order { id: 1, effect }).unwrap();
            let begun = clock::now();
            here.send(&order, &[]).unwrap();
            let (order, _) = there.recv().unwrap().unwrap();
            assert!(door.answer(&there, &order).unwrap());
            let answered = here.recv().unwrap().unwrap();
            let took = clock::now().since(begun);
            let outcome: Outcome = serde_json::from_slice(&answered.0).unwrap();
            assert!(outcome.result.is_ok(), "{outcome:?}");
            took
        };
        for order in &orders {
            ask(order);
        }
        let took: Vec<Duration> = (0..200).map(|_| ask(&disarm)).collect();
        ask(&Effect::Close);
        took
    });
    let mut forger = Forger::on(&host);
    for order in orders {
        assert!(forger.ask(order).result.is_ok());
    }
    let far = (0..200).map(|_| {
        let begun = clock::now();
        forger.ask(disarm.clone());
        clock::now().since(begun)
    });
    let mut far: Vec<Duration> = far.collect();
    near.sort_unstable();
    far.sort_unstable();
    let [near, far] = [near, far].map(|took| took[took.len() / 2]);
    eprintln!("an order in this process {near:?}, to another one {far:?}, as medians of 200");
    // Two changes of the process; a busy machine takes its time for them.
    assert!(far < near + Duration::from_millis(20), "{near:?} {far:?}");
    forger.hang_up();
}
