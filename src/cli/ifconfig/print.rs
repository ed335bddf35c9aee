//! An interface as OpenBSD's ifconfig prints it, line by line; must not know where it comes from.
//!
//! Scripts count the fields of the `carp:` line and read the second of `status:`: neither words nor their places may move.
#![forbid(unsafe_code)]

use super::lines::{self, Lines};
use crate::carp::config::State;
use crate::cli::escape;
use crate::control::{Family, Interface};

/// The whole text of one interface, its addresses only of `family` when one is given.
#[must_use]
pub fn interface(interface: &Interface, family: Option<Family>) -> String {
    let mut text = Lines::default();
    write(&mut text, interface, family);
    text.text()
}

/// The line of an interface group.
#[must_use]
pub fn group(name: &str, demotion: u8) -> String {
    format!("{}: carp demote count {demotion}\n", escape(name))
}

fn write(text: &mut Lines, interface: &Interface, family: Option<Family>) {
    text.carp_head(interface);
    text.put(format_args!("\tlladdr {}", interface.lladdr));
    text.description(interface);
    text.put(format_args!(
        "\tindex {} priority 15 llprio 3",
        interface.index
    ));
    carp(text, interface);
    text.groups(&interface.groups);
    text.put(format_args!(
        "\tstatus: {}",
        status(lines::state(interface))
    ));
    for network in lines::networks(interface, family) {
        text.shared(interface, *network);
    }
}

/// No line before a vhid is set; one line for one vhost, a head and a line each for several.
fn carp(text: &mut Lines, interface: &Interface) {
    let carpdev = lines::name(interface.carpdev.as_deref().unwrap_or("none"));
    let advbase = interface.advbase;
    // OpenBSD has one peer, of IPv4.
    let mut peers = String::new();
    for (word, family) in [("carppeer", Family::Inet), ("peer6", Family::Inet6)] {
        if let Some(named) = lines::peers(interface, family) {
            peers += &format!(" {word} {named}");
        }
    }
    match interface.vhosts.as_slice() {
        [] => {}
        [one] => text.put(format_args!(
            "\tcarp: {} carpdev {carpdev} vhid {} advbase {advbase} advskew {}{peers}",
            one.state, one.vhid, one.advskew
        )),
        several => {
            text.put(format_args!(
                "\tcarp: carpdev {carpdev} advbase {advbase} balancing {}{peers}",
                interface.balancing
            ));
            for node in several {
                text.put(format_args!(
                    "\t\tstate {} vhid {} advskew {}",
                    node.state, node.vhid, node.advskew
                ));
            }
        }
    }
}

const fn status(state: State) -> &'static str {
    match state {
        State::Init => "invalid",
        State::Backup => "backup",
        State::Master => "master",
    }
}

#[cfg(test)]
pub mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::carp::config::{Balancing, Dataplane, InputMode, Lladdr, Unit};
    use crate::control::{MacAddr, Reason, Served, Traffic, Vhost};

    pub fn fresh() -> Interface {
        Interface {
            unit: Unit(0),
            index: 6,
            up: false,
            lladdr: MacAddr::of_vhid(1),
            mtu: 1500,
            carpdev: None,
            advbase: 1,
            vhosts: Vec::new(),
            groups: vec!["carp".into()],
            addresses: Vec::new(),
            peers: Vec::new(),
            balancing: Balancing::None,
            hash: None,
            drain: false,
            configured_lladdr: Lladdr::Virtual,
            description: None,
            configured_mtu: None,
            debug: false,
            metric: 0,
            input: InputMode::Redirect,
            capture: false,
            dataplane: Served {
                by: Dataplane::Copy,
                why: None,
                hindrance: None,
            },
            traffic: Traffic::default(),
        }
    }

    pub fn configured(state: State) -> Interface {
        let addresses = [
            "192.0.2.1/24",
            "fe80::200:5eff:fe00:101/64",
            "2001:db8::1/64",
        ];
        Interface {
            up: true,
            carpdev: Some("em0".into()),
            vhosts: vec![Vhost {
                vhid: 1,
                advskew: 0,
                state,
                reason: Reason::Ready,
            }],
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            ..fresh()
        }
    }

    #[test]
    fn a_master() {
        let expected = "\
carp0: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> mtu 1500
\tlladdr 00:00:5e:00:01:01
\tindex 6 priority 15 llprio 3
\tcarp: MASTER carpdev em0 vhid 1 advbase 1 advskew 0
\tgroups: carp
\tstatus: master
\tinet 192.0.2.1 netmask 0xffffff00 broadcast 192.0.2.255
\tinet6 fe80::200:5eff:fe00:101%carp0 prefixlen 64 scopeid 0x6
\tinet6 2001:db8::1 prefixlen 64
";
        assert_eq!(interface(&configured(State::Master), None), expected);
    }

    #[test]
    fn a_backup_runs_as_well() {
        let text = interface(&configured(State::Backup), None);
        assert!(
            text.starts_with(
                "carp0: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> mtu 1500\n"
            ),
            "{text}"
        );
        assert!(
            text.contains("\tcarp: BACKUP carpdev em0 vhid 1 advbase 1 advskew 0\n"),
            "{text}"
        );
        assert!(text.contains("\tstatus: backup\n"), "{text}");
    }

    #[test]
    fn up_in_init_does_not_run() {
        let text = interface(&configured(State::Init), None);
        assert!(
            text.starts_with("carp0: flags=8803<UP,BROADCAST,SIMPLEX,MULTICAST> mtu 1500\n"),
            "{text}"
        );
        assert!(
            text.contains("\tcarp: INIT carpdev em0 vhid 1 advbase 1 advskew 0\n"),
            "{text}"
        );
        assert!(text.contains("\tstatus: invalid\n"), "{text}");
    }

    #[test]
    fn a_fresh_one_has_no_carp_line() {
        let expected = "\
carp0: flags=8802<BROADCAST,SIMPLEX,MULTICAST> mtu 1500
\tlladdr 00:00:5e:00:01:01
\tindex 6 priority 15 llprio 3
\tgroups: carp
\tstatus: invalid
";
        assert_eq!(interface(&fresh(), None), expected);
    }

    #[test]
    fn down_with_a_vhid_and_no_carpdev() {
        let vhosts = vec![Vhost {
            vhid: 7,
            advskew: 100,
            state: State::Init,
            reason: Reason::Incomplete,
        }];
        let text = interface(
            &Interface {
                vhosts,
                groups: Vec::new(),
                ..fresh()
            },
            None,
        );
        let expected = "\
carp0: flags=8802<BROADCAST,SIMPLEX,MULTICAST> mtu 1500
\tlladdr 00:00:5e:00:01:01
\tindex 6 priority 15 llprio 3
\tcarp: INIT carpdev none vhid 7 advbase 1 advskew 100
\tstatus: invalid
";
        assert_eq!(text, expected);
    }

    #[test]
    fn several_vhosts_have_a_line_each() {
        let mut several = configured(State::Backup);
        several.vhosts.push(Vhost {
            vhid: 2,
            advskew: 100,
            state: State::Master,
            reason: Reason::Ready,
        });
        let text = interface(&several, None);
        assert!(
            text.contains(
                "\t\tstate BACKUP vhid 1 advskew 0\n\t\tstate MASTER vhid 2 advskew 100\n"
            ),
            "{text}"
        );
        assert!(text.contains("\tstatus: master\n"), "{text}");
    }

    #[test]
    fn addresses_stand_in_the_order_of_configuration_and_by_family() {
        let mut mixed = configured(State::Master);
        mixed.addresses = ["2001:db8::1/128", "192.0.2.1/32", "192.0.2.2/31"]
            .iter()
            .map(|a| a.parse().unwrap())
            .collect();
        let lines = |family| {
            interface(&mixed, family)
                .lines()
                .skip(6)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let inet6 = "\tinet6 2001:db8::1 prefixlen 128";
        let inet = [
            "\tinet 192.0.2.1 netmask 0xffffffff broadcast 192.0.2.1",
            "\tinet 192.0.2.2 netmask 0xfffffffe",
        ];
        assert_eq!(lines(None), [inet6, inet[0], inet[1]]);
        assert_eq!(lines(Some(Family::Inet)), inet);
        assert_eq!(lines(Some(Family::Inet6)), [inet6]);
    }

    #[test]
    fn a_name_from_outside_cannot_forge_a_line() {
        let strange = Interface {
            carpdev: Some("e\n\tstatus: master\u{1b}[2J".into()),
            ..configured(State::Backup)
        };
        let text = interface(&strange, None);
        assert!(
            text.contains(" carpdev e\\n\\tstatus: master\\u{1b}[2J vhid 1"),
            "{text}"
        );
        let plain = interface(&configured(State::Backup), None);
        assert_eq!(text.lines().count(), plain.lines().count());
    }
}
