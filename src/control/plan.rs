//! One command line against the present configuration: the next configuration, or BSD's refusal; pure, must not know the kernel.

use super::change::{self, set};
use super::{Change, Family, Refusal};
use crate::carp::config::{Config, State};
use ipnetwork::IpNetwork;
use std::net::IpAddr;

/// Shared addresses of one family that a carpN takes.
pub const ADDRESSES_MAX: usize = 256;

/// What a command line comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// The interface goes.
    Destroy,
    /// The interface is to be like this; made first if it is missing.
    Become {
        /// The whole next configuration.
        config: Box<Config>,
        /// `state ...`, after everything else.
        state: Option<State>,
    },
}

/// A refusal in BSD's words, with the reason for the second line.
#[must_use]
pub fn refusal(text: &str, why: impl Into<String>) -> Refusal {
    Refusal {
        text: text.to_owned(),
        why: Some(why.into()),
    }
}

/// The plan of `changes` for an interface that is configured as `old` (`None`: missing). Addresses come last, as in BSD.
///
/// # Errors
/// The first change that cannot be; nothing of the line is then done.
pub fn plan(old: Option<&Config>, changes: &[Change]) -> Result<Plan, Refusal> {
    let plan = next(old, changes)?;
    let gives = |change: &Change| matches!(change, Change::Address { .. });
    match &plan {
        Plan::Become { config, .. } if config.carpdev.is_none() && changes.iter().any(gives) => {
            Err(refusal(
                "SIOCAIFADDR: Invalid argument",
                "carpdev comes before the first address",
            ))
        }
        _ => Ok(plan),
    }
}

/// The plan of one line, whether it is typed or stands in a file.
fn next(old: Option<&Config>, changes: &[Change]) -> Result<Plan, Refusal> {
    if changes.contains(&Change::Destroy) {
        return destroy(old, changes);
    }
    if old.is_some() && changes.contains(&Change::Create) {
        return Err(Refusal {
            text: "SIOCIFCREATE: File exists".into(),
            why: None,
        });
    }
    let mut config = old.cloned().unwrap_or_default();
    let mut state = None;
    let (addresses, words): (Vec<_>, Vec<_>) = changes.iter().partition(|c| {
        matches!(
            c,
            Change::Address { .. } | Change::Delete(_) | Change::Detach(_)
        )
    });
    for change in words {
        set(&mut config, &mut state, change)?;
    }
    for change in addresses {
        match change {
            Change::Address { address, alias } => add(&mut config, *address, *alias)?,
            Change::Delete(which) => delete(&mut config, *which)?,
            Change::Detach(family) => detach(&mut config, *family),
            _ => {}
        }
    }
    change::balance(&mut config);
    change::check(&config)?;
    let config = Box::new(config);
    Ok(Plan::Become { config, state })
}

/// What the lines of a file come to, from an interface just created; each as it comes is shown to `check`. A file may have
/// addresses and no carpdev: `-carpdev` leaves such an interface, and what is dumped can be loaded.
///
/// # Errors
/// The number of the first line that cannot be, from 0, and why.
pub fn load(
    lines: &[Vec<Change>],
    check: impl Fn(Plan) -> Result<Plan, Refusal>,
) -> Result<Plan, (usize, Refusal)> {
    let (mut config, mut state) = (Config::default(), None);
    for (number, changes) in lines.iter().enumerate() {
        let before = (number > 0).then_some(&config);
        let become_ = next(before, changes).and_then(&check);
        match become_.map_err(|refusal| (number, refusal))? {
            Plan::Become {
                config: next,
                state: asked,
            } => {
                config = *next;
                state = asked.or(state);
            }
            Plan::Destroy => {
                let why = "a file says what is to be there";
                return Err((number, refusal("SIOCIFDESTROY: Invalid argument", why)));
            }
        }
    }
    let config = Box::new(config);
    Ok(Plan::Become { config, state })
}

fn destroy(old: Option<&Config>, changes: &[Change]) -> Result<Plan, Refusal> {
    if old.is_none() {
        return Err(Refusal {
            text: "SIOCIFDESTROY: Device not configured".into(),
            why: None,
        });
    }
    if changes.len() > 1 {
        return Err(refusal(
            "SIOCIFDESTROY: Invalid argument",
            "destroy stands alone on its line",
        ));
    }
    Ok(Plan::Destroy)
}

/// An address; giving one sets UP. The same address again takes the new prefix length.
fn add(config: &mut Config, address: IpNetwork, alias: bool) -> Result<(), Refusal> {
    if let Some(why) = unfit(address.ip()) {
        return Err(refusal(
            "SIOCAIFADDR: Can't assign requested address",
            format!("{} is {why}", address.ip()),
        ));
    }
    let same = config
        .addresses
        .iter()
        .position(|held| held.ip() == address.ip());
    let first = config
        .addresses
        .iter()
        .position(|held| held.is_ipv4() == address.is_ipv4());
    match (same, first) {
        (Some(same), Some(first)) => {
            config.addresses[same] = address;
            if !alias && first != same {
                config.addresses.remove(first);
            }
        }
        (None, Some(first)) if !alias => config.addresses[first] = address,
        _ => config.addresses.push(address),
    }
    let family = config
        .addresses
        .iter()
        .filter(|held| held.is_ipv4() == address.is_ipv4())
        .count();
    if family > ADDRESSES_MAX {
        return Err(refusal(
            "SIOCAIFADDR: No buffer space available",
            format!("{ADDRESSES_MAX} addresses of a family at most"),
        ));
    }
    config.up = true;
    Ok(())
}

/// Why an address cannot be shared. The digest never covers some of these.
pub(super) fn unfit(ip: IpAddr) -> Option<&'static str> {
    if ip.is_unspecified() {
        Some("the unspecified address")
    } else if ip.is_multicast() {
        Some("a multicast address")
    } else if ip.is_loopback() {
        Some("a loopback address")
    } else if ip == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) {
        Some("the broadcast address")
    } else {
        None
    }
}

/// Takes all addresses of a family away; the last one takes UP with it.
fn detach(config: &mut Config, family: Family) {
    let before = config.addresses.len();
    config
        .addresses
        .retain(|held| Family::of(held.ip()) != family);
    config.up &= before == config.addresses.len() || !config.addresses.is_empty();
}

/// Takes an address away; the last one takes UP with it, as in OpenBSD.
fn delete(config: &mut Config, which: Option<IpAddr>) -> Result<(), Refusal> {
    let at = match which {
        Some(ip) => config.addresses.iter().position(|held| held.ip() == ip),
        None => config.addresses.iter().position(IpNetwork::is_ipv4),
    };
    let Some(at) = at else {
        return Err(refusal(
            "SIOCDIFADDR: Can't assign requested address",
            "the interface has no such address",
        ));
    };
    config.addresses.remove(at);
    if config.addresses.is_empty() {
        config.up = false;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::carp::config::Key;

    fn net(text: &str) -> IpNetwork {
        text.parse().unwrap()
    }

    fn address(text: &str, alias: bool) -> Change {
        Change::Address {
            address: net(text),
            alias,
        }
    }

    fn become_(old: Option<&Config>, changes: &[Change]) -> Config {
        match plan(old, changes).unwrap() {
            Plan::Become { config, .. } => *config,
            Plan::Destroy => panic!("destroyed"),
        }
    }

    #[test]
    fn the_missions_line() {
        let line = [
            address("192.0.2.1/24", false),
            Change::Vhid(1),
            Change::Pass(Key::from_pass(b"secret")),
            Change::Carpdev(Some("eth0".into())),
            Change::Advskew(100),
        ];
        let config = become_(None, &line);
        assert!(
            config.up,
            "an address sets UP, wherever it stands on the line"
        );
        assert_eq!(
            (config.nodes[0].vhid.get(), config.nodes[0].advskew),
            (1, 100)
        );
        assert_eq!(config.addresses, [net("192.0.2.1/24")]);
    }

    #[test]
    fn an_address_without_alias_takes_the_place_of_the_first_of_its_family() {
        let base = become_(
            None,
            &[
                Change::Carpdev(Some("eth0".into())),
                address("192.0.2.1/24", false),
            ],
        );
        let more = become_(
            Some(&base),
            &[
                address("2001:db8::1/64", false),
                address("192.0.2.2/24", true),
            ],
        );
        assert_eq!(
            more.addresses,
            [
                net("192.0.2.1/24"),
                net("2001:db8::1/64"),
                net("192.0.2.2/24")
            ]
        );
        let moved = become_(Some(&more), &[address("192.0.2.9/25", false)]);
        assert_eq!(
            moved.addresses,
            [
                net("192.0.2.9/25"),
                net("2001:db8::1/64"),
                net("192.0.2.2/24")
            ]
        );
        let known = become_(Some(&more), &[address("192.0.2.2/25", false)]);
        assert_eq!(
            known.addresses,
            [net("2001:db8::1/64"), net("192.0.2.2/25")],
            "one already held is not doubled"
        );
    }

    #[test]
    fn the_last_address_takes_up_with_it() {
        let base = become_(
            None,
            &[
                Change::Carpdev(Some("eth0".into())),
                address("192.0.2.1/24", false),
            ],
        );
        let bare = become_(Some(&base), &[Change::Delete(None)]);
        assert!(!bare.up && bare.addresses.is_empty());
        assert_eq!(
            plan(Some(&bare), &[Change::Delete(None)]).unwrap_err().text,
            "SIOCDIFADDR: Can't assign requested address"
        );
    }

    #[test]
    fn refusals_speak_bsd() {
        let there = Config::default();
        let cases: [(Option<&Config>, Vec<Change>, &str); 7] = [
            (
                Some(&there),
                vec![Change::Create],
                "SIOCIFCREATE: File exists",
            ),
            (
                None,
                vec![Change::Destroy],
                "SIOCIFDESTROY: Device not configured",
            ),
            (
                Some(&there),
                vec![Change::Up, Change::Destroy],
                "SIOCIFDESTROY: Invalid argument",
            ),
            (
                Some(&there),
                vec![Change::Vhid(0)],
                "SIOCSVH: Invalid argument",
            ),
            (
                None,
                vec![Change::Vhid(1), address("192.0.2.1/24", false)],
                "SIOCAIFADDR: Invalid argument",
            ),
            (
                None,
                vec![
                    Change::Carpdev(Some("eth0".into())),
                    address("224.0.0.1/24", false),
                ],
                "SIOCAIFADDR: Can't assign requested address",
            ),
            (
                Some(&there),
                vec![Change::Delete(None)],
                "SIOCDIFADDR: Can't assign requested address",
            ),
        ];
        for (old, changes, text) in cases {
            assert_eq!(plan(old, &changes).unwrap_err().text, text, "{changes:?}");
        }
    }

    #[test]
    fn what_has_lost_its_carpdev_can_be_loaded() {
        let base = become_(
            None,
            &[
                Change::Carpdev(Some("eth0".into())),
                address("192.0.2.1/24", false),
            ],
        );
        let detached = become_(Some(&base), &[Change::Carpdev(None)]);
        let kept = Config {
            carpdev: None,
            ..base.clone()
        };
        assert_eq!(detached, kept);
        let more = [address("192.0.2.2/24", true)];
        assert!(plan(Some(&detached), &more).is_err());
        let lines = [vec![address("192.0.2.1/24", false)], vec![Change::Up]];
        let loaded = Plan::Become {
            config: Box::new(kept),
            state: None,
        };
        assert_eq!(load(&lines, Ok), Ok(loaded));
        let again = become_(
            Some(&detached),
            &[Change::Carpdev(Some("eth0".into())), more[0].clone()],
        );
        assert_eq!(again.addresses.len(), 2);
    }

    #[test]
    fn a_skew_given_before_the_vhid_is_kept() {
        let first = become_(None, &[Change::Advskew(7)]);
        assert_eq!(
            become_(Some(&first), &[Change::Vhid(3)]).nodes[0].advskew,
            7
        );
    }
}
