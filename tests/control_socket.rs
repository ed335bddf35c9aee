//! The control socket: whom a client trusts, and frames that are too long, too short or too slow, on both sides.
#![allow(clippy::unwrap_used)]

mod fake_daemon;

use carp::carp::config::{Key, Unit};
use carp::control::socket::{self, Client, Error, REPLY_MAX, REQUEST_MAX};
use carp::control::{Change, Refusal, Reply, Request};
use fake_daemon::{Directory, Fake, copied, may_become_others, mode};
use std::io::{Read, Write};
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};
use std::{fs, thread};

const SHORT: Duration = Duration::from_millis(200);

fn secret() -> Request {
    Request::Apply {
        unit: Unit(1),
        changes: vec![Change::Pass(Key::from_pass(b"secret"))],
    }
}

/// Why a client does not even connect.
fn untrusted(fake: &Fake) -> String {
    match Client::connect(&fake.directory.place_as_is()) {
        Err(Error::Untrusted { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

trait AsIs {
    fn place_as_is(&self) -> carp::control::path::Place;
}

impl AsIs for Directory {
    fn place_as_is(&self) -> carp::control::path::Place {
        carp::control::path::Place::new(self.path(), carp::control::path::namespace().unwrap())
    }
}

#[test]
fn a_request_and_its_reply_pass() {
    let fake = Fake::answering(vec![Reply::Done]);
    let reply = Client::connect(&fake.directory.place_as_is())
        .unwrap()
        .ask(&secret())
        .unwrap();
    assert_eq!(reply, Reply::Done);
    assert_eq!(fake.asked(), [secret()]);
}

#[test]
fn nobody_there_is_not_running() {
    let directory = Directory::new();
    let place = directory.place_as_is();
    assert!(matches!(Client::connect(&place), Err(Error::NotRunning)));
    directory.place();
    assert!(matches!(Client::connect(&place), Err(Error::NotRunning)));
    // What a killed daemon leaves behind.
    drop(UnixListener::bind(place.socket()).unwrap());
    assert!(matches!(Client::connect(&place), Err(Error::NotRunning)));
}

#[test]
fn directories_that_others_write_are_not_trusted() {
    for bits in [0o775, 0o757, 0o1777] {
        let fake = Fake::answering(vec![Reply::Done]);
        mode(fake.directory.path(), bits);
        assert_eq!(untrusted(&fake), "writable by others", "{bits:o}");
        mode(fake.directory.path(), 0o755);
        mode(&fake.directory.place_as_is().directory(), bits);
        assert_eq!(untrusted(&fake), "writable by others", "{bits:o}");
        assert_eq!(fake.asked(), []);
    }
}

#[test]
fn links_and_other_files_are_not_trusted() {
    let real = Fake::answering(vec![Reply::Done]);
    let other = Fake::answering(vec![]);
    let place = other.directory.place_as_is();
    fs::remove_file(place.socket()).unwrap();
    symlink(real.directory.place_as_is().socket(), place.socket()).unwrap();
    assert_eq!(untrusted(&other), "not a socket");
    fs::remove_file(place.socket()).unwrap();
    fs::write(place.socket(), "").unwrap();
    assert_eq!(untrusted(&other), "not a socket");
    fs::remove_file(place.socket()).unwrap();
    fs::remove_dir(place.directory()).unwrap();
    symlink(real.directory.place_as_is().directory(), place.directory()).unwrap();
    assert_eq!(untrusted(&other), "not a directory");
    assert_eq!(real.asked(), []);
}

#[test]
fn files_of_somebody_else_are_not_trusted() {
    if !may_become_others() {
        eprintln!("skipped: files_of_somebody_else_are_not_trusted: only root gives files away");
        return;
    }
    for part in 0..3 {
        let fake = Fake::answering(vec![Reply::Done]);
        let place = fake.directory.place_as_is();
        let path = [
            fake.directory.path().to_owned(),
            place.directory(),
            place.socket(),
        ][part]
            .clone();
        chown(&path, Some(4242), None).unwrap();
        assert_eq!(untrusted(&fake), "owned by uid 4242");
        assert_eq!(fake.asked(), []);
    }
}

#[test]
fn a_peer_of_somebody_else_is_not_trusted() {
    if !may_become_others() {
        eprintln!(
            "skipped: a_peer_of_somebody_else_is_not_trusted: only root becomes somebody else"
        );
        return;
    }
    let directory = Directory::new();
    let place = directory.place();
    mode(&place.directory(), 0o777);
    let copy = copied(&std::env::current_exe().unwrap(), &directory);
    let mut command = std::process::Command::new(&copy);
    command
        .args(["--exact", "listens_for_another_test", "--ignored"])
        .env("LISTEN_AT", place.socket());
    let mut child = command
        .uid(4242)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while UnixStream::connect(place.socket()).is_err() {
        assert!(child.try_wait().unwrap().is_none(), "the listener ended");
        thread::sleep(Duration::from_millis(5));
    }
    // All files are root's again, but who listens is not.
    chown(place.socket(), Some(0), Some(0)).unwrap();
    mode(&place.directory(), 0o755);
    let outcome = Client::connect(&place);
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(
        matches!(&outcome, Err(Error::Untrusted { why, .. }) if why == "served by uid 4242"),
        "{outcome:?}"
    );
}

#[test]
#[ignore = "the other side of a_peer_of_somebody_else_is_not_trusted"]
fn listens_for_another_test() {
    let Some(path) = std::env::var_os("LISTEN_AT") else {
        return;
    };
    let _listener = UnixListener::bind(path).unwrap();
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn root_and_oneself_may_change_and_nobody_may_not() {
    let own = nix::unistd::geteuid().as_raw();
    assert!(socket::may_change(0, own) && socket::may_change(own, own));
    assert!(!socket::may_change(4242, own) && !socket::may_change(65534, 65534));
}

/// A server that sends these bytes whatever it is asked, and holds the connection.
fn sending(bytes: Vec<u8>) -> (Directory, Client) {
    let directory = Directory::new();
    let place = directory.place();
    let listener = UnixListener::bind(place.socket()).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).unwrap();
        stream.write_all(&bytes).unwrap();
        thread::sleep(20 * SHORT);
    });
    let client = Client::connect(&place).unwrap().patience(SHORT);
    (directory, client)
}

#[test]
fn a_client_waits_no_longer_than_its_patience() {
    let half = [0, 0, 0, 9, b'"'];
    for bytes in [&[][..], &half[..2], &half] {
        let (_directory, client) = sending(bytes.to_vec());
        let before = Instant::now();
        assert!(matches!(
            client.ask(&Request::Settings),
            Err(Error::TimedOut)
        ));
        assert!(
            before.elapsed() >= SHORT && before.elapsed() < 10 * SHORT,
            "{:?}",
            before.elapsed()
        );
    }
}

#[test]
fn a_server_that_drips_does_not_hold_a_client() {
    let directory = Directory::new();
    let place = directory.place();
    let listener = UnixListener::bind(place.socket()).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(&[0, 0, 0, 200]);
        while stream.write_all(b" ").is_ok() {
            thread::sleep(SHORT / 10);
        }
    });
    let before = Instant::now();
    let client = Client::connect(&place).unwrap().patience(SHORT);
    assert!(matches!(
        client.ask(&Request::Settings),
        Err(Error::TimedOut)
    ));
    assert!(before.elapsed() < 10 * SHORT, "{:?}", before.elapsed());
}

#[test]
fn replies_too_long_or_of_another_language_are_refused() {
    let header = u32::try_from(REPLY_MAX + 1).unwrap().to_be_bytes();
    let (_directory, client) = sending(header.to_vec());
    assert!(matches!(client.ask(&Request::Settings), Err(Error::TooLong(n)) if n == REPLY_MAX + 1));
    let (_directory, client) = sending([&[0, 0, 0, 2][..], b"[]"].concat());
    assert!(matches!(
        client.ask(&Request::Settings),
        Err(Error::Malformed(_))
    ));
}

#[test]
fn a_request_too_long_is_not_sent() {
    let changes = vec![Change::Carpdev(Some("x".repeat(1000))); 70];
    let request = Request::Apply {
        unit: Unit(1),
        changes,
    };
    assert!(matches!(
        socket::request_frame(&request),
        Err(Error::TooLong(_))
    ));
    let frame = socket::request_frame(&secret()).unwrap();
    assert_eq!(frame.capacity(), 4 + REQUEST_MAX);
}

/// What the daemon's side makes of these bytes, after which the client hangs up or not.
fn served(bytes: &[u8], hang_up: bool) -> Result<Request, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (near, mut far) = UnixStream::pair().unwrap();
        far.write_all(bytes).unwrap();
        let mut held = Some(far);
        if hang_up {
            held.take();
        }
        near.set_nonblocking(true).unwrap();
        let mut near = tokio::net::UnixStream::from_std(near).unwrap();
        socket::read_request(&mut near, SHORT).await
    })
}

#[test]
fn a_daemon_reads_one_whole_request() {
    let frame = socket::request_frame(&secret()).unwrap();
    assert_eq!(served(&frame, false).unwrap(), secret());
    for cut in [1, 3, 4, frame.len() - 1] {
        assert!(
            matches!(served(&frame[..cut], true), Err(Error::Closed)),
            "{cut}"
        );
        assert!(
            matches!(served(&frame[..cut], false), Err(Error::TimedOut)),
            "{cut}"
        );
    }
    assert!(matches!(served(b"", true), Err(Error::Closed)));
}

#[test]
fn a_daemon_refuses_by_the_header_what_is_too_long() {
    let header = u32::try_from(REQUEST_MAX + 1).unwrap().to_be_bytes();
    assert!(matches!(served(&header, false), Err(Error::TooLong(n)) if n == REQUEST_MAX + 1));
    assert!(matches!(served(&[0xff; 8], false), Err(Error::TooLong(_))));
    for text in [
        "{}",
        "null",
        "\"Nonsense\"",
        "{\"Apply\":{\"unit\":1}}",
        "\u{0}\u{0}",
    ] {
        let frame = [
            &u32::try_from(text.len()).unwrap().to_be_bytes(),
            text.as_bytes(),
        ]
        .concat();
        assert!(
            matches!(served(&frame, false), Err(Error::Malformed(_))),
            "{text}"
        );
    }
}

#[test]
fn a_daemon_does_not_wait_for_a_client_that_does_not_read() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let refusal = Refusal {
        text: "x".repeat(REPLY_MAX - 100),
        why: None,
    };
    runtime.block_on(async {
        let (near, _far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut near = tokio::net::UnixStream::from_std(near).unwrap();
        let before = Instant::now();
        let outcome = socket::write_reply(&mut near, &Reply::Refused(refusal), SHORT).await;
        assert!(matches!(outcome, Err(Error::TimedOut)), "{outcome:?}");
        assert!(before.elapsed() < 10 * SHORT);
        assert_eq!(
            socket::peer_uid(&near).unwrap(),
            nix::unistd::geteuid().as_raw()
        );
    });
}

#[test]
fn a_refusal_by_the_header_alone_still_reaches_the_client() {
    let directory = Directory::new();
    let place = directory.place();
    let listener = UnixListener::bind(place.socket()).unwrap();
    let refusal = Reply::Refused(Refusal {
        text: "too many connections".into(),
        why: None,
    });
    let frame = socket::reply_frame(&refusal).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&frame).unwrap();
        stream.shutdown(std::net::Shutdown::Read).unwrap();
        thread::sleep(SHORT);
    });
    let client = Client::connect(&place).unwrap();
    thread::sleep(SHORT / 4);
    assert_eq!(client.ask(&Request::Settings).unwrap(), refusal);
}
