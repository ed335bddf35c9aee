//! The daemon's end of the door: orders out, outcomes in, nothing waited for; must not know what orders are for.

use super::{Effect, Order, Outcome};
use crate::linux::channel::Channel;
use crate::linux::readiness::Readiness;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// Numbers orders and keeps those that the socket would not take yet.
#[derive(Debug)]
pub struct Client {
    channel: Rc<Readiness<Channel>>,
    next: u64,
    unsent: VecDeque<Vec<u8>>,
}

impl Client {
    /// Takes one end of a pair.
    ///
    /// # Errors
    /// The descriptor cannot be polled.
    pub fn new(channel: Channel) -> io::Result<Self> {
        channel.set_nonblocking(true)?;
        Ok(Self {
            channel: Rc::new(Readiness::new(channel)?),
            next: 1,
            unsent: VecDeque::new(),
        })
    }

    /// Sends an order and answers its number. A full socket delays it until an outcome makes room.
    pub fn order(&mut self, effect: Effect) -> u64 {
        let id = self.next;
        self.next += 1;
        let bytes = serde_json::to_vec(&Order { id, effect })
            .expect("an order is plain data with string keys");
        self.unsent.push_back(bytes);
        self.flush();
        id
    }

    /// Sends what waits. A far end that is gone shows on the reading side.
    pub fn flush(&mut self) {
        while let Some(bytes) = self.unsent.front() {
            match self.channel.get_ref().send(bytes, &[]) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                _ => {
                    self.unsent.pop_front();
                }
            }
        }
    }

    /// Says that there will be no more orders; what waits unsent is dropped.
    pub fn hang_up(&self) {
        self.channel.get_ref().hang_up();
    }

    /// The reading side.
    #[must_use]
    pub fn outcomes(&self) -> Outcomes {
        Outcomes(Rc::clone(&self.channel))
    }
}

/// Outcomes as they come.
#[derive(Debug)]
pub struct Outcomes(Rc<Readiness<Channel>>);

impl Outcomes {
    /// The next outcome with its descriptors; `None` when the far end is gone.
    ///
    /// # Errors
    /// The channel failed, or said something that is no outcome.
    pub async fn next(&self) -> io::Result<Option<(Outcome, Vec<OwnedFd>)>> {
        let Some((bytes, descriptors)) = self.0.read(Channel::recv).await? else {
            return Ok(None);
        };
        let outcome = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
        Ok(Some((outcome, descriptors)))
    }
}
