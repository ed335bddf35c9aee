//! What an advertisement that arrives asks of one host of ours: whether it is believed, whose it is, who gives way; must not
//! know what the engine made of it but where the rules leave it a choice.

use crate::host::Packet;
use crate::ledger::{self, Maker, Wanted};
use crate::packet::Ad;
use crate::ranking::{Claim, takes_over, yields};
use crate::rules::{Stage, Witness};
use carp::carp::{Gate, Reason};
use carp::wire::Family;

const MS: u64 = 1_000_000;
/// Where counters of ours begin, in seconds since 1970.
const Y2025: u64 = 1_735_689_600;

impl Witness {
    /// An advertisement that arrived. True if somebody here had to judge whether it is old.
    pub fn hear(&mut self, now: u64, at: usize, packet: &Packet, ad: &Ad) -> bool {
        let conf = &self.confs[at];
        let here = packet.segment == conf.segment && self.ports[conf.segment].exists;
        let Some(seal) = packet.seal.as_ref().filter(|_| here) else {
            return false;
        };
        if self.own(at, ad) {
            self.rules.insert("own echo");
            return false;
        }
        let listens = *seal == conf.seal
            && self.courses[at].stage != Stage::Init
            && !conf.gone
            && seal.families().any(|family| family == ad.family);
        if listens && self.settings.replay {
            self.judge(at, packet, ad);
            self.courses[at].ledger.hear(packet, ad, !self.replayed);
            if self.replayed {
                return true;
            }
        }
        self.succeed(now, at, packet, ad);
        if !listens {
            return false;
        }
        if ad.family == Family::Inet6 {
            self.courses[at].pseudo = ad.pseudo;
        }
        let theirs = Claim {
            rank: (ad.base, ad.skew),
            demote: ad.demote,
        };
        // One far ahead of this host's clock is not taken over from before it has been heard twice.
        let ahead = packet.maker == Maker::Stamped
            && ledger::read(ad.counter).1 > 2 * (self.clock.saturating_sub(Y2025) + 3600);
        let hesitates = ahead && !ad.is_goodbye() && !self.armed.contains(&at);
        self.decide(now, at, ad.family, theirs, hesitates);
        true
    }

    /// What the engine made of it against what it may.
    fn judge(&mut self, at: usize, packet: &Packet, ad: &Ad) {
        let wanted = self.courses[at].ledger.wants(packet, ad);
        let rule = match (wanted, packet.maker, self.replayed) {
            (Wanted::Believed, _, true) | (Wanted::Rejected, _, false) => {
                let did = if self.replayed {
                    "rejected"
                } else {
                    "believed"
                };
                self.wrong = Some(format!(
                    "{did} {ad:?} of {:?}, wanted {wanted:?}",
                    packet.maker
                ));
                return;
            }
            (Wanted::Believed, ..) => return,
            (Wanted::Rejected, ..) => "replay of ours rejected",
            (_, Maker::Varying, true) => "replay of another system rejected",
            (_, Maker::Varying, false) => "replay of another system believed",
            (_, _, true) => "stranger to the group rejected",
            (_, _, false) => "stranger to the group believed",
        };
        self.rules.insert(rule);
    }

    /// Somebody this host waits for to end its departure.
    fn succeed(&mut self, now: u64, at: usize, packet: &Packet, ad: &Ad) {
        let Some(left) = &mut self.courses[at].left else {
            return;
        };
        let of_group = left.seal.families().any(|family| family == ad.family)
            && Some(&left.seal) == packet.seal.as_ref();
        if !of_group || left.heard || ad.is_goodbye() {
            return;
        }
        let wanted = if self.settings.replay {
            left.ledger.wants(packet, ad)
        } else {
            Wanted::Believed
        };
        let heard = match wanted {
            Wanted::Believed => true,
            Wanted::Rejected => false,
            Wanted::Either => self.succeeded.contains(&at),
        };
        if heard {
            self.rules.insert("successor");
            (left.until, left.gate, left.heard) = (now + 20 * MS, Gate::Yielded, true);
        }
    }

    /// Equal in all but the digest. Another host without an address can send the same, by the same number heard before.
    fn own(&self, at: usize, ad: &Ad) -> bool {
        let plain = |ad: &Ad| Ad {
            digest: [0; 20],
            ..*ad
        };
        self.courses[at]
            .sent
            .iter()
            .any(|sent| plain(sent) == plain(ad))
    }

    fn decide(&mut self, now: u64, at: usize, family: Family, theirs: Claim, hesitates: bool) {
        let mine = self.claim(at);
        let over = takes_over(mine, theirs, self.settings.preempt);
        match self.courses[at].stage {
            Stage::Init => {}
            Stage::Backup => match over.filter(|reason| !hesitates && !self.waits(now, *reason)) {
                Some(reason) => self.arm(now, at, reason),
                None => self.wait(now, at, family, theirs),
            },
            Stage::Arming(Reason::MasterTimedOut(_)) if over.is_none() => {
                self.rules.insert("gave way");
                self.listen(now, at, Reason::BetterMaster);
                self.wait(now, at, family, theirs);
            }
            Stage::Arming(_) if yields(mine, theirs) => {
                self.rules.insert("gave way");
                self.listen(now, at, Reason::BetterMaster);
                self.wait(now, at, family, theirs);
            }
            Stage::Arming(_) => {}
            Stage::Master if yields(mine, theirs) => {
                self.leave(now, at, Gate::Yielded, 20 * MS);
                self.listen(now, at, Reason::BetterMaster);
                self.wait(now, at, family, theirs);
            }
            Stage::Master if now >= self.courses[at].quiet => {
                self.rules.insert("reasserted");
                self.courses[at].quiet = now + self.own_interval(at);
                self.advertise(now, at);
            }
            Stage::Master => {}
        }
    }

    /// Not all of its interfaces may be there yet.
    fn waits(&mut self, now: u64, reason: Reason) -> bool {
        let waits =
            self.settings.arpbalance && now < self.unsettled && reason == Reason::Preempting;
        if waits {
            self.rules.insert("waited for more interfaces");
        }
        waits
    }

    /// Its MASTER was heard.
    fn wait(&mut self, now: u64, at: usize, family: Family, theirs: Claim) {
        let own = self.dead(at);
        let span = crate::ranking::patience(self.claim(at), theirs, own);
        if span != own {
            self.rules.insert("bore with a slower one");
        }
        self.courses[at].down[family as usize] = Some(now + span);
    }
}
