//! What a vhost sends: advertisements, goodbyes, announcements; and what the outcome means for its lease.

use super::config::{Balancing, Carpdev, DSCP};
use super::election::Priority;
use super::outbox::Topic;
use super::state::{addresses, families, first_address};
use super::timer::Timer;
use super::turn::Turn;
use super::vhost::{self, Echo, Phase, Round};
use super::{Action, Sending};
use crate::wire::{Family, MacAddr, arp, carp, ip, nd};
use std::net::IpAddr;

impl Turn<'_> {
    /// One advertisement in each family, IPv4 first, and the next ones an interval from now.
    pub(super) fn advertise(&mut self) {
        let mine = self.mine();
        self.send_ad(mine.priority);
        let mut awaited = [false; 2];
        for family in families(self.config) {
            awaited[family as usize] = true;
        }
        // The lease counts from before sending: this moment.
        self.vhost.round = Some(Round {
            until: self.now + self.lease_length(),
            awaited,
        });
        let pace = self.pace();
        let interval = vhost::interval(pace.advbase, pace.advskew);
        self.vhost.timers.set(Timer::Advertise, self.now + interval);
    }

    pub(super) fn advertise_periodically(&mut self) {
        if self.vhost.offered {
            return self.bow_out();
        }
        self.advertise();
        if self.vhost.until_burst > 0 {
            self.vhost.until_burst -= 1;
            if self.vhost.until_burst == 0 {
                self.announce_all();
            }
        }
    }

    /// The bow-out: an ordinary advertisement that everybody is better than.
    pub(super) fn say_goodbye(&mut self) {
        self.send_ad(Priority::GOODBYE);
    }

    /// To hosts and switches that believed a worse MASTER; at most once per interval, whatever it sends.
    pub(super) fn reassert(&mut self) {
        if self.now < self.vhost.quiet_until {
            return;
        }
        let pace = self.pace();
        self.vhost.quiet_until = self.now + vhost::interval(pace.advbase, pace.advskew);
        self.advertise();
        self.announce_all();
    }

    pub(super) fn announce_all(&mut self) {
        let all: Vec<IpAddr> = addresses(self.config).collect();
        self.announce(&all);
    }

    /// Gratuitous ARP and unsolicited neighbour advertisements from the virtual MAC, so that switches learn it as well.
    pub(super) fn announce(&mut self, addresses: &[IpAddr]) {
        let Some((carpdev, parent)) = self.carpdev.zip(self.parent) else {
            return;
        };
        let mac = self.mac();
        // Whoever heard it would go to this vhid from now on, whichever it belongs to. The advertisement tells the switches.
        for address in addresses.iter().filter(|a| !self.divided.contains(a)) {
            let frame = match *address {
                IpAddr::V4(v4) => arp::gratuitous(mac, v4),
                IpAddr::V6(v6) => nd::Advertisement::unsolicited(mac, v6, parent.router).emit(),
            };
            self.send(carpdev, Sending::Announcement, frame);
        }
    }

    /// An advertisement was reported to have left, or not. Reports come in the order of sending, so one belongs to the
    /// present round only when no older one of its family is missing.
    pub(super) fn sent(&mut self, family: Family, ok: bool) {
        let unreported = &mut self.vhost.unreported[family as usize];
        let latest = *unreported == 1;
        *unreported = unreported.saturating_sub(1);
        self.count_send(ok);
        let Some(round) = self.vhost.round.as_mut().filter(|_| latest) else {
            return;
        };
        if !ok {
            self.vhost.round = None;
            return;
        }
        round.awaited[family as usize] = false;
        if round.awaited == [false; 2] {
            let until = round.until;
            self.vhost.round = None;
            self.vhost.timers.set(Timer::Lease, until);
            self.lease(until);
        }
    }

    fn count_send(&mut self, ok: bool) {
        if self.vhost.phase != Phase::Init {
            self.vhost.count_send(ok);
        }
        if ok {
            return;
        }
        self.out.stats.senderrors += 1;
        let (unit, errors) = (self.unit, self.vhost.send_errors);
        self.out.warn(self.now, Topic::SendFailed, 4, || {
            format!("{unit}: an advertisement did not leave, errors so far: {errors}")
        });
    }

    fn send_ad(&mut self, priority: Priority) {
        for family in families(self.config).collect::<Vec<_>>() {
            let Some((carpdev, src)) = self.carpdev.zip(self.source(family)) else {
                continue;
            };
            let bytes = self.ad(src, priority);
            let unreported = &mut self.vhost.unreported[family as usize];
            *unreported = unreported.saturating_add(1);
            match family {
                Family::Inet => self.out.stats.opackets += 1,
                Family::Inet6 => self.out.stats.opackets6 += 1,
            }
            if self.config.peers(family).next().is_some() {
                self.send_to_peers(carpdev, family, &bytes);
            } else {
                let frame = self.envelope(src, &bytes);
                self.send(carpdev, Sending::Advertisement(family), frame);
            }
        }
    }

    /// The same line may list all hosts on all of them: none sends to itself.
    fn send_to_peers(&mut self, carpdev: Carpdev, family: Family, bytes: &[u8; carp::LEN]) {
        let others = self
            .config
            .peers(family)
            .filter(|peer| !self.local.iter().any(|(_, own)| own == peer));
        let packets = others.filter_map(|peer| {
            let packet = match (self.source_for(peer)?, peer) {
                (IpAddr::V4(src), IpAddr::V4(dst)) => ip::packet_v4(src, dst, self.tos(), bytes),
                (IpAddr::V6(src), IpAddr::V6(dst)) => {
                    ip::packet_v6(src, dst, self.traffic_class(), bytes)
                }
                _ => return None,
            };
            Some((peer, packet))
        });
        let packets = packets.collect();
        self.out.push(Action::SendToPeers {
            carpdev,
            unit: self.unit,
            vhid: self.vhost.vhid,
            family,
            packets,
        });
    }

    /// A host behind a router does not answer to a link-local address, so a global one is taken where there is one.
    fn source_for(&self, peer: IpAddr) -> Option<IpAddr> {
        let global = |own: &IpAddr| matches!(own, IpAddr::V6(ip) if !ip.is_unicast_link_local());
        let here = |(at, own): &(Carpdev, IpAddr)| (Some(*at) == self.carpdev).then_some(*own);
        match peer {
            IpAddr::V6(ip) if !ip.is_unicast_link_local() => {
                let own = self.local.iter().filter_map(here).find(global);
                own.or_else(|| self.source(Family::Inet6))
            }
            _ => self.source(Family::of(peer)),
        }
    }

    fn tos(&self) -> u8 {
        self.dscp << 2
    }

    /// OpenBSD marks IPv4 only; any other choice is for both.
    fn traffic_class(&self) -> u8 {
        match self.dscp {
            DSCP => ip::TRAFFIC_CLASS,
            chosen => chosen << 2,
        }
    }

    /// The 36 bytes, with a counter and a digest of their own.
    fn ad(&mut self, src: IpAddr, priority: Priority) -> [u8; carp::LEN] {
        let (family, form) = match src {
            IpAddr::V4(_) => (Family::Inet, carp::Checksum::Plain),
            IpAddr::V6(src) if self.vhost.pseudo_header => {
                let form = carp::Checksum::PseudoHeader(src, ip::GROUP_V6);
                (Family::Inet6, form)
            }
            IpAddr::V6(_) => (Family::Inet6, carp::Checksum::Plain),
        };
        let clock = self.replay.then_some(self.clock);
        let memory = &mut self.vhost.memory;
        let counter = memory.next(self.auth, clock, family, self.random);
        let bytes = carp::Advertisement {
            vhid: self.vhost.vhid.get(),
            advskew: priority.advskew,
            demote: self.demotion.count,
            advbase: priority.advbase,
            counter: counter.to_be_bytes(),
            digest: self.auth.digest(self.vhost.kind, counter),
        }
        .emit_with(form);
        let [_, header @ ..] = bytes.first_chunk::<8>().expect("36 bytes hold 8");
        self.vhost.remember_sent(Echo {
            counter,
            src,
            header: *header,
        });
        bytes
    }

    /// The carpdev's address, else the first shared one, as OpenBSD 5 and NetBSD 10 do.
    pub(super) fn source(&self, family: Family) -> Option<IpAddr> {
        let own = match family {
            Family::Inet => self.parent?.inet.map(IpAddr::V4),
            Family::Inet6 => self.parent?.inet6.map(IpAddr::V6),
        };
        own.or_else(|| first_address(self.config, family))
    }

    fn envelope(&self, src: IpAddr, bytes: &[u8; carp::LEN]) -> Vec<u8> {
        let mac = self.ethernet_source();
        match src {
            // With DF set the identification may be 0 (RFC 6864), as FreeBSD and NetBSD send it.
            IpAddr::V4(src) => ip::advertisement_v4(
                mac,
                ip::GROUP_V4_MAC,
                src,
                ip::GROUP_V4,
                self.tos(),
                0,
                bytes,
            ),
            IpAddr::V6(src) => ip::advertisement_v6(
                mac,
                ip::GROUP_V6_MAC,
                src,
                ip::GROUP_V6,
                self.traffic_class(),
                bytes,
            ),
        }
    }

    fn mac(&self) -> MacAddr {
        let carpdev = self.parent.map(|parent| parent.mac);
        self.config.mac(self.vhost.vhid, carpdev)
    }

    /// The virtual MAC, but where no switch may learn where that is.
    fn ethernet_source(&self) -> MacAddr {
        match (self.config.balancing, self.parent) {
            (Balancing::Ip | Balancing::IpStealth, Some(parent)) => parent.mac,
            _ => self.mac(),
        }
    }

    pub(super) fn send(&mut self, carpdev: Carpdev, what: Sending, frame: Vec<u8>) {
        let (unit, vhid) = (self.unit, self.vhost.vhid);
        self.out.push(Action::Send {
            carpdev,
            unit,
            vhid,
            what,
            frame,
        });
    }

    /// An answer to ARP.
    pub(super) fn answer_arp(&mut self, request: &arp::Packet) {
        let reply = arp::Packet {
            src_mac: self.ethernet_source(),
            ..arp::Packet::reply(request, self.told_mac())
        };
        self.answer(reply.emit());
    }

    /// An answer to a neighbour solicitation: to the asker, or to all nodes if it was a probe. What all would hear goes to the
    /// prober alone and overrides nothing, where others belong to other vhosts (RFC 6085 allows the unicast frame).
    pub(super) fn answer_nd(&mut self, asked: &nd::Solicitation) {
        let router = self.parent.is_some_and(|parent| parent.router);
        let mut answer = nd::Advertisement::answer(asked, self.told_mac(), router);
        answer.src_mac = self.ethernet_source();
        if asked.is_probe() && self.divided.contains(&IpAddr::V6(asked.target)) {
            answer.dst_mac = asked.src_mac;
            answer.overriding = false;
        }
        self.answer(answer.emit());
    }

    /// Tells a neighbour, unasked and alone, that `shared` is at `mac`.
    pub(super) fn correct(&mut self, answer: &nd::Advertisement, mac: MacAddr) {
        let Some((carpdev, parent)) = self.carpdev.zip(self.parent) else {
            return;
        };
        let correction = nd::Advertisement {
            // No switch may learn another MASTER's MAC here.
            src_mac: parent.mac,
            dst_mac: answer.src_mac,
            dst: answer.src,
            ..nd::Advertisement::unsolicited(mac, answer.dst, parent.router)
        };
        self.send(carpdev, Sending::Answer, correction.emit());
    }

    fn told_mac(&self) -> MacAddr {
        let carpdev = self.parent.map(|parent| parent.mac);
        self.config.told_mac(self.vhost.vhid, carpdev)
    }

    fn answer(&mut self, frame: Vec<u8>) {
        if let Some(carpdev) = self.carpdev {
            self.out.stats.answers += 1;
            self.send(carpdev, Sending::Answer, frame);
        }
    }
}
