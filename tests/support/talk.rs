//! Applications on the hosts: a TCP service that says where it runs, bulk data both ways, datagrams; must not know carp.

use super::hosts::Host;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The port of every service.
pub const PORT: u16 = 7000;
const BLOCK: usize = 1 << 16;

/// A listener on all addresses of a host, present and future ones.
///
/// A client sends one letter: `n` for the host's name, `p` and eight bytes to put that many blocks there, `g` and eight bytes to
/// get that many.
pub struct Service {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    pub fn on(host: &Host) -> Self {
        let listener = host.place.run(|| TcpListener::bind(("::", PORT)).unwrap());
        listener.set_nonblocking(true).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let (stop, name) = (Arc::clone(&over), host.name);
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => drop(std::thread::spawn(move || serve(stream, name))),
                    Err(_) => std::thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        Self {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut stream: TcpStream, name: &str) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut letter = [0];
    stream.read_exact(&mut letter)?;
    match letter {
        [b'n'] => stream.write_all(name.as_bytes()),
        [b'p'] => {
            let count = number(&mut stream)?;
            let intact = swallow(&mut stream, count)?;
            stream.write_all(&[u8::from(intact)])
        }
        _ => {
            let count = number(&mut stream)?;
            pour(&mut stream, count)
        }
    }
}

fn number(stream: &mut TcpStream) -> io::Result<u64> {
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}

/// One block of noise; the first eight bytes are its number.
fn block(number: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = Vec::with_capacity(BLOCK);
    while bytes.len() < BLOCK {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_be_bytes());
    }
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn pour(stream: &mut TcpStream, count: u64) -> io::Result<()> {
    let mut bytes = block(0);
    for number in 0..count {
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        stream.write_all(&bytes)?;
    }
    Ok(())
}

fn swallow(stream: &mut TcpStream, count: u64) -> io::Result<bool> {
    let mut want = block(0);
    let mut got = vec![0; BLOCK];
    let mut intact = true;
    for number in 0..count {
        want[..8].copy_from_slice(&number.to_be_bytes());
        stream.read_exact(&mut got)?;
        intact &= got == want;
    }
    Ok(intact)
}

/// A TCP connection from `host` to `to`, from its address `source` if one is given.
pub fn dial(host: &Host, to: &str, source: Option<&str>) -> io::Result<TcpStream> {
    let target = SocketAddr::new(to.parse().unwrap(), PORT);
    let source = source.map(|s| SocketAddr::new(s.parse().unwrap(), 0));
    let stream = host.place.run(|| match source {
        None => TcpStream::connect_timeout(&target, Duration::from_secs(3)),
        Some(source) => {
            let family = if source.is_ipv4() {
                AddressFamily::Inet
            } else {
                AddressFamily::Inet6
            };
            let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
            let limit = nix::sys::time::TimeVal::new(3, 0);
            setsockopt(&fd, sockopt::SendTimeout, &limit)?;
            bind(fd.as_raw_fd(), &SockaddrStorage::from(source))?;
            connect(fd.as_raw_fd(), &SockaddrStorage::from(target))?;
            Ok(TcpStream::from(fd))
        }
    })?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

/// Who answers at `to`: the name of a host.
pub fn who(host: &Host, to: &str, source: Option<&str>) -> io::Result<String> {
    let mut stream = dial(host, to, source)?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    stream.write_all(b"n")?;
    let mut name = String::new();
    stream.read_to_string(&mut name)?;
    if name.is_empty() {
        Err(ErrorKind::UnexpectedEof.into())
    } else {
        Ok(name)
    }
}

/// Sends about `megabytes` to `to` and fetches as much; whether all was intact.
pub fn bulk(host: &Host, to: &str, megabytes: u64) -> io::Result<bool> {
    let count = megabytes * 1_000_000 / u64::try_from(BLOCK).unwrap() + 1;
    let mut put = dial(host, to, None)?;
    put.write_all(&[&b"p"[..], &count.to_be_bytes()].concat())?;
    pour(&mut put, count)?;
    let mut verdict = [0];
    put.read_exact(&mut verdict)?;
    let mut get = dial(host, to, None)?;
    get.write_all(&[&b"g"[..], &count.to_be_bytes()].concat())?;
    Ok(swallow(&mut get, count)? && verdict == [1])
}

/// A datagram socket on `host` at `address`, any port, that waits three seconds at most; sends only by `device` if one is given.
pub fn datagrams(host: &Host, address: &str, port: u16, device: Option<&str>) -> UdpSocket {
    let address: IpAddr = address.parse().unwrap();
    host.place.run(|| {
        let socket = UdpSocket::bind((address, port)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(3)))
            .unwrap();
        if let Some(device) = device {
            setsockopt(&socket, sockopt::BindToDevice, &device.into()).unwrap();
        }
        socket
    })
}
