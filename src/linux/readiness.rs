//! Waits for a descriptor with tokio; must not know what is read from it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Something non-blocking that can be waited for until it can be read.
#[derive(Debug)]
pub struct Readiness<T> {
    // Dropped first: the registration goes before the thing itself is closed.
    /// `None` while paused.
    registration: Option<AsyncFd<Registered>>,
    resting: Option<Registered>,
    inner: T,
}

/// A duplicate of the descriptor: same open file, and nobody else can close or replace it.
#[derive(Debug)]
struct Registered(OwnedFd);

impl AsRawFd for Registered {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl<T: AsFd> Readiness<T> {
    /// Registers `inner`, which must be non-blocking, with the running tokio runtime (one with its I/O driver enabled).
    pub fn new(inner: T) -> io::Result<Self> {
        let duplicate = Registered(inner.as_fd().try_clone_to_owned()?);
        let registration = register(duplicate).map_err(|(_, error)| error)?;
        Ok(Self {
            registration: Some(registration),
            resting: None,
            inner,
        })
    }

    /// Waits until something can be read and `attempt` does not answer `WouldBlock`; may be dropped while waiting. An
    /// error while paused.
    pub async fn read<R>(&self, mut attempt: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        loop {
            let Some(registration) = &self.registration else {
                return Err(io::ErrorKind::NotConnected.into());
            };
            let mut ready = registration.readable().await?;
            if let Ok(outcome) = ready.try_io(|_| attempt(&self.inner)) {
                return outcome;
            }
        }
    }

    /// From now on nothing that arrives wakes this thread; whoever wants to read looks into [`Readiness::get_ref`].
    pub fn pause(&mut self) {
        if let Some(registration) = self.registration.take() {
            self.resting = Some(registration.into_inner());
        }
    }

    /// Waits again, for what has arrived meanwhile as well.
    ///
    /// # Errors
    /// When the system has no memory for it; still paused then.
    pub fn resume(&mut self) -> io::Result<()> {
        let Some(registered) = self.resting.take() else {
            return Ok(());
        };
        match register(registered) {
            Ok(registration) => self.registration = Some(registration),
            Err((registered, error)) => {
                self.resting = Some(registered);
                return Err(error);
            }
        }
        Ok(())
    }

    /// What is waited for.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Ends the registration.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

fn register(descriptor: Registered) -> Result<AsyncFd<Registered>, (Registered, io::Error)> {
    // SAFETY: the descriptor belongs to `Registered`, which is private, is never handed out mutably, and closes it only
    // when the `AsyncFd` around it is dropped; `as_raw_fd` returns it each time.
    let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    registered.map_err(|error| error.into_parts())
}
