//! `netstat`: the protocol's counters (`-s -p carp`) in each system's words, the interfaces' (`-i`), and the hosts heard
//! (`peers`); must not know when anything is counted.
#![forbid(unsafe_code)]

mod interfaces;
mod peers;

use super::personality::Personality;
use super::{because, plain, refuse, say, start};
use crate::control::{Refusal, Reply, Request, Stats};
use Words::{All, Each, Ours};
use std::fmt::Write;
use std::process::ExitCode;

/// Under this name errors are printed.
const NAME: &str = "netstat";
const SOMETHING_ELSE: &str = "the carp daemon answered something else";

/// What `carp netstat` takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Show the hosts heard, and what protects against replays of their advertisements
    #[arg(value_name = "peers", exclusive = true)]
    what: Option<What>,
    /// Show the counters of the protocol; twice: only those that are not 0
    #[arg(short, action = clap::ArgAction::Count)]
    statistics: u8,
    /// Of this protocol; there is only carp
    #[arg(short, value_name = "protocol")]
    protocol: Option<String>,
    /// Also what no BSD counts
    #[arg(short)]
    verbose: bool,
    /// Show the frames that passed each carp interface
    #[arg(short, conflicts_with_all = ["statistics", "protocol", "verbose"])]
    interfaces: bool,
    /// Only of this interface, as with -i
    #[arg(short = 'I', value_name = "interface", conflicts_with_all = ["statistics", "protocol", "verbose"])]
    interface: Option<String>,
    /// With -i or -I bytes instead of frames
    #[arg(short)]
    bytes: bool,
    /// Nothing: addresses are shown as numbers anyway
    #[arg(short)]
    numeric: bool,
    /// In the words of openbsd, freebsd9, freebsd or netbsd
    #[arg(long = "as", value_name = "personality")]
    personality: Option<String>,
}

/// What is shown by a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    Peers,
}

/// One line.
struct Line {
    get: fn(&Stats) -> u64,
    /// Behind the number; `%` is an s unless the number is 1.
    words: Words,
    /// A part of the line of packets above it.
    part: bool,
}

/// Who has a line, and how it is said there.
enum Words {
    /// All of them alike.
    All(&'static str),
    /// OpenBSD, FreeBSD of any age and NetBSD; empty where it is not counted.
    Each([&'static str; 3]),
    /// No BSD.
    Ours(&'static str),
}

impl Words {
    /// As that system says it; ours only for who wants all.
    const fn of(&self, personality: Personality, verbose: bool) -> Option<&'static str> {
        let words = match self {
            Self::All(words) => words,
            Self::Each([openbsd, freebsd, netbsd]) => match personality {
                Personality::Openbsd => openbsd,
                Personality::Freebsd9 | Personality::Freebsd => freebsd,
                Personality::Netbsd => netbsd,
            },
            Self::Ours(words) if verbose => words,
            Self::Ours(_) => "",
        };
        if words.is_empty() { None } else { Some(words) }
    }
}

const fn line(get: fn(&Stats) -> u64, words: Words) -> Line {
    Line {
        get,
        words,
        part: false,
    }
}

const fn part(get: fn(&Stats) -> u64, words: Words) -> Line {
    Line {
        part: true,
        ..line(get, words)
    }
}

/// The BSDs' order and words (ifconfig-carp.md 9), with ours where they belong.
static LINES: [Line; 21] = [
    line(|s| s.ipackets, All("packet% received (IPv4)")),
    line(|s| s.ipackets6, All("packet% received (IPv6)")),
    part(|s| s.badif, Each([BADIF, "", BADIF])),
    part(|s| s.badttl, All("packet% discarded for wrong TTL")),
    part(|s| s.hdrops, All("packet% shorter than header")),
    part(
        |s| s.badsum,
        Each([
            "discarded for bad checksum%",
            "discarded for bad checksum%",
            "packet% discarded for bad checksum",
        ]),
    ),
    part(
        |s| s.badver,
        Each([
            "discarded packet% with a bad version",
            "discarded packet% with a bad version",
            "packet% discarded with a bad version",
        ]),
    ),
    part(
        |s| s.badlen,
        Each([
            "discarded because packet too short",
            "discarded because packet too short",
            "discarded because packet was too short",
        ]),
    ),
    part(
        |s| s.badauth,
        Each([
            "discarded for bad authentication",
            "discarded for bad authentication",
            "packet% discarded for bad authentication",
        ]),
    ),
    part(
        |s| s.badvhid,
        Each([
            "discarded for unknown vhid",
            "discarded for bad vhid",
            "packet% discarded for bad vhid",
        ]),
    ),
    part(
        |s| s.badaddrs,
        Each([
            "discarded because of a bad address list",
            "discarded because of a bad address list",
            "packet% discarded because of a bad address list",
        ]),
    ),
    part(|s| s.badreplay, Ours("discarded as replay%")),
    part(|s| s.echoes, Ours("own packet% that came back")),
    part(|s| s.fullsock, Ours("dropped due to full socket buffers")),
    line(|s| s.malformed, Ours("frame% not even IP, ARP or ND")),
    line(|s| s.opackets, All("packet% sent (IPv4)")),
    line(|s| s.opackets6, All("packet% sent (IPv6)")),
    part(|s| s.onomem, All("send failed due to mbuf memory error")),
    part(|s| s.senderrors, Ours("packet% that did not leave")),
    line(|s| s.preempt, Each([PREEMPT, "", ""])),
    line(|s| s.answers, Ours("ARP and ND request% answered")),
];
const BADIF: &str = "packet% discarded for bad interface";
const PREEMPT: &str = "transition% to master";

/// Runs `netstat`.
#[must_use]
pub fn run(args: &Args, called: Option<Personality>) -> ExitCode {
    let done = Personality::chosen(args.personality.as_deref(), called).and_then(|personality| {
        if args.what == Some(What::Peers) {
            return peers::shown();
        }
        if args.interfaces || args.interface.is_some() {
            return interfaces::shown(args.interface.as_deref(), args.bytes);
        }
        wanted(args)?;
        Ok(text(args, personality, &read()?))
    });
    match done {
        Ok(text) => say(&text),
        Err(refusal) => refuse(NAME, &refusal),
    }
}

/// Of all that a BSD's netstat shows there is only this.
fn wanted(args: &Args) -> Result<(), Refusal> {
    match args.protocol.as_deref() {
        // Who names a protocol means its counters, as 4.4BSD has it.
        Some("carp") => Ok(()),
        None if args.statistics > 0 => Ok(()),
        None => Err(plain(
            "only counters are here: netstat -s -p carp, or netstat -i",
        )),
        Some(other) => Err(because(
            format!("{other}: unknown or uninstrumented protocol"),
            "only carp is here",
        )),
    }
}

/// The counters; without a daemon nothing was counted.
fn read() -> Result<Stats, Refusal> {
    match ask(&Request::Stats)? {
        None => Ok(Stats::default()),
        Some(Reply::Stats(stats)) => Ok(stats),
        Some(_) => Err(plain(SOMETHING_ELSE)),
    }
}

/// `None`: there is no daemon.
fn ask(request: &Request) -> Result<Option<Reply>, Refusal> {
    match start::look(request)? {
        Some(Reply::Refused(refusal)) => Err(refusal),
        reply => Ok(reply),
    }
}

fn text(args: &Args, personality: Personality, stats: &Stats) -> String {
    let mut text = "carp:\n".to_owned();
    for line in &LINES {
        let count = (line.get)(stats);
        let Some(words) = line.words.of(personality, args.verbose) else {
            continue;
        };
        if args.statistics > 1 && count == 0 {
            continue;
        }
        let indent = if line.part { "\t\t" } else { "\t" };
        let words = words.replace('%', if count == 1 { "" } else { "s" });
        // Writing into a String does not fail.
        let _ = writeln!(text, "{indent}{count} {words}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(statistics: u8, verbose: bool) -> Args {
        Args {
            statistics,
            verbose,
            protocol: Some("carp".to_owned()),
            ..Args::default()
        }
    }

    #[test]
    fn openbsds_text_with_plurals() {
        let stats = Stats {
            ipackets: 1,
            ipackets6: 3,
            badsum: 2,
            badver: 1,
            preempt: 1,
            echoes: 5,
            ..Stats::default()
        };
        let expected = "carp:\n\t1 packet received (IPv4)\n\t3 packets received (IPv6)\n\
            \t\t0 packets discarded for bad interface\n\t\t0 packets discarded for wrong TTL\n\
            \t\t0 packets shorter than header\n\t\t2 discarded for bad checksums\n\
            \t\t1 discarded packet with a bad version\n\t\t0 discarded because packet too short\n\
            \t\t0 discarded for bad authentication\n\t\t0 discarded for unknown vhid\n\
            \t\t0 discarded because of a bad address list\n\t0 packets sent (IPv4)\n\
            \t0 packets sent (IPv6)\n\t\t0 send failed due to mbuf memory error\n\
            \t1 transition to master\n";
        assert_eq!(
            text(&args(1, false), Personality::Openbsd, &stats),
            expected
        );
    }

    #[test]
    fn freebsd_and_netbsd_have_words_of_their_own() {
        let stats = Stats {
            badver: 1,
            badsum: 1,
            badauth: 2,
            ..Stats::default()
        };
        let freebsd = "carp:\n\t0 packets received (IPv4)\n\t0 packets received (IPv6)\n\
            \t\t0 packets discarded for wrong TTL\n\t\t0 packets shorter than header\n\
            \t\t1 discarded for bad checksum\n\t\t1 discarded packet with a bad version\n\
            \t\t0 discarded because packet too short\n\t\t2 discarded for bad authentication\n\
            \t\t0 discarded for bad vhid\n\t\t0 discarded because of a bad address list\n\
            \t0 packets sent (IPv4)\n\t0 packets sent (IPv6)\n\
            \t\t0 send failed due to mbuf memory error\n";
        for personality in [Personality::Freebsd9, Personality::Freebsd] {
            assert_eq!(text(&args(1, false), personality, &stats), freebsd);
        }
        let netbsd = "carp:\n\t0 packets received (IPv4)\n\t0 packets received (IPv6)\n\
            \t\t0 packets discarded for bad interface\n\t\t0 packets discarded for wrong TTL\n\
            \t\t0 packets shorter than header\n\t\t1 packet discarded for bad checksum\n\
            \t\t1 packet discarded with a bad version\n\t\t0 discarded because packet was too short\n\
            \t\t2 packets discarded for bad authentication\n\t\t0 packets discarded for bad vhid\n\
            \t\t0 packets discarded because of a bad address list\n\
            \t0 packets sent (IPv4)\n\t0 packets sent (IPv6)\n\
            \t\t0 send failed due to mbuf memory error\n";
        assert_eq!(text(&args(1, false), Personality::Netbsd, &stats), netbsd);
        let few = "carp:\n\t\t1 packet discarded for bad checksum\n\
            \t\t1 packet discarded with a bad version\n\t\t2 packets discarded for bad authentication\n";
        assert_eq!(text(&args(2, false), Personality::Netbsd, &stats), few);
    }

    #[test]
    fn twice_s_leaves_zeros_out_and_v_shows_ours() {
        let stats = Stats {
            badttl: 7,
            echoes: 5,
            ..Stats::default()
        };
        assert_eq!(
            text(&args(2, false), Personality::Openbsd, &stats),
            "carp:\n\t\t7 packets discarded for wrong TTL\n"
        );
        assert_eq!(
            text(&args(2, true), Personality::Openbsd, &stats),
            "carp:\n\t\t7 packets discarded for wrong TTL\n\t\t5 own packets that came back\n"
        );
    }

    #[test]
    fn there_is_nothing_else() {
        let of = |protocol: Option<&str>, statistics| {
            let args = Args {
                protocol: protocol.map(str::to_owned),
                statistics,
                ..Args::default()
            };
            wanted(&args).err().map(|refusal| refusal.text)
        };
        assert_eq!(of(Some("carp"), 1), None);
        assert_eq!(of(None, 2), None);
        assert!(of(None, 0).is_some());
        assert_eq!(
            of(Some("tcp"), 1).as_deref(),
            Some("tcp: unknown or uninstrumented protocol")
        );
    }
}
