//! /etc/ifconfig.carpN of NetBSD: a line of ifconfig each, commands, `create`; must not run anything.

use super::{Imported, Source};
use crate::carp::config::Unit;
use crate::cli::files::shell::Reader;
use crate::cli::plain;
use std::collections::BTreeMap;
use std::ffi::OsString;

/// What NetBSD does to a passphrase.
const CUT: &str = "NetBSD 5 and later leave the last byte of a passphrase out: \
    beside a NetBSD host leave it out here as well";

/// Reads the file of `interface`.
pub fn read(interface: &str, text: &[u8], imported: &mut Imported) -> BTreeMap<Unit, Source> {
    let Some(unit) = Unit::from_name(interface) else {
        let text = format!("ifconfig.{interface}: not the file of a carp interface");
        imported.wrong.push((0, plain(text)));
        return BTreeMap::new();
    };
    let mut source = Source::default();
    let mut reader = Reader::new(text);
    while let Some(number) = reader.begin() {
        if reader.peek() == Some(b'!') {
            let command = command(&mut reader);
            if source.lines.is_empty() {
                source.before.push(command);
            } else {
                source.after.push(command);
            }
            continue;
        }
        match reader.words() {
            Ok(words) => line(number, words, &mut source, imported),
            Err(wrong) => imported.wrong.push((number, plain(wrong))),
        }
    }
    if imported.wrong.is_empty() {
        BTreeMap::from([(unit, source)])
    } else {
        BTreeMap::new()
    }
}

fn line(number: usize, words: Vec<OsString>, source: &mut Source, imported: &mut Imported) {
    // The interface is made by what stands in its file.
    if words.iter().map(OsString::as_os_str).eq(["create"]) {
        return;
    }
    if words.iter().any(|word| word == "pass") {
        imported.notes.push((number, plain(CUT)));
    }
    source.lines.push((number, words));
}

/// The command as the shell is to have it: lines joined, and no byte 0, which no argument can hold.
fn command(reader: &mut Reader<'_>) -> Vec<u8> {
    let text = reader.rest();
    reader.raw();
    let length = text.len() - reader.rest().len();
    let line = text.get(1..length).unwrap_or_default();
    let joined = line.split(|byte| *byte == b'\n');
    let mut command = Vec::new();
    for part in joined {
        command.extend(part.strip_suffix(b"\\").unwrap_or(part));
    }
    command.retain(|byte| *byte != 0);
    command
}
