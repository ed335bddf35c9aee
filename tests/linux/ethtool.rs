//! What drivers say of their interfaces.

use crate::as_root;
use carp::linux::ethtool::{Ethtool, Media, Offloads};
use carp::linux::netlink::Netlink;
use carp::linux::netns::Namespace;

#[test]
fn a_veth_tells_how_it_sends_and_what_it_does_for_the_stack() {
    as_root!();
    Namespace::new().unwrap().run(|| {
        let netlink = Netlink::open().unwrap();
        netlink.create_veth("a", "b").unwrap();
        let ethtool = Ethtool::open().unwrap();
        // drivers/net/veth.c: ten gigabits, always.
        let media = Media {
            speed: Some(10_000),
            full_duplex: true,
            autoselect: false,
        };
        assert_eq!(ethtool.media("a"), Some(media));
        let offloads = ethtool.offloads("a");
        assert!(offloads.tx_checksum && offloads.tso, "{offloads:?}");
        // Its driver knows no media.
        assert_eq!(ethtool.media("lo"), None);
        for nobody in ["nobody", "", "a-name-that-is-far-too-long"] {
            assert_eq!(ethtool.media(nobody), None);
            assert_eq!(ethtool.offloads(nobody), Offloads::default());
        }
    });
}
