//! The new program on trial: it reads the letter, and has an engine of its own resume from the state; must not know who asks.

use super::letter::Letter;
use crate::daemon::confine::Nowhere;
use crate::daemon::door::{Effect, Heir, How, Order, Outcome, Said};
use crate::daemon::process::Process;
use crate::daemon::start::Options;
use crate::linux::pass::Number;
use std::io;
use std::os::fd::AsFd;

/// Everything that could hinder this program from taking over, found out without touching anything.
///
/// # Errors
/// What does.
pub(in crate::daemon) fn look(options: Options, letter: Number) -> io::Result<()> {
    let letter = Letter::open(letter.take().map_err(io::Error::other)?)?;
    let records = letter.holdings.records.take().map_err(io::Error::other)?;
    let engine = Process::start(options, &Nowhere::none(), true)?;
    let order = engine.channel.recv()?;
    let order: Option<Order> = order.and_then(|(text, _)| serde_json::from_slice(&text).ok());
    if let Some(Order {
        id,
        effect: Effect::Open,
    }) = order
    {
        let said = Said::Heir(Heir {
            how: How::Look,
            taps: Vec::new(),
            carpdevs: Vec::new(),
        });
        let outcome = Outcome {
            id,
            result: Ok(0),
            said,
        };
        // It only looks at the last one.
        let descriptors = [records.as_fd(); 3];
        engine
            .channel
            .send(&serde_json::to_vec(&outcome)?, &descriptors)?;
        // It hangs up.
        engine.channel.recv()?;
    }
    let status = engine.end()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("its engine ended with {status}")))
}
