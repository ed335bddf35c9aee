//! Who asks for addresses that several groups share, and who would answer: copies of the engines are asked, so that nothing of
//! it happens in the network; must not use the engine's own rule.
//!
//! * As long as every host that lives has all of the groups, an asker is answered by whoever is MASTER of the one that the rule
//!   names: one host unless that group is split, none only while it has no MASTER.
//! * Nobody is without an answer for longer than the groups' dead time since a fault last began or ended.

use crate::host::Host;
use crate::rules::{self, Stage};
use crate::scenario::{MS, SECOND, Scenario};
use crate::world::Node;
use carp::carp::{Action, Input, Sending};
use carp::wire::{MacAddr, arp, nd};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How often all of them ask.
const EVERY: u64 = 250 * MS;

#[derive(Debug)]
struct Asker {
    ip: IpAddr,
    question: Vec<u8>,
    /// Since when nobody answers.
    without: Option<u64>,
}

#[derive(Debug)]
pub struct Askers {
    /// The groups that share their addresses, ascending by vhid; none in most networks.
    groups: Vec<usize>,
    askers: Vec<Asker>,
    next: u64,
    /// When a fault began or ended.
    fault: u64,
    /// A dead time with all that may come before and after it.
    bound: u64,
    /// Questions with one answer, with several, with none.
    pub asked: [u64; 3],
    /// Waits that were long enough to be over by the rule.
    pub waited: u64,
}

impl Askers {
    pub fn new(scenario: &Scenario) -> Self {
        let mut groups = Vec::new();
        if scenario.shares {
            let all = scenario.groups.iter().enumerate();
            groups.extend(all.filter(|(_, g)| g.segment == 0).map(|(at, _)| at));
        }
        let shared = groups.first().map(|at| &scenario.groups[*at].addresses);
        let count = groups.len() as u8;
        let asker = |target: &IpAddr| {
            let target = *target;
            (0..=count).map(move |n| Asker::of(target, n))
        };
        let askers = shared.into_iter().flatten().flat_map(asker).collect();
        let members = groups.iter().flat_map(|at| &scenario.groups[*at].members);
        let dead = members.map(|m| rules::dead_time(m.base, m.skew) + rules::interval(m.base, 254));
        Self {
            askers,
            next: 4 * SECOND,
            fault: 0,
            bound: dead.max().unwrap_or(0) * 20 / 19 + 2 * SECOND,
            asked: [0; 3],
            waited: 0,
            groups,
        }
    }

    /// A fault began or ended.
    pub fn disturbed(&mut self, now: u64) {
        self.fault = now;
    }

    /// All ask, if it is time to. `collisions`: how often equal MASTERs gave up together.
    pub fn judge(&mut self, now: u64, nodes: &[Node], collisions: u64) -> Result<(), String> {
        if self.groups.is_empty() || now < self.next {
            return Ok(());
        }
        let there: Vec<(usize, &Host)> = nodes.iter().enumerate().filter_map(reached).collect();
        if there.iter().any(|(_, host)| is_busy(host, now)) {
            return Ok(());
        }
        self.next = now + EVERY;
        if there.iter().any(|(_, host)| !self.has_all(host)) {
            self.askers
                .iter_mut()
                .for_each(|asker| asker.without = None);
            return Ok(());
        }
        let unable =
            |node: &Node| matches!(node, Node::Ours(h) if h.arming != crate::host::Arming::Prompt);
        if nodes.iter().any(unable) {
            self.fault = now;
        }
        let mut answers = vec![Vec::new(); self.askers.len()];
        for (number, host) in &there {
            for place in self.answered_by(host, now) {
                answers[place].push(*number);
            }
        }
        for (place, answers) in answers.iter().enumerate() {
            self.compare(now, place, &there, answers)?;
            self.wait(now, place, answers.is_empty(), collisions)?;
        }
        Ok(())
    }

    fn has_all(&self, host: &Host) -> bool {
        let has = |group: &usize| {
            let mut confs = host.witness.confs.iter();
            confs.any(|conf| conf.group == *group && conf.up && !conf.gone)
        };
        self.groups.iter().all(has)
    }

    /// The places of those whom this host would answer.
    fn answered_by(&self, host: &Host, now: u64) -> Vec<usize> {
        let Some(mut engine) = host.engine.clone() else {
            return Vec::new();
        };
        while engine.poll().is_some() {}
        let mut places = Vec::new();
        for (place, asker) in self.askers.iter().enumerate() {
            let input = Input::Frame {
                carpdev: Host::carpdev(0),
                bytes: &asker.question,
            };
            engine.handle(host.now(now), input);
            while let Some(action) = engine.poll() {
                if let Action::Send {
                    what: Sending::Answer,
                    ..
                } = action
                {
                    places.push(place);
                }
            }
        }
        places
    }

    fn compare(
        &mut self,
        now: u64,
        place: usize,
        there: &[(usize, &Host)],
        answers: &[usize],
    ) -> Result<(), String> {
        let ip = self.askers[place].ip;
        let group = self.groups[named(ip, self.groups.len())];
        let is_master = |host: &Host| {
            let mut courses = host.witness.confs.iter().zip(&host.witness.courses);
            courses.any(|(conf, course)| conf.group == group && course.stage == Stage::Master)
        };
        let masters = there.iter().filter(|(_, host)| is_master(host));
        let masters: Vec<usize> = masters.map(|(number, _)| *number).collect();
        self.asked[match masters.len() {
            0 => 2,
            1 => 0,
            _ => 1,
        }] += 1;
        if answers != masters {
            return Err(format!(
                "{ip} belongs to group {group}, of which h{masters:?} are MASTER, and is answered by h{answers:?} at {now}"
            ));
        }
        Ok(())
    }

    fn wait(&mut self, now: u64, place: usize, none: bool, collisions: u64) -> Result<(), String> {
        let bound = self.bound * (1 + collisions);
        let asker = &mut self.askers[place];
        if !none {
            asker.without = None;
            return Ok(());
        }
        let since = *asker.without.get_or_insert(now);
        self.waited += u64::from(now > since + SECOND);
        let since = since.max(self.fault);
        if now > since + bound {
            let (ip, ms) = (asker.ip, (now - since) / MS);
            return Err(format!("{ip} has no answer for {ms} ms"));
        }
        Ok(())
    }
}

impl Asker {
    fn of(target: IpAddr, number: u8) -> Self {
        let mac = MacAddr([2, 0, 0, 0, 8, number]);
        let (ip, question) = match target {
            IpAddr::V4(target) => {
                let ip = Ipv4Addr::new(192, 0, 2, 100 + number);
                (ip.into(), arp::request(mac, ip, target))
            }
            IpAddr::V6(target) => {
                let ip = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 7, 0, 0, 0x100 + u16::from(number));
                let asked = nd::Solicitation::multicast(mac, ip, target);
                (ip.into(), asked.emit())
            }
        };
        Self {
            ip,
            question,
            without: None,
        }
    }
}

/// The address as a number of 32 or 128 bits, byte by byte, modulo the groups.
fn named(ip: IpAddr, groups: usize) -> usize {
    let octets = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let rest = |rest: usize, octet: &u8| (rest * 256 + usize::from(*octet)) % groups;
    octets.iter().fold(0, rest)
}

/// It hears questions of the first segment.
fn reached((number, node): (usize, &Node)) -> Option<(usize, &Host)> {
    let Node::Ours(host) = node else { return None };
    let ends = host.witness.confs.iter().all(|conf| conf.gone);
    let hears = host.engine.is_some() && host.paused.is_none() && host.ports[0].works();
    (hears && !ends).then_some((number, host.as_ref()))
}

/// It has something to do in this moment; then it is too early to ask.
fn is_busy(host: &Host, now: u64) -> bool {
    host.timeout().is_some_and(|at| at <= now)
}
