//! A reader for classic pcap files of Ethernet frames, either byte order, micro- or nanoseconds.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::Duration;

/// One captured frame.
#[derive(Debug, Clone)]
pub struct Record {
    /// Since the epoch.
    pub time: Duration,
    /// What was kept of the frame.
    pub bytes: Vec<u8>,
    /// How long it was on the wire.
    pub length: usize,
}

/// Where a fixture is.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// The capture files among the fixtures, sorted by name.
pub fn fixtures() -> Vec<String> {
    let entries = std::fs::read_dir(fixture(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let names = entries.map(|name| name.into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".pcap")).collect();
    names.sort();
    names
}

/// The frames of a file; a file cut off within a record is an error, not its end.
pub fn read(path: &Path) -> Vec<Record> {
    let data = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let magic: [u8; 4] = data[..4].try_into().unwrap();
    let (big, nanos) = match magic {
        [0xd4, 0xc3, 0xb2, 0xa1] => (false, false),
        [0x4d, 0x3c, 0xb2, 0xa1] => (false, true),
        [0xa1, 0xb2, 0xc3, 0xd4] => (true, false),
        [0xa1, 0xb2, 0x3c, 0x4d] => (true, true),
        _ => panic!("{}: not a classic pcap file", path.display()),
    };
    let word = |at: usize| {
        let bytes: [u8; 4] = data[at..at + 4].try_into().unwrap();
        if big {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    };
    assert_eq!(word(20), 1, "{}: link type is not Ethernet", path.display());
    let (mut records, mut at) = (vec![], 24);
    while at < data.len() {
        let [seconds, fraction, kept, length] = [0, 4, 8, 12].map(|field| word(at + field));
        let kept = kept as usize;
        let fraction = if nanos { fraction } else { fraction * 1000 };
        records.push(Record {
            time: Duration::new(seconds.into(), fraction),
            bytes: data[at + 16..at + 16 + kept].to_vec(),
            length: length as usize,
        });
        at += 16 + kept;
    }
    records
}

/// The frames of a fixture.
pub fn read_fixture(name: &str) -> Vec<Record> {
    read(&fixture(name))
}
