//! The engine as tables of (moment, input, expected actions). Reading one shows the timer arithmetic; no clock is involved.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

#[path = "engine/rig.rs"]
mod rig;

#[path = "engine/arming.rs"]
mod arming;
#[path = "engine/digests.rs"]
mod digests;
#[path = "engine/election.rs"]
mod election;
#[path = "engine/leaving.rs"]
mod leaving;
