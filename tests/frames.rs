//! The tests' own way of making and reading frames, held against a frame that ucarp 1.5.2 sent.
#![allow(clippy::unwrap_used)]

mod support;

use carp::time::Instant;
use support::frames::{Advert, Frame};

/// All but the captured frame's source MAC, TOS and IP id, which ours need not have.
#[test]
fn an_advertisement_is_byte_identical_to_a_captured_one() {
    let mut advert = Advert::new(1, "mekmitasdigoat", &["192.0.2.100"], "192.0.2.1");
    advert.counter = 0x0917_93a7_d927_5970;
    let bytes = advert.frame();
    let carp: String = bytes[34..].iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(
        carp,
        "210100070001a31e091793a7d9275970fd8a053c82cbab707feb110322807efe2f96d97a"
    );
    let seen = Frame {
        at: Instant::ZERO,
        bytes,
    }
    .advert()
    .unwrap();
    assert_eq!(
        (seen.vhid, seen.advskew, seen.counter),
        (1, 0, advert.counter)
    );
}
