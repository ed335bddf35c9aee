//! What of the host is touched and put back.

use super::life::rename;
use super::support::hosts::{Host, SOON, Segment, until};
use super::support::plane::in_kernel;
use super::support::scene::join;
use std::collections::BTreeMap;
use std::path::Path;

/// Every setting under /proc/sys/net of a host but those of carpN itself and those that count something.
fn all(host: &Host) -> BTreeMap<String, String> {
    fn walk(path: &Path, found: &mut BTreeMap<String, String>) {
        let Ok(entries) = std::fs::read_dir(path) else {
            return;
        };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let counts = ["nf_conntrack_count", "carp1"];
            if counts.iter().any(|count| name == *count) {
                continue;
            }
            if path.is_dir() {
                walk(&path, found);
            } else if let Ok(value) = std::fs::read_to_string(&path) {
                found.insert(path.display().to_string(), value);
            }
        }
    }
    let mut found = BTreeMap::new();
    host.place
        .run(|| walk(Path::new("/proc/sys/net"), &mut found));
    found
}

/// What differs, and from what to what.
fn changed(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let keys = before
        .keys()
        .chain(now.keys().filter(|key| !before.contains_key(*key)));
    let differs = keys.filter(|key| before.get(*key) != now.get(*key));
    differs
        .map(|key| format!("{key}: {:?} -> {:?}", before.get(key), now.get(key)))
        .collect()
}

fn no_setting_but_carpns_own_is_touched_in_the_kernel_and_all_are_put_back() {
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24", "2001:db8::11/64"]);
    let before = all(&a);
    assert!(before.len() > 300, "{}", before.len());
    for (round, end) in ["destroy", "SIGTERM", "kill -9"].into_iter().enumerate() {
        a.daemon();
        join(&a, "eth0", 0);
        a.master("carp1");
        let now = changed(&before, &all(&a));
        if in_kernel() {
            assert_eq!(now, [""; 0], "while MASTER, round {round}");
        } else {
            let known = |line: &String| {
                line.contains("/eth0/arp_ignore") || line.contains("/eth0/arp_announce")
            };
            assert!(now.iter().all(known) && now.len() == 2, "{now:?}");
        }
        a.ok("ifconfig carp1 state backup");
        match end {
            "destroy" => {
                a.ok("ifconfig carp1 destroy");
                let restored = || changed(&before, &all(&a)).is_empty();
                assert!(until(SOON, restored), "{:?}", changed(&before, &all(&a)));
                a.terminate();
            }
            "SIGTERM" => drop(a.terminate()),
            _ => {
                a.kill();
                // What a killed one changed, the next one puts back.
                a.daemon();
                a.terminate();
            }
        }
        assert_eq!(changed(&before, &all(&a)), [""; 0], "after {end}");
    }
}

/// Fails when what was changed of a carpdev is looked for under its old name, by the daemon or by its successor.
fn a_renamed_carpdev_gets_its_settings_back() {
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    let keys = ["arp_ignore", "arp_announce"];
    let value = |name: &str| keys.map(|key| a.sysctl_value(&format!("net/ipv4/conf/{name}/{key}")));
    let found = value("eth0");
    let (mut name, mut next) = ("eth0", "lan0");
    for end in ["destroy", "kill -9"] {
        a.daemon();
        join(&a, name, 0);
        a.master("carp1");
        let raised = value(name);
        assert_eq!(raised == found, in_kernel());
        rename(&a, name, next);
        let told = || {
            a.ok("ifconfig carp1")
                .contains(&format!(" carpdev {next} "))
        };
        assert!(until(SOON, told));
        a.master("carp1");
        assert_eq!(value(next), raised);
        if end == "destroy" {
            a.ok("ifconfig carp1 destroy");
            assert!(until(SOON, || value(next) == found), "{:?}", value(next));
            a.terminate();
        } else {
            a.kill();
            a.daemon();
            a.terminate();
            assert_eq!(value(next), found);
        }
        std::mem::swap(&mut name, &mut next);
    }
}

super::support::planes! {
    a_renamed_carpdev_gets_its_settings_back,
    no_setting_but_carpns_own_is_touched_in_the_kernel_and_all_are_put_back,
}
