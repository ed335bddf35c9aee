//! `netstat`: the protocol's counters (`-s -p carp`) and the interfaces' (`-i`) in OpenBSD's form, and the hosts heard
//! (`peers`); must not know when anything is counted.
#![forbid(unsafe_code)]

mod peers;

use super::{because, ifconfig, plain, refuse, say, unanswered};
use crate::carp::config::Unit;
use crate::control::socket::{Client, Error};
use crate::control::{Interface, Refusal, Reply, Request, Stats};
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
    let answer = if args.what == Some(What::Peers) {
        peers::shown()
    } else if args.interfaces || args.interface.is_some() {
        interfaces(args).map(|interfaces| table(&interfaces, args.bytes))
    } else {
        wanted(args)
            .and_then(|()| read())
            .map(|stats| text(args, &stats))
    };
    match answer {
        Ok(text) => say(&text),
        Err(refusal) => refuse(NAME, &refusal),
    }
}

/// The carp interfaces, or the one asked for.
fn interfaces(args: &Args) -> Result<Vec<Interface>, Refusal> {
    let Some(name) = &args.interface else {
        return ifconfig::interfaces(None);
    };
    let missing = || ifconfig::parse::missing(name);
    let unit = Unit::from_name(name).ok_or_else(missing)?;
    let found = ifconfig::interfaces(Some(unit))?;
    if found.is_empty() {
        return Err(missing());
    }
    Ok(found)
}

/// OpenBSD's columns: a line for the link with what was counted, then one for each address, with the same counts.
fn table(interfaces: &[Interface], bytes: bool) -> String {
    let heads = if bytes {
        format!("{:>10} {:>10}", "Ibytes", "Obytes")
    } else {
        counts(["Ipkts", "Ifail", "Opkts", "Ofail", "Colls"])
    };
    let mut text = row("Name", "Mtu", "Network", "Address", &heads);
    for interface in interfaces {
        let (name, mtu) = (interface.unit.to_string(), interface.mtu.to_string());
        let t = interface.traffic;
        let numbers = if bytes {
            format!("{:>10} {:>10}", t.ibytes, t.obytes)
        } else {
            let numbers = [t.ipackets, t.idrops, t.opackets, t.odrops, 0];
            counts(numbers)
        };
        let lladdr = interface.lladdr.to_string();
        text.push_str(&row(&name, &mtu, "<Link>", &lladdr, &numbers));
        for address in &interface.addresses {
            let network = format!("{}/{}", address.network(), address.prefix());
            let ip = address.ip().to_string();
            text.push_str(&row(&name, &mtu, &network, &ip, &numbers));
        }
    }
    text
}

fn counts<T: std::fmt::Display>(
    [ipackets, idrops, opackets, odrops, collisions]: [T; 5],
) -> String {
    format!("{ipackets:>8} {idrops:>5} {opackets:>8} {odrops:>5} {collisions:>5}")
}

fn row(name: &str, mtu: &str, network: &str, address: &str, counts: &str) -> String {
    format!("{name:<7} {mtu:<5} {network:<11} {address:<17} {counts}\n")
}

/// Of all that a BSD's netstat shows there is only this.
fn wanted(args: &Args) -> Result<(), Refusal> {
    match args.protocol.as_deref() {
        None | Some("carp") if args.statistics > 0 => Ok(()),
        None | Some("carp") => Err(plain(
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
    let reply = match Client::find() {
        Err(Error::NotRunning) => return Ok(None),
        client => client.and_then(|client| client.ask(request)),
    };
    match reply.map_err(|error| unanswered(&error))? {
        Reply::Refused(refusal) => Err(refusal),
        reply => Ok(Some(reply)),
    }
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
    use crate::control::Traffic;

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
    fn interfaces_have_openbsds_columns() {
        let one = Interface {
            traffic: Traffic {
                ipackets: 12,
                ibytes: 3456,
                idrops: 1,
                opackets: 7,
                obytes: 890,
                odrops: 2,
            },
            addresses: vec!["192.0.2.1/24".parse().expect("an address")],
            ..ifconfig::print::fresh()
        };
        let interfaces = [one];
        assert_eq!(
            table(&interfaces, false),
            "\
Name    Mtu   Network     Address              Ipkts Ifail    Opkts Ofail Colls
carp0   1500  <Link>      00:00:5e:00:01:01       12     1        7     2     0
carp0   1500  192.0.2.0/24 192.0.2.1               12     1        7     2     0
"
        );
        let bytes = table(&interfaces, true);
        let lines: Vec<&str> = bytes.lines().collect();
        assert!(lines[0].ends_with("Address               Ibytes     Obytes"));
        assert!(lines[1].ends_with("00:00:5e:00:01:01       3456        890"));
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
