//! All that touches the kernel, and the only `unsafe`; must not know vhids, states or policy.

pub mod filter;
pub mod packet;
pub mod tap;

use std::io;

/// What was tried, on what, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("{op} {what}: {source}")]
pub struct Error {
    /// The operation, such as `open`.
    pub op: &'static str,
    /// Its object, such as an interface.
    pub what: String,
    /// The reason.
    pub source: io::Error,
}

impl Error {
    /// The errno, 0 where there is none.
    #[must_use]
    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(0)
    }
}
