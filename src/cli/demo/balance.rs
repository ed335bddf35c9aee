//! `carp demo balance`: three hosts share one address, 64 askers ask, one host is killed and returns; must not know how
//! carp does it.

use super::node::{Node, run_directory};
use super::report::{Error, PATIENCE};
use super::scratch::Scratch;
use crate::lab::capture;
use crate::lab::crowd::{Crowd, Member, Tally};
use crate::lab::interrupt::Interrupt;
use crate::lab::net::Lab;
use crate::wire::MacAddr;
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

const NAMES: [&str; 3] = ["a", "b", "c"];
/// The host that is killed.
const VICTIM: usize = 1;
const CLIENT: u8 = 100;
const INET: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const INET6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// Askers of each family.
const ASKERS: u8 = 32;
const ASK: Duration = Duration::from_millis(100);
/// How long each act is looked at once the shares have settled.
const ACT: Duration = Duration::from_secs(2);
/// The dead time with the highest skew of the three, and one question more.
const DEAD: Duration = Duration::from_millis(3000 + 80 * 1000 / 256 + 300);
const FRAME: Duration = Duration::from_millis(100);
const BAR: usize = 40;

/// What each host answered in one act.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Act {
    name: &'static str,
    answered: Vec<u64>,
}

/// The whole run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    acts: Vec<Act>,
    tally: Tally,
    unanswered: usize,
}

struct Stage {
    crowd: Crowd,
    nodes: Vec<Node>,
    lab: Lab,
    _scratch: Scratch,
}

/// Builds, plays, and gives the figures.
///
/// # Errors
/// The lab could not be built, or the hosts did not share as the rule says.
pub(super) fn run(program: &Path, interrupt: Interrupt) -> Result<Outcome, Error> {
    let mut screen = Screen::new(interrupt);
    let mut stage = Stage::new(program, &mut screen)?;
    let mut acts = Vec::new();
    let mut unanswered = 0;
    for (name, event) in [("all", None), ("kill", Some(false)), ("return", Some(true))] {
        screen.say(match event {
            None => "a, b and c share 192.0.2.1 and 2001:db8::1; 64 askers\n",
            Some(false) => "kill -9 of all of b's daemon, as when b dies\n",
            Some(true) => "b is started again\n",
        });
        let before = stage.crowd.tally();
        match event {
            None => {}
            Some(false) => stage.nodes[VICTIM].die(),
            Some(true) => stage.join(VICTIM, &mut screen)?,
        }
        let settled = move |by: Option<usize>, vhid: usize| match event {
            Some(false) => by.is_some_and(|port| port != VICTIM),
            _ => by == Some(vhid),
        };
        unanswered = unanswered.max(stage.settle(name, settled, &mut screen)?);
        stage.wait(ACT, &mut screen)?;
        let after = stage.crowd.tally();
        let answered = after.answered.iter().zip(&before.answered);
        acts.push(Act {
            name,
            answered: answered.map(|(after, before)| after - before).collect(),
        });
    }
    screen.say("\n");
    Ok(Outcome {
        acts,
        tally: stage.crowd.tally(),
        unanswered,
    })
}

impl Stage {
    fn new(program: &Path, screen: &mut Screen) -> Result<Self, Error> {
        let scratch = Scratch::new().map_err(Error::io("make temporary directory"))?;
        std::fs::create_dir(run_directory(scratch.path()))
            .map_err(Error::io("make run directory"))?;
        let mut lab = Lab::new()?;
        for (name, number) in [("client", CLIENT), ("a", 11), ("b", 12), ("c", 13)] {
            let addresses = [inet(number), inet6(number)];
            lab.add_host(name, mac(number), &addresses)?;
        }
        let nodes = NAMES.map(|name| Node::new(name, program, scratch.path()));
        let port = |name: &&str| lab.host(name).ports().first().map_or(0, |p| p.port_index);
        let ports = NAMES.each_ref().map(port);
        let client = lab.host("client");
        let interface = client.ports().first().map_or(0, |port| port.index);
        let crowd = Crowd::start(
            (client.namespace(), interface, mac(CLIENT)),
            (lab.switch(), &ports),
            &members(),
            ASK,
        )?;
        let mut stage = Self {
            crowd,
            nodes: nodes.into(),
            lab,
            _scratch: scratch,
        };
        for host in 0..NAMES.len() {
            stage.join(host, screen)?;
        }
        stage.settle("the start", |by, vhid| by == Some(vhid), screen)?;
        // From here on everybody is counted.
        stage.crowd.count_anew();
        Ok(stage)
    }

    /// Starts a host's daemon and configures a carpN for each vhid: its own first, the others' with higher skews.
    fn join(&mut self, host: usize, screen: &mut Screen) -> Result<(), Error> {
        let crowd = &self.crowd;
        let place = self.lab.host(NAMES[host]);
        let node = &mut self.nodes[host];
        node.start(place, &mut || screen.see(&crowd.tally()))?;
        let carp = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            node.carp(place, &words).map(drop)
        };
        carp("sysctl net.inet.carp.arpbalance=1 net.inet.carp.preempt=1")?;
        let count = NAMES.len();
        for turn in 0..count {
            let vhid = (host + turn) % count + 1;
            let advskew = turn * 40;
            carp(&format!("ifconfig carp{vhid} carpdev eth0 {INET}/24"))?;
            carp(&format!("ifconfig carp{vhid} inet6 alias {INET6}/64"))?;
            carp(&format!(
                "ifconfig carp{vhid} vhid {vhid} pass demo advskew {advskew}"
            ))?;
        }
        Ok(())
    }

    /// Waits until every asker is served as wanted; the answer is how many went without an answer for longer than a dead
    /// time meanwhile.
    fn settle(
        &self,
        when: &str,
        wanted: impl Fn(Option<usize>, usize) -> bool,
        screen: &mut Screen,
    ) -> Result<usize, Error> {
        let until = capture::now() + DEAD * 3 + PATIENCE;
        let mut without = vec![false; members().len()];
        loop {
            let tally = self.crowd.tally();
            screen.see(&tally)?;
            for (without, waiting) in without.iter_mut().zip(&tally.waiting) {
                *without |= *waiting > DEAD;
            }
            let served = |(by, member): (&Option<usize>, Member)| wanted(*by, vhid(member));
            let none_waits = tally.waiting.iter().all(Duration::is_zero);
            if none_waits && tally.by.iter().zip(members()).all(served) {
                return Ok(without.into_iter().filter(|long| *long).count());
            }
            if capture::now() >= until {
                return Err(Error::Unsettled {
                    when: format!("after {when}"),
                    wanted: "each host",
                    logs: self.nodes.iter().map(Node::tail).collect(),
                });
            }
            sleep(FRAME / 5);
        }
    }

    fn wait(&self, time: Duration, screen: &mut Screen) -> Result<(), Error> {
        let until = capture::now() + time;
        while capture::now() < until {
            screen.see(&self.crowd.tally())?;
            sleep(FRAME / 5);
        }
        Ok(())
    }
}

/// A bar for each host on standard error, as long as the askers it answered last.
struct Screen {
    interrupt: Interrupt,
    moving: bool,
    lines: usize,
    shown: Vec<usize>,
}

impl Screen {
    fn new(interrupt: Interrupt) -> Self {
        Self {
            interrupt,
            moving: super::watched(),
            lines: 0,
            shown: Vec::new(),
        }
    }

    /// Nobody is left to be told when standard error is closed.
    fn put(&self, text: &str) {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// What was drawn before stays.
    fn say(&mut self, text: &str) {
        self.lines = 0;
        self.put(text);
    }

    fn see(&mut self, tally: &Tally) -> Result<(), Error> {
        if self.interrupt.arrived() {
            return Err(Error::Interrupted);
        }
        let of = |port: usize| {
            let mine = tally.by.iter().zip(&tally.waiting);
            mine.filter(|(by, waiting)| **by == Some(port) && waiting.is_zero())
                .count()
        };
        let shares: Vec<usize> = (0..NAMES.len()).map(of).collect();
        if shares == self.shown {
            return Ok(());
        }
        let mut text = String::new();
        if self.moving && self.lines > 0 {
            let _ = write!(text, "\x1b[{}A\x1b[J", self.lines);
        }
        text.push_str(&bars(&shares, tally));
        self.lines = NAMES.len();
        self.put(&text);
        self.shown = shares;
        Ok(())
    }
}

fn bars(shares: &[usize], tally: &Tally) -> String {
    let mut text = String::new();
    let all = usize::from(ASKERS) * 2;
    for (host, share) in shares.iter().enumerate() {
        let bar = "#".repeat(share * BAR / all);
        let answered = tally.answered[host];
        let name = NAMES[host];
        // Writing into a String does not fail.
        let _ = writeln!(
            text,
            "  {name}  {bar:<BAR$} {share:>2} askers {answered:>6} answers"
        );
    }
    text
}

/// A line for each host, a column for each act.
pub(super) fn table(outcome: &Outcome) -> String {
    let mut text = format!("{:<6}", "host");
    for act in &outcome.acts {
        let _ = write!(text, "{:>9}", act.name);
    }
    text.push_str("    total\n");
    for (host, name) in NAMES.iter().enumerate() {
        let _ = write!(text, "{name:<6}");
        for act in &outcome.acts {
            let _ = write!(text, "{:>9}", act.answered[host]);
        }
        let _ = writeln!(text, "{:>9}", outcome.tally.answered[host]);
    }
    let Tally {
        asked,
        double,
        overlap,
        repeated,
        longest,
        ..
    } = outcome.tally;
    let _ = writeln!(
        text,
        "\nrequests answered; of {asked} asked {repeated} were repeated while an address moved, {double} answered twice,\n\
         {overlap} by the old and the new MASTER of a vhid alike;\n\
         longest wait for an answer: {} ms; askers without one for longer than the dead time: {}",
        longest.as_millis(),
        outcome.unanswered
    );
    text
}

#[derive(Serialize)]
struct Object {
    scenario: &'static str,
    hosts: Vec<Host>,
    requests: u64,
    repeated: u64,
    longest_ms: u128,
    unanswered: usize,
    double: u64,
    overlap: u64,
}

#[derive(Serialize)]
struct Host {
    name: &'static str,
    answered: u64,
}

/// One line.
pub(super) fn json(outcome: &Outcome) -> String {
    let tally = &outcome.tally;
    let host = |(name, answered): (&&'static str, &u64)| Host {
        name,
        answered: *answered,
    };
    let object = Object {
        scenario: "balance",
        hosts: NAMES.iter().zip(&tally.answered).map(host).collect(),
        requests: tally.asked,
        repeated: tally.repeated,
        longest_ms: tally.longest.as_millis(),
        unanswered: outcome.unanswered,
        double: tally.double,
        overlap: tally.overlap,
    };
    let text = serde_json::to_string(&object);
    text.expect("numbers and strings under string keys are JSON") + "\n"
}

/// The place of the vhid that an asker belongs to: its address as a number, modulo the vhids.
fn vhid(member: Member) -> usize {
    let number = match member.ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    };
    usize::try_from(number % NAMES.len() as u128).unwrap_or_default()
}

fn members() -> Vec<Member> {
    let four = (0..ASKERS).map(|n| Member {
        ip: Ipv4Addr::new(192, 0, 2, 128 + n).into(),
        target: INET.into(),
    });
    let six = (0..ASKERS).map(|n| Member {
        ip: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0x200, n.into()).into(),
        target: INET6.into(),
    });
    four.chain(six).collect()
}

fn mac(number: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, number])
}

fn inet(number: u8) -> IpNetwork {
    let ip = Ipv4Addr::new(192, 0, 2, number);
    Ipv4Network::new(ip, 24)
        .expect("24 is a prefix length of IPv4")
        .into()
}

fn inet6(number: u8) -> IpNetwork {
    let ip = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0x100, number.into());
    Ipv6Network::new(ip, 64)
        .expect("64 is a prefix length of IPv6")
        .into()
}
