//! Ctrl-C and its kin as something to look at, so that whoever waits can leave in order; must not know what is cleaned up.
//!
//! By handlers, not by a blocked mask: children inherit a mask, and a daemon with SIGTERM blocked would not end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Notes SIGINT, SIGTERM and SIGHUP of this process from its making on; they end nothing any more.
#[derive(Debug, Clone)]
pub struct Interrupt {
    arrived: Arc<AtomicBool>,
}

impl Interrupt {
    /// Installs the handlers, which stay for the life of the process.
    ///
    /// # Errors
    /// Those of sigaction, and when the system has no thread or descriptor left.
    pub fn new() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        let (interrupt, terminate, hangup) = {
            let _inside = runtime.enter();
            (
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            )
        };
        let arrived = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&arrived);
        let work = move || runtime.block_on(watch(interrupt, terminate, hangup, &flag));
        thread::Builder::new()
            .name("interrupt".to_owned())
            .spawn(work)?;
        Ok(Self { arrived })
    }

    /// True if one has arrived since the last call.
    #[must_use]
    pub fn arrived(&self) -> bool {
        self.arrived.swap(false, Ordering::Relaxed)
    }
}

async fn watch(
    mut interrupt: Signal,
    mut terminate: Signal,
    mut hangup: Signal,
    flag: &AtomicBool,
) {
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        flag.store(true, Ordering::Relaxed);
    }
}
