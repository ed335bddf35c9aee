//! What a host makes of every odd advertisement: the verdict, the one counter that shows it, and the timer that it moves.
//!
//! A verdict is a word: the name of the counter; `unseen` for what is not for carp at all; `echo` for our own; and for
//! what is believed `accepted`, `takes over` (a BACKUP begins to arm) or `yields` (a MASTER steps down). Whatever the
//! word, [`receiver::Receiver::judge`] holds that exactly one counter shows it, that a rejected frame leaves the engine's
//! state and [`carp::carp::Engine::timeout`] as they were and sends nothing, and that an accepted one moves the timer of
//! its own family and no other.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

#[path = "support/pcap.rs"]
mod pcap;
#[allow(dead_code)]
#[path = "engine/rig.rs"]
mod rig;

#[path = "verdicts/captures.rs"]
mod captures;
#[path = "verdicts/echo.rs"]
mod echo;
#[allow(dead_code)]
#[path = "wire/groups.rs"]
mod groups;
#[path = "verdicts/input_cases.rs"]
mod input_cases;
#[path = "verdicts/mutations.rs"]
mod mutations;
#[path = "verdicts/receiver.rs"]
mod receiver;
#[path = "verdicts/shapes.rs"]
mod shapes;
