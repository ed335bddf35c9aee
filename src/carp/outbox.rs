//! What the engine has to say: actions, counters, and lines for the log, bounded; must not know the protocol.

use super::stats::Stats;
use super::{Action, Notice, Sending};
use crate::time::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// So long a topic is quiet once it has had its lines; what comes meanwhile is counted.
const QUIET: Duration = Duration::from_secs(10);
/// Lines about single packets in a row: whoever sends them decides how many there are.
const PACKET_LINES: u32 = 1;
/// Lines about this host in a row.
const OWN_LINES: u32 = 8;
/// With so many actions waiting the caller does not poll; what can be spared is dropped.
const CROWDED: usize = 8192;

/// What a line is about; each has its own limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    BadTtl,
    BadLength,
    BadChecksum,
    BadVersion,
    BadDigest,
    Echo,
    Replay,
    Protection,
    OtherList,
    SlowPeer,
    FamilyLost,
    ArmFailed,
    SendFailed,
    Stalled,
    Demoted,
}

impl Topic {
    const COUNT: usize = Self::Demoted as usize + 1;
}

#[derive(Debug, Clone, Copy, Default)]
struct Limit {
    /// The first line of the present row.
    since: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

/// Stands outside the state: none of it changes what the engine does.
#[derive(Debug, Clone, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Action>,
    limits: [Limit; Topic::COUNT],
    /// `net.inet.carp.log`: the highest level at which single packets are logged.
    pub(super) level: u8,
    pub(super) stats: Stats,
}

impl Outbox {
    pub(super) fn new(level: u8) -> Self {
        Self {
            level,
            ..Self::default()
        }
    }

    pub(super) fn push(&mut self, action: Action) {
        let spare = matches!(
            action,
            Action::Log(_)
                | Action::Send {
                    what: Sending::Answer,
                    ..
                }
        );
        if self.queue.len() < CROWDED || !spare {
            self.queue.push_back(action);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Action> {
        self.queue.pop_front()
    }

    /// A line about a single packet; only up to the level of `net.inet.carp.log`.
    pub(super) fn packet(
        &mut self,
        now: Instant,
        topic: Topic,
        level: u8,
        text: impl FnOnce() -> String,
    ) {
        if level <= self.level {
            self.line(now, (topic, PACKET_LINES), level, text);
        }
    }

    /// A line about this host, whatever the level of packets is.
    pub(super) fn warn(
        &mut self,
        now: Instant,
        topic: Topic,
        level: u8,
        text: impl FnOnce() -> String,
    ) {
        self.line(now, (topic, OWN_LINES), level, text);
    }

    fn line(
        &mut self,
        now: Instant,
        (topic, allowed): (Topic, u32),
        level: u8,
        text: impl FnOnce() -> String,
    ) {
        let limit = &mut self.limits[topic as usize];
        if limit.since.is_none_or(|since| now >= since + QUIET) {
            limit.since = Some(now);
            limit.lines = 0;
        }
        if limit.lines == allowed {
            limit.suppressed += 1;
            return;
        }
        limit.lines += 1;
        let mut text = text();
        match std::mem::take(&mut limit.suppressed) {
            0 => {}
            suppressed => text.push_str(&format!(" ({suppressed} more since)")),
        }
        self.push(Action::Log(Notice { level, text }));
    }
}
