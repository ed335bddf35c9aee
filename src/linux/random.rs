//! Random numbers of the kernel; must not know what they are for.

use std::io;

/// Eight random bytes as a number. No file is needed, which an engine could not open.
///
/// # Errors
/// Those of getrandom(2).
pub fn u64() -> io::Result<u64> {
    let mut bytes = [0_u8; 8];
    // SAFETY: bytes is writable memory of the length given.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    // So few come whole or not at all (random(7)).
    if usize::try_from(got) != Ok(bytes.len()) {
        return Err(io::Error::last_os_error());
    }
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
