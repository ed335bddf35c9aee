//! The options of neighbour discovery messages (RFC 4861 section 4.6); must not know the messages.
//!
//! Walked here, not with the packet crate's iterator: that one multiplies the length in eight bits (32 or more
//! overflows) and takes a length of 0, which must void the packet.

use crate::wire::{Error, MacAddr};

/// The sender's own address, in solicitations.
pub(super) const SOURCE_LINK_LAYER: u8 = 1;
/// The target's address, in advertisements.
pub(super) const TARGET_LINK_LAYER: u8 = 2;

/// The first link-layer address option of this kind. Each step takes at least 8 bytes, so the packet bounds the walk.
pub(super) fn link_layer(mut options: &[u8], wanted: u8) -> Result<Option<MacAddr>, Error> {
    let mut found = None;
    while let &[kind, units, ..] = options {
        if units == 0 {
            return Err(Error::Neighbour);
        }
        let (option, rest) = options
            .split_at_checked(usize::from(units) * 8)
            .ok_or(Error::Neighbour)?;
        if kind == wanted && found.is_none() {
            let &[_, _, a, b, c, d, e, g] = option else {
                return Err(Error::Neighbour);
            };
            found = Some(MacAddr([a, b, c, d, e, g]));
        }
        options = rest;
    }
    if options.is_empty() {
        Ok(found)
    } else {
        Err(Error::Neighbour)
    }
}

/// Appends a link-layer address option, if there is an address.
pub(super) fn put(message: &mut Vec<u8>, kind: u8, mac: Option<MacAddr>) {
    if let Some(mac) = mac {
        message.extend([kind, 1]);
        message.extend(mac.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 7]);
    const OPTION: [u8; 8] = [1, 1, 2, 0, 0, 0, 0, 7];
    const NONCE: [u8; 8] = [14, 1, 9, 9, 9, 9, 9, 9];

    #[test]
    fn parses() {
        assert_eq!(link_layer(&OPTION, SOURCE_LINK_LAYER), Ok(Some(MAC)));
        assert_eq!(link_layer(&OPTION, TARGET_LINK_LAYER), Ok(None));
        assert_eq!(link_layer(&[], SOURCE_LINK_LAYER), Ok(None));
    }

    #[test]
    fn emits() {
        let mut message = vec![];
        put(&mut message, SOURCE_LINK_LAYER, None);
        assert!(message.is_empty());
        put(&mut message, SOURCE_LINK_LAYER, Some(MAC));
        assert_eq!(message, OPTION);
    }

    #[test]
    fn other_options_are_skipped_and_the_first_one_counts() {
        let mut second = OPTION;
        second[7] = 8;
        let options = [NONCE, OPTION, second, NONCE].concat();
        assert_eq!(link_layer(&options, SOURCE_LINK_LAYER), Ok(Some(MAC)));
    }

    #[test]
    fn length_zero_voids_the_packet_wherever_it_stands() {
        for options in [
            [[1, 0, 0, 0, 0, 0, 0, 0], OPTION].concat(),
            [OPTION, [99, 0, 0, 0, 0, 0, 0, 0]].concat(),
        ] {
            assert_eq!(
                link_layer(&options, SOURCE_LINK_LAYER),
                Err(Error::Neighbour)
            );
        }
    }

    #[test]
    fn every_kind_and_length_over_every_cut_ends_without_panic() {
        let mut options = [0; 264];
        for kind in [0, SOURCE_LINK_LAYER, 14, 255] {
            for units in 0..=255_u8 {
                (options[0], options[1]) = (kind, units);
                for held in [1, 2, 7, 8, 9, 16, 255, 256, 264] {
                    let fits = units > 0 && usize::from(units) * 8 <= held;
                    let found = link_layer(&options[..held], SOURCE_LINK_LAYER);
                    assert!(
                        fits || found == Err(Error::Neighbour),
                        "{kind} {units} {held}"
                    );
                }
            }
        }
    }

    #[test]
    fn an_ethernet_address_takes_exactly_one_unit() {
        let long = [&[1, 2][..], &[0; 14]].concat();
        assert_eq!(link_layer(&long, SOURCE_LINK_LAYER), Err(Error::Neighbour));
        assert_eq!(link_layer(&long, TARGET_LINK_LAYER), Ok(None));
    }
}
