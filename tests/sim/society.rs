//! What must hold between hosts: one owner among those that hear each other, a lease that is over before a successor acts,
//! and one MASTER, the best, when all is calm.

use crate::host::Packet;
use crate::link::Segment;
use crate::packet::Ad;
use crate::peers::System;
use crate::rules::{self, Claim, Stage};
use crate::scenario::{MS, SECOND, Scenario};
use crate::world::Node;
use carp::wire::Family;
use std::net::IpAddr;

/// One group over all hosts.
#[derive(Debug)]
struct Watch {
    segment: usize,
    vhid: u8,
    /// Hosts that are MASTER, and since when.
    masters: Vec<(usize, u64)>,
    last_change: u64,
    /// How long after the last trouble it may take.
    bound: u64,
    dead: u64,
    /// Equal ones that gave up together, since the calm.
    collisions: u64,
    /// Since when there is none after there was one, and the longest such time.
    vacant_since: Option<u64>,
    vacancy: u64,
}

#[derive(Debug)]
pub struct Society {
    watches: Vec<Watch>,
    hosts: usize,
    calm_at: u64,
    /// By host and segment: how many reasons it has not to hear or be heard, and since when none.
    dirty: Vec<[(u32, u64); 2]>,
    /// By group, receiver, sender: when the last frame heard of each family was sent.
    heard: Vec<[u64; 2]>,
    /// By group and host: the latest round of advertisements.
    rounds: Vec<u64>,
    /// Pairs of a MASTER and a successor that were looked at.
    pub successions: u64,
    /// Moments at which two MASTERs heard each other, within the bound.
    pub overlaps: u64,
}

impl Society {
    pub fn new(scenario: &Scenario) -> Self {
        let hosts = scenario.hosts.len();
        let watch = |group: &crate::scenario::GroupPlan| {
            let dead = group.members.iter().map(|member| {
                let own = rules::dead_time(member.base, member.skew);
                match scenario.hosts[member.host].system {
                    Some(System::O7) => 3 * rules::interval(member.base, member.skew),
                    Some(System::U) => own + 2 * SECOND + rules::interval(member.base, member.skew),
                    _ => own,
                }
            });
            let dead = dead.max().unwrap_or(0) * 20 / 19 + 30 * MS;
            let base = group.members.iter().map(|member| member.base).max();
            let interval = SECOND * (u64::from(base.unwrap_or(1)) + 1) * 20 / 19;
            let ucarp = scenario.hosts.iter().any(|h| h.system == Some(System::U));
            Watch {
                segment: group.segment,
                vhid: group.vhid,
                masters: Vec::new(),
                last_change: 0,
                bound: 1600 * MS + dead + 4 * interval + if ucarp { 4 * SECOND } else { 0 },
                dead,
                collisions: 0,
                vacant_since: None,
                vacancy: 0,
            }
        };
        Self {
            watches: scenario.groups.iter().map(watch).collect(),
            hosts,
            calm_at: scenario.calm_at,
            dirty: vec![[(0, 0); 2]; hosts],
            heard: vec![[0; 2]; scenario.groups.len() * hosts * hosts],
            rounds: vec![0; scenario.groups.len() * hosts],
            successions: 0,
            overlaps: 0,
        }
    }

    fn allowance(&self, watch: &Watch) -> u64 {
        self.calm_at + watch.bound + watch.collisions * (watch.dead + SECOND)
    }

    /// When the run is over: the bound of every group and some time of peace.
    pub fn end(&self) -> u64 {
        let ends = self.watches.iter().map(|watch| self.allowance(watch));
        ends.max().unwrap_or(0).max(self.calm_at + 8 * SECOND) + 5 * SECOND
    }

    pub fn trouble(&mut self, now: u64, host: usize, segment: Option<usize>, begins: bool) {
        for (at, (count, since)) in self.dirty[host].iter_mut().enumerate() {
            if segment.is_none_or(|s| s == at) {
                if begins {
                    *count += 1;
                } else {
                    *count -= 1;
                }
                *since = now;
            }
        }
    }

    pub fn changed(&mut self, now: u64, group: usize, host: usize, master: bool, tied: bool) {
        let watch = &mut self.watches[group];
        let was = watch.masters.iter().any(|(h, _)| *h == host);
        if was != master {
            watch.last_change = now;
        }
        watch.masters.retain(|(h, _)| *h != host);
        if master {
            let since = watch.vacant_since.take().unwrap_or(now);
            watch.vacancy = watch.vacancy.max(now - since);
        } else if was && watch.masters.is_empty() {
            watch.vacant_since.get_or_insert(now);
        }
        if master {
            watch.masters.push((host, now));
        } else if was && tied && watch.masters.is_empty() && now > self.calm_at {
            watch.collisions += 1;
        }
    }

    /// How often equal MASTERs gave up together, in the group where that was most often.
    pub fn collisions(&self) -> u64 {
        let watches = self.watches.iter();
        watches.map(|watch| watch.collisions).max().unwrap_or(0)
    }

    /// The longest time that a group which had a MASTER was without one.
    pub fn vacancy(&self, group: usize) -> u64 {
        self.watches[group].vacancy
    }

    /// A host that is dead is MASTER of nothing.
    pub fn gone(&mut self, host: usize) {
        for watch in &mut self.watches {
            watch.masters.retain(|(h, _)| *h != host);
        }
    }

    pub fn sent(&mut self, now: u64, host: usize, group: usize) {
        self.rounds[group * self.hosts + host] = now;
    }

    pub fn heard(&mut self, to: usize, packet: &Packet, family: Family) {
        let vhid = packet.seal.as_ref().map(|seal| seal.vhid);
        let group = self
            .watches
            .iter()
            .position(|w| Some(w.vhid) == vhid && w.segment == packet.segment);
        if let Some(group) = group {
            let slot = (group * self.hosts + to) * self.hosts + packet.from;
            let at = &mut self.heard[slot][family as usize];
            *at = packet.sent.max(*at);
        }
    }

    /// A host becomes MASTER because it heard nobody: whoever it heard to the last must have stopped owning.
    pub fn succession(
        &mut self,
        now: u64,
        host: usize,
        group: usize,
        nodes: &[Node],
    ) -> Result<(), String> {
        let Node::Ours(successor) = &nodes[host] else {
            return Ok(());
        };
        for (other, node) in nodes.iter().enumerate() {
            let Node::Ours(ours) = node else { continue };
            let Some(at) = ours.confs.iter().position(|c| c.group == group) else {
                continue;
            };
            let (conf, course) = (&ours.witness.confs, &ours.witness.courses);
            let steady = ours.clock.ppm.abs() <= 10_000 && successor.clock.ppm.abs() <= 10_000;
            if other == host || ours.engine.is_none() || !steady || conf.is_empty() {
                continue;
            }
            let (conf, course) = (&conf[at], &course[at]);
            let round = self.rounds[group * self.hosts + other];
            let heard = self.heard[(group * self.hosts + host) * self.hosts + other];
            let all = conf.seal.families().all(|f| heard[f as usize] >= round);
            // Only one that was heard since it is MASTER.
            let masters = &self.watches[group].masters;
            let since = masters.iter().find(|(h, _)| *h == other);
            let known = since.is_some_and(|(_, since)| round >= *since);
            // A worse one heard while arming does not stop a host that preempts; that is no matter of leases.
            let silent = now > round + 2 * SECOND;
            if course.stage != Stage::Master || !conf.plain || !known || !all || !silent {
                continue;
            }
            self.successions += 1;
            let local = ours.clock.local(now);
            if local < course.lease {
                let left = (course.lease - local) / MS;
                return Err(format!(
                    "h{host} timed out h{other}, which it heard to the last and whose lease lasts {left} ms more"
                ));
            }
        }
        Ok(())
    }

    /// Two MASTERs that hear each other.
    pub fn judge(&mut self, now: u64, nodes: &[Node], segments: &[Segment]) -> Result<(), String> {
        for (group, watch) in self.watches.iter().enumerate() {
            if watch.collisions > 12 {
                return Err(format!("{} collisions in group {group}", watch.collisions));
            }
            if watch.masters.len() < 2 {
                continue;
            }
            let segment = &segments[watch.segment];
            for (n, a) in watch.masters.iter().enumerate() {
                for b in &watch.masters[n + 1..] {
                    let mut since = a.1.max(b.1).max(segment.clean_since);
                    let mut troubles = segment.troubles as u32;
                    for host in [a.0, b.0] {
                        let (count, clean) = self.dirty[host][watch.segment];
                        troubles += count;
                        since = since.max(clean);
                    }
                    if troubles > 0 {
                        continue;
                    }
                    self.overlaps += 1;
                    let (of_a, of_b) = (patience(&nodes[a.0], group), patience(&nodes[b.0], group));
                    let mut bound = of_a.max(of_b);
                    let walls = wall(&nodes[a.0]).zip(wall(&nodes[b.0]));
                    if walls.is_some_and(|(a, b)| a != b) {
                        // The one whose clock is behind is not believed before it has heard the other; it answers that at
                        // once, but once an interval.
                        bound = of_a + of_b;
                    }
                    if clockless(&nodes[a.0]) || clockless(&nodes[b.0]) {
                        // Only the second advertisement from decades ahead tells it to go on from there, and only then is
                        // what it says believed.
                        bound *= 3;
                    }
                    if now > since + bound {
                        let (a, b, ms) = (a.0, b.0, (now - since) / MS);
                        return Err(format!(
                            "h{a} and h{b} are both MASTER of group {group} and hear each other for {ms} ms"
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// After the calm.
    pub fn verdict(&self, nodes: &[Node], scenario: &Scenario) -> Result<(), String> {
        for (group, watch) in self.watches.iter().enumerate() {
            let masters: Vec<usize> = watch.masters.iter().map(|(host, _)| *host).collect();
            let [master] = masters[..] else {
                return Err(format!("MASTERs of group {group} in the end: {masters:?}"));
            };
            if watch.last_change > self.allowance(watch) {
                let at = watch.last_change as f64 / 1e9;
                return Err(format!("group {group} still changed at {at:.3} s"));
            }
            let rank = rank(&nodes[master], group);
            for member in &scenario.groups[group].members {
                if member.host != master && better(&nodes[member.host], group, rank) {
                    let better = member.host;
                    return Err(format!(
                        "h{master} is MASTER of group {group}, and h{better} would preempt it"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// How wrong its wall clock is, where that tells others what is a recording.
fn wall(node: &Node) -> Option<i64> {
    match node {
        Node::Ours(ours) if ours.settings.replay => ours.wall,
        _ => None,
    }
}

/// Ours, and its wall clock begins in 1970.
fn clockless(node: &Node) -> bool {
    matches!(node, Node::Ours(ours) if ours.wall.is_none() && ours.settings.replay)
}

/// An interval, whatever was configured last, and the way of a frame.
fn patience(node: &Node, group: usize) -> u64 {
    let long = |base: u8, own: u64| match base {
        0 => 2 * own,
        _ => rules::interval(base, 254),
    };
    let span = match node {
        Node::Ours(ours) => {
            let at = ours.confs.iter().position(|c| c.group == group);
            at.map_or(0, |at| {
                long(ours.confs[at].base, ours.witness.own_interval(at))
            })
        }
        Node::Model(model) => model.seat(group).map_or(0, |seat| {
            // A UCARP reads late, and on its way to BACKUP may first preempt somebody who has given up meanwhile.
            let late = if model.system == System::U {
                3 * SECOND
            } else {
                20 * MS
            };
            long(seat.member.base, seat.peer.interval()) + late
        }),
    };
    span * 20 / 19 + 20 * MS
}

fn rank(node: &Node, group: usize) -> (u8, u8) {
    match node {
        Node::Ours(ours) => {
            let conf = ours.confs.iter().find(|c| c.group == group);
            conf.map_or((255, 255), |conf| (conf.base, conf.skew))
        }
        Node::Model(model) => model
            .seat(group)
            .map_or((255, 255), |seat| (seat.member.base, seat.member.skew)),
    }
}

/// Would this host take over from such a MASTER? In the end nobody is demoted but who gave up because nothing left: a BACKUP
/// sends nothing, and stays so.
fn better(node: &Node, group: usize, rank: (u8, u8)) -> bool {
    match node {
        Node::Ours(ours) => {
            let claim = |rank, demote| Claim { rank, demote };
            let mine = claim(self::rank(node, group), ours.witness.demotion);
            rules::takes_over(mine, claim(rank, 0), ours.settings.preempt).is_some()
        }
        Node::Model(model) => model.seat(group).is_some_and(|seat| {
            seat.peer.takes_over(&Ad {
                vhid: 0,
                base: rank.0,
                skew: rank.1,
                demote: 0,
                counter: 0,
                digest: [0; 20],
                family: Family::Inet,
                src: IpAddr::from([0, 0, 0, 0]),
                pseudo: false,
            })
        }),
    }
}
