//! What is asked of a daemon's parent, over a socket of its own that its engine never sees; must not know how it is done.
#![forbid(unsafe_code)]

use super::Refusal;
use super::path;
use super::socket::{Client, Error};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// The new program is tried, the old engine finishes what it has in hand, and others may have asked before.
const PATIENCE: Duration = Duration::from_secs(60);

/// Go on as another program. Of the same form in all versions: the two sides are of different ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// An absolute path; none: the one that the daemon was started from.
    pub path: Option<PathBuf>,
    /// Only if the file there is not the one that runs.
    #[serde(default)]
    pub changed: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Upgraded {
    /// It is done, or was not needed.
    Done,
    /// Everything is as it was.
    Refused(Refusal),
}

impl Upgrade {
    /// Asks the daemon of this network namespace.
    ///
    /// # Errors
    /// [`Error::NotRunning`] without a daemon that has such a socket; those of a conversation.
    pub fn ask(&self) -> Result<Upgraded, Error> {
        let mut wrong = Error::NotRunning;
        for place in path::candidates()? {
            match Client::connect_to(&place, &place.upgrades()) {
                Err(Error::NotRunning) => {}
                Err(error) => wrong = error,
                Ok(client) => return client.patience(PATIENCE).say(self),
            }
        }
        Err(wrong)
    }
}
