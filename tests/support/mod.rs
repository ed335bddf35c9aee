//! What the tests share: hosts in namespaces, frames, recordings, captures.
#![allow(dead_code, unused_imports, unused_macros, clippy::unwrap_used)]

pub mod bench;
pub mod craft;
pub mod driver;
pub mod forger;
pub mod frames;
pub mod hosts;
pub mod installed;
pub mod nft;
pub mod pcap;
pub mod peer;
pub mod plane;
pub mod privilege;
pub mod scene;
pub mod stream;
pub mod talk;
pub mod wire;

pub(crate) use plane::planes;
pub use privilege::may_become_nobody;

/// First line of a test that needs root's power.
macro_rules! privileged {
    () => {
        if $crate::support::privilege::run_elsewhere() {
            return;
        }
    };
}
pub(crate) use privileged;
