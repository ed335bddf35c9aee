//! Files of /etc/carp and of the BSDs: raw, made of what they are made of, and written from configurations.

use crate::TIME;
use crate::corpus::from;
use crate::texts::{Piece, refused};
use bolero::TypeGenerator;
use carp::carp::config::{Balancing, Config, InputMode, Key, Lladdr, Node, Selector, Unit, Vhid};
use carp::cli::files::hostname::{self, What};
use carp::cli::files::{canonical, shell};
use carp::cli::ifconfig::parse::{Phrase, Typed};
use carp::cli::import::import;
use carp::control::plan::{self, Plan};
use carp::control::{Change, Dumped, MacAddr};
use ipnetwork::IpNetwork;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;

/// What stands between words: mostly what keeps them apart.
const BETWEEN: &[&[u8]] = &[
    b" ", b" ", b" ", b"\n", b"\n", b"\t", b" \\\n ", b"", b" # ", b"\n!", b"'", b"\"", b"\\",
    b"$", b"\n#", b"NONE", b"\0",
];
/// What makes an rc.conf.
const VARIABLES: &[&str] = &[
    "cloned_interfaces=\"carp0 carp1\"",
    "cloned_interfaces=\"${cloned_interfaces} carp7\"",
    "ifconfig_em0=\"inet 192.0.2.11/24\"",
    "ifconfig_carp0=\"vhid 1 advskew 100 pass secret 192.0.2.1/24\"",
    "ifconfig_carp0_alias0=\"192.0.2.2/32\"",
    "ipv6_ifconfig_carp0=\"2001:db8::1\"",
    "ifconfig_carp1=\"create;vhid 2 carpdev em0 192.0.2.3/24\"",
    "ifconfig_em0_alias0=\"inet vhid 1 pass x alias 192.0.2.1/32\"",
    "ifconfig_em0_aliases=\"inet vhid 3 192.0.2.4/32 inet6 vhid 3 2001:db8::4/64\"",
    "a=\"$a$a$a x\"",
    "ifconfig_carp2=\"$a $(id)\"",
    ". /etc/carp.rc",
];

/// Some text for a file.
#[derive(Debug, Clone, TypeGenerator)]
enum Part {
    Word(Piece),
    Between(u16),
    Variable(u16),
}

fn text(parts: &[Part]) -> Vec<u8> {
    let mut text = Vec::new();
    for part in parts {
        match part {
            Part::Word(piece) => {
                text.extend(piece.text().as_bytes());
                text.push(b' ');
            }
            Part::Between(n) => text.extend(*from(BETWEEN, *n)),
            Part::Variable(n) => {
                text.extend(from(VARIABLES, *n).as_bytes());
                text.push(b'\n');
            }
        }
    }
    text
}

/// The configuration of a file, if it is one.
fn loaded(text: &[u8]) -> Option<Config> {
    let entries = match hostname::read(Unit(1), text, &|_, _| None) {
        Ok(entries) => entries,
        Err(wrong) => {
            assert!(!wrong.is_empty());
            wrong.iter().for_each(|(number, refusal)| {
                assert!(*number > 0);
                refused(refusal);
            });
            return None;
        }
    };
    let mut lines = Vec::new();
    for entry in entries {
        let What::Line(typed) = entry.what else {
            continue;
        };
        let change = |typed| match typed {
            Typed::Change(change) => Some(change),
            Typed::Pass(Phrase::Here(phrase)) => Some(Change::Pass(Key::from_pass(&phrase))),
            Typed::Pass(Phrase::StandardInput) => panic!("a file has no standard input"),
            Typed::Pass(Phrase::File(_)) => None,
        };
        lines.push(typed.into_iter().filter_map(change).collect());
    }
    match plan::load(&lines, Ok) {
        Ok(Plan::Become { config, .. }) => Some(*config),
        Ok(Plan::Destroy) => panic!("a file destroys nothing"),
        Err((line, refusal)) => {
            assert!(line < lines.len());
            refused(&refusal);
            None
        }
    }
}

/// Written and read it is the same, in lines that can be shown.
fn is_kept(config: &Config) {
    let keyed = config.key != Key::default();
    let dumped = Dumped {
        unit: Unit(1),
        config: config.clone(),
        keyed,
    };
    let lines = canonical::lines(&dumped);
    assert!(
        lines.iter().all(|line| !line.contains(char::is_control)),
        "{lines:?}"
    );
    assert_eq!(canonical::difference(&lines, &lines), "");
    let text = lines.join("\n");
    // Standard input's word cannot be written otherwise, and a file has none.
    if lines.iter().any(|line| line == "pass -") {
        return;
    }
    assert_eq!(loaded(text.as_bytes()).as_ref(), Some(config), "{text}");
}

fn files(bytes: &[u8]) {
    if let Some(config) = loaded(bytes) {
        is_kept(&config);
    }
    let renamed = BTreeMap::from([("em0".to_owned(), "eth0".to_owned())]);
    for name in [
        "rc.conf",
        "ifconfig.carp1",
        "ifconfig.em0",
        "hostname.carp1",
    ] {
        let imported = import(name, bytes, &renamed, &|_, _| None);
        for (_, refusal) in imported.wrong.iter().chain(&imported.notes) {
            refused(refusal);
        }
        for file in &imported.files {
            let read = hostname::read(Unit(1), file.text.as_bytes(), &|_, _| None);
            let pass = file.text.contains("pass -\n");
            assert!(read.is_ok() || pass, "{}: {read:?}", *file.text);
        }
    }
}

/// A configuration, and the addresses it has.
#[derive(Debug, Clone, TypeGenerator)]
struct Wanted {
    up: bool,
    carpdev: bool,
    vhid: u8,
    #[generator(0..255)]
    advskew: u8,
    advbase: u8,
    #[generator(bolero::produce::<Vec<u8>>().with().len(0..22usize))]
    pass: Vec<u8>,
    #[generator(bolero::produce::<Vec<(u8, bool, u8)>>().with().len(0..6usize))]
    addresses: Vec<(u8, bool, u8)>,
    #[generator(bolero::produce::<Vec<(u8, bool)>>().with().len(0..4usize))]
    peers: Vec<(u8, bool)>,
    #[generator(0..4)]
    lladdr: u8,
    #[generator(0..8)]
    groups: u8,
    #[generator(bolero::produce::<Vec<u8>>().with().len(0..20usize))]
    description: Vec<u8>,
    #[generator(0..2000)]
    mtu: u16,
    debug: bool,
    #[generator(0..3)]
    metric: u8,
    /// 0: one virtual host.
    #[generator(0..5)]
    balancing: u8,
    /// 5: none.
    #[generator(0..6)]
    hash: u8,
    drain: bool,
}

/// The groups whose bits are set, the family group the last bit.
fn groups(bits: u8) -> Vec<String> {
    let names = ["carp", "ha", "wan-side"];
    let set = (0..3).filter(|bit| bits >> (2 - bit) & 1 == 1);
    set.map(|bit| names[bit].to_owned()).collect()
}

/// Each once, those of a family together.
fn peers(numbers: &[(u8, bool)]) -> Vec<IpAddr> {
    let peer = |(host, inet6): &(u8, bool)| -> IpAddr {
        if *inet6 {
            format!("2001:db8::ff{host:02x}").parse().unwrap()
        } else {
            [198, 51, 100, *host].into()
        }
    };
    let mut peers: Vec<IpAddr> = Vec::new();
    for peer in numbers.iter().map(peer) {
        if !peers.contains(&peer) {
            peers.push(peer);
        }
    }
    let first = peers.first().is_some_and(IpAddr::is_ipv6);
    peers.sort_by_key(|peer| peer.is_ipv6() != first);
    peers
}

impl Wanted {
    fn config(&self) -> Config {
        let mut addresses: Vec<IpNetwork> = Vec::new();
        for (host, inet6, prefix) in &self.addresses {
            let (ip, whole): (IpAddr, u8) = if *inet6 {
                (format!("2001:db8::{host:x}").parse().unwrap(), 128)
            } else {
                ([192, 0, 2, *host].into(), 32)
            };
            if addresses.iter().all(|held| held.ip() != ip) {
                addresses.push(IpNetwork::new(ip, 1 + prefix % whole).unwrap());
            }
        }
        let node = |number, advskew| Vhid::new(number).map(|vhid| Node { vhid, advskew });
        let first = node(self.vhid, self.advskew);
        let balancing = Balancing::ALL[usize::from(self.balancing)];
        let several = balancing != Balancing::None && (1..255).contains(&self.vhid);
        let second = node(self.vhid.saturating_add(1), self.metric).filter(|_| several);
        Config {
            up: self.up,
            carpdev: self.carpdev.then(|| "eth0".to_owned()),
            nodes: first.into_iter().chain(second).collect(),
            balancing: if several { balancing } else { Balancing::None },
            hash: Selector::ALL.get(usize::from(self.hash)).copied(),
            drain: self.drain,
            advskew: self.advskew,
            advbase: self.advbase,
            // No word holds a byte 0.
            key: Key::from_pass(
                &self
                    .pass
                    .iter()
                    .copied()
                    .filter(|b| *b != 0)
                    .collect::<Vec<_>>(),
            ),
            addresses,
            peers: peers(&self.peers),
            lladdr: match self.lladdr {
                _ if several => Lladdr::Virtual,
                0 => Lladdr::Carpdev,
                1 => Lladdr::Chosen(MacAddr([2, 0, 0, 0, 0, self.vhid])),
                _ => Lladdr::Virtual,
            },
            groups: groups(self.groups),
            description: Some(String::from_utf8_lossy(&self.description).replace('\0', ""))
                .filter(|text| !text.is_empty()),
            mtu: (self.mtu >= 1280).then_some(self.mtu.into()),
            debug: self.debug,
            metric: self.metric.into(),
            input: if self.debug {
                InputMode::Accept
            } else {
                InputMode::Redirect
            },
            capture: self.up,
        }
    }
}

#[test]
fn a_dump_is_read_as_what_it_was_written_from() {
    bolero::check!()
        .with_type::<Wanted>()
        .with_test_time(TIME)
        .for_each(|wanted| is_kept(&wanted.config()));
}

#[test]
fn made_files() {
    bolero::check!()
        .with_generator(bolero::produce::<Vec<Part>>().with().len(0..24usize))
        .with_test_time(TIME)
        .for_each(|parts| files(&text(parts)));
}

#[test]
fn raw_files() {
    bolero::check!()
        .with_max_len(512)
        .with_test_time(TIME)
        .for_each(files);
}

#[test]
fn words_are_quoted_so_that_they_are_read_again() {
    bolero::check!()
        .with_max_len(64)
        .with_test_time(TIME)
        .for_each(|bytes: &[u8]| {
            let word: Vec<u8> = bytes.iter().copied().filter(|b| *b != 0).collect();
            let word = OsStr::from_bytes(&word);
            let written = shell::quote(word);
            assert!(!written.contains(char::is_control), "{written:?}");
            assert_eq!(
                shell::Reader::new(written.as_bytes()).words().unwrap(),
                [word]
            );
        });
}
