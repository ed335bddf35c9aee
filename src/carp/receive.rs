//! An advertisement arrives: carp(4)'s checks in their order, one counter for each, then the election.

use super::Reason;
use super::auth::Verified;
use super::config::{Carpdev, Unit, Vhid};
use super::election::{self, Priority, Theirs};
use super::engine::Engine;
use super::kept::Part;
use super::outbox::Topic;
use super::replay::{Heard, Standing};
use super::state::{addresses, families};
use super::turn::{Leaving, Turn};
use super::vhost::{self, Echo, Phase};
use crate::time::Instant;
use crate::wire::{Error, Family, MacAddr, carp, frame, ip};
use std::net::IpAddr;
use std::time::Duration;

/// An advertisement before it is known whether it concerns us.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received<'a> {
    pub(super) carpdev: Carpdev,
    pub(super) family: Family,
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) dst_mac: MacAddr,
    pub(super) ttl: u8,
    pub(super) payload: &'a [u8],
}

/// How an advertisement was addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cast {
    Multicast,
    Unicast,
}

impl Engine {
    pub(super) fn frame(&mut self, now: Instant, carpdev: Carpdev, bytes: &[u8]) {
        match frame::parse(bytes) {
            Ok(frame::Frame::Advertisement {
                family,
                src,
                dst,
                dst_mac,
                ttl,
                payload,
                ..
            }) => {
                let received = Received {
                    carpdev,
                    family,
                    src,
                    dst,
                    dst_mac,
                    ttl,
                    payload,
                };
                if let Err(error) = self.advertisement(now, received) {
                    self.count(error);
                    self.note(now, error, received);
                }
            }
            Ok(frame::Frame::Arp(packet)) => self.arp(now, carpdev, &packet),
            Ok(frame::Frame::Solicitation(asked)) => self.solicitation(now, carpdev, &asked),
            Ok(frame::Frame::NeighbourAdvertisement(answer)) => {
                self.advertised(now, carpdev, &answer);
            }
            Ok(frame::Frame::Other) => {}
            Err(error) => self.count(error),
        }
    }

    fn advertisement(&mut self, now: Instant, received: Received<'_>) -> Result<(), Error> {
        match received.family {
            Family::Inet => self.out.stats.ipackets += 1,
            Family::Inet6 => self.out.stats.ipackets6 += 1,
        }
        if !self.world.settings.allow {
            return Ok(());
        }
        let cast = self.cast(received).ok_or(Error::BadIf)?;
        let vhid = carp::vhid(received.payload).and_then(Vhid::new);
        // A peer may be routers away, as FreeBSD has it: only the digest tells who it is.
        let far = cast == Cast::Unicast
            && vhid.is_some_and(|vhid| !self.listening(received, vhid, cast).is_empty());
        let ttl = if far { carp::TTL } else { received.ttl };
        let form = carp::verify(ttl, received.payload, pseudo_header(received))?;
        let vhid = vhid.ok_or(Error::BadVhid)?;
        self.overhear(now, received, vhid);
        let listening = self.listening(received, vhid, cast);
        if listening.is_empty() && !self.awaits(received.carpdev, vhid) {
            return Err(Error::BadVhid);
        }
        let ad = carp::Advertisement::parse(received.payload)?;
        self.deliver(now, (received, form), &ad, (vhid, &listening))
    }

    /// An advertisement of a vhid that takes no part here tells that another host serves those of its askers.
    fn overhear(&mut self, now: Instant, received: Received<'_>, vhid: Vhid) {
        let Ok(ad) = carp::Advertisement::parse(received.payload) else {
            return;
        };
        for unit in self.index.bearers(received.carpdev, vhid) {
            let Some(interface) = self.world.interfaces.get_mut(unit) else {
                continue;
            };
            let mut vhosts = interface.vhosts.iter_mut();
            let found = vhosts.find(|v| v.vhid == vhid && v.phase == Phase::Init);
            let auth = self.auths.get(&(*unit, vhid));
            let counter = u64::from_be_bytes(ad.counter);
            if let (Some(vhost), Some(auth)) = (found, auth)
                && auth.verify(counter, &ad.digest).is_some()
            {
                let dead = vhost::dead_time(interface.config.advbase, vhost.advskew);
                let gone = priority(&ad) == Priority::GOODBYE;
                vhost.elsewhere = (!gone).then(|| now + dead);
                self.changed.insert(Part::Vhost(*unit, vhid));
            }
        }
    }

    /// The digest, then whoever it is right for.
    fn deliver(
        &mut self,
        now: Instant,
        (received, form): (Received<'_>, carp::Checksum),
        ad: &carp::Advertisement,
        (vhid, listening): (Vhid, &[Unit]),
    ) -> Result<(), Error> {
        let echo = as_echo(received, ad);
        let (mut valid, mut replayed) = (false, false);
        for unit in listening {
            let auth = self.auths.get(&(*unit, vhid));
            let verified = auth.and_then(|auth| auth.verify(echo.counter, &ad.digest));
            let who = (*unit, vhid);
            let former = verified.is_none() && self.is_former(now, who, &echo, ad);
            let borne = verified.is_none() && !former && self.is_borne_with(now, who, received, ad);
            if verified.is_none() && !former && !borne {
                continue;
            }
            let Some(mut turn) = self.turn(now, *unit, vhid) else {
                continue;
            };
            if borne {
                turn.bear_with(received, ad);
                continue;
            }
            valid = true;
            if turn.vhost.echoes.contains(&echo) {
                turn.note_echo(received.src);
                return Ok(());
            }
            // As in FreeBSD. Nobody with the same addresses sends over a family that has none of them, so this is a recording
            // behind another header.
            if !families(turn.config).any(|f| f == received.family) {
                return Err(Error::BadVhid);
            }
            let standing = turn.standing(received, ad, former);
            if standing == Standing::Old {
                replayed = true;
                continue;
            }
            if let Some(verified) = verified {
                turn.learn_form(received.family, form, verified);
            }
            turn.hear(received, ad, standing);
        }
        if replayed {
            return Ok(());
        }
        if self.awaits(received.carpdev, vhid) {
            let clock = self.world.wall_clock(now);
            let heard = (echo, heard(now, clock, received, ad, received.src.into()));
            valid |= self.successor(now, (received.carpdev, vhid), heard, ad);
        }
        if valid { Ok(()) } else { Err(Error::BadAuth) }
    }

    /// Whether its destination makes it ours. What a promiscuous carpdev hears, or what this host only forwards, is not.
    fn cast(&self, received: Received<'_>) -> Option<Cast> {
        let parent = self.world.parents.get(&received.carpdev)?;
        if received.dst == ip::GROUP_V4 || received.dst == ip::GROUP_V6 {
            return Some(Cast::Multicast);
        }
        let own = |(_, own): &(Carpdev, IpAddr)| *own == received.dst;
        let ours = received.dst_mac == parent.mac && self.world.local.iter().any(own);
        ours.then_some(Cast::Unicast)
    }

    /// The carpN with this vhid on this carpdev, unless in INIT. One, unless the admin made two of a kind. As in OpenBSD one
    /// with unicast peers hears no multicast, and the other way round.
    fn listening(&self, received: Received<'_>, vhid: Vhid, cast: Cast) -> Vec<Unit> {
        let bearers = self.index.bearers(received.carpdev, vhid).iter();
        let listening = bearers.filter(|unit| {
            self.world.interfaces.get(unit).is_some_and(|i| {
                let peers = i.config.peers(received.family).next().is_some();
                let mut vhosts = i.vhosts.iter();
                let takes_part = vhosts.any(|v| v.vhid == vhid && v.phase != Phase::Init);
                takes_part && peers == (cast == Cast::Unicast)
            })
        });
        listening.copied().collect()
    }

    fn count(&mut self, error: Error) {
        let stats = &mut self.out.stats;
        match error {
            Error::BadIf => stats.badif += 1,
            Error::BadTtl => stats.badttl += 1,
            Error::Hdrops => stats.hdrops += 1,
            Error::BadSum => stats.badsum += 1,
            Error::BadVer => stats.badver += 1,
            Error::BadLen => stats.badlen += 1,
            Error::BadAuth => stats.badauth += 1,
            Error::BadVhid => stats.badvhid += 1,
            Error::BadAddrs => stats.badaddrs += 1,
            // Below carp: the BSDs count these under ip and ip6.
            Error::Truncated
            | Error::IpHeader
            | Error::Fragment
            | Error::Extension
            | Error::Neighbour => stats.malformed += 1,
        }
    }

    /// OpenBSD's levels and words, with the sender.
    fn note(&mut self, now: Instant, error: Error, received: Received<'_>) {
        let Received {
            src, ttl, payload, ..
        } = received;
        let (topic, level) = match error {
            Error::BadTtl => (Topic::BadTtl, 5),
            Error::BadLen => (Topic::BadLength, 6),
            Error::BadSum => (Topic::BadChecksum, 6),
            Error::BadVer => (Topic::BadVersion, 5),
            Error::BadAuth => (Topic::BadDigest, 6),
            _ => return,
        };
        self.out.packet(now, topic, level, || match error {
            Error::BadTtl => format!("carp: received ttl {ttl} != 255 from {src}"),
            Error::BadVer => {
                let version = carp::version(payload).unwrap_or(0);
                format!("carp: invalid version {version} != 2 from {src}")
            }
            Error::BadAuth => {
                let vhid = carp::vhid(payload).unwrap_or(0);
                format!("carp: incorrect hash for vhid {vhid} from {src}: another password or other addresses")
            }
            other => format!("carp: {other} from {src}"),
        });
    }
}

fn pseudo_header(received: Received<'_>) -> Option<(std::net::Ipv6Addr, std::net::Ipv6Addr)> {
    match (received.src, received.dst) {
        (IpAddr::V6(src), IpAddr::V6(dst)) => Some((src, dst)),
        _ => None,
    }
}

/// What our own advertisement would look like if it came back. Never judged by its source alone: hosts without an address
/// on their carpdev have source and MAC in common.
fn as_echo(received: Received<'_>, ad: &carp::Advertisement) -> Echo {
    let mut header = [0; 7];
    header.copy_from_slice(&received.payload[1..8]);
    Echo {
        counter: u64::from_be_bytes(ad.counter),
        src: received.src,
        header,
    }
}

pub(super) fn priority(ad: &carp::Advertisement) -> Priority {
    Priority {
        advbase: ad.advbase,
        advskew: ad.advskew,
    }
}

pub(super) fn heard(
    now: Instant,
    clock: u64,
    received: Received<'_>,
    ad: &carp::Advertisement,
    src: Option<IpAddr>,
) -> Heard {
    let interval = match priority(ad) {
        Priority::GOODBYE => Duration::ZERO,
        Priority { advbase, advskew } => vhost::interval(advbase, advskew),
    };
    Heard {
        now,
        clock,
        family: received.family,
        counter: u64::from_be_bytes(ad.counter),
        src,
        own: false,
        interval,
    }
}

impl Turn<'_> {
    /// Whether it was heard before, or is older than what was heard; counted.
    fn standing(
        &mut self,
        received: Received<'_>,
        ad: &carp::Advertisement,
        former: bool,
    ) -> Standing {
        if !self.replay {
            return Standing::New;
        }
        let src = received.src;
        let heard = self.heard(received, ad);
        let verdict = self.vhost.memory.judge(self.auth, &heard);
        if verdict.is_of_ours() && !former {
            self.vhost.heard_ours = Some(self.now);
        }
        let learnt = self.vhost.memory.learn(&heard, verdict, self.random);
        let unit = self.unit;
        if let Some(protection) = learnt {
            self.out.packet(self.now, Topic::Protection, 6, || {
                format!("{unit}: protection against replays of {src}: {protection}")
            });
        }
        if verdict.is_replay() {
            self.out.stats.badreplay += 1;
            self.out.packet(self.now, Topic::Replay, 4, || {
                format!("{unit}: replay detected: an old advertisement came from {src}")
            });
        }
        verdict.standing()
    }

    /// An advertisement as the memory of counters sees it.
    pub(super) fn heard(&self, received: Received<'_>, ad: &carp::Advertisement) -> Heard {
        let src = received.src;
        let telling = Some(src).filter(|_| !self.is_shared(src));
        let mut heard = heard(self.now, self.clock, received, ad, telling);
        heard.own = self.is_own(src);
        // The header is not covered by the digest: no longer than it takes to time out.
        let dead = vhost::dead_time(self.config.advbase, self.vhost.advskew);
        heard.interval = heard.interval.min(dead * 2 / 3);
        heard
    }

    /// What several hosts may have as their source tells nothing about one of them.
    fn is_shared(&self, src: IpAddr) -> bool {
        src.is_unspecified() || addresses(self.config).any(|address| address == src)
    }

    /// No other host sends from there.
    fn is_own(&self, src: IpAddr) -> bool {
        !self.is_shared(src) && self.source(Family::of(src)) == Some(src)
    }

    /// What is sent from now on is what this peer can read.
    fn learn_form(&mut self, family: Family, form: carp::Checksum, verified: Verified) {
        if let Verified::Only(kind) = verified {
            self.vhost.kind = kind;
        }
        if family == Family::Inet6 {
            self.vhost.pseudo_header = form != carp::Checksum::Plain;
        }
    }

    fn note_echo(&mut self, src: IpAddr) {
        self.out.stats.echoes += 1;
        if !self.is_own(src) {
            self.vhost.memory.rename_self(self.random);
        }
        let unit = self.unit;
        self.out.packet(self.now, Topic::Echo, 4, || {
            format!("{unit}: replay or network loop detected: our own advertisement came back from {src}")
        });
    }

    /// A valid advertisement of another host.
    fn hear(&mut self, received: Received<'_>, ad: &carp::Advertisement, standing: Standing) {
        let priority = priority(ad);
        if priority != Priority::GOODBYE {
            let briefest = self.vhost.briefest.unwrap_or(priority);
            self.vhost.briefest = Some(briefest.min(priority));
            self.warn_of_slow_peer(priority, received.src);
        }
        let demote = ad.demote;
        self.decide(received.family, Theirs { priority, demote }, standing);
    }

    fn decide(&mut self, family: Family, theirs: Theirs, standing: Standing) {
        let mine = self.mine();
        match self.vhost.phase {
            Phase::Init => {}
            Phase::Backup => match election::takes_over(mine, theirs, self.preempt) {
                // A MASTER whose values are far ahead would not believe ours before its next one has told us to go on
                // above them, and both would own the addresses until then.
                Some(reason)
                    if (standing == Standing::New || reason == Reason::Goodbye)
                        && !(self.unsettled && reason == Reason::Preempting) =>
                {
                    self.arm(reason);
                }
                _ => self.heard_master(family, theirs),
            },
            // The MASTER that was thought dead is heard at the last moment.
            Phase::Arming(Reason::MasterTimedOut(_))
                if election::takes_over(mine, theirs, self.preempt).is_none() =>
            {
                self.give_way(family, theirs);
            }
            Phase::Arming(_) if election::yields(mine, theirs) => self.give_way(family, theirs),
            Phase::Arming(_) => {}
            Phase::Master if election::yields(mine, theirs) => {
                self.step_down(Leaving::Yielding, Reason::BetterMaster);
                self.heard_master(family, theirs);
            }
            Phase::Master => self.reassert(),
        }
    }

    fn give_way(&mut self, family: Family, theirs: Theirs) {
        self.withdraw();
        self.become_backup(Reason::BetterMaster);
        self.heard_master(family, theirs);
    }

    /// With advbase 0 nobody takes over from a slow MASTER by its priority; its interval just exceeds the dead time.
    fn warn_of_slow_peer(&mut self, theirs: Priority, src: IpAddr) {
        let own = self.vhost.advskew.max(1);
        let slow = theirs.advbase > 0 || u16::from(theirs.advskew) >= 3 * u16::from(own);
        if self.config.advbase > 0 || !slow || self.vhost.warned_slow {
            return;
        }
        self.vhost.warned_slow = true;
        let unit = self.unit;
        let Priority { advbase, advskew } = theirs;
        self.out.warn(self.now, Topic::SlowPeer, 4, || {
            format!(
                "{unit}: {src} advertises with advbase {advbase} advskew {advskew}, too slowly for this host with advbase 0 \
                 advskew {own}: it will be timed out whenever it is MASTER"
            )
        });
    }
}
