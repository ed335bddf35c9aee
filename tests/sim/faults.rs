//! What each fault does when it begins and when it ends; must not judge what comes of it.

use crate::cast::{family_of, own_v4, own_v6};
use crate::host::{Arming, Conf, Fact};
use crate::packet::Seal;
use crate::scenario::{Fault, Kind, MS};
use crate::world::{Node, World};
use carp::carp::config::State;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

pub fn begin(world: &mut World, fault: Fault) -> Result<(), String> {
    set(world, fault, true)
}

pub fn end(world: &mut World, fault: Fault) -> Result<(), String> {
    set(world, fault, false)
}

fn set(world: &mut World, fault: Fault, on: bool) -> Result<(), String> {
    if fault.what.of_segment() {
        on_segment(world, fault, on);
        return Ok(());
    }
    match &world.nodes[fault.host] {
        Node::Model(_) => {
            on_peer(world, fault, on);
            Ok(())
        }
        Node::Ours(_) => on_host(world, fault, on),
    }
}

fn on_segment(world: &mut World, fault: Fault, on: bool) {
    let now = world.now;
    let Fault { host, number, .. } = fault;
    let segment = &mut world.segments[fault.segment];
    let percent = if on { number } else { 0 };
    match fault.what {
        Kind::Loss => segment.loss = percent,
        Kind::BurstLoss => segment.bursts = on,
        Kind::Delay if on => segment.delay += number * MS,
        Kind::Delay => segment.delay -= number * MS,
        Kind::Duplication => segment.duplicates = percent,
        Kind::Reordering => segment.reorders = percent,
        Kind::Corruption => segment.corrupts = percent,
        Kind::OneWayCut => toggle(&mut segment.cuts, (host, number as usize), on),
        Kind::Partition => toggle(&mut segment.partitions, number as u32, on),
        Kind::FamilyLost => {
            let lost = (family_of(number), (number >> 1) as u32);
            toggle(&mut segment.lost_families, lost, on);
        }
        _ => toggle(&mut segment.loops, host, on),
    }
    if on {
        segment.troubles += 1;
    } else {
        segment.troubles -= 1;
    }
    segment.clean_since = now;
}

/// Two of a kind may overlap: each end takes away one.
fn toggle<T: PartialEq>(list: &mut Vec<T>, item: T, on: bool) {
    if on {
        list.push(item);
    } else if let Some(at) = list.iter().position(|other| *other == item) {
        list.remove(at);
    }
}

fn on_peer(world: &mut World, fault: Fault, on: bool) {
    let now = world.now;
    let Node::Model(model) = &mut world.nodes[fault.host] else {
        return;
    };
    let local = model.clock.local(now);
    match (fault.what, on) {
        (Kind::PeerCrash, true) => model.crash(),
        (Kind::PeerCrash, false) => {}
        (Kind::PeerDown, true) => model.seats.iter_mut().for_each(|seat| seat.peer.stop(true)),
        (Kind::PeerDown, false) => {
            let alive = model.alive;
            let seats = model.seats.iter_mut().filter(|_| alive);
            seats.for_each(|seat| seat.peer.start(local));
        }
        (Kind::PeerPause, true) if model.alive => {
            let until = model.paused.map_or(fault.until, |at| at.max(fault.until));
            model.paused = Some(until);
        }
        (Kind::PeerDemotion, _) => {
            let step = if model.system == crate::peers::System::F13 {
                240
            } else {
                1
            };
            let by = if on { step } else { -step };
            model.demote(now, by);
        }
        _ => {}
    }
    if matches!(fault.what, Kind::PeerCrash | Kind::PeerPause) && !on {
        world.later(now, fault.host);
    }
    world.society.trouble(now, fault.host, None, on);
    world.after_model(fault.host);
}

fn on_host(world: &mut World, fault: Fault, on: bool) -> Result<(), String> {
    let (now, host) = (world.now, fault.host);
    let deaf = match fault.what {
        Kind::Pause | Kind::Crash | Kind::PoliteExit | Kind::SendErrors | Kind::AllowOff => {
            Some(None)
        }
        Kind::CarpdevFlap | Kind::CarpdevGone => Some(Some(fault.segment)),
        Kind::WrongPass | Kind::MoreAddresses | Kind::AdminDown | Kind::Destroy => Some(None),
        _ => None,
    };
    if let Some(segment) = deaf {
        world.society.trouble(now, host, segment, on);
    }
    let Node::Ours(ours) = &mut world.nodes[host] else {
        return Ok(());
    };
    match fault.what {
        Kind::Pause if on => {
            let until = ours.paused.map_or(fault.until, |at| at.max(fault.until));
            ours.paused = Some(until);
            world.later(until, host);
        }
        Kind::Crash if on => {
            ours.engine = None;
            world.society.gone(host);
        }
        Kind::PoliteExit if on => {
            let boot = ours.boot;
            world.tell(host, Fact::Shutdown)?;
            world.exits(now + 200 * MS, host, boot);
        }
        Kind::Crash | Kind::PoliteExit => world.later(now + 250 * MS, host),
        Kind::CarpdevFlap | Kind::CarpdevGone => {
            let port = &mut ours.ports[fault.segment];
            if fault.what == Kind::CarpdevFlap {
                port.up = !on;
            } else {
                port.exists = !on;
            }
            let fact = Fact::Card(fault.segment, *port);
            world.tell(host, fact)?;
        }
        Kind::Renumber => {
            let port = &mut ours.ports[fault.segment];
            port.v4 = (on ^ port.v4.is_none()).then(|| own_v4(fault.segment, host + 30));
            port.v6 = Some(own_v6(fault.segment, host + if on { 30 } else { 0 }));
            let fact = Fact::Card(fault.segment, *port);
            world.tell(host, fact)?;
        }
        Kind::SendErrors => ours.sends = !on,
        Kind::ArmRefused | Kind::ArmSilent | Kind::ArmLate => {
            ours.arming = match fault.what {
                _ if !on => Arming::Prompt,
                Kind::ArmRefused => Arming::Refused,
                Kind::ArmSilent => Arming::Silent,
                _ => Arming::Late,
            };
        }
        Kind::OtherPreempt => {
            ours.settings.preempt = !ours.settings.preempt;
            let fact = Fact::Settings(ours.settings);
            world.tell(host, fact)?;
        }
        Kind::AllowOff => {
            ours.settings.allow = !on;
            let fact = Fact::Settings(ours.settings);
            world.tell(host, fact)?;
        }
        Kind::AskMaster | Kind::AskBackup if on && fault.place < ours.confs.len() => {
            let asked = if fault.what == Kind::AskMaster {
                State::Master
            } else {
                State::Backup
            };
            world.tell(host, Fact::Ask(fault.place, asked))?;
        }
        Kind::WrongPass
        | Kind::MoreAddresses
        | Kind::AdminDown
        | Kind::Destroy
        | Kind::OtherSkew => reconfigure(world, fault, on)?,
        _ => {}
    }
    Ok(())
}

fn reconfigure(world: &mut World, fault: Fault, on: bool) -> Result<(), String> {
    let places = world.scenario.places(fault.host);
    let Some((group, own)) = places.get(fault.place).cloned() else {
        return Ok(());
    };
    let skews = world.scenario.groups[group].members.iter();
    let skews: Vec<u8> = skews
        .filter(|m| world.scenario.hosts[m.host].system.is_none())
        .map(|m| m.skew)
        .collect();
    let Node::Ours(ours) = &mut world.nodes[fault.host] else {
        return Ok(());
    };
    let conf: &mut Conf = &mut ours.confs[fault.place];
    let (mut pass, mut addresses) = (conf.seal.pass, conf.addresses.clone());
    match fault.what {
        Kind::WrongPass => pass = if on { "another" } else { "secret" },
        Kind::MoreAddresses => {
            let extra = |ip: &IpAddr| match ip {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
                IpAddr::V6(v6) => {
                    let mut words = v6.segments();
                    words[7] += 0x100;
                    IpAddr::V6(words.into())
                }
            };
            let more = extra(&world.scenario.groups[group].addresses[0]);
            addresses.retain(|ip| *ip != more);
            if on {
                addresses.push(more);
            }
        }
        Kind::AdminDown => conf.up = !on,
        Kind::Destroy => conf.gone = on,
        _ if on => conf.skew = skews[fault.number as usize % skews.len()],
        _ => conf.skew = own.skew,
    }
    conf.seal = Rc::new(Seal::new(pass, conf.seal.vhid, &addresses));
    conf.addresses = addresses;
    let fact = Fact::Configure(fault.place, Box::new(conf.clone()));
    world.tell(fault.host, fact)
}
