//! Holds the order of the modules against their sources: who may name whom, and who must stay pure.
#![allow(clippy::unwrap_used)]

mod house;

use std::collections::BTreeSet;
use std::path::Path;

/// Which parts of the crate a module may name besides its own tree. The longest matching row counts.
const LAYERS: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("wire", &["time"]),
    ("carp", &["wire", "time"]),
    ("control", &["carp", "wire"]),
    ("linux", &["wire", "time"]),
    ("dataplane", &["linux", "wire", "time"]),
    (
        "daemon",
        &["dataplane", "linux", "control", "carp", "wire", "time"],
    ),
    ("lab", &["linux", "wire", "time"]),
    ("cli", CLI),
    (
        "cli::demo",
        &[
            "lab",
            "time",
            "control",
            "carp::config",
            "carp::Reason",
            "wire::Family",
            "wire::MacAddr",
        ],
    ),
    ("main", &["daemon", "cli"]),
    ("lib", &[]),
];

/// The front ends know the language and the values in it.
const CLI: &[&str] = &[
    "control",
    "carp::config",
    "carp::Reason",
    "wire::Family",
    "wire::MacAddr",
];

/// Modules that compute and do nothing else, so that a simulator may drive them.
const PURE: &[&str] = &["time", "wire", "carp"];

/// What a pure module must not name.
const IMPURE: &[&str] = &[
    "libc",
    "netlink_packet_core",
    "netlink_packet_route",
    "netlink_sys",
    "nix",
    "std::env",
    "std::fs",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::sync",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "tun_tap",
];

#[test]
fn every_module_names_only_what_lies_below_it() {
    let mut wrong = Vec::new();
    for (path, text) in house::rust_files("src") {
        wrong.extend(violations(&path, &text));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_table_and_the_tree_have_the_same_modules() {
    let top = |path: &Path| module_of(path)[0].clone();
    let found: BTreeSet<_> = house::rust_files("src")
        .iter()
        .map(|(path, _)| top(path))
        .collect();
    let known: BTreeSet<_> = LAYERS
        .iter()
        .map(|(name, _)| first(name).to_owned())
        .collect();
    assert_eq!(found, known);
}

/// One line for each name in a file that its layer must not know.
fn violations(path: &Path, text: &str) -> Vec<String> {
    let module = module_of(path);
    let name = module.join("::");
    let Some((_, allowed)) = LAYERS
        .iter()
        .filter(|(row, _)| within(&name, row))
        .max_by_key(|(row, _)| row.len())
    else {
        return vec![format!("{}: no row in the table of layers", path.display())];
    };
    let pure = PURE.contains(&module[0].as_str());
    let mut wrong = Vec::new();
    for used in paths(&tokens(&house::code(text))) {
        match inside(&module, &used) {
            Some(target) => {
                let own = target.is_empty() || within(&target, &module[0]);
                if !own && !allowed.iter().any(|row| within(&target, row)) {
                    wrong.push(format!("{}: {name} must not name {target}", path.display()));
                }
            }
            None if pure && IMPURE.iter().any(|row| within(&used, row)) => {
                wrong.push(format!(
                    "{}: {name} is pure and must not name {used}",
                    path.display()
                ));
            }
            None => {}
        }
    }
    wrong
}

/// `src/cli/ifconfig/words.rs` is `cli::ifconfig::words`.
fn module_of(path: &Path) -> Vec<String> {
    let inner = path.strip_prefix("src").unwrap().with_extension("");
    let mut parts: Vec<_> = inner
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    parts.pop_if(|last| last == "mod");
    parts
}

/// The path from the crate's root, when `used` leads there: through `crate`, through enough `super`, or, in the
/// executable, through the library's name.
fn inside(module: &[String], used: &str) -> Option<String> {
    let parts: Vec<_> = used.split("::").collect();
    let climbs = parts.iter().take_while(|part| **part == "super").count();
    let top = |name: &str| LAYERS.iter().any(|(row, _)| first(row) == name);
    let rest = match parts[0] {
        "crate" => &parts[1..],
        "carp" if module[0] == "main" => &parts[1..],
        // An inline module climbs once more than its file; then what follows is not a top module's name.
        "super" if climbs >= module.len() && parts.get(climbs).is_some_and(|name| top(name)) => {
            &parts[climbs..]
        }
        _ => return None,
    };
    Some(rest.join("::"))
}

/// `inner` is `outer` or lies in it.
fn within(inner: &str, outer: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn first(path: &str) -> &str {
    path.split("::").next().unwrap_or(path)
}

/// Words, `::`, and single signs.
fn tokens(code: &str) -> Vec<&str> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = Vec::new();
    let mut rest = code.trim_start();
    while let Some(sign) = rest.chars().next() {
        let length = match rest.find(|c| !word(c)) {
            Some(0) if rest.starts_with("::") => 2,
            Some(0) => sign.len_utf8(),
            Some(end) => end,
            None => rest.len(),
        };
        out.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    out
}

/// All paths of two or more parts, with the groups of `use` lines written out.
fn paths(tokens: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_word(tokens[at]) && tokens.get(at + 1) == Some(&"::") {
            at = tree(tokens, at, "", &mut out);
        } else {
            at += 1;
        }
    }
    out
}

/// One path or group from `at` on, each leaf with `prefix` before it; returns where it ends.
fn tree(tokens: &[&str], mut at: usize, prefix: &str, out: &mut Vec<String>) -> usize {
    let mut path = prefix.to_owned();
    while let Some(token) = tokens.get(at) {
        if *token == "{" && !path.is_empty() {
            at += 1;
            while tokens.get(at).is_some_and(|token| *token != "}") {
                let end = tree(tokens, at, &path, out);
                at = end.max(at + 1);
            }
            return at + 1;
        }
        if !is_word(token) && *token != "*" {
            break;
        }
        path = if path.is_empty() {
            (*token).to_owned()
        } else {
            format!("{path}::{token}")
        };
        at += 1;
        if tokens.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    if path != prefix {
        out.push(path);
    }
    if tokens.get(at) == Some(&"as") {
        at + 2
    } else {
        at
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

#[cfg(test)]
mod the_checker {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        violations(Path::new(path), text).len()
    }

    #[test]
    fn reports_a_planted_violation_in_every_spelling() {
        let spellings = [
            "use crate::daemon::Daemon;",
            "use crate::{time::Instant, daemon::{self as d, door::Effect}};",
            "use super::super::daemon;",
            "fn f() { crate::daemon::run(); }",
            "type T = Vec<crate::daemon::T>;",
            "pub(crate) use crate::daemon;",
        ];
        for text in spellings {
            assert!(found("src/wire/arp.rs", text) > 0, "{text}");
        }
        assert_eq!(found("src/wire/mod.rs", "use super::daemon;"), 1);
        assert_eq!(found("src/main.rs", "use carp::linux::tap;"), 1);
    }

    #[test]
    fn lets_pass_what_the_table_allows() {
        assert_eq!(
            found(
                "src/wire/arp.rs",
                "use crate::{time::Instant, wire::MacAddr};"
            ),
            0
        );
        assert_eq!(
            found(
                "src/carp/mod.rs",
                "#[cfg(test)] mod tests { use super::*; use super::config::Vhid; }"
            ),
            0
        );
        assert_eq!(
            found(
                "src/main.rs",
                "fn main() { carp::cli::run(); carp::daemon::run(); }"
            ),
            0
        );
        assert_eq!(
            found(
                "src/wire/arp.rs",
                "// crate::daemon\n/* crate::daemon */ const A: &str = \"crate::daemon\";"
            ),
            0
        );
    }

    #[test]
    fn tells_parts_of_a_module_apart() {
        assert_eq!(
            found(
                "src/cli/ifconfig/print.rs",
                "use crate::carp::{Reason, config::State};"
            ),
            0
        );
        assert_eq!(
            found(
                "src/cli/ifconfig/print.rs",
                "use crate::carp::{Reason, Input};"
            ),
            1
        );
        assert_eq!(found("src/cli/ifconfig/print.rs", "use crate::lab;"), 1);
        assert_eq!(found("src/cli/demo/mod.rs", "use crate::lab;"), 0);
        assert_eq!(found("src/cli/demo.rs", "use crate::linux;"), 1);
    }

    #[test]
    fn keeps_pure_modules_pure() {
        assert_eq!(
            found("src/carp/engine.rs", "use std::time::{Duration, Instant};"),
            1
        );
        assert_eq!(
            found(
                "src/carp/engine.rs",
                "fn f() { let _ = std::fs::read(\"x\"); }"
            ),
            1
        );
        assert_eq!(
            found("src/wire/ip.rs", "use std::net::{Ipv4Addr, Ipv6Addr};"),
            0
        );
        assert_eq!(found("src/daemon/mod.rs", "use tokio::sync::mpsc;"), 0);
    }

    #[test]
    fn is_not_misled_by_literals() {
        let text = "const Q: char = '\"'; use crate::daemon; const R: char = '\"'; fn f<'a>(x: &'a str) {}";
        assert_eq!(found("src/wire/ip.rs", text), 1);
        assert_eq!(
            found(
                "src/wire/ip.rs",
                "const R: &str = r#\"a \" use crate::daemon; \"#;"
            ),
            0
        );
        assert_eq!(
            found(
                "src/wire/ip.rs",
                "const R: &str = \"\\\"\"; use crate::daemon;"
            ),
            1
        );
    }
}
