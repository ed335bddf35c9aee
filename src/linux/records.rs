//! Records in a file without a name: whole ones, whenever their writer dies, for whoever gets its descriptor next. Must not know
//! what they say.

use super::{Error, Result};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use zeroize::Zeroizing;

/// The longest record, in bytes.
pub const RECORD_MAX: usize = 256 << 10;

/// Generation and length, each in eight bytes: so few are written whole or not at all.
const HEAD: usize = 16;
/// From one copy of a record to the next. The file is sparse: what was never written takes no memory.
const SLOT: u64 = (RECORD_MAX as u64) + 4096;

/// Numbered records. Each has two places, which are written in turn: the other one stays whole meanwhile. It is memory of the
/// kernel's, and zero again when the last descriptor is closed.
#[derive(Debug)]
pub struct Records {
    file: File,
    /// The generation of each record that was read or written here.
    generations: BTreeMap<u64, u64>,
}

impl Records {
    /// None yet.
    pub fn new() -> Result<Self> {
        let memory =
            memfd_create(c"carp", MFdFlags::MFD_CLOEXEC).map_err(|e| failed("create", e))?;
        Ok(Self::from(memory))
    }

    /// Replaces record `number`, which may be below 2^23.
    ///
    /// # Errors
    /// It is too long, or there is no memory; the old one stays.
    pub fn write(&mut self, number: u64, record: &[u8]) -> Result<()> {
        if record.len() > RECORD_MAX {
            return Err(failed("write", Errno::EMSGSIZE));
        }
        let generation = self.generation(number) + 1;
        let at = place(number, generation);
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&generation.to_le_bytes());
        head[8..].copy_from_slice(&(record.len() as u64).to_le_bytes());
        self.file
            .write_all_at(record, at + HEAD as u64)
            .and_then(|()| self.file.write_all_at(&head, at))
            .map_err(|e| failed("write", e))?;
        self.generations.insert(number, generation);
        Ok(())
    }

    /// The last whole record `number`, if there is one; wiped when dropped. Somebody else may be writing: a place is written
    /// again only after the other one has a later record.
    #[must_use]
    pub fn read(&mut self, number: u64) -> Option<Zeroizing<Vec<u8>>> {
        loop {
            let generation = self.generation(number);
            let record = self.record(number, generation);
            if self.generation(number) == generation {
                return record;
            }
        }
    }

    fn record(&self, number: u64, generation: u64) -> Option<Zeroizing<Vec<u8>>> {
        let at = place(number, generation);
        let (_, length) = self.head(at).filter(|(found, _)| *found == generation)?;
        let mut record = Zeroizing::new(vec![0; length]);
        self.file
            .read_exact_at(&mut record, at + HEAD as u64)
            .ok()?;
        Some(record)
    }

    /// A descriptor of the same file by which nothing can be written.
    ///
    /// # Errors
    /// /proc is not mounted, or no descriptor is left.
    pub fn for_looking(&self) -> Result<OwnedFd> {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let file = File::open(path).map_err(|e| failed("open", e))?;
        Ok(OwnedFd::from(file))
    }

    /// Forgets as many records from `first` on; their memory is given back.
    pub fn erase(&mut self, first: u64, count: u64) {
        self.generations
            .retain(|number, _| !(first..first + count).contains(number));
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let (from, length) = (place(first, 0), count * 2 * SLOT);
        if let (Ok(from), Ok(length)) = (from.try_into(), length.try_into()) {
            // It can fail for want of memory only, and nobody reads what is not named.
            let _ = fallocate(&self.file, flags, from, length);
        }
    }

    /// The higher one of the two places; 0: none.
    fn generation(&self, number: u64) -> u64 {
        if let Some(known) = self.generations.get(&number) {
            return *known;
        }
        let heads = [0, 1].map(|odd| (odd, self.head(place(number, odd))));
        let found = heads.into_iter().filter_map(|(odd, head)| {
            let (generation, _) = head?;
            (generation % 2 == odd).then_some(generation)
        });
        found.max().unwrap_or(0)
    }

    /// Generation and length. Whoever wrote them may have meant harm.
    fn head(&self, at: u64) -> Option<(u64, usize)> {
        let (mut generation, mut length) = ([0; 8], [0; 8]);
        self.file.read_exact_at(&mut generation, at).ok()?;
        self.file.read_exact_at(&mut length, at + 8).ok()?;
        let generation = u64::from_le_bytes(generation);
        let length = usize::try_from(u64::from_le_bytes(length)).ok()?;
        let fits = length <= RECORD_MAX && generation > 0 && generation < u64::MAX;
        fits.then_some((generation, length))
    }
}

/// Where a record of this generation begins.
fn place(number: u64, generation: u64) -> u64 {
    number
        .wrapping_mul(2)
        .wrapping_add(generation % 2)
        .wrapping_mul(SLOT)
}

fn failed(op: &'static str, error: impl Into<io::Error>) -> Error {
    Error::new(op, "record", error)
}

impl From<OwnedFd> for Records {
    /// What somebody else wrote.
    fn from(memory: OwnedFd) -> Self {
        Self {
            file: File::from(memory),
            generations: BTreeMap::new(),
        }
    }
}

impl AsFd for Records {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn heir(records: &Records) -> Records {
        Records::from(records.as_fd().try_clone_to_owned().unwrap())
    }

    #[test]
    fn the_next_one_reads_what_was_written_last() {
        let mut records = Records::new().unwrap();
        assert!(records.read(7).is_none());
        for text in ["one", "two", "a third, longer one", ""] {
            records.write(7, text.as_bytes()).unwrap();
            records.write((1 << 23) - 1, b"far").unwrap();
            assert_eq!(*heir(&records).read(7).unwrap(), text.as_bytes());
        }
        let mut next = heir(&records);
        next.write(7, b"goes on").unwrap();
        assert_eq!(*heir(&next).read(7).unwrap(), b"goes on");
        assert_eq!(*heir(&next).read((1 << 23) - 1).unwrap(), b"far");
        next.erase(6, 2);
        assert!(heir(&next).read(7).is_none());
    }

    #[test]
    fn a_writer_that_dies_between_leaves_the_old_one() {
        let mut records = Records::new().unwrap();
        records.write(1, b"whole").unwrap();
        // The second place, all but its head.
        records
            .file
            .write_all_at(b"torn", place(1, 2) + HEAD as u64)
            .unwrap();
        assert_eq!(*heir(&records).read(1).unwrap(), b"whole");
    }

    #[test]
    fn who_only_looks_sees_whole_records_and_writes_none() {
        let mut records = Records::new().unwrap();
        let mut other = Records::from(records.for_looking().unwrap());
        assert!(other.read(3).is_none());
        let writer = std::thread::spawn(move || {
            for round in 0..2000_u32 {
                let text = vec![round.to_le_bytes()[0]; 1 + (round % 97) as usize * 50];
                records.write(3, &text).unwrap();
            }
        });
        while !writer.is_finished() {
            let seen = other.read(3).unwrap_or_default();
            assert!(seen.iter().all(|byte| *byte == seen[0]), "torn");
        }
        writer.join().unwrap();
        assert!(other.write(3, b"no").is_err());
    }

    #[test]
    fn lengths_out_of_the_rules_are_no_records() {
        let mut records = Records::new().unwrap();
        assert!(records.write(1, &vec![0; RECORD_MAX + 1]).is_err());
        let mut head = [0xff; HEAD];
        head[0] = 1;
        records.file.write_all_at(&head, place(1, 1)).unwrap();
        assert!(heir(&records).read(1).is_none());
    }
}
