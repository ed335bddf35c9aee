//! Attends to the control socket: connections in, requests to the one task, replies out; must not know what is asked.

use super::{Asked, Event};
use crate::control::socket;
use std::io;
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener as Listener, UnixStream};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

/// Connections at once. A front end waits its turn, so this bounds memory and refuses nobody for long.
const CONNECTIONS: u32 = 32;
/// For the whole request, and for the whole reply.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lets front ends in, until others do.
#[derive(Debug, Clone)]
pub struct Entrance {
    places: Arc<Semaphore>,
    shut: Rc<Notify>,
}

impl Entrance {
    pub fn new() -> Self {
        Self {
            places: Arc::new(Semaphore::new(CONNECTIONS as usize)),
            shut: Rc::default(),
        }
    }

    /// From now on who connects waits for the next engine. Returns when those who are in have their replies.
    pub async fn shut(&self) {
        self.shut.notify_one();
        // They are never closed.
        let _ = self.places.acquire_many(CONNECTIONS).await;
    }
}

/// Accepts until the entrance is shut. `owner` is the user who started the daemon, and may change things as root may.
pub async fn attend(
    listener: UnixListener,
    owner: u32,
    events: mpsc::Sender<Event>,
    Entrance { places, shut }: Entrance,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = Listener::from_std(listener)?;
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let next = tokio::select! {
            biased;
            () = shut.notified() => return Ok(()),
            next = next => next,
        };
        let (Ok(place), accepted) = next else {
            return Ok(());
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors: let some connections end.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let events = events.clone();
        tokio::task::spawn_local(async move {
            // A connection that breaks concerns only its own front end.
            let _ = converse(stream, owner, events).await;
            drop(place);
        });
    }
}

/// One request, one reply.
async fn converse(
    mut stream: UnixStream,
    owner: u32,
    events: mpsc::Sender<Event>,
) -> io::Result<()> {
    let may_change = socket::may_change(socket::peer_uid(&stream)?, owner);
    let request = socket::read_request(&mut stream, PATIENCE)
        .await
        .map_err(io::Error::other)?;
    let (reply, answer) = oneshot::channel();
    let asked = Asked {
        request,
        may_change,
        reply,
    };
    if events.send(Event::Asked(asked)).await.is_err() {
        return Ok(());
    }
    // Without an answer the daemon is ending; the front end sees the connection close.
    if let Ok(answer) = answer.await {
        socket::write_reply(&mut stream, &answer, PATIENCE)
            .await
            .map_err(io::Error::other)?;
    }
    Ok(())
}
