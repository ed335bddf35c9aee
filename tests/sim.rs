//! Networks of engines that a seed makes and breaks, and what must hold in all of them.
//!
//! `SIM_SEEDS=N` runs N seeds instead of 2,000, `SIM_FIRST=N` begins with another one, `SIM_SEED=N` runs one and prints its
//! transcript.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]

#[path = "sim/askers.rs"]
mod askers;
#[path = "sim/attack.rs"]
mod attack;
#[path = "sim/cast.rs"]
mod cast;
#[path = "sim/deaths.rs"]
mod deaths;
#[path = "sim/divergent.rs"]
mod divergent;
#[path = "sim/faults.rs"]
mod faults;
#[path = "sim/hearing.rs"]
mod hearing;
#[path = "sim/heir.rs"]
mod heir;
#[path = "sim/host.rs"]
mod host;
#[path = "sim/invariants.rs"]
mod invariants;
#[path = "sim/ledger.rs"]
mod ledger;
#[path = "sim/link.rs"]
mod link;
#[path = "sim/model.rs"]
mod model;
#[path = "sim/others.rs"]
mod others;
#[path = "sim/packet.rs"]
mod packet;
#[path = "support/pcap.rs"]
mod pcap;
#[path = "sim/peers/mod.rs"]
mod peers;
#[path = "sim/random.rs"]
mod random;
#[path = "sim/ranking.rs"]
mod ranking;
#[path = "sim/recorder.rs"]
mod recorder;
#[path = "sim/rules.rs"]
mod rules;
#[path = "sim/scenario.rs"]
mod scenario;
#[path = "sim/seeds.rs"]
mod seeds;
#[path = "sim/society.rs"]
mod society;
#[path = "sim/telling.rs"]
mod telling;
#[path = "sim/transcript.rs"]
mod transcript;
#[path = "sim/world.rs"]
mod world;
