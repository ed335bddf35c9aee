//! What the admin configured, as validated values; must not know how it was typed or what runs because of it.

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The number in `carpN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Unit(pub u16);

impl Unit {
    /// The highest unit a cloner makes.
    pub const MAX: u16 = 32767;

    /// Reads `carpN`: decimal, no sign, no leading zero, at most [`Unit::MAX`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let digits = name.strip_prefix("carp")?;
        let plain = digits.bytes().all(|b| b.is_ascii_digit())
            && (digits == "0" || !digits.starts_with('0'));
        let number = if plain {
            digits.parse().ok()?
        } else {
            return None;
        };
        (number <= Self::MAX).then_some(Self(number))
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "carp{}", self.0)
    }
}

/// An interface index of the kernel: which carpdev.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Carpdev(pub u32);

/// A virtual host id, 1 to 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Vhid(std::num::NonZeroU8);

impl Vhid {
    /// `None` for 0.
    #[must_use]
    pub fn new(number: u8) -> Option<Self> {
        std::num::NonZeroU8::new(number).map(Self)
    }

    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for Vhid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The highest advskew that may be configured; 255 is the goodbye's.
pub const ADVSKEW_MAX: u8 = 254;
/// The highest advbase that OpenBSD's ifconfig takes.
pub const ADVBASE_MAX: u8 = 254;
/// The significant length of a passphrase, in bytes.
pub const PASS_MAX: usize = 19;

/// The 20 bytes that authenticate a group. Never printed, wiped when dropped.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; 20]);

impl Key {
    /// The key of `pass PHRASE`: the first 19 bytes, zero filled. An empty phrase is the key of an unauthenticated group.
    #[must_use]
    pub fn from_pass(phrase: &[u8]) -> Self {
        let mut key = [0; 20];
        let used = phrase.len().min(PASS_MAX);
        key[..used].copy_from_slice(&phrase[..used]);
        Self(key)
    }

    /// The bytes for the keyed hash; do not keep a copy.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// One virtual host of a carp interface: OpenBSD's carpnode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Node {
    /// Which group.
    pub vhid: Vhid,
    /// 0 to [`ADVSKEW_MAX`], in 1/256 s.
    pub advskew: u8,
}

/// Where the stack sees the frames that a carpN receives.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum InputMode {
    /// On carpN, as on OpenBSD and NetBSD.
    #[default]
    Redirect,
    /// On carpdev, as on FreeBSD; carpN has the addresses and the state.
    Accept,
}

impl fmt::Display for InputMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redirect => "redirect",
            Self::Accept => "accept",
        })
    }
}

/// What moves frames between a carpdev and its carpN.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Dataplane {
    /// The best that can be had; never what is in use.
    #[default]
    Auto,
    /// eBPF programs on tcx links.
    Tcx,
    /// The same programs as filters of a clsact qdisc.
    Clsact,
    /// The daemon copies them.
    Copy,
}

impl Dataplane {
    /// All words, the default first.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Tcx, Self::Clsact, Self::Copy];

    /// As typed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
            Self::Copy => "copy",
        }
    }
}

impl std::str::FromStr for Dataplane {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|plane| plane.word() == typed);
        found.ok_or_else(|| format!("it is one of {}", Self::ALL.map(Self::word).join(", ")))
    }
}

impl fmt::Display for Dataplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The configuration of one carpN.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Config {
    /// The UP flag.
    pub up: bool,
    /// The parent's name as typed; the name, not the index, survives its re-creation.
    pub carpdev: Option<String>,
    /// The virtual hosts, ascending by vhid; empty until `vhid` was given. First light knows at most one.
    pub nodes: Vec<Node>,
    /// Skew given before the first vhid; `nodes` holds it afterwards.
    pub advskew: u8,
    /// Seconds between advertisements, 0 to [`ADVBASE_MAX`].
    pub advbase: u8,
    /// The key of `pass`.
    pub key: Key,
    /// The shared addresses with their prefix lengths, in order of configuration.
    pub addresses: Vec<IpNetwork>,
    /// Where received frames are seen.
    pub input: InputMode,
    /// What leaves carpN is shown to who looks there, whatever it costs.
    pub capture: bool,
}

impl Default for Config {
    /// A carpN just created.
    fn default() -> Self {
        Self {
            up: false,
            carpdev: None,
            nodes: Vec::new(),
            advskew: 0,
            advbase: 1,
            key: Key::default(),
            addresses: Vec::new(),
            input: InputMode::Redirect,
            capture: false,
        }
    }
}

/// `net.inet.carp.*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Settings {
    /// Receive advertisements at all.
    pub allow: bool,
    /// Take over from a slower MASTER.
    pub preempt: bool,
    /// Syslog level 0 to 7 of what is logged about packets and transitions.
    pub log: u8,
    /// Send counters that hosts of ours recognise, and reject advertisements that were heard before, as far as the sender
    /// makes that possible.
    pub replay: bool,
    /// Which data plane is wanted; the protocol does not read it.
    pub dataplane: Dataplane,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow: true,
            preempt: false,
            log: 2,
            replay: true,
            dataplane: Dataplane::Auto,
        }
    }
}

/// What a virtual host is, as `ifconfig` prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Not taking part: something is missing, down or not configured.
    Init,
    /// Listening.
    Backup,
    /// Owning the shared addresses.
    Master,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Init => "INIT",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_names_are_plain_decimals() {
        assert_eq!(Unit::from_name("carp0"), Some(Unit(0)));
        assert_eq!(Unit::from_name("carp32767"), Some(Unit(32767)));
        for bad in [
            "carp",
            "carp01",
            "carp32768",
            "carp+1",
            "carp1x",
            "eth0",
            "carp99999999999",
        ] {
            assert_eq!(Unit::from_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_nineteen_bytes_of_a_phrase_count() {
        assert_eq!(
            Key::from_pass(b"0123456789abcdefghiXYZ"),
            Key::from_pass(b"0123456789abcdefghi")
        );
        assert_eq!(Key::from_pass(b"").as_bytes(), &[0; 20]);
        assert_eq!(format!("{:?}", Key::from_pass(b"secret")), "Key(..)");
    }
}
