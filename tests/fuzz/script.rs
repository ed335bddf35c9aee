//! What may happen to an engine, as small numbers: every value is a story.

use crate::corpus::Edited;
use crate::rig::{self, Ad};
use bolero::TypeGenerator;
use carp::carp::Parent;
use carp::carp::auth::Kind;
use carp::carp::config::{Carpdev, Config, Key, Node, State, Unit, Vhid};
use carp::wire::{Family, MacAddr};
use std::net::Ipv4Addr;

/// Shared addresses, each with its bit.
const ADDRESSES: [&str; 4] = [
    "192.0.2.10/24",
    "192.0.2.11/24",
    "2001:db8::10/64",
    "fe80::10/64",
];
const PASSES: [&str; 2] = ["secret", "other"];

/// One thing that happens.
#[derive(Debug, Clone, TypeGenerator)]
pub enum Step {
    /// Milliseconds pass.
    Wait(u16),
    /// Until the next timeout, and this many milliseconds too late.
    Timeout(#[generator(0..40)] u16),
    /// Suspended for seconds.
    Sleep(u8),
    Ad(Said),
    Frame(#[generator(0..3)] u8, Edited),
    /// One of ours comes back, with this byte changed if it is not 0.
    Echo(u8, #[generator(0..6)] u8),
    Ask(u8),
    Parent(Device),
    Configure(Wanted),
    Destroy(#[generator(0..3)] u8),
    State(#[generator(0..3)] u8, #[generator(0..3)] u8),
    /// allow, preempt, the log level, and replay if the last is not 0.
    Settings(bool, bool, #[generator(0..8)] u8, #[generator(0..4)] u8),
    Armed(#[generator(0..3)] u8, #[generator(0..4)] u8, bool),
    Sent(#[generator(0..3)] u8, #[generator(1..4)] u8, bool, bool),
    /// What the daemon does from now on.
    Obey(Manners),
    /// Only in one of 16.
    Shutdown(#[generator(0..16)] u8),
}

/// How the daemon answers.
#[derive(Debug, Clone, Copy, TypeGenerator)]
pub struct Manners {
    /// 0: never, 1: refuses, else at once.
    #[generator(0..5)]
    pub arms: u8,
    /// 0: no report, 1: fails, else sent.
    #[generator(0..5)]
    pub sends: u8,
}

/// An advertisement of a peer that knows one of the passwords.
#[derive(Debug, Clone, TypeGenerator)]
pub struct Said {
    #[generator(0..3)]
    pub carpdev: u8,
    #[generator(1..4)]
    vhid: u8,
    #[generator(0..8)]
    pass: u8,
    addresses: u8,
    inet6: bool,
    #[generator(0..5)]
    advbase: u8,
    advskew: u8,
    #[generator(0..12)]
    demote: u8,
    counter: u16,
    nov6ll: bool,
    pseudo_header: bool,
    #[generator(0..16)]
    goodbye: u8,
    #[generator(0..4)]
    sender: u8,
}

/// A carpdev.
#[derive(Debug, Clone, Copy, TypeGenerator)]
pub struct Device {
    #[generator(0..3)]
    pub carpdev: u8,
    /// 0: gone, 1: down, else up.
    #[generator(0..6)]
    state: u8,
    inet: bool,
    inet6: bool,
    router: bool,
}

/// A configuration.
#[derive(Debug, Clone, TypeGenerator)]
pub struct Wanted {
    #[generator(0..3)]
    pub unit: u8,
    /// 0: the UP flag is clear.
    #[generator(0..8)]
    up: u8,
    /// 3: none.
    #[generator(0..4)]
    carpdev: u8,
    /// Bits of vhids 1 to 3.
    #[generator(0..8)]
    vhids: u8,
    #[generator(0..255)]
    advskew: u8,
    #[generator(0..5)]
    advbase: u8,
    #[generator(0..8)]
    pass: u8,
    addresses: u8,
}

pub fn carpdev(number: u8) -> Carpdev {
    Carpdev(2 + u32::from(number))
}

pub fn unit(number: u8) -> Unit {
    Unit(number.into())
}

pub fn vhid(number: u8) -> Vhid {
    Vhid::new(number).unwrap()
}

pub fn family(inet6: bool) -> Family {
    if inet6 { Family::Inet6 } else { Family::Inet }
}

pub fn state(number: u8) -> State {
    [State::Init, State::Backup, State::Master][usize::from(number)]
}

/// The addresses whose bits are set; half of all values mean the first and the third.
fn addresses(bits: u8) -> Vec<&'static str> {
    let bits = if bits < 128 { 5 } else { bits };
    let set = (0..4).filter(|bit| bits >> bit & 1 == 1);
    set.map(|bit| ADDRESSES[bit]).collect()
}

fn pass(number: u8) -> &'static str {
    PASSES[usize::from(number == 0)]
}

impl Said {
    pub fn bytes(&self) -> Vec<u8> {
        let mut shared = addresses(self.addresses);
        if shared.is_empty() {
            shared = vec![ADDRESSES[0]];
        }
        let (advbase, advskew) = match self.goodbye {
            0 => (255, 255),
            _ => (self.advbase, self.advskew),
        };
        let src: [std::net::IpAddr; 2] = [
            [192, 0, 2, 2 + self.sender].into(),
            format!("fe80::{}", 2 + self.sender).parse().unwrap(),
        ];
        Ad {
            vhid: self.vhid,
            pass: pass(self.pass),
            family: family(self.inet6),
            demote: self.demote.saturating_sub(9),
            counter: self.counter.into(),
            kind: if self.nov6ll {
                Kind::NoV6Ll
            } else {
                Kind::Orig
            },
            pseudo_header: self.pseudo_header && self.inet6,
            src: Some(src[usize::from(self.inet6)]),
            ..Ad::new(&shared, advbase, advskew)
        }
        .bytes()
    }
}

impl Device {
    pub fn parent(&self) -> Option<Parent> {
        (self.state > 0).then_some(Parent {
            up: self.state > 1,
            mac: MacAddr([2, 0, 0, 0, 0, self.carpdev]),
            inet: self.inet.then_some(Ipv4Addr::new(192, 0, 2, 1)),
            inet6: self.inet6.then(|| "fe80::1".parse().unwrap()),
            router: self.router,
        })
    }
}

impl Wanted {
    pub fn config(&self) -> (Config, Option<Carpdev>) {
        let carpdev = (self.carpdev < 3).then(|| carpdev(self.carpdev));
        let nodes = (1..4).filter(|vhid| self.vhids >> (vhid - 1) & 1 == 1);
        let node = |number| Node {
            vhid: vhid(number),
            advskew: self.advskew / number,
        };
        let config = Config {
            up: self.up > 0,
            carpdev: carpdev.map(|index| format!("eth{}", index.0)),
            nodes: nodes.map(node).collect(),
            key: Key::from_pass(pass(self.pass).as_bytes()),
            ..rig::config(&addresses(self.addresses), self.advbase, self.advskew)
        };
        (config, carpdev)
    }
}

/// A client's question, about one of the shared addresses mostly.
pub fn question(number: u8) -> Vec<u8> {
    let target = |at: usize| ADDRESSES[at].split('/').next().unwrap();
    match number % 6 {
        at @ (0 | 1) => rig::arp_request(target(at.into())),
        at @ (2 | 3) => rig::solicitation(target(at.into())),
        4 => rig::arp_request("192.0.2.99"),
        _ => rig::solicitation("2001:db8::99"),
    }
}
