//! Kernel settings under /proc/sys; must not know which ones matter.
//!
//! `/proc/sys/net` follows the network namespace of the calling thread (unlike `/proc/net`), which `tests/linux.rs` checks.

use super::{Error, Result};
use nix::errno::Errno;
use std::path::PathBuf;

/// The value of a setting, without its newline. The parts of `name` are separated by slashes, so that an interface name may hold
/// dots: `net/ipv4/conf/eth0.10/arp_ignore`.
pub fn read(name: &str) -> Result<String> {
    let text = std::fs::read_to_string(path("read setting", name)?)
        .map_err(|error| Error::new("read setting", name, error))?;
    Ok(text.trim_end().to_owned())
}

/// Gives a setting a value; `name` as in [`read`].
pub fn write(name: &str, value: &str) -> Result<()> {
    std::fs::write(path("write setting", name)?, value)
        .map_err(|error| Error::new("write setting", name, error))
}

/// Stays below /proc/sys whatever an interface is called ("." and ".." are no interface names).
fn path(op: &'static str, name: &str) -> Result<PathBuf> {
    let odd = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains('\0');
    if name.split('/').any(odd) {
        return Err(Error::new(op, name, Errno::EINVAL));
    }
    Ok(PathBuf::from("/proc/sys").join(name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_below_proc_sys() {
        for name in [
            "",
            "/etc/passwd",
            "net/../../etc",
            "net//ipv4",
            "net/./ipv4",
            "net/ipv4/",
            "a\0b",
        ] {
            assert_eq!(read(name).unwrap_err().errno(), libc::EINVAL, "{name:?}");
        }
        assert_eq!(read("kernel/ostype").unwrap(), "Linux");
    }
}
