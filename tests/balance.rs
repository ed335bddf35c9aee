//! Several hosts that share one address: who answers whom.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod support;

#[path = "balance/drain.rs"]
mod drain;
#[path = "balance/field.rs"]
mod field;
#[path = "engine/rig.rs"]
#[allow(dead_code)]
mod rig;
#[path = "balance/routers.rs"]
mod routers;
#[path = "balance/rule.rs"]
mod rule;
#[path = "balance/segment.rs"]
mod segment;
#[path = "balance/sharing.rs"]
mod sharing;
#[path = "balance/site.rs"]
mod site;
