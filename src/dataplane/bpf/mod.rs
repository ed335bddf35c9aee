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

use crate::linux::filter::Vantage;

/// Counts the layouts of the maps, which `layout.h` says. Programs that are attached go on under another version of this program
/// only if it has the same one.
pub const LAYOUT: u32 = 3;

/// Where the engine's sockets hear behind the programs, with the marks that those set.
pub const BEHIND: Vantage = Vantage::Stack {
    withheld: 0x6361_7270,
    tagged: 0x6361_7271,
};

#[cfg(test)]
mod tests {
    use super::*;
    use sha1::{Digest, Sha1};

    /// What `layout.h` hashes to, of each layout: entries are added, never changed.
    const LAYOUTS: [(u32, &str); 3] = [
        (1, "8a78073c6de11710ef2dbbb5151f347214d8811f"),
        (2, "359fce0855d5f00c29ede084e5b4a59fd319b4a2"),
        (3, "b7a38fe98c0ce3a583a09b6131aa02ae0c6a90c3"),
    ];

    /// Without comments and white space.
    fn meant(mut text: &str) -> String {
        let mut meant = String::new();
        while let Some((code, rest)) = text.split_once("/*") {
            meant += code;
            text = rest.split_once("*/").map_or("", |(_, rest)| rest);
        }
        meant += text;
        meant.retain(|c| !c.is_whitespace());
        meant
    }

    #[test]
    fn both_sides_know_the_same_marks() {
        let Vantage::Stack { withheld, tagged } = BEHIND else {
            panic!("they hear on the wire");
        };
        let define = format!("#define WITHHELD {withheld:#x}\n#define TAGGED {tagged:#x}\n");
        assert!(include_str!("layout.h").contains(&define));
    }

    #[test]
    fn another_layout_has_another_number() {
        let hash = Sha1::digest(meant(include_str!("layout.h")));
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let recorded = LAYOUTS.last().copied();
        assert_eq!(
            recorded,
            Some((LAYOUT, hash.as_str())),
            "the maps have another layout: raise LAYOUT and add the hash"
        );
    }
}
