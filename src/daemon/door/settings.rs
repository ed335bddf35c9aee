//! Sysctls raised on a carpdev and put back afterwards, also by a successor; must not know what they are for.

use crate::linux::{Error, sysctl};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

/// What was changed: the value found, the value set.
#[derive(Debug)]
pub struct Settings {
    file: PathBuf,
    raised: BTreeMap<String, (i64, i64)>,
}

impl Settings {
    /// Reads what a predecessor left in `file`: a line each of name, value found, value set.
    #[must_use]
    pub fn at(file: PathBuf) -> Self {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let raised = text.lines().filter_map(line).collect();
        Self { file, raised }
    }

    /// Sets `name` to at least `least`. The old value is on disk before it changes.
    ///
    /// # Errors
    /// The setting cannot be read or written, or the file cannot be.
    pub fn raise(&mut self, name: &str, least: i64) -> Result<(), Error> {
        let found: i64 = sysctl::read(name)?.parse().unwrap_or(0);
        if found >= least {
            return Ok(());
        }
        self.raised.insert(name.to_owned(), (found, least));
        self.save()?;
        sysctl::write(name, &least.to_string())
    }

    /// Puts back every setting whose name begins with `prefix`, unless somebody else changed it meanwhile.
    pub fn restore(&mut self, prefix: &str) {
        let names: Vec<String> = self
            .raised
            .keys()
            .filter(|name| name.starts_with(prefix))
            .cloned()
            .collect();
        if names.is_empty() {
            return;
        }
        for name in names {
            if let Some((found, set)) = self.raised.remove(&name) {
                let now = sysctl::read(&name).ok().and_then(|text| text.parse().ok());
                if now == Some(set) {
                    // An interface that is gone took its settings along.
                    let _ = sysctl::write(&name, &found.to_string());
                }
            }
        }
        let _ = self.save();
    }

    /// An interface has got another name, and its settings with it: those that began with `from` begin with `to` now.
    pub fn rename(&mut self, from: &str, to: &str) {
        let names = self.raised.keys().filter(|name| name.starts_with(from));
        for name in names.cloned().collect::<Vec<_>>() {
            if let Some(value) = self.raised.remove(&name) {
                self.raised.insert(name.replacen(from, to, 1), value);
            }
        }
        let _ = self.save();
    }

    /// Puts everything back.
    pub fn restore_all(&mut self) {
        self.restore("");
        // Where there was nothing to restore the file may be there all the same.
        let _ = self.save();
    }

    /// Written whole, then renamed, so that a crash leaves the old or the new.
    fn save(&self) -> Result<(), Error> {
        let done = if self.raised.is_empty() {
            match fs::remove_file(&self.file) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
                _ => Ok(()),
            }
        } else {
            self.write()
        };
        done.map_err(|source| Error {
            op: "write",
            what: self.file.display().to_string(),
            source,
        })
    }

    fn write(&self) -> std::io::Result<()> {
        let fresh = self.file.with_extension("new");
        let mut out = fs::File::create(&fresh)?;
        for (name, (found, set)) in &self.raised {
            writeln!(out, "{name} {found} {set}")?;
        }
        out.sync_all()?;
        fs::rename(&fresh, &self.file)
    }
}

fn line(text: &str) -> Option<(String, (i64, i64))> {
    let mut words = text.split(' ');
    let (name, found, set) = (
        words.next()?,
        words.next()?.parse().ok()?,
        words.next()?.parse().ok()?,
    );
    // Only what we ever write: a file edited by hand is no way to set anything else.
    let ours = [
        ("net/ipv4/conf/", "/arp_ignore"),
        ("net/ipv4/conf/", "/arp_announce"),
        ("net/ipv4/conf/", "/drop_unicast_in_l2_multicast"),
        ("net/ipv6/conf/", "/drop_unicast_in_l2_multicast"),
    ];
    let ours = ours
        .iter()
        .any(|(head, tail)| name.starts_with(head) && name.ends_with(tail));
    (ours && !name.contains("..")).then(|| (name.to_owned(), (found, set)))
}
