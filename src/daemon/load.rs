//! Requests that change an interface, as plans: a command line's, a file's; must not know how a plan is carried out.

use super::Daemon;
use crate::carp::config::Unit;
use crate::control::plan::{self, Plan};
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
}
