//! How each system's sysctl prints and complains; must not know what a name stands for.
#![forbid(unsafe_code)]

use crate::cli::personality::Personality;

/// One system's manners (ifconfig-carp.md 8).
#[derive(Debug)]
pub struct Texts {
    /// Between name and value.
    pub equals: &'static str,
    /// What it has below net.inet.carp, in its order; the other systems' names are known, but not listed.
    pub listed: &'static [&'static str],
    /// A name whose part at this level is wrong.
    pub unknown: fn(level: &str, part: &str, name: &str) -> String,
}

/// The manners of a system.
#[must_use]
pub const fn of(personality: Personality) -> &'static Texts {
    match personality {
        Personality::Openbsd => &OPENBSD,
        Personality::Freebsd9 => &FREEBSD9,
        Personality::Freebsd => &FREEBSD,
        Personality::Netbsd => &NETBSD,
    }
}

static OPENBSD: Texts = Texts {
    equals: "=",
    listed: &["allow", "preempt", "log"],
    unknown: |level, part, name| format!("{level} level name {part} in {name} is invalid"),
};
static FREEBSD9: Texts = Texts {
    equals: ": ",
    listed: &["allow", "preempt", "log", "arpbalance", "suppress_preempt"],
    unknown: |_, _, name| format!("unknown oid '{name}'"),
};
static FREEBSD: Texts = Texts {
    listed: &[
        "ifdown_demotion_factor",
        "senderr_demotion_factor",
        "demotion",
        "log",
        "preempt",
        "dscp",
        "allow",
    ],
    ..FREEBSD9
};
static NETBSD: Texts = Texts {
    equals: " = ",
    listed: &["preempt", "arpbalance", "allow", "log"],
    unknown: |level, part, name| format!("{level} level name '{part}' in '{name}' is invalid"),
};
