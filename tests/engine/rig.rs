//! One host in a test: an engine, a daemon that obeys at once, and actions as lines of text.

use carp::carp::auth::{Auth, Kind};
use carp::carp::config::{Carpdev, Config, Key, Node, Settings, State, Unit, Vhid};
use carp::carp::{Action, Engine, Input, Parent, Reason, Sending};
use carp::time::Instant;
use carp::wire::carp::{Advertisement, Checksum};
use carp::wire::{Family, MacAddr, arp, frame, ip, nd};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const UNIT: Unit = Unit(1);
pub const CARPDEV: Carpdev = Carpdev(2);
pub const V4: &str = "192.0.2.10/24";
pub const V6: &str = "2001:db8::10/64";

/// Milliseconds since the origin, as a moment.
pub fn ms(milliseconds: f64) -> Instant {
    Instant::from_nanos((milliseconds * 1e6).round() as u64)
}

pub fn vhid(number: u8) -> Vhid {
    Vhid::new(number).unwrap()
}

/// `carp1` up on its carpdev: vhid 1, password `secret`.
pub fn config(addresses: &[&str], advbase: u8, advskew: u8) -> Config {
    Config {
        up: true,
        carpdev: Some("eth0".into()),
        nodes: vec![Node {
            vhid: vhid(1),
            advskew,
        }],
        advskew,
        advbase,
        key: Key::from_pass(b"secret"),
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        ..Config::default()
    }
}

pub fn parent() -> Parent {
    Parent {
        up: true,
        mac: MacAddr([2, 0, 0, 0, 0, 1]),
        inet: Some(Ipv4Addr::new(192, 0, 2, 1)),
        inet6: Some("fe80::1".parse().unwrap()),
        router: false,
    }
}

/// A host whose daemon reports every frame as sent and arms at once, unless told otherwise.
pub struct Host {
    pub engine: Engine,
    pub reports: bool,
    pub arms: bool,
    pub sends: bool,
    /// Frames of the last call, with their carpdev.
    pub frames: Vec<(Carpdev, Sending, Vec<u8>)>,
    pub attempt: u64,
}

impl Host {
    pub fn new(seed: u64) -> Self {
        Self {
            engine: Engine::new(seed),
            reports: true,
            arms: true,
            sends: true,
            frames: Vec::new(),
            attempt: 0,
        }
    }

    /// A BACKUP since moment 0.
    pub fn backup(addresses: &[&str], advbase: u8, advskew: u8) -> Self {
        let mut host = Self::new(7);
        host.parent(0.0, Some(parent()));
        let lines = host.configure(0.0, config(addresses, advbase, advskew));
        assert_eq!(lines, ["INIT -> BACKUP (ready)"]);
        host
    }

    /// A MASTER since its first timeout: the moment is returned in milliseconds.
    pub fn master(addresses: &[&str], advbase: u8, advskew: u8) -> (Self, f64) {
        let mut host = Self::backup(addresses, advbase, advskew);
        let at = host.engine.timeout().unwrap();
        let at = at.as_nanos() as f64 / 1e6;
        host.time(at);
        assert_eq!(host.state(), State::Master);
        (host, at)
    }

    pub fn state(&self) -> State {
        self.engine
            .vhosts(UNIT)
            .next()
            .map_or(State::Init, |vhost| vhost.state)
    }

    pub fn reason(&self) -> Reason {
        self.engine.vhosts(UNIT).next().unwrap().reason
    }

    /// The next timeout in milliseconds.
    pub fn timeout(&self) -> Option<f64> {
        self.engine.timeout().map(|at| at.as_nanos() as f64 / 1e6)
    }

    pub fn time(&mut self, at: f64) -> Vec<String> {
        self.input(at, Input::Time)
    }

    pub fn frame(&mut self, at: f64, bytes: &[u8]) -> Vec<String> {
        self.input(
            at,
            Input::Frame {
                carpdev: CARPDEV,
                bytes,
            },
        )
    }

    pub fn parent(&mut self, at: f64, parent: Option<Parent>) -> Vec<String> {
        self.input(
            at,
            Input::Parent {
                carpdev: CARPDEV,
                parent,
            },
        )
    }

    pub fn configure(&mut self, at: f64, config: Config) -> Vec<String> {
        self.input(
            at,
            Input::Configure {
                unit: UNIT,
                config: Some((config, Some(CARPDEV))),
            },
        )
    }

    pub fn destroy(&mut self, at: f64) -> Vec<String> {
        self.input(
            at,
            Input::Configure {
                unit: UNIT,
                config: None,
            },
        )
    }

    pub fn preempt(&mut self, at: f64) {
        let settings = Settings {
            preempt: true,
            log: 7,
            ..Settings::default()
        };
        assert!(self.input(at, Input::Settings(settings)).is_empty());
    }

    pub fn ask(&mut self, at: f64, state: State) -> Vec<String> {
        self.input(at, Input::State { unit: UNIT, state })
    }

    pub fn armed(&mut self, at: f64, attempt: u64, ok: bool) -> Vec<String> {
        self.input(
            at,
            Input::Armed {
                unit: UNIT,
                attempt,
                ok,
            },
        )
    }

    /// One input and all that the daemon reports because of it.
    pub fn input(&mut self, at: f64, input: Input<'_>) -> Vec<String> {
        let now = ms(at);
        self.frames.clear();
        let mut lines = Vec::new();
        self.engine.handle(now, input);
        loop {
            let mut reports = Vec::new();
            while let Some(action) = self.engine.poll() {
                lines.push(line(&action));
                self.obey(action, &mut reports);
            }
            if reports.is_empty() {
                return lines;
            }
            for report in reports {
                self.engine.handle(now, report);
            }
        }
    }

    fn obey(&mut self, action: Action, reports: &mut Vec<Input<'static>>) {
        match action {
            Action::Send {
                carpdev,
                unit,
                vhid,
                what,
                frame,
            } => {
                if let (Sending::Advertisement(family), true) = (what, self.reports) {
                    reports.push(Input::Sent {
                        unit,
                        vhid,
                        family,
                        ok: self.sends,
                    });
                }
                self.frames.push((carpdev, what, frame));
            }
            Action::SendToPeers {
                carpdev,
                unit,
                vhid,
                family,
                packets,
            } => {
                if self.reports {
                    let ok = self.sends;
                    reports.push(Input::Sent {
                        unit,
                        vhid,
                        family,
                        ok,
                    });
                }
                for (_, packet) in packets {
                    let what = Sending::Advertisement(family);
                    self.frames.push((carpdev, what, routed(&packet)));
                }
            }
            Action::Arm { unit, attempt } => {
                self.attempt = attempt;
                if self.arms {
                    reports.push(Input::Armed {
                        unit,
                        attempt,
                        ok: true,
                    });
                }
            }
            _ => {}
        }
    }
}

/// An action as a line; carpN and vhid only where they are not 1.
pub fn line(action: &Action) -> String {
    let of = |unit: &Unit, vhid: Option<&Vhid>| match (unit, vhid.map(|v| v.get())) {
        (Unit(1), None | Some(1)) => String::new(),
        (unit, None) => format!("{unit}: "),
        (unit, Some(vhid)) => format!("{unit}/{vhid}: "),
    };
    match action {
        Action::Send {
            unit, vhid, frame, ..
        } => of(unit, Some(vhid)) + &frame_line(frame),
        Action::SendToPeers {
            unit,
            vhid,
            packets,
            ..
        } => {
            let to: Vec<_> = packets.iter().map(|(to, _)| to.to_string()).collect();
            let what = packets
                .first()
                .map(|(_, packet)| frame_line(&routed(packet)));
            let what = what.unwrap_or_default();
            format!("{}{what} to {}", of(unit, Some(vhid)), to.join(","))
        }
        Action::Arm { unit, attempt } => format!("{}arm {attempt}", of(unit, None)),
        Action::Disarm { unit } => format!("{}disarm", of(unit, None)),
        Action::Gate { unit, vhid, gate } => {
            format!(
                "{}gate {}",
                of(unit, Some(vhid)),
                format!("{gate:?}").to_lowercase()
            )
        }
        Action::Lease { unit, vhid, until } => {
            format!(
                "{}lease {}",
                of(unit, Some(vhid)),
                until.as_nanos() as f64 / 1e6
            )
        }
        Action::Transition {
            unit,
            vhid,
            from,
            to,
            reason,
        } => {
            let reason = match reason {
                Reason::MasterTimedOut(family) => format!("master-timed-out {family}"),
                reason => serde_json::to_value(reason)
                    .unwrap()
                    .as_str()
                    .unwrap()
                    .into(),
            };
            format!("{}{from} -> {to} ({reason})", of(unit, Some(vhid)))
        }
        Action::Log(notice) => format!("log {}: {}", notice.level, notice.text),
        Action::Retired { unit } => format!("{}retired", of(unit, None)),
    }
}

/// A packet for the kernel as it would look on the carpdev of another host whose own address is that of `parent`.
pub fn routed(packet: &[u8]) -> Vec<u8> {
    let kind = if packet[0] >> 4 == 4 {
        [0x08, 0x00]
    } else {
        [0x86, 0xdd]
    };
    [&parent().mac.0[..], &[2, 0, 0, 0, 0, 2], &kind, packet].concat()
}

/// A frame that left, as far as a table wants to see it.
fn frame_line(bytes: &[u8]) -> String {
    match frame::parse(bytes).unwrap() {
        frame::Frame::Advertisement {
            family, payload, ..
        } => {
            let ad = Advertisement::parse(payload).unwrap();
            let demote = if ad.demote > 0 {
                format!(" demote {}", ad.demote)
            } else {
                String::new()
            };
            match (ad.advbase, ad.advskew) {
                (255, 255) => format!("goodbye {family}{demote}"),
                (base, skew) => format!("ad {family} {base}/{skew}{demote}"),
            }
        }
        frame::Frame::Arp(packet) if packet.is_gratuitous() => format!("garp {}", packet.sender_ip),
        frame::Frame::Arp(packet) => {
            format!(
                "arp {} is-at {} to {}",
                packet.sender_ip, packet.sender_mac, packet.dst_mac
            )
        }
        frame::Frame::NeighbourAdvertisement(na) if !na.solicited && na.dst == ip::ALL_NODES => {
            format!("na {}", na.target)
        }
        frame::Frame::NeighbourAdvertisement(na) => format!("na {} to {}", na.target, na.dst),
        other => panic!("{other:?}"),
    }
}

/// An advertisement of another host, 192.0.2.2 or fe80::2.
#[derive(Clone)]
pub struct Ad {
    pub vhid: u8,
    pub pass: &'static str,
    pub addresses: Vec<IpAddr>,
    pub family: Family,
    pub advbase: u8,
    pub advskew: u8,
    pub demote: u8,
    pub counter: u64,
    pub kind: Kind,
    pub pseudo_header: bool,
    pub src: Option<IpAddr>,
    pub ttl: u8,
}

impl Ad {
    pub fn new(addresses: &[&str], advbase: u8, advskew: u8) -> Self {
        let addresses: Vec<IpAddr> = addresses
            .iter()
            .map(|a| a.split('/').next().unwrap().parse().unwrap())
            .collect();
        let family = if addresses[0].is_ipv4() {
            Family::Inet
        } else {
            Family::Inet6
        };
        Self {
            vhid: 1,
            pass: "secret",
            addresses,
            family,
            advbase,
            advskew,
            demote: 0,
            counter: 1000,
            kind: Kind::Orig,
            pseudo_header: false,
            src: None,
            ttl: 255,
        }
    }

    pub fn goodbye(addresses: &[&str]) -> Self {
        Self::new(addresses, 255, 255)
    }

    pub fn over(self, family: Family) -> Self {
        Self { family, ..self }
    }

    pub fn demoted(self, demote: u8) -> Self {
        Self { demote, ..self }
    }

    pub fn pass(self, pass: &'static str) -> Self {
        Self { pass, ..self }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let key = Key::from_pass(self.pass.as_bytes());
        let auth = Auth::new(&key, vhid(self.vhid), self.addresses.iter().copied());
        let ad = Advertisement {
            vhid: self.vhid,
            advskew: self.advskew,
            demote: self.demote,
            advbase: self.advbase,
            counter: self.counter.to_be_bytes(),
            digest: auth.digest(self.kind, self.counter),
        };
        let mac = MacAddr::of_vhid(self.vhid);
        let src4 = match self.src {
            Some(IpAddr::V4(src)) => src,
            _ => Ipv4Addr::new(192, 0, 2, 2),
        };
        let src6: Ipv6Addr = match self.src {
            Some(IpAddr::V6(src)) => src,
            _ => "fe80::2".parse().unwrap(),
        };
        let form = if self.pseudo_header {
            Checksum::PseudoHeader(src6, ip::GROUP_V6)
        } else {
            Checksum::Plain
        };
        let carp = ad.emit_with(form);
        let mut bytes = match self.family {
            Family::Inet => {
                ip::advertisement_v4(mac, ip::GROUP_V4_MAC, src4, ip::GROUP_V4, ip::TOS, 0, &carp)
            }
            Family::Inet6 => {
                ip::advertisement_v6(mac, ip::GROUP_V6_MAC, src6, ip::GROUP_V6, 0, &carp)
            }
        };
        if self.ttl != 255 && self.family == Family::Inet6 {
            bytes[14 + 7] = self.ttl;
        } else if self.ttl != 255 {
            // One's complement: the checksum's high byte grows by what the TTL loses (RFC 1624).
            let sum = u16::from_be_bytes([bytes[24], bytes[25]]);
            let (mut new, carry) = sum.overflowing_add(u16::from(255 - self.ttl) << 8);
            new += u16::from(carry);
            bytes[14 + 8] = self.ttl;
            bytes[24..26].copy_from_slice(&new.to_be_bytes());
        }
        bytes
    }
}

/// A client's question for an IPv4 address.
pub fn arp_request(target: &str) -> Vec<u8> {
    arp::request(
        MacAddr([2, 0, 0, 0, 0, 9]),
        Ipv4Addr::new(192, 0, 2, 9),
        target.parse().unwrap(),
    )
}

/// A client's question for an IPv6 address.
pub fn solicitation(target: &str) -> Vec<u8> {
    let mac = MacAddr([2, 0, 0, 0, 0, 9]);
    nd::Solicitation::multicast(mac, "fe80::9".parse().unwrap(), target.parse().unwrap()).emit()
}
