//! Networks of namespaces for the demo and the tests; must not know the daemon.
#![forbid(unsafe_code)]

pub mod asker;
pub mod beat;
pub mod capture;
pub mod crowd;
pub mod echo;
pub mod figures;
pub mod interrupt;
pub mod net;
pub mod pcapng;
pub mod privilege;
pub mod prober;
pub mod sight;
pub mod stall;
pub mod stamp;

pub use crate::linux::Error;
