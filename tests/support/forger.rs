//! A door, and what is said to it as an engine might that somebody has taken over.

use super::hosts::{Host, SOON, until};
use carp::daemon::door::{Effect, Order, Outcome};
use carp::linux::channel::Channel;
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};

/// A process that serves a door, and the other end of it. Ends with the value.
pub struct Forger {
    door: Child,
    pub channel: Channel,
    said: u64,
}

impl Forger {
    pub fn on(host: &Host) -> Self {
        let (channel, far) = Channel::pair().unwrap();
        let mut command = host.command(&["door"]);
        command.stdin(OwnedFd::from(far)).stderr(Stdio::null());
        let door = host.place.run(|| command.spawn().unwrap());
        Self {
            door,
            channel,
            said: 0,
        }
    }

    /// An order, and what came of it.
    pub fn ask(&mut self, effect: Effect) -> Outcome {
        self.said += 1;
        let order = Order {
            id: self.said,
            effect,
        };
        let order = serde_json::to_vec(&order).unwrap();
        let outcome = self.say(&order).expect("the door answers an order");
        assert_eq!(outcome.id, self.said);
        outcome
    }

    /// A message, whatever it is; `None` when that was the end.
    pub fn say(&mut self, message: &[u8]) -> Option<Outcome> {
        self.channel.send(message, &[]).ok()?;
        let (answer, _) = self.channel.recv().unwrap()?;
        Some(serde_json::from_slice(&answer).unwrap())
    }

    /// Hangs up, and waits until the door has put everything back.
    pub fn hang_up(mut self) {
        let (nobody, _) = Channel::pair().unwrap();
        drop(std::mem::replace(&mut self.channel, nobody));
        assert!(self.ends(), "the door outlives its engine");
    }

    /// True when the door has ended, by itself and not by a signal.
    pub fn ends(&mut self) -> bool {
        let mut status = None;
        let ended = until(SOON, || {
            status = self.door.try_wait().unwrap();
            status.is_some()
        });
        ended && status.is_some_and(|status| status.code().is_some_and(|code| code < 2))
    }
}

impl Drop for Forger {
    fn drop(&mut self) {
        let _ = self.door.kill();
        let _ = self.door.wait();
    }
}
