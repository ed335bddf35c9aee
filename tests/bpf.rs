//! The data plane in the kernel: its object, verdicts on the wire, death, leftovers and what it needs.
#![allow(clippy::unwrap_used)]

mod support;

use carp::carp::config::Dataplane;

/// True when the calling test may go on: where there is tcx, there is clsact.
fn begin() -> bool {
    support::plane::begin(Dataplane::Tcx)
}

#[path = "bpf/balancing.rs"]
mod balancing;
#[path = "bpf/death.rs"]
mod death;
#[path = "bpf/life.rs"]
mod life;
#[path = "bpf/object.rs"]
mod object;
#[path = "bpf/site.rs"]
mod site;
#[path = "bpf/verdicts.rs"]
mod verdicts;
