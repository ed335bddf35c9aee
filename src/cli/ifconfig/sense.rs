//! What one word of ifconfig is, and what it means; must not know which words there are.
#![forbid(unsafe_code)]

use crate::control::{Change, Family, Refusal};

/// One word.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    /// As typed.
    pub name: &'static str,
    /// As typed to undo it, where it can be.
    pub negation: Option<&'static str>,
    /// The argument's name in the help; empty for none.
    pub argument: &'static str,
    /// What it means.
    pub sense: Sense,
    /// One line for the help.
    pub help: &'static str,
}

/// What makes a change out of a word and what stands behind it.
pub type Read = fn(word: &str, value: &str) -> Result<Change, Refusal>;

/// What a word means.
#[derive(Debug, Clone, Copy)]
pub enum Sense {
    /// A change without argument.
    Plain(fn() -> Change),
    /// A change with a number.
    Number {
        /// The smallest taken.
        least: u8,
        /// The greatest taken.
        most: u8,
        /// What it makes.
        make: fn(u8) -> Change,
    },
    /// A change that is read out of one argument.
    Argument(Read),
    /// Taken, and nothing follows from it.
    Nothing,
    /// A word that means nothing on a carp interface: why.
    Refused(&'static str),
    /// The parent.
    Carpdev,
    /// The passphrase, or `-` for standard input.
    Pass,
    /// A file whose first line is the passphrase.
    Passfile,
    /// A state to go to.
    State,
    /// A change that its negation takes back.
    Switch(fn(bool) -> Change),
    /// Where received frames are seen.
    Input,
    /// How the address is read.
    Family(Family),
    /// The address comes beside the others; negated it goes.
    Alias,
    /// The address goes.
    Delete,
    /// The address's prefix, as a mask.
    Netmask,
    /// The address's prefix, as a length.
    Prefixlen,
    /// Follows from the prefix.
    Broadcast,
    /// A word of the BSDs that is not here yet.
    Later,
}
