//! What happened, as a number for comparing and, when it is asked for, as lines by host; must not judge.

use std::collections::BTreeMap;
use std::fmt::Write;

/// The trace of one run.
#[derive(Debug, Default)]
pub struct Transcript {
    lines: Option<Vec<(u64, Option<usize>, String)>>,
    hash: u64,
}

impl Transcript {
    pub fn new(kept: bool) -> Self {
        Self {
            lines: kept.then(Vec::new),
            hash: 0,
        }
    }

    pub fn is_kept(&self) -> bool {
        self.lines.is_some()
    }

    pub fn note(&mut self, now: u64, host: Option<usize>, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push((now, host, line()));
        }
    }

    /// Every frame and every change counts, whether lines are kept or not.
    pub fn mix(&mut self, now: u64, host: usize, bytes: &[u8]) {
        let mut hash = self.hash ^ now ^ ((host as u64) << 56);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9fb2_1c65_1e98_df25);
            hash ^= hash >> 32;
        }
        self.hash = hash;
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// In order of time, a column for each host.
    pub fn text(&self, last: usize) -> String {
        let lines = self.lines.as_deref().unwrap_or(&[]);
        let start = lines.len().saturating_sub(last);
        let mut text = String::new();
        if start > 0 {
            let _ = writeln!(text, "  ({start} lines left out)");
        }
        for (now, host, line) in &lines[start..] {
            let who = host.map_or("net".to_string(), |h| format!("h{h}"));
            let at = *now as f64 / 1e9;
            let _ = writeln!(text, "{at:11.6} {who:>4}  {line}");
        }
        text
    }
}

/// How often what was seen, over many runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally(pub BTreeMap<String, u64>);

impl Tally {
    pub fn add(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    pub fn join(&mut self, other: Self) {
        for (what, count) in other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    pub fn count(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }
}
