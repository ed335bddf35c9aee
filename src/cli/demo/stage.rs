//! The lab with everything in it that a run needs, and what can be done on it; must not know in which order.

use super::event::{Event, Side};
use super::node::Node;
use super::plan::Plan;
use super::report::{Audience, Error, View};
use super::scratch::Scratch;
use crate::lab::asker::{Asker, Asking};
use crate::lab::capture::{self, Capture};
use crate::lab::net::{Host, Lab};
use crate::lab::prober::Prober;
use crate::lab::sight::Shared;
use crate::lab::stall::StallMeter;
use crate::time::Instant;
use crate::wire::{Family, MacAddr};
use ipnetwork::{Ipv4Network, Ipv6Network};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// The group of the demo.
pub(super) const SHARED: Shared = Shared {
    vhid: 1,
    inet: Ipv4Addr::new(192, 0, 2, 1),
    inet6: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
};
/// The hosts with the last part of their addresses, in the order of the bridge ports.
const HOSTS: [(&str, u8); 4] = [("client", 100), ("third", 101), ("a", 11), ("b", 12)];
const PROBE: Duration = Duration::from_millis(1);
const ASK: Duration = Duration::from_millis(20);
/// The pause between two looks at the clock and at the audience.
const LOOK: Duration = Duration::from_millis(20);

/// Fields are dropped in this order: the instruments before the daemons before the lab before the directory.
#[derive(Debug)]
pub struct Stage {
    pub(super) prober: Option<Prober>,
    asker: Option<Asker>,
    pub(super) capture: Capture,
    pub(super) stall: StallMeter,
    nodes: Vec<Node>,
    lab: Lab,
    scratch: Scratch,
    families: Vec<Family>,
    scene: Option<(Event, Instant)>,
}

impl Stage {
    /// Hosts and cables, capture and stall meter; no daemon, no probe.
    pub(super) fn new(plan: &Plan) -> Result<Self, Error> {
        let stall = StallMeter::start().map_err(Error::io("start thread"))?;
        let scratch = Scratch::new().map_err(Error::io("make temporary directory"))?;
        std::fs::create_dir(super::node::run_directory(scratch.path()))
            .map_err(Error::io("make run directory"))?;
        let mut lab = Lab::new()?;
        for (name, number) in HOSTS {
            lab.add_host(
                name,
                mac(number),
                &[inet(number).into(), inet6(number).into()],
            )?;
        }
        let ports: Vec<_> = lab.hosts().iter().map(port).collect();
        let capture = Capture::start(lab.switch(), &ports, SHARED)?;
        let node = |side: Side| Node::new(side.name(), &plan.program, scratch.path());
        let nodes = vec![node(Side::A), node(Side::B)];
        let families = plan.families.clone();
        Ok(Self {
            prober: None,
            asker: None,
            capture,
            stall,
            nodes,
            lab,
            scratch,
            families,
            scene: None,
        })
    }

    /// Probes and questions begin.
    pub(super) fn watch(&mut self) -> Result<(), Error> {
        let targets: Vec<IpAddr> = self
            .families
            .iter()
            .map(|family| address(*family))
            .collect();
        let client = self.lab.host("client");
        self.prober = Some(Prober::start(
            client.namespace(),
            interface(client),
            &targets,
            PROBE,
        )?);
        let third = self.lab.host("third");
        let (_, number) = HOSTS[1];
        let asking = Asking {
            interface: interface(third),
            mac: mac(number),
            inet: inet(number).ip(),
            inet6: inet6(number).ip(),
        };
        self.asker = Some(Asker::start(third.namespace(), asking, &targets, ASK)?);
        Ok(())
    }

    /// Starts a host's daemon and configures it. The addresses come first, as long as the group takes no part without a
    /// vhid: each of them changes the digest, and with advbase 0 a host that has only half of them would not wait.
    pub(super) fn join(
        &mut self,
        side: Side,
        plan: &Plan,
        audience: &mut dyn Audience,
    ) -> Result<(), Error> {
        let index = side as usize;
        // Out of its place, so that the audience may look at the rest.
        let mut node = std::mem::replace(
            &mut self.nodes[index],
            Node::new(side.name(), &plan.program, self.scratch.path()),
        );
        let host = self.host(side.name());
        let started = node.start(host, &mut || audience.see(&self.view()));
        self.nodes[index] = node;
        started?;
        let skew = if side == Side::A {
            plan.skews.a
        } else {
            plan.skews.b
        }
        .to_string();
        let base = plan.advbase.to_string();
        self.carp(side, &["sysctl", "net.inet.carp.preempt=1"])?;
        self.carp(side, &["ifconfig", "carp1", "create"])?;
        self.carp(side, &["ifconfig", "carp1", "carpdev", "eth0"])?;
        for family in self.families.clone() {
            match family {
                Family::Inet => {
                    self.carp(
                        side,
                        &["ifconfig", "carp1", "192.0.2.1", "netmask", "255.255.255.0"],
                    )?;
                }
                Family::Inet6 => self.carp(
                    side,
                    &["ifconfig", "carp1", "inet6", "alias", "2001:db8::1/64"],
                )?,
            }
        }
        let group = [
            "vhid", "1", "pass", "demo", "advbase", &base, "advskew", &skew,
        ];
        self.carp(side, &[&["ifconfig", "carp1"], &group[..]].concat())
    }

    /// Gives a host a command, the words after `carp`.
    pub(super) fn carp(&self, side: Side, words: &[&str]) -> Result<(), Error> {
        let node = &self.nodes[side as usize];
        node.carp(self.host(side.name()), words).map(drop)
    }

    /// What moves the frames of a: the word of `net.inet.carp.dataplane` for it.
    pub(super) fn dataplane(&self) -> Result<String, Error> {
        let node = &self.nodes[Side::A as usize];
        let text = node.carp(self.host(Side::A.name()), &["ifconfig", "-v", "carp1"])?;
        let mut words = text.split_whitespace();
        words.find(|word| *word == "dataplane:");
        Ok(words.next().unwrap_or_default().to_owned())
    }

    /// Makes the event happen; the answer is when it began.
    pub(super) fn act(
        &mut self,
        event: Event,
        plan: &Plan,
        audience: &mut dyn Audience,
    ) -> Result<Instant, Error> {
        let at = capture::now();
        self.scene = Some((event, at));
        match event {
            Event::Kill => self.nodes[Side::A as usize].die(),
            Event::Return => self.join(Side::A, plan, audience)?,
            Event::Link => self.lab.link(Side::A.name(), false)?,
            Event::LinkReturn => self.lab.link(Side::A.name(), true)?,
            Event::Down => self.carp(Side::A, &["ifconfig", "carp1", "down"])?,
            Event::Up => self.carp(Side::A, &["ifconfig", "carp1", "up"])?,
        }
        Ok(at)
    }

    /// Lets time pass until `until`, under the eyes of the audience.
    pub(super) fn wait(&self, until: Instant, audience: &mut dyn Audience) -> Result<(), Error> {
        while capture::now() < until {
            audience.see(&self.view())?;
            sleep(until.since(capture::now()).min(LOOK));
        }
        Ok(())
    }

    /// Lets time pass until `done`, at most until `until`; tells whether it was done.
    pub(super) fn wait_for(
        &self,
        until: Instant,
        audience: &mut dyn Audience,
        done: impl Fn(&Self) -> bool,
    ) -> Result<bool, Error> {
        while !done(self) {
            if capture::now() >= until {
                return Ok(false);
            }
            self.wait(capture::now() + LOOK, audience)?;
        }
        Ok(true)
    }

    /// Stays until the audience has had enough.
    pub(super) fn stay(&self, audience: &mut dyn Audience) -> Result<(), Error> {
        loop {
            match self.wait(capture::now() + Duration::from_secs(1), audience) {
                Err(Error::Interrupted) => return Ok(()),
                other => other?,
            }
        }
    }

    pub(super) fn host(&self, name: &str) -> &Host {
        self.lab.host(name)
    }

    pub(super) fn hosts(&self) -> &[Host] {
        self.lab.hosts()
    }

    pub(super) fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// The last lines of both daemons' logs.
    pub(super) fn logs(&self) -> String {
        let log = |side: Side| {
            format!(
                "log of {}:\n{}",
                side.name(),
                self.nodes[side as usize].tail()
            )
        };
        [log(Side::A), log(Side::B)].join("\n")
    }

    /// What there is to be seen.
    pub(super) fn view(&self) -> View<'_> {
        let master = |family: &Family| (*family, self.capture.master(*family).and_then(side));
        View {
            scene: self.scene,
            masters: self.families.iter().map(master).collect(),
            prober: self.prober.as_ref(),
        }
    }

    pub(super) fn families(&self) -> &[Family] {
        &self.families
    }
}

/// The bridge port of a host.
pub(super) fn port_of(wanted: Side) -> usize {
    HOSTS
        .iter()
        .position(|(name, _)| *name == wanted.name())
        .unwrap_or(HOSTS.len())
}

/// The host at a bridge port, if it is one of the two.
pub(super) fn side(port: usize) -> Option<Side> {
    [Side::A, Side::B]
        .into_iter()
        .find(|side| port_of(*side) == port)
}

/// Who advertised last, by family.
pub(super) fn masters(stage: &Stage) -> impl Iterator<Item = Option<Side>> + '_ {
    stage
        .families()
        .iter()
        .map(|family| stage.capture.master(*family).and_then(side))
}

fn port(host: &Host) -> (u32, String) {
    let index = host.ports().first().map_or(0, |port| port.port_index);
    (index, host.name().to_owned())
}

fn interface(host: &Host) -> u32 {
    host.ports().first().map_or(0, |port| port.index)
}

fn mac(number: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, number])
}

fn inet(number: u8) -> Ipv4Network {
    Ipv4Network::new(Ipv4Addr::new(192, 0, 2, number), 24).expect("24 is a prefix length of IPv4")
}

fn inet6(number: u8) -> Ipv6Network {
    let ip = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0x100, u16::from(number));
    Ipv6Network::new(ip, 64).expect("64 is a prefix length of IPv6")
}

fn address(family: Family) -> IpAddr {
    match family {
        Family::Inet => SHARED.inet.into(),
        Family::Inet6 => SHARED.inet6.into(),
    }
}
