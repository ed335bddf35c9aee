//! The words of ifconfig as data: name, negation, argument, range, one line of help; must not know how a line is read.
#![forbid(unsafe_code)]

use super::argument;
pub use super::sense::{Read, Sense, Word};
use crate::carp::config::{ADVSKEW_MAX, Lladdr};
use crate::control::{Change, Family};
use std::fmt::Write;

const fn word(
    name: &'static str,
    argument: &'static str,
    sense: Sense,
    help: &'static str,
) -> Word {
    Word {
        name,
        negation: None,
        argument,
        sense,
        help,
    }
}

const fn later(name: &'static str, negation: Option<&'static str>) -> Word {
    Word {
        name,
        negation,
        argument: "",
        sense: Sense::Later,
        help: "not supported yet",
    }
}

const VHID: Sense = Sense::Number {
    least: 1,
    most: 255,
    make: Change::Vhid,
};
const ADVBASE: Sense = Sense::Number {
    least: 0,
    most: u8::MAX,
    make: Change::Advbase,
};
const ADVSKEW: Sense = Sense::Number {
    least: 0,
    most: ADVSKEW_MAX,
    make: Change::Advskew,
};

const LINK: Sense = Sense::Refused(
    "a carp interface has no link flags; OpenBSD 4.2 said balancing with them, later systems use the word balancing",
);

/// Every word that stands after an interface's name; what is not here is an address.
pub static WORDS: &[Word] = &[
    word(
        "create",
        "",
        Sense::Plain(|| Change::Create),
        "make the interface; any other word makes a missing one, too",
    ),
    word(
        "destroy",
        "",
        Sense::Plain(|| Change::Destroy),
        "say goodbye and remove the interface",
    ),
    word(
        "up",
        "",
        Sense::Plain(|| Change::Up),
        "take part; an address does this, too",
    ),
    word(
        "down",
        "",
        Sense::Plain(|| Change::Down),
        "say goodbye and take no part; the configuration stays",
    ),
    word("vhid", "n", VHID, "the group, 1 to 255"),
    word(
        "pass",
        "phrase",
        Sense::Pass,
        "the group's passphrase, 19 bytes count; - reads it from standard input",
    ),
    word(
        "passfile",
        "path",
        Sense::Passfile,
        "the passphrase is the first line of this file",
    ),
    word(
        "advbase",
        "n",
        ADVBASE,
        "seconds between advertisements, 0 to 255; OpenBSD takes 254 at most",
    ),
    word(
        "advskew",
        "n",
        ADVSKEW,
        "1/256 seconds added to advbase, 0 to 254: the higher, the later MASTER",
    ),
    word(
        "state",
        "state",
        Sense::State,
        "go to init, backup or master now",
    ),
    word(
        "input",
        "mode",
        Sense::Input,
        "where received frames are seen: redirect (on carpN) or accept (on carpdev)",
    ),
    Word {
        negation: Some("-capture"),
        ..word(
            "capture",
            "",
            Sense::Switch(Change::Capture),
            "show what leaves carpN to who listens there, at some cost",
        )
    },
    word(
        "carpdev",
        "if",
        Sense::Carpdev,
        "the interface that carries the group",
    ),
    word(
        "-carpdev",
        "",
        Sense::Plain(|| Change::Carpdev(None)),
        "say goodbye and be carried by none; the rest stays",
    ),
    word(
        "inet",
        "",
        Sense::Family(Family::Inet),
        "the address is IPv4, as without it",
    ),
    word(
        "inet6",
        "",
        Sense::Family(Family::Inet6),
        "the address is IPv6",
    ),
    Word {
        negation: Some("-alias"),
        ..word(
            "alias",
            "",
            Sense::Alias,
            "add the address, replace none; -alias removes it",
        )
    },
    word(
        "delete",
        "",
        Sense::Delete,
        "remove the address; without one the first inet one",
    ),
    word(
        "netmask",
        "mask",
        Sense::Netmask,
        "as 255.255.255.0 or 0xffffff00; else /n, prefixlen, or by class",
    ),
    word(
        "prefixlen",
        "n",
        Sense::Prefixlen,
        "the prefix length; an inet6 address has 64 without it",
    ),
    word(
        "broadcast",
        "address",
        Sense::Broadcast,
        "taken when it is the network's, which it is anyway",
    ),
    word(
        "-inet",
        "",
        Sense::Plain(|| Change::Detach(Family::Inet)),
        "remove all IPv4 addresses",
    ),
    word(
        "-inet6",
        "",
        Sense::Plain(|| Change::Detach(Family::Inet6)),
        "remove all IPv6 addresses",
    ),
    word(
        "carpnodes",
        "vhid:skew",
        Sense::Argument(argument::carpnodes),
        "vhid and advskew of each of up to 32 virtual hosts",
    ),
    word(
        "balancing",
        "mode",
        Sense::Argument(argument::balancing),
        "how several virtual hosts share: arp, ip, ip-stealth, ip-unicast",
    ),
    word(
        "hash",
        "mode",
        Sense::Argument(argument::hash),
        "by what an asker is assigned to one: source, mac; mac,be mac,order mac,be,order",
    ),
    word(
        "-hash",
        "",
        Sense::Plain(|| Change::Hash(None)),
        "as the BSD with this way of balancing does",
    ),
    Word {
        negation: Some("-drain"),
        ..word(
            "drain",
            "",
            Sense::Switch(Change::Drain),
            "leave the addresses to other hosts as long as there is one",
        )
    },
    word(
        "undrain",
        "",
        Sense::Plain(|| Change::Drain(false)),
        "as -drain",
    ),
    word(
        "carppeer",
        "a,...",
        Sense::Argument(argument::peers),
        "advertise to these IPv4 hosts instead of the multicast group",
    ),
    word(
        "-carppeer",
        "",
        Sense::Plain(|| Change::Peers(Family::Inet, Vec::new())),
        "advertise to the IPv4 multicast group again",
    ),
    word(
        "peer",
        "a,...",
        Sense::Argument(argument::peers),
        "as carppeer",
    ),
    word(
        "peer6",
        "a,...",
        Sense::Argument(argument::peers6),
        "advertise to these IPv6 hosts instead of the multicast group",
    ),
    word(
        "mcast",
        "",
        Sense::Plain(|| Change::Peers(Family::Inet, Vec::new())),
        "as -carppeer",
    ),
    word(
        "mcast6",
        "",
        Sense::Plain(|| Change::Peers(Family::Inet6, Vec::new())),
        "advertise to the IPv6 multicast group again",
    ),
    word(
        "lladdr",
        "address",
        Sense::Argument(argument::lladdr),
        "an Ethernet address for the group, or carpdev: the parent's own",
    ),
    word(
        "-lladdr",
        "",
        Sense::Plain(|| Change::Lladdr(Lladdr::Virtual)),
        "the virtual Ethernet address of the vhid again",
    ),
    word(
        "description",
        "text",
        Sense::Argument(argument::description),
        "a text for people; also descr",
    ),
    word(
        "descr",
        "text",
        Sense::Argument(argument::description),
        "as description",
    ),
    word(
        "-description",
        "",
        Sense::Plain(|| Change::Description(None)),
        "no description; also -descr",
    ),
    word(
        "-descr",
        "",
        Sense::Plain(|| Change::Description(None)),
        "as -description",
    ),
    word(
        "group",
        "name",
        Sense::Argument(argument::group),
        "join an interface group",
    ),
    word(
        "-group",
        "name",
        Sense::Argument(argument::leave_group),
        "leave an interface group",
    ),
    word(
        "mtu",
        "n",
        Sense::Argument(argument::mtu),
        "the MTU; the carpdev's where that is smaller",
    ),
    word(
        "metric",
        "n",
        Sense::Argument(argument::metric),
        "the interface metric, kept and shown",
    ),
    word(
        "debug",
        "",
        Sense::Plain(|| Change::Debug(true)),
        "the DEBUG flag, kept and shown",
    ),
    word(
        "-debug",
        "",
        Sense::Plain(|| Change::Debug(false)),
        "no DEBUG flag",
    ),
    word(
        "rdomain",
        "0",
        Sense::Argument(argument::rdomain),
        "0 is the only routing domain",
    ),
    word(
        "-rdomain",
        "",
        Sense::Nothing,
        "routing domain 0, as always",
    ),
    word(
        "link0",
        "",
        LINK,
        "refused: no link flag means anything here",
    ),
    word("link1", "", LINK, "as link0"),
    word("link2", "", LINK, "as link0"),
    word("-link0", "", Sense::Nothing, "no link flag is set anyway"),
    word("-link1", "", Sense::Nothing, "as -link0"),
    word("-link2", "", Sense::Nothing, "as -link0"),
    later("anycast", Some("-anycast")),
    later("arp", Some("-arp")),
    later("autoconf", Some("-autoconf")),
    later("autoconf4", Some("-autoconf4")),
    later("autoconfprivacy", Some("-autoconfprivacy")),
    later("eui64", None),
    later("llprio", None),
    later("pltime", None),
    later("priority", None),
    later("rtlabel", Some("-rtlabel")),
    later("tentative", Some("-tentative")),
    later("vltime", None),
];

/// The entry of a typed word, and whether it was its negation.
#[must_use]
pub fn find(typed: &str) -> Option<(&'static Word, bool)> {
    let named = |word: &&Word| word.name == typed || word.negation == Some(typed);
    WORDS
        .iter()
        .find(named)
        .map(|word| (word, word.name != typed))
}

/// The words with their lines of help.
#[must_use]
pub fn help() -> String {
    let mut text = String::from(
        "Words after an interface's name, in any order; what is none of them is an address:\n",
    );
    for word in WORDS
        .iter()
        .filter(|word| !matches!(word.sense, Sense::Later))
    {
        let typed = format!("{} {}", word.name, word.argument);
        // Writing into a String does not fail.
        let _ = writeln!(text, "  {typed:<18} {}", word.help);
    }
    text
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
