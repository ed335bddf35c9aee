//! One test for each trap of the kernel (see `carp::linux`) that this program could fall into, under its number. Each one asserts on
//! frames at another host's port, on what another host receives, or on a peer's neighbour table.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod interface;
mod kinds;
mod life;
mod listening;

use carp::wire::MacAddr;

/// The virtual MAC of group 1.
const VIRTUAL: MacAddr = MacAddr::of_vhid(1);
