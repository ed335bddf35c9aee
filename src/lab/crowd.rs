//! A host that asks for shared addresses in the name of many, and counts who answers whom; must not know who should.

use super::asker::{Asking, question};
use super::beat::Beat;
use crate::linux::filter::Filter;
use crate::linux::packet::{PacketSocket, Vnet};
use crate::linux::{self, clock, netns::Namespace};
use crate::time::Instant;
use crate::wire::{Frame, MacAddr, arp, frame};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often answers are looked for.
const LOOK: Duration = Duration::from_millis(10);
/// An answer that comes later than so many questions is none.
const OWED: u32 = 5;

/// One of many who ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its address.
    pub ip: IpAddr,
    /// The shared address of its family.
    pub target: IpAddr,
}

/// What came of the questions so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Questions asked.
    pub asked: u64,
    /// Answers of each bridge port.
    pub answered: Vec<u64>,
    /// The port that answered each asker last.
    pub by: Vec<Option<usize>>,
    /// Questions that had several answers, but for those that overlap.
    pub double: u64,
    /// Questions that two ports answered with the same Ethernet address: the old and the new MASTER of a vhid.
    pub overlap: u64,
    /// Questions that had to be repeated, since the one before had no answer.
    pub repeated: u64,
    /// How long each asker has been without an answer.
    pub waiting: Vec<Duration>,
    /// The longest that an asker was without an answer.
    pub longest: Duration,
}

/// Runs until dropped.
#[derive(Debug)]
pub struct Crowd {
    tally: Arc<Mutex<Tally>>,
    anew: Arc<AtomicBool>,
    _beat: Beat,
}

struct Work {
    outlet: PacketSocket,
    /// At the bridge ports.
    ports: Vec<PacketSocket>,
    members: Vec<Member>,
    questions: Vec<Vec<u8>>,
    /// Answers since the latest question of each: the port, and the Ethernet address told.
    answers: Vec<Vec<(usize, MacAddr)>>,
    /// How many questions of each may still be answered late.
    owed: Vec<u32>,
    /// When each asked for the first time what was not answered yet.
    since: Vec<Option<Instant>>,
    asked: bool,
}

impl Crowd {
    /// Every one of `members` asks every `period`, all with the Ethernet address `mac`, from `interface` of `namespace`.
    /// What the hosts at `ports` of `switch` send is what they answer.
    ///
    /// # Errors
    /// Those of packet sockets: no privilege, no such interface.
    pub fn start(
        (namespace, interface, mac): (&Namespace, u32, MacAddr),
        (switch, ports): (&Namespace, &[u32]),
        members: &[Member],
        period: Duration,
    ) -> linux::Result<Self> {
        let failed = |source| linux::Error::new("start crowd", "", source);
        let open = |index: u32| {
            let socket = PacketSocket::open(index, Vnet::No)?;
            let set = socket.set_filter(&Filter::everything());
            set.map(|()| socket).map_err(failed)
        };
        let outlet = namespace.try_run(|| PacketSocket::open(interface, Vnet::No))??;
        let listening = switch.try_run(|| {
            ports
                .iter()
                .map(|port| open(*port))
                .collect::<Result<Vec<_>, _>>()
        });
        let mut work = Work {
            outlet,
            ports: listening??,
            questions: members.iter().map(|m| asking(*m, mac)).collect(),
            answers: vec![Vec::new(); members.len()],
            owed: vec![0; members.len()],
            since: vec![None; members.len()],
            members: members.to_vec(),
            asked: false,
        };
        let tally = Arc::new(Mutex::new(Tally {
            answered: vec![0; ports.len()],
            by: vec![None; members.len()],
            waiting: vec![Duration::ZERO; members.len()],
            ..Tally::default()
        }));
        let anew = Arc::new(AtomicBool::new(false));
        let (shared, begins) = (Arc::clone(&tally), Arc::clone(&anew));
        let mut next = Instant::ZERO;
        let beat = Beat::start("crowd", LOOK, move |_due| {
            let mut tally = lock(&shared);
            work.collect(&mut tally);
            let now = clock::now();
            if now >= next {
                work.judge(&mut tally, now);
                if begins.swap(false, Ordering::Relaxed) {
                    tally.begin();
                }
                work.ask(&mut tally);
                next = now + period;
            }
        });
        Ok(Self {
            tally,
            anew,
            _beat: beat.map_err(failed)?,
        })
    }

    /// Counts from the next question on: what was asked before has its answers by then, or goes without.
    pub fn count_anew(&self) {
        self.anew.store(true, Ordering::Relaxed);
        while self.anew.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK);
        }
    }

    /// As it is now.
    #[must_use]
    pub fn tally(&self) -> Tally {
        lock(&self.tally).clone()
    }
}

impl Tally {
    /// Forgets what was counted, but not who is served by whom.
    fn begin(&mut self) {
        *self = Self {
            answered: vec![0; self.answered.len()],
            by: std::mem::take(&mut self.by),
            waiting: std::mem::take(&mut self.waiting),
            ..Self::default()
        };
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

fn asking(member: Member, mac: MacAddr) -> Vec<u8> {
    let (mut inet, mut inet6) = (
        std::net::Ipv4Addr::UNSPECIFIED,
        std::net::Ipv6Addr::UNSPECIFIED,
    );
    match member.ip {
        IpAddr::V4(ip) => inet = ip,
        IpAddr::V6(ip) => inet6 = ip,
    }
    let asking = Asking {
        interface: 0,
        mac,
        inet,
        inet6,
    };
    question(&asking, member.target)
}

impl Work {
    fn collect(&mut self, tally: &mut Tally) {
        let mut buffer = [0; 128];
        for (port, socket) in self.ports.iter().enumerate() {
            while let Ok(length) = socket.recv(&mut buffer) {
                let Some((ip, target, told)) = answered(&buffer[..length.min(buffer.len())]) else {
                    continue;
                };
                let asked = |member: &Member| (member.ip, member.target) == (ip, target);
                if let Some(place) = self.members.iter().position(asked) {
                    self.answers[place].push((port, told));
                    tally.answered[port] += 1;
                    tally.by[place] = Some(port);
                }
            }
        }
    }

    /// What was answered is done.
    fn judge(&mut self, tally: &mut Tally, now: Instant) {
        for place in 0..self.members.len() {
            let answers = std::mem::take(&mut self.answers[place]);
            match answers.as_slice() {
                [] if self.asked => {
                    tally.repeated += 1;
                    self.owed[place] = OWED.min(self.owed[place] + 1);
                    let waiting = now.since(self.since[place].unwrap_or(now));
                    tally.waiting[place] = waiting;
                    tally.longest = tally.longest.max(waiting);
                }
                answers => {
                    count(tally, answers, &mut self.owed[place]);
                    self.since[place] = Some(now);
                    tally.waiting[place] = Duration::ZERO;
                }
            }
        }
    }

    /// All ask anew.
    fn ask(&mut self, tally: &mut Tally) {
        for question in &self.questions {
            tally.asked += 1;
            // A link that is down brings no answer, which is what is counted.
            let _ = self.outlet.send(question);
        }
        self.asked = true;
    }
}

/// `owed`: questions before the latest that may be answered late, and then by the same host.
fn count(tally: &mut Tally, answers: &[(usize, MacAddr)], owed: &mut u32) {
    let Some((first, others)) = answers.split_first() else {
        return;
    };
    for other in others {
        if other == first && *owed > 0 {
            *owed -= 1;
        } else if other.0 != first.0 && other.1 == first.1 {
            tally.overlap += 1;
        } else {
            tally.double += 1;
        }
    }
}

/// To whom an answer goes, about which address, and what it tells.
fn answered(bytes: &[u8]) -> Option<(IpAddr, IpAddr, MacAddr)> {
    match frame::parse(bytes).ok()? {
        Frame::Arp(packet) if packet.operation == arp::Operation::Reply => {
            let told = packet.sender_mac;
            Some((packet.target_ip.into(), packet.sender_ip.into(), told))
        }
        Frame::NeighbourAdvertisement(na) => {
            Some((na.dst.into(), na.target.into(), na.target_link_layer?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_anew_forgets_counts_and_keeps_who_is_served() {
        let mut tally = Tally {
            asked: 9,
            answered: vec![4, 5],
            by: vec![Some(1)],
            double: 3,
            overlap: 2,
            repeated: 1,
            waiting: vec![LOOK],
            longest: LOOK,
        };
        tally.begin();
        let fresh = Tally {
            answered: vec![0, 0],
            by: vec![Some(1)],
            waiting: vec![LOOK],
            ..Tally::default()
        };
        assert_eq!(tally, fresh);
    }

    #[test]
    fn answers_of_two_masters_of_a_vhid_overlap_and_others_are_double() {
        let (one, two) = (MacAddr::of_vhid(1), MacAddr::of_vhid(2));
        for (answers, mut owed, double, overlap) in [
            (&[(0, one)][..], 0, 0, 0),
            (&[(0, one), (1, one)], 0, 0, 1),
            (&[(0, one), (1, two)], 0, 1, 0),
            (&[(0, one), (0, one)], 0, 1, 0),
            (&[(0, one), (0, one), (0, one)], 1, 1, 0),
            (&[(0, one), (1, two)], 1, 1, 0),
            (&[], 0, 0, 0),
        ] {
            let mut tally = Tally::default();
            count(&mut tally, answers, &mut owed);
            let counted = (tally.double, tally.overlap);
            assert_eq!(counted, (double, overlap), "{answers:?}");
        }
    }
}
