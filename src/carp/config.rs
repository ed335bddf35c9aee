//! What the admin configured, as validated values; must not know how it was typed or what runs because of it.

mod balancing;

pub use balancing::{Balancing, Selector};

use crate::wire::{Family, MacAddr};
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
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

    /// The phrase as far as it counts. It holds no byte 0, which no command line can.
    #[must_use]
    pub fn phrase(&self) -> &[u8] {
        let last = self.0.iter().rposition(|byte| *byte != 0);
        &self.0[..last.map_or(0, |at| at + 1)]
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

/// Virtual hosts of one carpN, as in OpenBSD.
pub const NODES_MAX: usize = 32;

/// The interface group that every carpN is born into, as OpenBSD's family group.
pub const FAMILY_GROUP: &str = "carp";
/// The longest description, in bytes: OpenBSD's IFDESCRSIZE without its zero.
pub const DESCRIPTION_MAX: usize = 63;

/// Which Ethernet address carpN has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Lladdr {
    /// 00:00:5e:00:01 and the vhid.
    #[default]
    Virtual,
    /// One chosen by the admin. It is part of the digest, so all hosts of the group have the same.
    Chosen(MacAddr),
    /// The carpdev's own, where a second address is not let through. Not part of the digest.
    Carpdev,
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

impl InputMode {
    /// Both, the default first.
    pub const ALL: [Self; 2] = [Self::Redirect, Self::Accept];
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
    /// The virtual hosts, ascending by vhid, at most [`NODES_MAX`]; empty until `vhid` was given. The first is the leader.
    pub nodes: Vec<Node>,
    /// How they share what is sent to the addresses.
    pub balancing: Balancing,
    /// By what an asker is assigned to one of several virtual hosts; `None`: as the BSD with this way of balancing does.
    pub hash: Option<Selector>,
    /// Another host shall be MASTER wherever there is one.
    pub drain: bool,
    /// Skew given before the first vhid; `nodes` holds it afterwards.
    pub advskew: u8,
    /// Seconds between advertisements.
    pub advbase: u8,
    /// The key of `pass`.
    pub key: Key,
    /// The shared addresses with their prefix lengths, in order of configuration.
    pub addresses: Vec<IpNetwork>,
    /// Hosts that advertisements go to instead of the multicast group; a family without one advertises to its group.
    pub peers: Vec<IpAddr>,
    /// The Ethernet address.
    pub lladdr: Lladdr,
    /// The interface groups in the order in which they were joined; all but `all`, which has everybody.
    pub groups: Vec<String>,
    /// For people.
    pub description: Option<String>,
    /// As asked for; the carpdev's where that is smaller or none was asked for.
    pub mtu: Option<u32>,
    /// The DEBUG flag, kept and shown.
    pub debug: bool,
    /// The interface metric, kept and shown.
    pub metric: u32,
    /// Where received frames are seen.
    pub input: InputMode,
    /// What leaves carpN is shown to who looks there, whatever it costs.
    pub capture: bool,
}

impl Config {
    /// The Ethernet address of one vhost; the lowest vhid has carpN's own. `carpdev` is that of the parent, if there is one.
    #[must_use]
    pub fn mac(&self, vhid: Vhid, carpdev: Option<MacAddr>) -> MacAddr {
        let lowest = self.nodes.first().is_none_or(|node| node.vhid == vhid);
        match (self.lladdr, carpdev) {
            (Lladdr::Chosen(mac), _) if lowest => mac,
            (Lladdr::Carpdev, Some(mac)) => mac,
            _ => MacAddr::of_vhid(vhid.get()),
        }
    }

    /// What who asks for an address is told: [`Config::mac`], but for balancing ip, where a multicast address stands for it.
    #[must_use]
    pub fn told_mac(&self, vhid: Vhid, carpdev: Option<MacAddr>) -> MacAddr {
        match (self.lladdr, self.balancing) {
            (Lladdr::Virtual, Balancing::Ip) => MacAddr([1, 0, 0x5e, 0, 1, vhid.get()]),
            _ => self.mac(vhid, carpdev),
        }
    }

    /// What of the Ethernet address the digest of this vhost covers.
    #[must_use]
    pub fn hashed_mac(&self, vhid: Vhid) -> Option<MacAddr> {
        let mac = self.mac(vhid, None);
        (mac != MacAddr::of_vhid(vhid.get())).then_some(mac)
    }

    /// The unicast peers of a family; none: it advertises to its group.
    pub fn peers(&self, family: Family) -> impl Iterator<Item = IpAddr> + '_ {
        let peers = self.peers.iter().copied();
        peers.filter(move |peer| Family::of(*peer) == family)
    }
}

impl Default for Config {
    /// A carpN just created.
    fn default() -> Self {
        Self {
            up: false,
            carpdev: None,
            nodes: Vec::new(),
            balancing: Balancing::None,
            hash: None,
            drain: false,
            advskew: 0,
            advbase: 1,
            key: Key::default(),
            addresses: Vec::new(),
            peers: Vec::new(),
            lladdr: Lladdr::Virtual,
            groups: vec![FAMILY_GROUP.to_owned()],
            description: None,
            mtu: None,
            debug: false,
            metric: 0,
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
    /// Added to every advskew, within 0 to 240: what was written to net.inet.carp.demotion, summed up.
    pub demotion: i32,
    /// What one carpN with send errors adds to the demotion; from 240 on it demotes the groups of carpN, too.
    pub senderr_demotion_factor: i32,
    /// What one vhost on a carpdev that is down adds, likewise.
    pub ifdown_demotion_factor: i32,
    /// Differentiated services code point of advertisements, 0 to 63.
    pub dscp: u8,
    /// Seconds for which another address list is borne with after a change.
    pub grace: u16,
    /// Several carpN of a carpdev that have an address in common share its askers.
    pub arpbalance: bool,
    /// Which data plane is wanted; the protocol does not read it.
    pub dataplane: Dataplane,
}

/// [`Settings::dscp`] unless set: TOS 0x10 over IPv4. Over IPv6 it stands for traffic class 0, as OpenBSD sends it.
pub const DSCP: u8 = 4;
/// Demotions of this much and more are counted in interface groups and told to the peers.
pub const DEMOTED: i32 = 240;

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow: true,
            preempt: false,
            log: 2,
            replay: true,
            demotion: 0,
            senderr_demotion_factor: DEMOTED,
            ifdown_demotion_factor: DEMOTED,
            dscp: DSCP,
            grace: 300,
            arpbalance: false,
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
