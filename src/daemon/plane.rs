//! Which data plane serves the carp interfaces: what is wanted against what can be had; must not know how frames are moved.

use super::Daemon;
use super::interface::Interface;
use super::log::level;
use crate::carp::Input;
use crate::carp::config as carp;
use crate::carp::config::{Config, Dataplane, InputMode, Lladdr, Node, Unit};
use crate::control::plan::refusal;
use crate::control::{Refusal, Served, Traffic};
use crate::dataplane::{Balancing, Counters, Port, Vhost};
use crate::wire::MacAddr;
use ipnetwork::IpNetwork;

/// What this host has beside `copy`, which is always there; why not, where it has not.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) tcx: Result<(), String>,
    pub(super) clsact: Result<(), String>,
}

impl Offer {
    /// Neither, both for this reason.
    pub(super) fn none(why: &str) -> Self {
        Self {
            tcx: Err(why.to_owned()),
            clsact: Err(why.to_owned()),
        }
    }
}

/// The data plane in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    /// Never `auto`.
    pub(super) plane: Dataplane,
    /// Why not a better one, if one was tried.
    pub(super) why: Option<String>,
    /// Nobody insists: a carpdev that does not take it gets the next best.
    pub(super) yields: bool,
}

impl Choice {
    /// What to try for a carpdev, one after the other.
    pub(super) fn planes(&self) -> Vec<Dataplane> {
        let all = [Dataplane::Tcx, Dataplane::Clsact, Dataplane::Copy];
        let from = all.into_iter().skip_while(|plane| *plane != self.plane);
        from.take(if self.yields { 3 } else { 1 }).collect()
    }
}

/// The data plane to use.
///
/// # Errors
/// The one that is forced cannot be had.
pub(super) fn choose(wanted: Dataplane, offer: &Offer) -> Result<Choice, Refusal> {
    let forced = |plane, had: &Result<(), String>| match had {
        Ok(()) => Ok(Choice {
            plane,
            why: None,
            yields: false,
        }),
        Err(why) => Err(refusal(
            "net.inet.carp.dataplane: Operation not supported",
            format!("{plane}: {why}"),
        )),
    };
    match wanted {
        Dataplane::Tcx => forced(wanted, &offer.tcx),
        Dataplane::Clsact => forced(wanted, &offer.clsact),
        Dataplane::Copy => forced(wanted, &Ok(())),
        Dataplane::Auto => Ok(best(offer)),
    }
}

fn best(offer: &Offer) -> Choice {
    let candidates = [
        (Dataplane::Tcx, &offer.tcx),
        (Dataplane::Clsact, &offer.clsact),
    ];
    let mut refused: Vec<String> = Vec::new();
    for (plane, had) in candidates {
        match had {
            Ok(()) => {
                let why = (!refused.is_empty()).then(|| refused.join("; "));
                return Choice {
                    plane,
                    why,
                    yields: true,
                };
            }
            Err(why) => refused.push(format!("{plane}: {why}")),
        }
    }
    Choice {
        plane: Dataplane::Copy,
        why: Some(refused.join("; ")),
        yields: true,
    }
}

/// Why this data plane cannot serve a carpN of this configuration.
fn hindrance(plane: Dataplane, config: &Config) -> Option<String> {
    (plane == Dataplane::Copy && config.input == InputMode::Accept)
        .then(|| "input accept needs the data plane tcx or clsact, copy is in use".to_owned())
}

/// A carpN as the data plane has to know it; with net.inet.carp.arpbalance other carpN may have its addresses.
pub(super) fn port(interface: &Interface, carpdev: u32, arpbalance: bool) -> Port {
    let Interface { index, config, .. } = interface;
    let vhost = |node: &Node| Vhost {
        vhid: node.vhid.get(),
        mac: match config.lladdr {
            // What is sent to it reaches this host anyway: a second copy would be answered twice.
            Lladdr::Carpdev => MacAddr::ZERO,
            _ => config.told_mac(node.vhid, None),
        },
    };
    Port {
        id: *index,
        carpdev,
        mac: interface.shape.mac,
        vhosts: config.nodes.iter().map(vhost).collect(),
        balancing: match config.balancing {
            carp::Balancing::None | carp::Balancing::Arp => Balancing::Mac,
            carp::Balancing::Ip | carp::Balancing::IpStealth => Balancing::Unlearnt,
            carp::Balancing::IpUnicast => Balancing::Learnt,
        },
        probes: arpbalance || config.balancing == carp::Balancing::Arp,
        shared: config.addresses.iter().map(IpNetwork::ip).collect(),
        accept: config.input == InputMode::Accept,
        capture: config.capture,
    }
}

impl Daemon {
    /// Chooses anew; only while there is no carp interface.
    pub(super) fn choose_plane(&mut self, wanted: Dataplane) -> Result<(), Refusal> {
        if wanted == self.settings.dataplane {
            return Ok(());
        }
        let there = self.interfaces.keys().next();
        let busy = match (there, &self.transaction) {
            (Some(unit), _) => format!("{unit} is there: destroy all carp interfaces first"),
            (None, Some(_)) => "a carp interface is being made".to_owned(),
            (None, None) => {
                self.choice = choose(wanted, &self.offer)?;
                self.tell_plane();
                return Ok(());
            }
        };
        Err(refusal("net.inet.carp.dataplane: Device busy", busy))
    }

    /// Has every port know whether others may have its addresses.
    pub(super) fn change_ports(&mut self) {
        for interface in self.interfaces.values() {
            if let Some(carpdev) = interface.carpdev {
                let port = port(interface, carpdev, self.settings.arpbalance);
                self.plane.change_port(port);
            }
        }
    }

    /// A line for the log.
    pub(super) fn tell_plane(&self) {
        let Choice { plane, why, .. } = &self.choice;
        let why = why
            .as_ref()
            .map_or_else(String::new, |why| format!(" ({why})"));
        self.log
            .line(level::INFO, &format!("data plane: {plane}{why}"));
    }

    /// Tells the engine whether a carpN can be served, before it hears of the configuration.
    pub(super) fn tell_served(&mut self, unit: Unit) {
        let Some(interface) = self.interfaces.get_mut(&unit) else {
            return;
        };
        let carpdev = interface.config.carpdev.as_deref();
        let fallback = carpdev.and_then(|name| self.fallbacks.get(name));
        let plane = fallback.unwrap_or(&self.choice).plane;
        let hindrance = hindrance(plane, &interface.config);
        if let Some(why) = hindrance
            .as_ref()
            .filter(|_| hindrance != interface.hindrance)
        {
            self.log
                .line(level::ERR, &format!("{unit} stays in INIT: {why}"));
        }
        let ok = hindrance.is_none();
        interface.hindrance = hindrance;
        self.tell(Input::Served { unit, ok });
    }

    /// Says once for each carpdev and input mode which rules of a packet filter will not match.
    pub(super) fn tell_rules(&mut self, unit: Unit) {
        let Some(interface) = self.interfaces.get(&unit) else {
            return;
        };
        let (Some(carpdev), Config { input, .. }) = (&interface.config.carpdev, &interface.config)
        else {
            return;
        };
        if interface.hindrance.is_some() || !self.told.insert((carpdev.clone(), *input)) {
            return;
        }
        let (seen, blind) = match input {
            InputMode::Redirect => (unit.to_string(), carpdev.clone()),
            InputMode::Accept => (carpdev.clone(), unit.to_string()),
        };
        let text = format!(
            "{unit}: input {input}: firewall rules see what it receives as iifname {seen}; those for iifname {blind} do not match it"
        );
        self.log.line(level::INFO, &text);
    }

    /// What front ends are told of a carpN's data plane.
    pub(super) fn served(&self, interface: &Interface) -> (Served, Traffic) {
        let carpdev = interface.config.carpdev.as_deref();
        let fallback = carpdev.and_then(|name| self.fallbacks.get(name));
        let Choice { plane, why, .. } = fallback.unwrap_or(&self.choice);
        let served = Served {
            by: *plane,
            why: why.clone(),
            hindrance: interface.hindrance.clone(),
        };
        let mut total = self.carried(interface.index);
        let vhids = interface.config.nodes.iter().map(|node| node.vhid.get());
        for vhid in vhids {
            let of = |(index, counted, _): &&(u32, u8, Counters)| {
                Some(*index) == interface.carpdev && *counted == vhid
            };
            if let Some((.., counted)) = self.counted.iter().find(of) {
                total += *counted;
            }
        }
        (served, traffic(total))
    }

    /// What copiers carried for a carpN, this engine's and those before it.
    pub(super) fn carried(&self, index: u32) -> Counters {
        let mut total = self.carried.get(&index).copied().unwrap_or_default();
        total += self.plane.counters(index).unwrap_or_default();
        total
    }

    /// A carpdev did not take the data plane that was chosen, or does now.
    pub(super) fn tell_fallback(&mut self, name: &str, plane: Dataplane, why: Option<String>) {
        if plane == self.choice.plane {
            self.fallbacks.remove(name);
            return;
        }
        let because = why
            .as_ref()
            .map_or_else(String::new, |why| format!(" ({why})"));
        self.log.line(
            level::WARNING,
            &format!("{name}: data plane: {plane}{because}"),
        );
        let choice = Choice {
            plane,
            why,
            yields: true,
        };
        self.fallbacks.insert(name.to_owned(), choice);
    }
}

fn traffic(counters: Counters) -> Traffic {
    Traffic {
        ipackets: counters.in_frames,
        ibytes: counters.in_bytes,
        idrops: counters.in_drops,
        opackets: counters.out_frames,
        obytes: counters.out_bytes,
        odrops: counters.out_drops,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(tcx: bool, clsact: bool) -> Offer {
        let had = |yes: bool, why: &str| if yes { Ok(()) } else { Err(why.to_owned()) };
        Offer {
            tcx: had(tcx, "too old"),
            clsact: had(clsact, "refused"),
        }
    }

    #[test]
    fn auto_takes_the_best_and_tells_why_not_a_better() {
        for (has, plane, why) in [
            ((true, true), Dataplane::Tcx, None),
            ((false, true), Dataplane::Clsact, Some("tcx: too old")),
            (
                (false, false),
                Dataplane::Copy,
                Some("tcx: too old; clsact: refused"),
            ),
        ] {
            let why = why.map(str::to_owned);
            let choice = choose(Dataplane::Auto, &offer(has.0, has.1));
            let yields = true;
            assert_eq!(choice, Ok(Choice { plane, why, yields }));
        }
    }

    #[test]
    fn a_forced_one_is_had_or_refused() {
        let forced = |plane, offer| choose(plane, &offer).map(|choice| choice.plane);
        for plane in [Dataplane::Tcx, Dataplane::Clsact, Dataplane::Copy] {
            assert_eq!(forced(plane, offer(true, true)), Ok(plane));
        }
        assert_eq!(
            forced(Dataplane::Copy, offer(false, false)),
            Ok(Dataplane::Copy)
        );
        let refused = refusal(
            "net.inet.carp.dataplane: Operation not supported",
            "tcx: too old",
        );
        assert_eq!(forced(Dataplane::Tcx, offer(false, true)), Err(refused));
    }

    #[test]
    fn only_copy_cannot_leave_frames_on_the_carpdev() {
        let accept = Config {
            input: InputMode::Accept,
            ..Config::default()
        };
        assert!(hindrance(Dataplane::Copy, &accept).is_some());
        assert_eq!(hindrance(Dataplane::Tcx, &accept), None);
        assert_eq!(hindrance(Dataplane::Copy, &Config::default()), None);
    }
}
