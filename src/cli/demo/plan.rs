//! What is to be shown, checked before anything is built; must not know how it is done.

use crate::wire::Family;
use clap::ValueEnum;
use std::path::PathBuf;
use std::str::FromStr;

/// `--family`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Families {
    /// IPv4 only.
    Inet,
    /// IPv6 only.
    Inet6,
    /// One dual-stack group.
    Both,
}

impl Families {
    /// In the order of the rows.
    #[must_use]
    pub fn list(self) -> Vec<Family> {
        match self {
            Self::Inet => vec![Family::Inet],
            Self::Inet6 => vec![Family::Inet6],
            Self::Both => vec![Family::Inet, Family::Inet6],
        }
    }
}

/// `--advskew A,B`: a is the host that fails and returns, so its skew is not the larger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skews {
    /// Of host a.
    pub a: u8,
    /// Of host b.
    pub b: u8,
}

impl FromStr for Skews {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let skew = |word: &str| word.parse::<u8>().ok().filter(|skew| *skew <= 254);
        let (a, b) = text
            .split_once(',')
            .ok_or("two numbers are wanted, as in 0,100")?;
        let (Some(a), Some(b)) = (skew(a), skew(b)) else {
            return Err("a skew is a number from 0 to 254".to_owned());
        };
        if a > b {
            return Err(
                "host a is the one that fails and returns: its skew must not be larger than b's"
                    .to_owned(),
            );
        }
        Ok(Self { a, b })
    }
}

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The executable `carp`.
    pub program: PathBuf,
    /// Which families the group shares.
    pub families: Vec<Family>,
    /// Of both hosts.
    pub advbase: u8,
    /// Of a and b.
    pub skews: Skews,
    /// Where the capture files go.
    pub pcap: Option<PathBuf>,
    /// Decides at which point of the advertisement interval each event falls; `None`: every run differs.
    pub seed: Option<u64>,
}

impl Plan {
    /// True if a takes over from b when it returns.
    #[must_use]
    pub fn preempts(&self) -> bool {
        self.skews.a < self.skews.b
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skews_are_two_numbers_of_which_the_first_is_not_larger() {
        assert_eq!("0,100".parse(), Ok(Skews { a: 0, b: 100 }));
        assert_eq!("7,7".parse(), Ok(Skews { a: 7, b: 7 }));
        for bad in [
            "", "1", "1,", ",1", "1,2,3", "0,255", "-1,2", "2,1", "0, 1", "0;1",
        ] {
            assert!(bad.parse::<Skews>().is_err(), "{bad}");
        }
    }
}
