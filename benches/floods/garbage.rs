//! Bad packets of five kinds, in the form of CARP and, for keepalived, of VRRP version 2; must not know who gets them.

use carp::wire::MacAddr;
use clap::ValueEnum;
use serde::Serialize;

/// What is wrong with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The right group, and a digest or password of somebody else.
    Digest,
    /// Version 3.
    Version,
    /// TTL 254: through a router.
    Ttl,
    /// Fewer bytes than the header has.
    Truncated,
    /// Random bytes behind a good IP header.
    Random,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Digest,
        Self::Version,
        Self::Ttl,
        Self::Truncated,
        Self::Random,
    ];
}

/// Which protocol the packets pretend to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Version 2, 36 bytes.
    Carp,
    /// Version 2 with a password in clear, 20 bytes.
    Vrrp,
}

/// Different packets of a kind.
const VARIETY: u64 = 64;

impl Form {
    /// The group of whoever speaks it: keepalived stops advertising when it hears CARP in its own.
    pub const fn group(self) -> u8 {
        match self {
            Self::Carp => 1,
            Self::Vrrp => 3,
        }
    }
}

/// Frames to send in turn.
pub fn frames(kind: Kind, form: Form) -> Vec<Vec<u8>> {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    (0..VARIETY)
        .map(|number| {
            let ttl = if kind == Kind::Ttl { 254 } else { 255 };
            frame(ttl, &payload(kind, form, number, &mut dice))
        })
        .collect()
}

fn payload(kind: Kind, form: Form, number: u64, dice: &mut Dice) -> Vec<u8> {
    let (mut bytes, sum) = match form {
        Form::Carp => {
            let mut bytes = vec![0x21, form.group(), 0, 7, 0, 1, 0, 0];
            bytes.extend((0..28).map(|_| dice.byte()));
            (bytes, 6)
        }
        Form::Vrrp => {
            let mut bytes = vec![0x21, form.group(), 200, 1, 1, 1, 0, 0, 192, 0, 2, 3];
            bytes.extend((0..8).map(|_| dice.byte()));
            (bytes, 6)
        }
    };
    match kind {
        Kind::Digest | Kind::Ttl => {}
        Kind::Version => bytes[0] = 0x31,
        Kind::Truncated => bytes.truncate(usize::try_from(number).unwrap_or(0) % bytes.len()),
        Kind::Random => bytes.iter_mut().for_each(|byte| *byte = dice.byte()),
    }
    if kind != Kind::Random && bytes.len() > sum + 1 {
        repair(&mut bytes, sum);
    }
    bytes
}

/// From nobody's address, to all that listen to either protocol.
fn frame(ttl: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX);
    let mut header = vec![0x45, 0x10];
    header.extend(length.to_be_bytes());
    header.extend([0, 0, 0x40, 0, ttl, 112, 0, 0]);
    header.extend([192, 0, 2, 99]);
    header.extend([224, 0, 0, 18]);
    repair(&mut header, 10);
    let from = MacAddr([2, 0, 0, 0, 0, 99]);
    let to = MacAddr([1, 0, 0x5e, 0, 0, 0x12]);
    [&to.0[..], &from.0, &[8, 0], &header, payload].concat()
}

/// Makes the Internet checksum at `at` right.
fn repair(bytes: &mut [u8], at: usize) {
    bytes[at..at + 2].fill(0);
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [.., high, low] = (!sum).to_be_bytes();
    bytes[at..at + 2].copy_from_slice(&[high, low]);
}

/// Small and repeatable.
struct Dice(u64);

impl Dice {
    fn byte(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.to_be_bytes()[0]
    }
}
