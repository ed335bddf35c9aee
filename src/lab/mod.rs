//! Networks of namespaces for the demo and the tests; must not know the daemon.
#![forbid(unsafe_code)]

pub mod figures;
pub mod net;
pub mod pcapng;
pub mod sight;
