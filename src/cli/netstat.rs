//! `netstat -s -p carp`: the protocol's counters in OpenBSD's words, and `netstat peers`; must not know when anything is
//! counted.
#![forbid(unsafe_code)]

use super::{because, plain, refuse, say, unanswered};
use crate::control::socket::{Client, Error};
use crate::control::{Peer, Refusal, Reply, Request, Stats};
use std::fmt::Write;
use std::process::ExitCode;

/// Under this name errors are printed.
const NAME: &str = "netstat";
const SOMETHING_ELSE: &str = "the carp daemon answered something else";

/// What `carp netstat` takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Show the hosts heard, and what protects against replays of their advertisements
    #[arg(value_name = "peers", conflicts_with_all = ["statistics", "verbose"])]
    what: Option<What>,
    /// Show the counters; twice: only those that are not 0
    #[arg(short, action = clap::ArgAction::Count)]
    statistics: u8,
    /// Of this protocol; there is only carp
    #[arg(short, value_name = "protocol")]
    protocol: Option<String>,
    /// Also what no BSD counts
    #[arg(short)]
    verbose: bool,
}

/// What can be shown beside the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    Peers,
}

/// One line.
struct Line {
    get: fn(&Stats) -> u64,
    /// Behind the number; `%` is an s unless the number is 1.
    words: &'static str,
    /// A part of the line of packets above it.
    part: bool,
    /// No BSD has it.
    ours: bool,
}

const fn line(get: fn(&Stats) -> u64, words: &'static str) -> Line {
    Line {
        get,
        words,
        part: false,
        ours: false,
    }
}

const fn part(get: fn(&Stats) -> u64, words: &'static str) -> Line {
    Line {
        part: true,
        ..line(get, words)
    }
}

const fn ours(line: Line) -> Line {
    Line { ours: true, ..line }
}

/// OpenBSD's order and words (ifconfig-carp.md 9), with ours where they belong.
static LINES: [Line; 21] = [
    line(|s| s.ipackets, "packet% received (IPv4)"),
    line(|s| s.ipackets6, "packet% received (IPv6)"),
    part(|s| s.badif, "packet% discarded for bad interface"),
    part(|s| s.badttl, "packet% discarded for wrong TTL"),
    part(|s| s.hdrops, "packet% shorter than header"),
    part(|s| s.badsum, "discarded for bad checksum%"),
    part(|s| s.badver, "discarded packet% with a bad version"),
    part(|s| s.badlen, "discarded because packet too short"),
    part(|s| s.badauth, "discarded for bad authentication"),
    part(|s| s.badvhid, "discarded for unknown vhid"),
    part(|s| s.badaddrs, "discarded because of a bad address list"),
    ours(part(|s| s.badreplay, "discarded as replay%")),
    ours(part(|s| s.echoes, "own packet% that came back")),
    ours(part(|s| s.fullsock, "dropped due to full socket buffers")),
    ours(line(|s| s.malformed, "frame% not even IP, ARP or ND")),
    line(|s| s.opackets, "packet% sent (IPv4)"),
    line(|s| s.opackets6, "packet% sent (IPv6)"),
    part(|s| s.onomem, "send failed due to mbuf memory error"),
    ours(part(|s| s.senderrors, "packet% that did not leave")),
    line(|s| s.preempt, "transition% to master"),
    ours(line(|s| s.answers, "ARP and ND request% answered")),
];

/// Runs `netstat`.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let shown = wanted(args).and_then(|()| match args.what {
        Some(What::Peers) => read_peers().map(|peers| table(&peers)),
        None => read_stats().map(|stats| text(args, &stats)),
    });
    match shown {
        Ok(text) => say(&text),
        Err(refusal) => refuse(NAME, &refusal),
    }
}

/// Of all that a BSD's netstat shows there is only this.
fn wanted(args: &Args) -> Result<(), Refusal> {
    match args.protocol.as_deref() {
        None | Some("carp") if args.statistics > 0 || args.what.is_some() => Ok(()),
        None | Some("carp") => Err(plain("only the counters are here: netstat -s -p carp")),
        Some(other) => Err(because(
            format!("{other}: unknown or uninstrumented protocol"),
            "only carp is here",
        )),
    }
}

/// The counters; without a daemon nothing was counted.
fn read_stats() -> Result<Stats, Refusal> {
    match ask(&Request::Stats)? {
        None => Ok(Stats::default()),
        Some(Reply::Stats(stats)) => Ok(stats),
        Some(_) => Err(plain(SOMETHING_ELSE)),
    }
}

/// The hosts heard; without a daemon none was.
fn read_peers() -> Result<Vec<Peer>, Refusal> {
    match ask(&Request::Peers)? {
        None => Ok(Vec::new()),
        Some(Reply::Peers(peers)) => Ok(peers),
        Some(_) => Err(plain(SOMETHING_ELSE)),
    }
}

/// `None`: there is no daemon.
fn ask(request: &Request) -> Result<Option<Reply>, Refusal> {
    let reply = match Client::find() {
        Err(Error::NotRunning) => return Ok(None),
        client => client.and_then(|client| client.ask(request)),
    };
    match reply.map_err(|error| unanswered(&error))? {
        Reply::Refused(refusal) => Err(refusal),
        reply => Ok(Some(reply)),
    }
}

/// As wide as its widest address.
fn table(peers: &[Peer]) -> String {
    let lines = peers.iter().map(|peer| {
        (
            peer.unit.to_string(),
            peer.vhid.to_string(),
            peer.address.to_string(),
            peer.protection.to_string(),
        )
    });
    let titles = ["Interface", "Vhid", "Peer", "Protection against replays"].map(str::to_owned);
    let lines: Vec<_> = std::iter::once(titles.into()).chain(lines).collect();
    let widest = lines.iter().map(|line| line.2.len()).max().unwrap_or(0);
    let line = |(interface, vhid, peer, protection): &(String, String, String, String)| {
        format!("{interface:<10} {vhid:<4} {peer:<widest$} {protection}\n")
    };
    lines.iter().map(line).collect()
}

fn text(args: &Args, stats: &Stats) -> String {
    let mut text = "carp:\n".to_owned();
    for line in &LINES {
        let count = (line.get)(stats);
        if (line.ours && !args.verbose) || (args.statistics > 1 && count == 0) {
            continue;
        }
        let indent = if line.part { "\t\t" } else { "\t" };
        let words = line.words.replace('%', if count == 1 { "" } else { "s" });
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
            what: None,
            protocol: Some("carp".to_owned()),
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
        assert_eq!(text(&args(1, false), &stats), expected);
    }

    #[test]
    fn twice_s_leaves_zeros_out_and_v_shows_ours() {
        let stats = Stats {
            badttl: 7,
            echoes: 5,
            ..Stats::default()
        };
        assert_eq!(
            text(&args(2, false), &stats),
            "carp:\n\t\t7 packets discarded for wrong TTL\n"
        );
        assert_eq!(
            text(&args(2, true), &stats),
            "carp:\n\t\t7 packets discarded for wrong TTL\n\t\t5 own packets that came back\n"
        );
    }

    #[test]
    fn there_is_nothing_else() {
        let of = |protocol: Option<&str>, statistics| {
            let args = Args {
                protocol: protocol.map(str::to_owned),
                statistics,
                verbose: false,
                what: None,
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
