//! What the tests share: hosts in namespaces, frames, recordings, captures.
#![allow(dead_code, clippy::unwrap_used)]

pub mod bench;
pub mod frames;
pub mod hosts;
pub mod pcap;
pub mod scene;
pub mod talk;
pub mod wire;
