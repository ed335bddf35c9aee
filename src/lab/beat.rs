//! A thread that does something by the clock: each beat is due a whole number of periods after the first, however long
//! one took; must not know what it does.

use crate::linux::clock;
use crate::time::Instant;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Runs until dropped; dropping waits for the beat under way.
#[derive(Debug)]
pub struct Beat {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Beat {
    /// Calls `act` with the moment at which it was due, every `period`. Beats that a stall swallowed are made up for at
    /// once, one after the other.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(
        name: &str,
        period: Duration,
        mut act: impl FnMut(Instant) + Send + 'static,
    ) -> io::Result<Self> {
        Self::run(name, move |stop| {
            let mut due = clock::now() + period;
            while !stop.load(Ordering::Relaxed) {
                thread::sleep(due.since(clock::now()));
                act(due);
                due = due + period;
            }
        })
    }

    /// Runs `work` on a thread until it ends or sees that its argument became true.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn run(name: &str, work: impl FnOnce(&AtomicBool) + Send + 'static) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&seen))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed when it happened.
            let _ = thread.join();
        }
    }
}
