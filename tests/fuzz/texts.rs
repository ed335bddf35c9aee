//! What people and processes say: command lines, requests, replies, orders, outcomes.

use crate::TIME;
use crate::corpus::{Edit, from};
use bolero::TypeGenerator;
use carp::carp::Reason;
use carp::carp::config::{Balancing, Dataplane, InputMode, Key, Lladdr, Selector, State, Unit};
use carp::cli::ifconfig::parse::{self, Command, Typed};
use carp::cli::ifconfig::words::WORDS;
use carp::cli::ifconfig::{address, dataplane, print};
use carp::control::socket::{REQUEST_MAX, read_frame, reply_frame, request_frame};
use carp::control::started::Started;
use carp::control::{
    Change, Family, Interface, MacAddr, Peer, Protection, Refusal, Reply, Request, Served, Setting,
    Stats, Sysctls, Traffic, Vhost,
};
use carp::daemon::door::{Effect, Failure, Order, Outcome, Said};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// What stands where a word's argument, a name or an address is expected.
const ARGUMENTS: &[&str] = &[
    "carp0",
    "carp1",
    "carp32767",
    "carp32768",
    "carp",
    "eth0",
    "-",
    "--",
    "",
    "0",
    "1",
    "254",
    "255",
    "256",
    "-1",
    "99999999999999999999",
    "192.0.2.10",
    "192.0.2.10/24",
    "192.0.2.10/33",
    "2001:db8::10/64",
    "fe80::1%eth0",
    "255.255.255.0",
    "0xffffff00",
    "255.0.255.0",
    "master",
    "backup",
    "init",
    "router",
    "::",
    "ff02::12",
    "a/b/c",
    "secret",
    "-A",
    "-a",
    "-C",
    "-g",
    "all",
    "\u{1b}[2J",
    "ä",
];

/// A word of a command line.
#[derive(Debug, Clone, TypeGenerator)]
pub enum Piece {
    Word(u16),
    Negated(u16),
    Argument(u16),
    Number(u16),
    Raw(#[generator(bolero::produce::<Vec<u8>>().with().len(0..20usize))] Vec<u8>),
}

impl Piece {
    pub fn text(&self) -> OsString {
        match self {
            Self::Word(n) => from(WORDS, *n).name.into(),
            Self::Negated(n) => format!("-{}", from(WORDS, *n).name).into(),
            Self::Argument(n) => (*from(ARGUMENTS, *n)).into(),
            Self::Number(n) => n.to_string().into(),
            Self::Raw(bytes) => OsString::from_vec(bytes.clone()),
        }
    }
}

/// Nothing in it moves a terminal's cursor.
fn is_plain(text: &str) -> bool {
    !text
        .chars()
        .any(|c| c.is_control() && c != '\n' && c != '\t')
}

/// It says something, in a line or two; it is escaped where it is printed.
pub fn refused(refusal: &Refusal) {
    assert!(
        !refusal.text.is_empty() && refusal.text.len() < 4096,
        "{refusal:?}"
    );
}

fn ifconfig(line: &[OsString]) {
    let hosts = |name: &str, family| {
        address::in_hosts("192.0.2.7 here\n2001:db8::7 here # x", name, family)
    };
    match parse::parse(line, &hosts) {
        Err(parse::Error::Refused(refusal)) => refused(&refusal),
        Err(parse::Error::Usage) => {}
        Ok(Command::Apply { unit, changes }) => {
            assert!(unit.0 <= Unit::MAX);
            let ready = changes.into_iter().filter_map(|typed| match typed {
                Typed::Change(change) => Some(change),
                Typed::Pass(_) => None,
            });
            let request = Request::Apply {
                unit,
                changes: ready.collect(),
            };
            framed(&request);
            refused(&request.denied());
        }
        Ok(_) => {}
    }
}

/// A request survives its frame.
fn framed(request: &Request) {
    let Ok(frame) = request_frame(request) else {
        return;
    };
    let body = read_frame(&mut frame.as_slice(), REQUEST_MAX).unwrap();
    assert_eq!(serde_json::from_slice::<Request>(&body).unwrap(), *request);
}

/// Bytes that claim to be a `T`: if they are, writing and reading gives the same again.
fn again<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(bytes).ok()?;
    let written = serde_json::to_vec(&value).unwrap();
    assert_eq!(serde_json::from_slice::<T>(&written).unwrap(), value);
    Some(value)
}

/// Every decoder of messages.
fn decode(bytes: &[u8]) {
    if let Some(request) = again::<Request>(bytes) {
        framed(&request);
        refused(&request.denied());
    }
    if let Some(reply) = again::<Reply>(bytes) {
        assert!(reply_frame(&reply).is_ok());
        if let Reply::Interfaces(all) = &reply {
            for interface in all {
                let text = print::interface(interface, None) + &dataplane::lines(interface, true);
                assert!(is_plain(&text), "{text:?}");
            }
        }
    }
    again::<Order>(bytes);
    again::<Outcome>(bytes);
    assert_eq!(
        Started::read(bytes).is_some(),
        again::<Started>(bytes).is_some()
    );
}

fn interface() -> Interface {
    Interface {
        unit: Unit(1),
        index: 7,
        up: true,
        lladdr: MacAddr::of_vhid(1),
        mtu: 1500,
        carpdev: Some("eth\u{1b}[2J\n0".into()),
        advbase: 1,
        vhosts: vec![Vhost {
            vhid: 1,
            advskew: 100,
            state: State::Backup,
            reason: Reason::MasterTimedOut(Family::Inet6),
        }],
        groups: vec!["carp".into()],
        addresses: vec![
            "192.0.2.10/24".parse().unwrap(),
            "2001:db8::10/64".parse().unwrap(),
        ],
        peers: vec!["192.0.2.2".parse().unwrap()],
        balancing: Balancing::None,
        hash: None,
        drain: false,
        configured_lladdr: Lladdr::Chosen(MacAddr::of_vhid(9)),
        description: Some("\u{1b}]0;x\u{7}".into()),
        configured_mtu: Some(1400),
        debug: true,
        metric: 7,
        input: InputMode::Accept,
        capture: true,
        dataplane: Served {
            by: Dataplane::Copy,
            why: Some("\u{1b}[2J\n".into()),
            hindrance: Some("\u{1b}[2J\n".into()),
        },
        traffic: Traffic::default(),
    }
}

/// One of every message, as it is written.
fn messages() -> Vec<Vec<u8>> {
    let changes = vec![
        Change::Create,
        Change::Up,
        Change::Vhid(1),
        Change::Pass(Key::from_pass(b"secret")),
        Change::Carpdev(Some("eth0".into())),
        Change::Advbase(1),
        Change::Advskew(100),
        Change::State(State::Master),
        Change::Address {
            address: "192.0.2.10/24".parse().unwrap(),
            alias: true,
        },
        Change::Delete(None),
        Change::Detach(Family::Inet6),
        Change::Nodes(vec![(1, 100)]),
        Change::Balancing(Balancing::Ip),
        Change::Hash(Some(Selector::Mac {
            big_endian: true,
            order: false,
        })),
        Change::Drain(true),
        Change::Peers(Family::Inet6, vec!["fe80::2".parse().unwrap()]),
        Change::Lladdr(Lladdr::Carpdev),
        Change::Description(Some("left".into())),
        Change::Group("ha".into()),
        Change::LeaveGroup("ha".into()),
        Change::Mtu(Some(1400)),
        Change::Debug(true),
        Change::Metric(1),
        Change::Rdomain(0),
    ];
    let refusal = Refusal {
        text: "SIOCSVH: Invalid argument".into(),
        why: Some("because".into()),
    };
    let requests = [
        Request::Apply {
            unit: Unit(1),
            changes,
        },
        Request::Show(Some(Unit(1))),
        Request::Settings,
        Request::Set(vec![
            Setting::Allow(true),
            Setting::Preempt(false),
            Setting::Log(7),
            Setting::Replay(false),
            Setting::Demotion(-240),
            Setting::SenderrDemotionFactor(0),
            Setting::IfdownDemotionFactor(10),
            Setting::Dscp(56),
            Setting::Grace(60),
            Setting::Arpbalance(false),
        ]),
        Request::Group("carp".into()),
        Request::Demote {
            group: "carp".into(),
            by: -1,
        },
        Request::Drain {
            group: "carp".into(),
            on: true,
        },
        Request::Stats,
        Request::Peers,
        Request::Show(None),
    ];
    let replies = [
        Reply::Done,
        Reply::Interfaces(vec![interface()]),
        Reply::Settings(Sysctls::default()),
        Reply::Stats(Stats::default()),
        Reply::Peers(vec![Peer {
            unit: Unit(1),
            vhid: 1,
            address: "fe80::2".parse().unwrap(),
            protection: Protection::Repeats,
        }]),
        Reply::Refused(refusal.clone()),
    ];
    let name = || "carp1".to_owned();
    let effects = [
        Effect::Open,
        Effect::Create {
            name: name(),
            mac: MacAddr::of_vhid(1),
        },
        Effect::Arm {
            name: name(),
            addresses: vec!["192.0.2.10/24".parse().unwrap()],
            like: "eth0".into(),
        },
        Effect::PutBack {
            name: name(),
            addresses: vec!["2001:db8::10/64".parse().unwrap()],
        },
        Effect::Listen {
            index: 2,
            name: "eth0".into(),
            groups: vec!["224.0.0.18".parse().unwrap()],
            macs: vec![(MacAddr::of_vhid(1), 1)],
            shared: vec![("192.0.2.10".parse().unwrap(), 1)],
            units: vec![name()],
            bridge: None,
        },
    ];
    let failure = Failure {
        errno: 1,
        why: "no".into(),
    };
    let mut all: Vec<Vec<u8>> = requests
        .iter()
        .map(|m| serde_json::to_vec(m).unwrap())
        .collect();
    all.extend(replies.iter().map(|m| serde_json::to_vec(m).unwrap()));
    all.extend(effects.map(|effect| serde_json::to_vec(&Order { id: 3, effect }).unwrap()));
    all.extend([Ok(3), Err(failure)].map(|result| {
        serde_json::to_vec(&Outcome {
            id: 3,
            result,
            said: Said::Nothing,
        })
        .unwrap()
    }));
    all.extend([Started::Ready, Started::Failed(refusal)].map(|m| serde_json::to_vec(&m).unwrap()));
    all
}

/// A message after some edits.
#[derive(Debug, Clone, TypeGenerator)]
struct Message {
    number: u16,
    #[generator(bolero::produce::<Vec<Edit>>().with().len(0..4usize))]
    edits: Vec<Edit>,
}

#[test]
fn command_lines() {
    bolero::check!()
        .with_generator(bolero::produce::<Vec<Piece>>().with().len(0..12usize))
        .with_test_time(TIME)
        .for_each(|pieces| {
            let line: Vec<OsString> = pieces.iter().map(Piece::text).collect();
            ifconfig(&line);
            // Most lines begin with an interface.
            let named: Vec<OsString> = std::iter::once("carp1".into()).chain(line).collect();
            ifconfig(&named);
        });
}

/// Bytes as an argv could carry them: anything but 0, in words.
#[test]
fn raw_command_lines() {
    bolero::check!()
        .with_max_len(128)
        .with_test_time(TIME)
        .for_each(|bytes: &[u8]| {
            let words = bytes.split(|byte| *byte <= b' ');
            let line: Vec<_> = words.map(|word| OsString::from_vec(word.into())).collect();
            ifconfig(&line);
            let named: Vec<OsString> = std::iter::once("carp1".into()).chain(line).collect();
            ifconfig(&named);
        });
}

#[test]
fn edited_messages() {
    let messages = messages();
    bolero::check!()
        .with_type::<Message>()
        .with_test_time(TIME)
        .for_each(|message| {
            let mut bytes = from(&messages, message.number).clone();
            for edit in &message.edits {
                edit.apply(&mut bytes, &messages);
            }
            decode(&bytes);
        });
}

#[test]
fn raw_messages() {
    bolero::check!()
        .with_max_len(512)
        .with_test_time(TIME)
        .for_each(|bytes: &[u8]| {
            decode(bytes);
            let mut from = bytes;
            // Nothing is allocated on the word of a header beyond the limit, nor read beyond the frame.
            if let Ok(body) = read_frame(&mut from, 64) {
                assert!(body.len() <= 64 && body.len() + 4 + from.len() == bytes.len());
            }
        });
}

#[test]
fn every_message_is_one() {
    let messages = messages();
    let read = |bytes: &Vec<u8>| {
        again::<Request>(bytes).is_some()
            || again::<Reply>(bytes).is_some()
            || again::<Order>(bytes).is_some()
            || again::<Outcome>(bytes).is_some()
            || again::<Started>(bytes).is_some()
    };
    assert_eq!(messages.iter().filter(|m| read(m)).count(), messages.len());
}
