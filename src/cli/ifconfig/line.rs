//! The words behind an interface's name to changes: OpenBSD's rules over the table of words; must not know whose name it is.
//!
//! The first wrong word ends it, with OpenBSD's text. Nothing is sent before the whole line was read.
#![forbid(unsafe_code)]

use super::address::{self, Hosts};
use super::argument;
use super::parse::{Phrase, Typed};
use super::words::{self, Sense};
use crate::carp::config::{InputMode, State};
use crate::cli::{because, plain};
use crate::control::{Change, Family, Refusal};
use ipnetwork::IpNetwork;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// What happens to the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Replace,
    Beside,
    Delete,
}

/// A line as far as it was read.
struct Line<'a> {
    name: &'a str,
    hosts: Hosts<'a>,
    changes: Vec<Typed>,
    family: Family,
    address: Option<IpAddr>,
    /// The prefix length, however it was typed; the last one counts.
    length: Option<u8>,
    broadcast: Option<Ipv4Addr>,
    second: bool,
    fate: Fate,
}

/// Reads them; a link-local address may name the interface, too.
///
/// # Errors
/// The first word that is wrong.
pub fn read(name: &str, words: &[OsString], hosts: Hosts<'_>) -> Result<Vec<Typed>, Refusal> {
    let mut line = Line {
        name,
        hosts,
        changes: Vec::new(),
        family: Family::Inet,
        address: None,
        length: None,
        broadcast: None,
        second: false,
        fate: Fate::Replace,
    };
    let mut words = words.iter();
    while let Some(typed) = words.next() {
        let text = typed
            .to_str()
            .ok_or_else(|| plain(format!("{}: bad value", typed.to_string_lossy())))?;
        match words::find(text) {
            Some((word, negated)) => line.word(word, text, negated, &mut words)?,
            None => line.address(text)?,
        }
    }
    line.finish()
}

impl Line<'_> {
    fn word<'w>(
        &mut self,
        word: &words::Word,
        typed: &str,
        negated: bool,
        rest: &mut impl Iterator<Item = &'w OsString>,
    ) -> Result<(), Refusal> {
        let mut argument = || {
            rest.next()
                .ok_or_else(|| plain(format!("'{typed}' requires argument")))
        };
        match word.sense {
            Sense::Alias => self.fate = if negated { Fate::Delete } else { Fate::Beside },
            Sense::Switch(make) => self.change(make(!negated)),
            Sense::Later => return Err(plain(format!("{typed}: not supported yet"))),
            Sense::Delete => self.fate = Fate::Delete,
            Sense::Family(family) => self.family(family)?,
            Sense::Plain(make) => self.change(make()),
            Sense::Number { least, most, make } => {
                let value = argument()?.to_string_lossy();
                let number = address::number(&value, least, most);
                self.change(make(
                    number.map_err(|wrong| plain(format!("{typed} {value}: {wrong}")))?,
                ));
            }
            Sense::Argument(read) => {
                let value = argument()?;
                let value = value
                    .to_str()
                    .ok_or_else(|| plain(format!("{}: bad value", value.to_string_lossy())))?;
                self.change(read(typed, value)?);
            }
            Sense::Nothing => {}
            Sense::Refused(why) => return Err(because(format!("{typed}: bad value"), why)),
            Sense::Input => {
                let value = argument()?.to_string_lossy();
                let mode = InputMode::ALL
                    .into_iter()
                    .find(|mode| mode.to_string() == value);
                let wrong = || {
                    because(
                        format!("{typed} {value}: invalid"),
                        "it is redirect or accept",
                    )
                };
                self.change(Change::Input(mode.ok_or_else(wrong)?));
            }
            Sense::Carpdev => {
                let device = argument::carpdev(argument()?)?;
                self.change(Change::Carpdev(Some(device)));
            }
            Sense::Pass => {
                let phrase = argument()?.as_bytes();
                let here = || Phrase::Here(Zeroizing::new(phrase.to_vec()));
                self.changes.push(Typed::Pass(if phrase == b"-" {
                    Phrase::StandardInput
                } else {
                    here()
                }));
            }
            Sense::Passfile => self
                .changes
                .push(Typed::Pass(Phrase::File(PathBuf::from(argument()?)))),
            Sense::State => {
                // OpenBSD ignores a state it does not know.
                let wanted = argument()?.to_string_lossy().to_ascii_uppercase();
                let states = [State::Init, State::Backup, State::Master];
                if let Some(state) = states.into_iter().find(|state| state.to_string() == wanted) {
                    self.change(Change::State(state));
                }
            }
            Sense::Netmask => {
                self.length = Some(address::mask(&argument()?.to_string_lossy(), self.family)?)
            }
            Sense::Prefixlen => {
                self.length = Some(address::prefix(
                    &argument()?.to_string_lossy(),
                    self.family,
                )?)
            }
            Sense::Broadcast => {
                let value = argument()?.to_string_lossy();
                self.broadcast = Some(
                    value
                        .parse()
                        .map_err(|_| plain(format!("{value}: bad value")))?,
                );
            }
        }
        Ok(())
    }

    fn change(&mut self, change: Change) {
        self.changes.push(Typed::Change(change));
    }

    /// OpenBSD takes a family only directly after the name; here it may stand anywhere before what it is said of.
    fn family(&mut self, family: Family) -> Result<(), Refusal> {
        if self.address.is_some() || self.length.is_some() {
            let why = "one address per command line, and its family before it";
            return Err(because(format!("{family}: bad value"), why));
        }
        self.family = family;
        Ok(())
    }

    /// A word that is none of the table: the address, then what it is sent to, then wrong.
    fn address(&mut self, typed: &str) -> Result<(), Refusal> {
        if self.second {
            return Err(plain(format!("{typed}: bad value")));
        }
        let (address, length) = address::read(typed, self.family, self.name, self.hosts)?;
        self.length = length.or(self.length);
        if self.address.is_none() {
            self.address = Some(address);
            return Ok(());
        }
        // On a broadcast interface the kernel's field for the destination is that of the broadcast address.
        self.second = true;
        let IpAddr::V4(address) = address else {
            return Err(because(
                "SIOCAIFADDR: Invalid argument",
                "a carp interface has no destination address",
            ));
        };
        self.broadcast = Some(address);
        Ok(())
    }

    /// Another one than the network's is none.
    fn broadcast(&self, network: IpNetwork) -> Result<(), Refusal> {
        let right = address::broadcast(network);
        let Some(typed) = self.broadcast.filter(|_| self.broadcast != right) else {
            return Ok(());
        };
        // Many a how-to has it so.
        let mask = u32::from(typed).leading_ones() + u32::from(typed).trailing_zeros() == 32;
        let why = match right {
            _ if mask && self.second => {
                format!(
                    "{typed} stands in the place of a broadcast address; netmask {typed} is the mask"
                )
            }
            Some(right) => format!("the broadcast address of {network} is {right}"),
            None => "this network has no broadcast address".to_owned(),
        };
        Err(because("SIOCAIFADDR: Invalid argument", why))
    }

    /// The address comes last, whatever stood behind it.
    fn finish(mut self) -> Result<Vec<Typed>, Refusal> {
        match (self.fate, self.address) {
            (Fate::Delete, None) if self.family == Family::Inet6 => {
                return Err(plain("SIOCDIFADDR: Can't assign requested address"));
            }
            (Fate::Delete, address) => self.change(Change::Delete(address)),
            (_, Some(address)) => {
                let network = address::network(address, self.length)?;
                self.broadcast(network)?;
                self.change(Change::Address {
                    address: network,
                    alias: self.fate == Fate::Beside,
                });
            }
            (_, None)
                if self.fate == Fate::Beside
                    || self.length.is_some()
                    || self.broadcast.is_some() =>
            {
                return Err(plain("no address given"));
            }
            (_, None) => {}
        }
        if self.changes.len() > 1 && self.changes.contains(&Typed::Change(Change::Destroy)) {
            return Err(plain("'destroy' stands alone"));
        }
        Ok(self.changes)
    }
}
