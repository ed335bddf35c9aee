//! Whatever comes from outside: raw bytes, and what is close to valid. Nothing panics, nothing grows, what was read is
//! written again the same, and the engine keeps its promises whatever it is told in whatever order.
//!
//! | what is read | close to valid | raw |
//! |---|---|---|
//! | CARP, IP, ARP, ND | `wire::made_frames`, `wire::edited_frames` | `wire::raw_frames`, `wire::raw_payloads` |
//! | requests, replies, orders, outcomes | `texts::edited_messages` | `texts::raw_messages` |
//! | the words of ifconfig | `texts::command_lines` | `texts::raw_command_lines` |
//! | `engine.handle` | `engine::any_story` | `engine::raw_frames` |
//!
//! What orders do to a real door is tried in `tests/orders.rs`.
//!
//! The lines of /etc/hostname.carpN, once something reads them, belong into `texts`: their words are those of ifconfig.
//!
//! Each test runs for [`TIME`]. For a long run set `BOLERO_RANDOM_TEST_TIME_MS`, such as
//! `BOLERO_RANDOM_TEST_TIME_MS=3600000 cargo test --release --test fuzz`. A failure is made small and prints the seed that
//! `BOLERO_RANDOM_SEED` replays. The corpus is every frame of the captures: half of all that is tried is one of them, edited.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

use std::time::Duration;

/// How long each test tries.
const TIME: Duration = Duration::from_millis(2500);

#[path = "support/pcap.rs"]
mod pcap;
#[allow(dead_code)]
#[path = "engine/rig.rs"]
mod rig;

#[path = "fuzz/corpus.rs"]
mod corpus;
#[path = "fuzz/engine.rs"]
mod engine;
#[path = "fuzz/files.rs"]
mod files;
#[path = "fuzz/made.rs"]
mod made;
#[path = "fuzz/script.rs"]
mod script;
#[path = "fuzz/texts.rs"]
mod texts;
#[path = "fuzz/watch.rs"]
mod watch;
#[path = "fuzz/wire.rs"]
mod wire;
