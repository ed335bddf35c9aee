//! Random numbers of the kernel; must not know what they are for.

use std::fs::File;
use std::io::{self, Read};

/// Eight random bytes as a number.
///
/// # Errors
/// /dev/urandom is missing, as in a bare chroot.
pub fn u64() -> io::Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Four random bytes as a number, never 0.
///
/// # Errors
/// As [`u64()`].
pub fn nonzero_u32() -> io::Result<u32> {
    let [a, b, c, d, ..] = u64()?.to_ne_bytes();
    // Within 31 bits, since ip(8) prints link groups as signed numbers.
    Ok((u32::from_ne_bytes([a, b, c, d]) >> 1).max(1))
}
