//! Demotion, OpenBSD's group model as far as one group `carp` goes (carp-protocol.md 7.2); must not know packets.
//!
//! Every carpN that is up and whose carpdev is missing or down counts one in the group, and every member uses the group's
//! count: a machine that lost one network gives up all of them.

use super::state::World;

/// The skew of a demoted vhost unless its own is higher, as UCARP and the BSDs without a demote byte send it.
const DEMOTED_SKEW: u8 = 240;

/// What is advertised and compared: any demotion makes a host worse than all that are healthy.
pub(super) fn effective_skew(advskew: u8, demotion: u8) -> u8 {
    if demotion > 0 {
        advskew.max(DEMOTED_SKEW)
    } else {
        advskew
    }
}

/// The count of group `carp`, at most 255.
pub(super) fn count(world: &World) -> u8 {
    let suffering = world.interfaces.values().filter(|interface| {
        let wanted = interface.config.up && interface.config.carpdev.is_some();
        wanted && !interface.retiring && !world.carpdev_up(interface.carpdev)
    });
    u8::try_from(suffering.count()).unwrap_or(u8::MAX)
}
