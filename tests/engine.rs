//! The engine as tables of (moment, input, expected actions). Reading one shows the timer arithmetic; no clock is involved.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod support;

#[path = "engine/answering.rs"]
mod answering;
#[path = "engine/arming.rs"]
mod arming;
#[path = "engine/changing.rs"]
mod changing;
#[path = "engine/digests.rs"]
mod digests;
#[path = "engine/election.rs"]
mod election;
#[path = "engine/garbage.rs"]
mod garbage;
#[path = "engine/grace.rs"]
mod grace;
#[path = "engine/groups.rs"]
mod groups;
#[path = "engine/heir.rs"]
mod heir;
#[path = "engine/lease.rs"]
mod lease;
#[path = "engine/leaving.rs"]
mod leaving;
#[path = "engine/many.rs"]
mod many;
#[path = "engine/pair.rs"]
mod pair;
#[path = "engine/peers.rs"]
mod peers;
#[path = "engine/receiving.rs"]
mod receiving;
#[path = "engine/replay.rs"]
mod replay;
#[path = "engine/rig.rs"]
mod rig;
#[path = "engine/sending.rs"]
mod sending;
#[path = "engine/together.rs"]
mod together;
#[path = "engine/unicast.rs"]
mod unicast;
