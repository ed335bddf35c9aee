//! The kernel layer, in namespaces that each test makes for itself and that vanish with it.
#![allow(clippy::unwrap_used)]

#[path = "linux/ethtool.rs"]
mod ethtool;
#[path = "linux/groups.rs"]
mod groups;
#[path = "linux/monitor.rs"]
mod monitor;
#[path = "linux/netlink.rs"]
mod netlink;
#[path = "support/privilege.rs"]
mod privilege;
#[path = "linux/process.rs"]
mod process;
#[path = "linux/sandbox.rs"]
mod sandbox;

/// Goes on only with the powers that a test of the kernel needs.
macro_rules! as_root {
    () => {
        if !crate::privilege::privileged(&crate::test_name!()) {
            return;
        }
    };
}
pub(crate) use as_root;

/// An address with its prefix length.
fn net(text: &str) -> ipnetwork::IpNetwork {
    text.parse().unwrap()
}
