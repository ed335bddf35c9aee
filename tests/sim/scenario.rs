//! From a seed to a network: hosts, groups, peers, and what goes wrong when; must not know how any of it ends.

use crate::heir::Death;
use crate::peers::System;
use crate::random::Random;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = 1000 * MS;
/// From here on nothing goes wrong.
const CALM: u64 = 48 * SECOND;

#[derive(Debug, Clone)]
pub struct HostPlan {
    /// `None`: one of ours.
    pub system: Option<System>,
    /// Parts in a million.
    pub drift: i64,
    pub preempt: bool,
    /// By segment: without, its advertisements come from the shared address.
    pub has_v4: bool,
    pub has_v6: bool,
    /// What another system suffers from before it begins.
    pub demotion: i64,
    /// Of ours: `net.inet.carp.replay`.
    pub replay: bool,
    /// Of ours: what its wall clock is wrong, in seconds; `None` for one that begins in 1970 with each boot.
    pub wall: Option<i64>,
}

/// Somebody on the segment who repeats what was advertised.
#[derive(Debug, Clone, Copy)]
pub struct Attack {
    pub from: u64,
    pub every: u64,
    pub whose: Whose,
    /// Also with other skews, advbases and demotions, and in the other family: the digest does not cover them.
    pub forges: bool,
    /// Every host hears every one; else only who has heard it before.
    pub open: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The latest of one host.
    Latest(usize),
    /// Any of all.
    Any,
    /// All in order.
    All,
}

#[derive(Debug, Clone)]
pub struct MemberPlan {
    pub host: usize,
    pub base: u8,
    pub skew: u8,
}

#[derive(Debug, Clone)]
pub struct GroupPlan {
    pub vhid: u8,
    pub segment: usize,
    pub addresses: Vec<IpAddr>,
    pub members: Vec<MemberPlan>,
}

/// Something that goes wrong, or that an admin does, and is put right at the end.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    pub at: u64,
    pub until: u64,
    pub what: Kind,
    /// A segment, if it concerns one.
    pub segment: usize,
    /// A host, if it concerns one.
    pub host: usize,
    /// A group of that host, by place.
    pub place: usize,
    /// A percentage, a skew, a side of a partition, another host.
    pub number: u64,
}

macro_rules! kinds {
    ($($kind:ident),* $(,)?) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($kind),* }
        impl Kind { pub const ALL: &[Self] = &[$(Self::$kind),*]; }
    };
}

kinds!(
    // The segment.
    Loss,
    BurstLoss,
    Delay,
    Duplication,
    Reordering,
    Corruption,
    OneWayCut,
    Partition,
    FamilyLost,
    Loop,
    // A host of ours.
    Pause,
    Crash,
    PoliteExit,
    CarpdevFlap,
    CarpdevGone,
    SendErrors,
    ArmRefused,
    ArmSilent,
    ArmLate,
    WrongPass,
    MoreAddresses,
    AdminDown,
    Destroy,
    AskMaster,
    AskBackup,
    OtherSkew,
    OtherPreempt,
    AllowOff,
    Renumber,
    // Another system.
    PeerCrash,
    PeerDown,
    PeerPause,
    PeerDemotion,
);

impl Kind {
    pub fn of_segment(self) -> bool {
        self <= Self::Loop
    }

    /// A MASTER of ours that it meets says goodbye or yields, and serves a moment longer.
    pub fn departs(self) -> bool {
        matches!(
            self,
            Self::PoliteExit | Self::AdminDown | Self::Destroy | Self::AskBackup
        )
    }

    pub fn of_peer(self) -> bool {
        self >= Self::PeerCrash
    }
}

#[derive(Debug, Clone)]
pub struct Scenario {
    pub seed: u64,
    pub segments: usize,
    pub hosts: Vec<HostPlan>,
    pub groups: Vec<GroupPlan>,
    /// `net.inet.carp.arpbalance`: the groups of the first segment have the same addresses, and all hosts.
    pub shares: bool,
    pub faults: Vec<Fault>,
    pub calm_at: u64,
    pub attack: Option<Attack>,
    /// When the attacker repeats something once to one host that may wait for its successor.
    pub repeats: Vec<(u64, usize)>,
    /// Engines that die and are succeeded.
    pub deaths: Vec<Death>,
}

impl Scenario {
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let spread = random.fraction() * random.fraction().max(0.25);
        let count = 2 + (spread * 15.0) as usize;
        let peers = random.chance(40).then(|| random.pick(&System::ALL));
        let hosts = hosts(&mut random, count, peers);
        let base = match random.below(20) {
            0 | 1 if peers.is_none() && count <= 6 => Base::Zero(random.between(20, 60) as u8),
            2 | 5 if peers.is_none() => Base::OneAndFour,
            3 | 4 => Base::All(2),
            _ => Base::All(1),
        };
        let segments = if random.chance(40) { 1 } else { 2 };
        let mut groups = vec![group(&mut random, &hosts, (0, 0), base)];
        for (at, percent) in [(1, 60), (2, 30)] {
            if random.chance(percent) {
                let segment = at % segments;
                groups.push(group(&mut random, &hosts, (at, segment), base));
            }
        }
        if segments == 2 && groups.len() == 1 {
            groups.push(group(&mut random, &hosts, (1, 1), base));
        }
        let mut faults: Vec<Fault> = (0..random.between(1, 20))
            .map(|_| fault(&mut random, &hosts, &groups, segments))
            .collect();
        let shares = share(seed, &hosts, base, &mut groups);
        after_departures(seed, &hosts, &groups, &mut faults);
        faults.sort_by_key(|fault| fault.at);
        let (hosts, attack) = replays(seed, hosts);
        let repeats = attack.map_or_else(Vec::new, |_| repeats(seed, &faults));
        let deaths = deaths(seed, &hosts, &faults);
        Self {
            seed,
            segments,
            hosts,
            groups,
            shares,
            faults,
            calm_at: CALM,
            attack,
            repeats,
            deaths,
        }
    }

    /// The places of a host: its groups in order.
    pub fn places(&self, host: usize) -> Vec<(usize, MemberPlan)> {
        places(&self.groups, host)
    }
}

fn places(groups: &[GroupPlan], host: usize) -> Vec<(usize, MemberPlan)> {
    let members = groups.iter().enumerate();
    let mine = members.filter_map(|(g, group)| {
        let member = group.members.iter().find(|m| m.host == host)?;
        Some((g, member.clone()))
    });
    mine.collect()
}

fn hosts(random: &mut Random, count: usize, peers: Option<System>) -> Vec<HostPlan> {
    // More than two UCARPs preempt each other for long, by what they read a second late.
    let most = match peers {
        Some(System::U) => (count as u64 / 2).clamp(1, 2),
        _ => (count as u64 / 2).max(1),
    };
    let others = peers.map_or(0, |_| random.between(1, most) as usize);
    let drift = if peers == Some(System::U) {
        10_000
    } else {
        50_000
    };
    let all_preempt = random.below(3);
    let plan = |at: usize| HostPlan {
        system: peers.filter(|_| at + others >= count),
        drift: match random.below(3) {
            0 => 0,
            1 => random.between(0, 20_000) as i64 - 10_000,
            _ => random.between(0, 2 * drift) as i64 - drift as i64,
        },
        preempt: match all_preempt {
            0 => true,
            1 => false,
            _ => random.chance(50),
        },
        has_v4: !random.chance(8),
        has_v6: !random.chance(8),
        demotion: 0,
        replay: true,
        wall: Some(0),
    };
    (0..count).map(plan).collect()
}

/// Who protects itself against replays, by which clock, and who makes them. From numbers of their own, so that the rest of a
/// seed is what it was without.
fn replays(seed: u64, mut hosts: Vec<HostPlan>) -> (Vec<HostPlan>, Option<Attack>) {
    let mut random = Random::new(seed ^ 0x5eed);
    let off = random.below(20);
    let wrong = random.below(10);
    for plan in &mut hosts {
        plan.replay = match off {
            0 => false,
            1 => random.chance(50),
            _ => true,
        };
        plan.wall = match wrong {
            0 if random.chance(30) => None,
            1 => Some(random.between(0, 3000) as i64 - 1500),
            _ => Some(random.between(0, 4) as i64 - 2),
        };
    }
    let ours = hosts
        .iter()
        .all(|plan| plan.system.is_none() && plan.replay);
    let attack = (ours && random.chance(30)).then(|| Attack {
        from: random.between(3 * SECOND, CALM),
        every: random.scaled(125 * MS, SECOND),
        whose: match random.below(3) {
            0 => Whose::Latest(random.below(hosts.len() as u64) as usize),
            1 => Whose::Any,
            _ => Whose::All,
        },
        forges: random.chance(50),
        open: false,
    });
    (hosts, attack)
}

/// In half of all networks, at any moment and close to what else happens to a host. From numbers of their own.
fn deaths(seed: u64, hosts: &[HostPlan], faults: &[Fault]) -> Vec<Death> {
    let mut random = Random::new(seed ^ 0xdead);
    let ours: Vec<usize> = (0..hosts.len())
        .filter(|host| hosts[*host].system.is_none())
        .collect();
    let count = if random.chance(50) {
        random.between(1, 8)
    } else {
        0
    };
    let mut deaths = Vec::new();
    for _ in 0..count {
        let fault = &faults[random.below(faults.len() as u64) as usize];
        let moment = if random.chance(50) {
            fault.at
        } else {
            fault.until
        };
        let near = random.chance(50);
        let any = random.between(SECOND, CALM + 4 * SECOND);
        let soon = moment + random.scaled(MS / 100, 4 * SECOND);
        let host = if near && ours.contains(&fault.host) {
            fault.host
        } else {
            random.pick(&ours)
        };
        deaths.push(Death::draw(
            &mut random,
            if near { soon } else { any },
            host,
        ));
    }
    deaths
}

/// In some networks of ours the groups of the first segment share the addresses of the first one, and every host is in all of
/// them. From numbers of their own.
fn share(seed: u64, hosts: &[HostPlan], base: Base, groups: &mut Vec<GroupPlan>) -> bool {
    let mut random = Random::new(seed ^ 0xba1a);
    let ours = hosts.iter().all(|plan| plan.system.is_none());
    if !ours || matches!(base, Base::Zero(_)) || !random.chance(20) {
        return false;
    }
    if groups.iter().filter(|group| group.segment == 0).count() < 2 {
        let vhid = groups.len() as u8 + 1;
        let members = Vec::new();
        groups.push(GroupPlan {
            vhid,
            members,
            ..groups[0].clone()
        });
    }
    let first = groups[0].clone();
    for group in groups.iter_mut().filter(|group| group.segment == 0) {
        group.addresses.clone_from(&first.addresses);
        for host in 0..hosts.len() {
            if !group.members.iter().any(|member| member.host == host) {
                let base = first.members[0].base;
                let skew = random.between(0, 254) as u8;
                group.members.push(MemberPlan { host, base, skew });
            }
        }
        // Equal ones step back together, as the BSDs do, and nobody answers for a dead time: as often as a demoted MASTER has
        // them take over in the same instant.
        let mut taken = BTreeSet::new();
        for member in &mut group.members {
            while !taken.insert(member.skew) {
                member.skew = random.between(0, 254) as u8;
            }
        }
        group.members.sort_by_key(|member| member.host);
    }
    true
}

/// While a former MASTER waits for its successor, a tenth of a second. From numbers of their own.
fn repeats(seed: u64, faults: &[Fault]) -> Vec<(u64, usize)> {
    let mut random = Random::new(seed ^ 0x2e9ea7);
    let departures = faults.iter().filter(|fault| fault.what.departs());
    let repeat = |fault: &Fault| (fault.at + random.scaled(MS / 5, 90 * MS), fault.host);
    departures.map(repeat).collect()
}

/// The carpdev goes down while it still carries what a MASTER has left behind, a tenth of a second. From numbers of their own.
fn after_departures(seed: u64, hosts: &[HostPlan], groups: &[GroupPlan], faults: &mut Vec<Fault>) {
    let mut random = Random::new(seed ^ 0x1ea7e);
    let ours = |fault: &&Fault| fault.what.departs() && hosts[fault.host].system.is_none();
    let departures: Vec<Fault> = faults.iter().filter(ours).copied().collect();
    for left in departures {
        let places = places(groups, left.host);
        let place = places.get(left.place).filter(|_| random.chance(30));
        let Some((group, _)) = place else { continue };
        let at = left.at + random.between(MS, 90 * MS);
        faults.push(Fault {
            at,
            until: (at + random.scaled(30 * MS, 10 * SECOND)).min(CALM),
            what: Kind::CarpdevFlap,
            segment: groups[*group].segment,
            ..left
        });
    }
}

#[derive(Debug, Clone, Copy)]
enum Base {
    All(u8),
    /// Skews from this one to its double.
    Zero(u8),
    OneAndFour,
}

fn group(
    random: &mut Random,
    hosts: &[HostPlan],
    (number, segment): (usize, usize),
    base: Base,
) -> GroupPlan {
    let system = hosts.iter().find_map(|host| host.system);
    let limited = matches!(system, Some(System::U | System::N));
    let (v4, v6) = match random.below(4) {
        _ if system == Some(System::U) => (1, 0),
        0 | 1 => (random.between(1, 3), 0),
        _ if limited => (random.between(1, 3), 0),
        2 => (random.between(1, 2), random.between(1, 2)),
        _ => (0, random.between(1, 2)),
    };
    let mut members = Vec::new();
    let ties = random.chance(20);
    let high = if system.is_some() { 200 } else { 254 };
    for (host, plan) in hosts.iter().enumerate() {
        // Other systems live on the first segment only.
        let joins = if plan.system.is_some() {
            segment == 0
        } else {
            members.len() < 2 || random.chance(85)
        };
        if joins {
            let skew = match base {
                Base::Zero(least) => random.between(least.into(), 2 * u64::from(least)) as u8,
                // UCARP reads so late that it needs some room.
                _ if plan.system == Some(System::U) => 60 + 3 * host as u8,
                // Equal ones of another system act in the same instant: a case of the table of `divergent`.
                _ if plan.system.is_some() => 16 * random.between(0, 11) as u8 + host as u8,
                _ if ties && random.chance(60) => 100,
                _ if system == Some(System::U) => random.between(0, 50) as u8,
                _ => random.between(0, high) as u8,
            };
            let base = match base {
                Base::All(base) => base,
                Base::Zero(_) => 0,
                Base::OneAndFour => random.pick(&[1, 4]),
            };
            members.push(MemberPlan { host, base, skew });
        }
    }
    let nets = [[192, 0, 2], [198, 51, 100]][segment];
    let v4 = (0..v4).map(|n| {
        let last = 200 + 8 * number as u8 + n as u8;
        IpAddr::V4(Ipv4Addr::new(nets[0], nets[1], nets[2], last))
    });
    let v6 = (0..v6).map(|n| {
        let last = 0x200 + 0x10 * number as u16 + n as u16;
        IpAddr::V6(Ipv6Addr::new(
            0x2001,
            0xdb8,
            segment as u16,
            0,
            0,
            0,
            0,
            last,
        ))
    });
    let mut addresses: Vec<IpAddr> = v4.chain(v6).collect();
    if random.chance(50) {
        addresses.reverse();
    }
    GroupPlan {
        vhid: number as u8 + 1,
        segment,
        addresses,
        members,
    }
}

fn fault(random: &mut Random, hosts: &[HostPlan], groups: &[GroupPlan], segments: usize) -> Fault {
    let at = random.between(3 * SECOND, CALM - 4 * SECOND);
    let host = random.below(hosts.len() as u64) as usize;
    let peer = hosts[host].system.is_some();
    let suits = |kind: &&Kind| kind.of_segment() || kind.of_peer() == peer;
    let kinds: Vec<Kind> = Kind::ALL.iter().filter(suits).copied().collect();
    // Half of the troubles are the network's where a host has few of its own.
    let mut what = random.pick(&kinds);
    if peer && what.of_segment() && random.chance(50) {
        what = random.pick(&[
            Kind::PeerCrash,
            Kind::PeerDown,
            Kind::PeerPause,
            Kind::PeerDemotion,
        ]);
    }
    if !peer && random.chance(25) {
        what = random.pick(&[
            Kind::CarpdevFlap,
            Kind::CarpdevGone,
            Kind::Pause,
            Kind::Partition,
        ]);
    }
    let places = places(groups, host).len().max(1) as u64;
    let number = match what {
        Kind::Loss => random.between(5, 60),
        Kind::Delay => random.between(5, 300),
        Kind::Duplication | Kind::Reordering | Kind::Corruption => random.between(10, 50),
        Kind::OneWayCut => random.below(hosts.len() as u64),
        Kind::Partition | Kind::FamilyLost => random.next(),
        Kind::OtherSkew => random.between(0, 254),
        _ => random.next(),
    };
    let span = match what {
        // It matters only to a host that becomes MASTER meanwhile.
        Kind::ArmRefused | Kind::ArmSilent | Kind::ArmLate => random.between(5, 30) * SECOND,
        Kind::Pause if random.chance(50) => random.between(SECOND, 10 * SECOND),
        _ => random.scaled(30 * MS, 10 * SECOND),
    };
    Fault {
        at,
        until: (at + span).min(CALM),
        what,
        segment: random.below(segments as u64) as usize,
        host,
        place: random.below(places) as usize,
        number,
    }
}
