//! Requests that change an interface, as plans that can be: a command line's, a file's; must not know how one is carried out.

use super::{Daemon, kernel};
use crate::carp::config::{Lladdr, Unit};
use crate::control::plan::{self, Plan, refusal};
use crate::control::{Change, Dumped, Refusal, Reply, Request};

/// What is to be done; else the answer, at once.
pub(super) type Planned = Result<Plan, Box<Reply>>;

impl Daemon {
    /// Which interface the request changes, and into what; `None` when it changes none.
    pub(super) fn planned(&self, request: &Request) -> Option<(Unit, Planned)> {
        match request {
            Request::Apply { unit, changes } => {
                let planned = self.line(*unit, changes).map_err(Reply::Refused);
                Some((*unit, planned.map_err(Box::new)))
            }
            Request::Load { unit, lines, check } => {
                let planned = match self.load(*unit, lines) {
                    Ok(plan) if *check => Err(self.would_be(*unit, plan)),
                    Ok(Some(plan)) => Ok(plan),
                    Ok(None) => Err(Reply::Done),
                    Err((line, refusal)) => Err(Reply::RefusedLine(line, refusal)),
                };
                Some((*unit, planned.map_err(Box::new)))
            }
            _ => None,
        }
    }

    fn line(&self, unit: Unit, changes: &[Change]) -> Result<Plan, Refusal> {
        let held = self.interfaces.get(&unit);
        let plan = plan::plan(held.map(|interface| &interface.config), changes)?;
        self.check(unit, plan)
    }

    /// What the plan of a file comes to; without one the interface stays as it is.
    fn would_be(&self, unit: Unit, plan: Option<Plan>) -> Reply {
        let config = match plan {
            Some(Plan::Become { config, .. }) => Some(*config),
            Some(Plan::Destroy) => None,
            None => self.interfaces.get(&unit).map(|held| held.config.clone()),
        };
        let dumped = config.map(|config| Dumped {
            unit,
            config,
            keyed: false,
        });
        Reply::Dumped(dumped.into_iter().collect())
    }

    /// The plan of a file, `None` where the interface is as it says; else the first wrong line.
    fn load(&self, unit: Unit, lines: &[Vec<Change>]) -> Result<Option<Plan>, (usize, Refusal)> {
        let plan = plan::load(lines, |plan| self.check(unit, plan))?;
        Ok(match (plan, self.interfaces.get(&unit)) {
            (Plan::Become { config, .. }, Some(held)) => {
                (*config != held.config).then_some(Plan::Become {
                    config,
                    state: None,
                })
            }
            (plan, _) => Some(plan),
        })
    }

    /// What only the whole can tell: conflicts with other interfaces, and what the kernel says of the carpdev.
    fn check(&self, unit: Unit, mut plan: Plan) -> Result<Plan, Refusal> {
        let Plan::Become { config, .. } = &mut plan else {
            return Ok(plan);
        };
        self.check_peers(config)?;
        let Some(name) = config.carpdev.as_deref() else {
            return Ok(plan);
        };
        const TEXT: &str = "SIOCSVH: Invalid argument";
        let held = self
            .interfaces
            .get(&unit)
            .and_then(|interface| interface.config.carpdev.as_deref());
        match self.kernel.named(name) {
            None if held != Some(name) => {
                return Err(refusal(TEXT, format!("carpdev {name}: no such interface")));
            }
            Some(_)
                if Unit::from_name(name)
                    .is_some_and(|other| self.interfaces.contains_key(&other)) =>
            {
                return Err(refusal(
                    TEXT,
                    format!("carpdev {name} is a carp interface itself"),
                ));
            }
            Some(link) => {
                if let Some(why) = kernel::unfit(link) {
                    return Err(refusal(TEXT, format!("carpdev {name} {why}")));
                }
                if config.lladdr == Lladdr::Chosen(link.mac) {
                    config.lladdr = Lladdr::Carpdev;
                }
            }
            None => {}
        }
        for (other, interface) in &self.interfaces {
            let shared = interface
                .config
                .nodes
                .iter()
                .find(|node| config.nodes.iter().any(|n| n.vhid == node.vhid));
            if let (Some(node), true) = (
                shared,
                *other != unit && interface.config.carpdev == config.carpdev,
            ) {
                return Err(refusal(
                    TEXT,
                    format!("vhid {} is in use by {other} on {name}", node.vhid),
                ));
            }
        }
        Ok(plan)
    }
}
