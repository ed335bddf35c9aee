//! /etc/ifconfig.carpN of NetBSD and /etc/hostname.carpN of OpenBSD: a line of ifconfig each, commands, `create`; must not run
//! anything.

use super::{Imported, Source};
use crate::carp::config::Unit;
use crate::cli::files::shell::Reader;
use crate::cli::plain;
use std::collections::BTreeMap;
use std::ffi::OsString;

/// What NetBSD does to a passphrase.
const CUT: &str = "NetBSD 5 and later leave the last byte of a passphrase out: \
    beside a NetBSD host leave it out here as well";

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    Netbsd,
    Openbsd,
}

/// The system and the interface whose file has this name, if any.
pub fn named(name: &str) -> Option<(System, &str)> {
    let netbsd = name.strip_prefix("ifconfig.");
    let openbsd = name.strip_prefix("hostname.");
    netbsd
        .map(|interface| (System::Netbsd, interface))
        .or_else(|| openbsd.map(|interface| (System::Openbsd, interface)))
}

/// Reads the file of `interface`.
pub fn read(
    (system, interface): (System, &str),
    text: &[u8],
    imported: &mut Imported,
) -> BTreeMap<Unit, Source> {
    let Some(unit) = Unit::from_name(interface) else {
        let text = format!("{interface}: not the name of a carp interface");
        imported.wrong.push((0, plain(text)));
        return BTreeMap::new();
    };
    let mut source = Source::default();
    let mut reader = Reader::new(text);
    while let Some(number) = reader.begin() {
        if reader.peek() == Some(b'!') {
            let mut command = match system {
                System::Netbsd => joined(&mut reader),
                System::Openbsd => reader.raw().split_off(1),
            };
            // What no argument can hold.
            command.retain(|byte| *byte != 0);
            if source.lines.is_empty() {
                source.before.push(command);
            } else {
                source.after.push(command);
            }
            continue;
        }
        match reader.words() {
            Ok(words) => {
                let noted = system == System::Netbsd && words.iter().any(|word| word == "pass");
                imported.notes.extend(noted.then(|| (number, plain(CUT))));
                line(number, words, &mut source);
            }
            Err(wrong) => imported.wrong.push((number, plain(wrong))),
        }
    }
    if imported.wrong.is_empty() {
        BTreeMap::from([(unit, source)])
    } else {
        BTreeMap::new()
    }
}

fn line(number: usize, words: Vec<OsString>, source: &mut Source) {
    // The interface is made by what stands in its file.
    if !words.iter().map(OsString::as_os_str).eq(["create"]) {
        source.lines.push((number, words));
    }
}

/// The command as the shell is to have it: lines joined.
fn joined(reader: &mut Reader<'_>) -> Vec<u8> {
    let text = reader.rest();
    reader.raw();
    let length = text.len() - reader.rest().len();
    let line = text.get(1..length).unwrap_or_default();
    let parts = line.split(|byte| *byte == b'\n');
    let mut command = Vec::new();
    for part in parts {
        command.extend(part.strip_suffix(b"\\").unwrap_or(part));
    }
    command
}
