//! The engine as tables of (moment, input, expected actions). Reading one shows the timer arithmetic; no clock is involved.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

#[path = "engine/rig.rs"]
mod rig;

#[path = "engine/election.rs"]
mod election;
