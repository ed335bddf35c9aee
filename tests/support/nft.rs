//! Rules of nftables on a host; must not know what they are for.

use super::hosts::Host;
use std::io::Write;
use std::process::{Command, Stdio};

/// Loads rules on a host.
pub fn nft(host: &Host, rules: &str) {
    assert!(took(host, rules), "{rules}");
}

/// The same where the kernel may lack what they need.
pub fn took(host: &Host, rules: &str) -> bool {
    let mut command = Command::new("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped());
    let mut child = host.place.run(|| command.spawn().unwrap());
    child
        .stdin
        .take()
        .unwrap()
        .write_all(rules.as_bytes())
        .unwrap();
    child.wait().unwrap().success()
}

/// Packets of a named counter in table `seen`.
pub fn counted(host: &Host, family: &str, name: &str) -> u64 {
    let mut command = Command::new("nft");
    command.args(["list", "counter", family, "seen", name]);
    let done = host.place.run(|| command.output().unwrap());
    let text = String::from_utf8(done.stdout).unwrap();
    let words: Vec<_> = text.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "packets").unwrap();
    words[at + 1].parse().unwrap()
}
