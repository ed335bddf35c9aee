//! Framing, limits and trust of the control socket; must not know what a request means.
//!
//! A frame is its length as a big-endian u32 and that many bytes of JSON. One connection carries one request and its reply.
//! A request may hold a key, so buffers of requests are wiped, and a client sends nothing to a peer it does not trust.
#![forbid(unsafe_code)]

use super::path::{self, Place};
use super::{Reply, Request};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Uid;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

/// The longest request, in bytes of JSON.
pub const REQUEST_MAX: usize = 64 << 10;
/// The longest reply, in bytes of JSON.
pub const REPLY_MAX: usize = 1 << 20;
/// How long a client waits for a reply, and a daemon for a request.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// What a user who has no number in this user namespace looks like: nobody in particular.
const UNMAPPED: u32 = 65534;

/// What went wrong with a conversation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no socket, or nobody listens on it.
    #[error("no carp daemon is running here")]
    NotRunning,
    /// Something is not as a daemon of root or of this user makes it; nothing was sent.
    #[error("{}: {why}", path.display())]
    Untrusted {
        /// The directory or the socket.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The other side took longer than it may.
    #[error("no answer in time")]
    TimedOut,
    /// The frame is longer than the limit.
    #[error("a message of {0} bytes is too long")]
    TooLong(usize),
    /// The other side hung up within a frame.
    #[error("the connection was closed early")]
    Closed,
    /// The frame is not what was expected.
    #[error("a message was not understood: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Anything else.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset => Self::Closed,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Io(error),
        }
    }
}

/// May this peer change anything? uid 0 of our user namespace, and the user who started the daemon.
#[must_use]
pub const fn may_change(uid: u32, owner: u32) -> bool {
    uid == 0 || (uid == owner && uid != UNMAPPED)
}

fn trusted(uid: u32) -> bool {
    may_change(uid, Uid::effective().as_raw())
}

/// A connection to a daemon that was checked.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    patience: Duration,
}

impl Client {
    /// Connects to the daemon of this network namespace, root's if there are several.
    ///
    /// # Errors
    /// [`Error::NotRunning`] without one; what is wrong with the last place that has a socket.
    pub fn find() -> Result<Self, Error> {
        let mut wrong = Error::NotRunning;
        for place in path::candidates()? {
            match Self::connect(&place) {
                // A socket that nobody serves hides no other.
                Err(Error::NotRunning) => {}
                Err(error) => wrong = error,
                client => return client,
            }
        }
        Err(wrong)
    }

    /// Connects to the daemon at `place`: directories, socket and peer must belong to uid 0 or to us.
    ///
    /// # Errors
    /// [`Error::NotRunning`] without a daemon, [`Error::Untrusted`] when something else sits there.
    pub fn connect(place: &Place) -> Result<Self, Error> {
        Self::connect_to(place, &place.socket())
    }

    /// The same for another socket in its directory.
    ///
    /// # Errors
    /// As with [`connect`](Self::connect).
    pub fn connect_to(place: &Place, socket: &Path) -> Result<Self, Error> {
        check(place, socket)?;
        let stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Error::NotRunning,
            _ => Error::Io(error),
        })?;
        // This settles it, whatever was renamed since the look at the files.
        let uid = uid_of(&stream)?;
        if !trusted(uid) {
            return Err(Error::Untrusted {
                path: socket.to_owned(),
                why: format!("served by uid {uid}"),
            });
        }
        Ok(Self {
            stream,
            patience: PATIENCE,
        })
    }

    /// Waits this long for a reply instead of [`PATIENCE`].
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Sends the request and waits for its reply.
    ///
    /// # Errors
    /// [`Error::TimedOut`] after the patience, however slowly the bytes come.
    pub fn ask(self, request: &Request) -> Result<Reply, Error> {
        self.say(request)
    }

    /// The same in another language.
    pub(super) fn say<A: DeserializeOwned>(mut self, request: &impl Serialize) -> Result<A, Error> {
        let until = Instant::now() + self.patience;
        let frame = request_frame(request)?;
        self.stream.set_write_timeout(Some(self.patience))?;
        // A daemon that refuses by the header alone answers and hangs up: its words count more than our broken pipe.
        let sent = self.stream.write_all(&frame).map_err(Error::from);
        match self.reply(until) {
            Err(Error::Closed) => Err(sent.err().unwrap_or(Error::Closed)),
            reply => reply,
        }
    }

    fn reply<A: DeserializeOwned>(&mut self, until: Instant) -> Result<A, Error> {
        let mut timed = Timed {
            stream: &self.stream,
            until,
        };
        Ok(serde_json::from_slice(&read_frame(&mut timed, REPLY_MAX)?)?)
    }
}

/// Reads under one deadline for all reads together.
struct Timed<'a> {
    stream: &'a UnixStream,
    until: Instant,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(buffer)
    }
}

/// The look at the files before connecting. Symbolic links are not followed.
fn check(place: &Place, socket: &Path) -> Result<(), Error> {
    let directory = place.directory();
    for (path, wanted) in [
        (place.base(), "directory"),
        (&directory, "directory"),
        (socket, "socket"),
    ] {
        let metadata = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::NotRunning),
            metadata => metadata?,
        };
        if let Some(why) = objection(&metadata, wanted) {
            return Err(Error::Untrusted {
                path: path.to_owned(),
                why,
            });
        }
    }
    Ok(())
}

/// Why this file is not a daemon's. The socket itself is writable by all, or others could not even look.
fn objection(metadata: &Metadata, wanted: &str) -> Option<String> {
    let kind = metadata.file_type();
    let right = if wanted == "socket" {
        kind.is_socket()
    } else {
        kind.is_dir()
    };
    if !right {
        return Some(format!("not a {wanted}"));
    }
    if !trusted(metadata.uid()) {
        return Some(format!("owned by uid {}", metadata.uid()));
    }
    (wanted == "directory" && metadata.mode() & 0o022 != 0).then(|| "writable by others".to_owned())
}

/// The frame of a request, wiped when dropped.
///
/// # Errors
/// [`Error::TooLong`] over [`REQUEST_MAX`].
pub fn request_frame(request: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, Error> {
    // All room from the start: a vector that grows leaves its old bytes, maybe a key, behind.
    let mut frame = Zeroizing::new(Vec::with_capacity(4 + REQUEST_MAX));
    frame.extend_from_slice(&[0; 4]);
    let room = REQUEST_MAX;
    let mut body = Bounded {
        bytes: &mut frame,
        room,
    };
    if let Err(error) = serde_json::to_writer(&mut body, request) {
        return Err(if error.is_io() {
            Error::TooLong(room + 1)
        } else {
            error.into()
        });
    }
    finish(&mut frame)?;
    Ok(frame)
}

/// The frame of a reply, wiped when dropped.
///
/// # Errors
/// [`Error::TooLong`] over [`REPLY_MAX`].
pub fn reply_frame(reply: &Reply) -> Result<Zeroizing<Vec<u8>>, Error> {
    // A dump may hold keys: all room from the start, as for a request.
    let room = if matches!(reply, Reply::Dumped(_)) {
        4 + REPLY_MAX
    } else {
        4
    };
    let mut frame = Zeroizing::new(Vec::with_capacity(room));
    frame.extend_from_slice(&[0; 4]);
    serde_json::to_writer(&mut *frame, reply)?;
    if frame.len() - 4 > REPLY_MAX {
        return Err(Error::TooLong(frame.len() - 4));
    }
    finish(&mut frame)?;
    Ok(frame)
}

/// Writes the length into the four bytes kept for it.
fn finish(frame: &mut [u8]) -> Result<(), Error> {
    let length = frame.len() - 4;
    let header = u32::try_from(length).map_err(|_| Error::TooLong(length))?;
    frame[..4].copy_from_slice(&header.to_be_bytes());
    Ok(())
}

/// A writer that refuses to grow a buffer.
struct Bounded<'a> {
    bytes: &'a mut Vec<u8>,
    room: usize,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.room = self
            .room
            .checked_sub(bytes.len())
            .ok_or(io::ErrorKind::StorageFull)?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One frame's bytes, at most `limit` of them, wiped when dropped.
///
/// # Errors
/// [`Error::TooLong`] by the header alone; [`Error::Closed`] when it ends early.
pub fn read_frame(from: &mut impl Read, limit: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut header = [0; 4];
    from.read_exact(&mut header)?;
    let mut body = room(header, limit)?;
    from.read_exact(&mut body)?;
    Ok(body)
}

fn room(header: [u8; 4], limit: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
    let length = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    if length > limit {
        Err(Error::TooLong(length))
    } else {
        Ok(Zeroizing::new(vec![0; length]))
    }
}

/// The daemon's side: the one request of a connection, within `limit` of time. Needs a runtime with its timer enabled.
///
/// # Errors
/// [`Error::TimedOut`] for a slow client, [`Error::TooLong`] over [`REQUEST_MAX`], [`Error::Malformed`], [`Error::Closed`].
pub async fn read_request(
    stream: &mut tokio::net::UnixStream,
    limit: Duration,
) -> Result<Request, Error> {
    let read = async {
        let mut header = [0; 4];
        stream.read_exact(&mut header).await?;
        let mut body = room(header, REQUEST_MAX)?;
        stream.read_exact(&mut body).await?;
        Ok(serde_json::from_slice(&body)?)
    };
    tokio::time::timeout(limit, read)
        .await
        .unwrap_or(Err(Error::TimedOut))
}

/// The daemon's side: the reply, within `limit` of time, and the end of the connection.
///
/// # Errors
/// [`Error::TimedOut`] for a client that does not read, [`Error::Closed`] for one that went away.
pub async fn write_reply(
    stream: &mut tokio::net::UnixStream,
    reply: &Reply,
    limit: Duration,
) -> Result<(), Error> {
    let frame = reply_frame(reply)?;
    let write = async {
        stream.write_all(&frame).await?;
        stream.shutdown().await?;
        Ok(())
    };
    tokio::time::timeout(limit, write)
        .await
        .unwrap_or(Err(Error::TimedOut))
}

/// The parent's side: who connected, as a uid of our user namespace.
///
/// # Errors
/// Those of `SO_PEERCRED`.
pub fn uid_of(stream: &UnixStream) -> io::Result<u32> {
    Ok(getsockopt(stream, PeerCredentials)?.uid())
}

/// The daemon's side: whose process connected, as a uid of our user namespace.
///
/// # Errors
/// Those of `SO_PEERCRED`.
pub fn peer_uid(stream: &tokio::net::UnixStream) -> io::Result<u32> {
    Ok(stream.peer_cred()?.uid())
}
