//! The data plane in the kernel: eBPF programs at the tc hooks of carpdev and carpN; must not know why a gate is set.
//!
//! It has two halves. The privileged one ([`Carpdev`]) loads the programs, attaches them and says which addresses are shared.
//! The deciding one (`ports`) holds a map of ports in its memory and changes gates and leases there, without a call to the
//! kernel. The programs compare both for every frame, so a gate that closes is closed for every frame that arrives after
//! that; one whose program is just running on another processor may still pass.
//!
//! What carpN sends while its gate is [`Gate::Inward`](super::Gate::Inward) goes into its TAP, where the copier waits for it.

mod carpdev;
mod hook;
mod object;
pub(super) mod ports;

pub use carpdev::{Carpdev, Loaded, Passed, Service};
pub use hook::{Means, clear, sweep};

/// Counts the layouts of the maps. Programs that are attached go on under another version of this program only if it has the
/// same one.
pub const LAYOUT: u32 = 2;
