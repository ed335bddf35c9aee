//! A TAP interface with virtio headers; must not know what it is for.
//!
//! The tun-tap crate opens it, but without IFF_VNET_HDR and without a way to add it. So the interface is made to outlive
//! its first descriptor, opened again with the header, and bound to that descriptor's life (T25).

use super::Error;
use super::packet::VNET_HEADER;
use nix::net::if_::if_nametoindex;
use std::fs::{File, OpenOptions};
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

const DEVICE: &str = "/dev/net/tun";

/// How long a name may stay taken before that is an error: a dying predecessor still holds it for a moment (T21).
const PATIENCE: Duration = Duration::from_millis(250);
const PAUSE: Duration = Duration::from_millis(2);

/// The longest interface name: IFNAMSIZ less the final zero.
const NAME_MAX: usize = 15;

nix::ioctl_write_int_bad!(
    /// Its argument is 0 or 1.
    tun_set_persist,
    libc::TUNSETPERSIST
);
nix::ioctl_write_int_bad!(
    /// Its argument is a set of TUN_F flags.
    tun_set_offload,
    libc::TUNSETOFFLOAD
);
nix::ioctl_write_ptr_bad!(tun_set_iff, libc::TUNSETIFF, libc::ifreq);
nix::ioctl_read_bad!(tun_get_iff, libc::TUNGETIFF, libc::ifreq);
nix::ioctl_write_ptr_bad!(tun_set_carrier, libc::TUNSETCARRIER, libc::c_int);
nix::ioctl_write_ptr_bad!(tun_set_header_size, libc::TUNSETVNETHDRSZ, libc::c_int);
nix::ioctl_write_ptr_bad!(
    tun_attach_filter,
    libc::TUNATTACHFILTER as libc::Ioctl,
    libc::sock_fprog
);
nix::ioctl_write_ptr_bad!(
    tun_detach_filter,
    libc::TUNDETACHFILTER as libc::Ioctl,
    libc::sock_fprog
);

/// A TAP interface that exists as long as its descriptor: without carrier when made, non-blocking, closed on exec.
///
/// A read gives one frame, a write takes one, each with [`VNET_HEADER`] bytes of virtio header before it; plain
/// `read` and `write` do. A write fails with EIO while the interface is down, with EBADFD once it was deleted.
#[derive(Debug)]
pub struct Tap {
    fd: OwnedFd,
    name: String,
    index: u32,
}

impl Tap {
    /// Makes a TAP of exactly this name.
    ///
    /// # Errors
    /// EINVAL for what cannot be a name, ENAMETOOLONG over 15 bytes, EEXIST when the name is taken by anything, ENOENT
    /// without /dev/net/tun, EPERM without CAP_NET_ADMIN. Nothing is left behind.
    pub fn create(name: &str) -> Result<Self, Error> {
        let failed = |op| {
            move |source| Error {
                op,
                what: name.to_owned(),
                source,
            }
        };
        check_name(name).map_err(failed("create interface"))?;
        let fresh = open_device()?;
        let first = claim(name).map_err(failed("create interface"))?;
        let fd = with_header(first, fresh, name).map_err(failed("create interface"))?;
        set_offload(&fd).map_err(failed("set offload of"))?;
        let index = if_nametoindex(name)
            .map_err(io::Error::from)
            .map_err(failed("find interface"))?;
        Ok(Self {
            fd,
            name: name.to_owned(),
            index,
        })
    }

    /// One that another program made, which this process goes on for.
    #[must_use]
    pub fn inherited(fd: OwnedFd, name: String, index: u32) -> Self {
        Self { fd, name, index }
    }

    /// The name it was made with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its interface index.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Sets the carrier. The first frames after "on" vanish until somebody has looked at the link (T24, T33).
    ///
    /// # Errors
    /// EBADFD when the interface was deleted.
    pub fn set_carrier(&self, on: bool) -> Result<(), Error> {
        set_carrier(&self.fd, on).map_err(|source| Error {
            op: "set carrier of",
            what: self.name.clone(),
            source,
        })
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Tap> for OwnedFd {
    fn from(tap: Tap) -> Self {
        tap.fd
    }
}

/// As [`Tap::set_carrier`], for a descriptor that came from elsewhere.
///
/// # Errors
/// EBADFD when the interface was deleted.
pub fn set_carrier(tap: impl AsFd, on: bool) -> io::Result<()> {
    let value = libc::c_int::from(on);
    // SAFETY: the descriptor is open and value is the int that TUNSETCARRIER reads.
    unsafe { tun_set_carrier(tap.as_fd().as_raw_fd(), &raw const value) }?;
    Ok(())
}

/// A deaf TAP drops what the interface sends before it is queued; what is queued already stays.
///
/// # Errors
/// EBADFD when the interface was deleted.
pub fn set_deaf(tap: impl AsFd, deaf: bool) -> io::Result<()> {
    // "Keep nothing of the frame."
    let mut none = libc::sock_filter {
        code: 0x06,
        jt: 0,
        jf: 0,
        k: 0,
    };
    let program = libc::sock_fprog {
        len: 1,
        filter: &raw mut none,
    };
    let fd = tap.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open, and program is a whole filter that the kernel copies (or, detaching, does not read).
    unsafe {
        if deaf {
            tun_attach_filter(fd, &raw const program)
        } else {
            tun_detach_filter(fd, &raw const program)
        }
    }?;
    Ok(())
}

/// The rules of dev_valid_name(), and no `%`, which the kernel would replace by a number. tun-tap would cut a long name.
fn check_name(name: &str) -> io::Result<()> {
    let errno = match name {
        "" | "." | ".." => libc::EINVAL,
        _ if name.len() > NAME_MAX => libc::ENAMETOOLONG,
        _ if name
            .bytes()
            .any(|b| b"/:%\0".contains(&b) || b.is_ascii_whitespace() || b == 0x0b) =>
        {
            libc::EINVAL
        }
        _ => return Ok(()),
    };
    Err(io::Error::from_raw_os_error(errno))
}

fn open_device() -> Result<File, Error> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(DEVICE)
        .map_err(|source| Error {
            op: "open",
            what: DEVICE.to_owned(),
            source,
        })
}

/// Makes the interface through tun-tap, which asks for no exclusive one: TUNSETIFF attaches without a word to a persistent
/// TAP of that name. Hence the look before, and the look at what we got.
fn claim(name: &str) -> io::Result<tun_tap::Iface> {
    let until = Instant::now() + PATIENCE;
    loop {
        let taken = match if_nametoindex(name) {
            Ok(_) => libc::EEXIST,
            Err(nix::errno::Errno::ENODEV) => {
                match tun_tap::Iface::without_packet_info(name, tun_tap::Mode::Tap) {
                    Ok(iface) => return only_ours(iface, name),
                    Err(error) if error.raw_os_error() == Some(libc::EBUSY) => libc::EBUSY,
                    Err(error) => return Err(error),
                }
            }
            Err(errno) => return Err(errno.into()),
        };
        if Instant::now() >= until {
            return Err(io::Error::from_raw_os_error(taken));
        }
        std::thread::sleep(PAUSE);
    }
}

fn only_ours(iface: tun_tap::Iface, name: &str) -> io::Result<tun_tap::Iface> {
    let mut request = request("", 0);
    // SAFETY: the descriptor is open and request is the ifreq that TUNGETIFF fills in.
    unsafe { tun_get_iff(iface.as_raw_fd(), &raw mut request) }?;
    // SAFETY: TUNGETIFF has written the flags.
    let flags = libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags });
    if flags & libc::IFF_PERSIST != 0 || iface.name() != name {
        return Err(io::Error::from_raw_os_error(libc::EEXIST));
    }
    Ok(iface)
}

/// T25. From the first ioctl to the last the interface would survive us, for some ten microseconds.
fn with_header(first: tun_tap::Iface, fresh: File, name: &str) -> io::Result<OwnedFd> {
    set_carrier(BorrowedIface(&first), false)?;
    persist(first.as_raw_fd(), true)?;
    drop(first);
    let attached = attach(&fresh, name);
    if attached.is_err() {
        // As it was made, it can be had again, and then goes with its descriptor.
        if let Ok(again) = tun_tap::Iface::without_packet_info(name, tun_tap::Mode::Tap) {
            let _ = persist(again.as_raw_fd(), false);
        }
    }
    attached?;
    persist(fresh.as_raw_fd(), false)?;
    // Attaching has put the carrier on again.
    set_carrier(&fresh, false)?;
    let size = libc::c_int::try_from(VNET_HEADER).expect("ten");
    // SAFETY: the descriptor is open and size is the int that TUNSETVNETHDRSZ reads.
    unsafe { tun_set_header_size(fresh.as_raw_fd(), &raw const size) }?;
    Ok(fresh.into())
}

fn attach(fresh: &File, name: &str) -> io::Result<()> {
    let request = request(name, libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR);
    let until = Instant::now() + PATIENCE;
    loop {
        // SAFETY: the descriptor is open and request is the ifreq that TUNSETIFF reads.
        match unsafe { tun_set_iff(fresh.as_raw_fd(), &raw const request) } {
            Ok(_) => return Ok(()),
            Err(nix::errno::Errno::EBUSY) if Instant::now() < until => std::thread::sleep(PAUSE),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// What the reader of a TAP can take over from the sender: checksums, TCP segmentation, and where kernel and packet
/// sockets can (6.2), UDP segmentation. Older kernels refuse the whole set when they do not know one.
fn set_offload(fd: &OwnedFd) -> io::Result<()> {
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
    let udp = libc::TUN_F_USO4 | libc::TUN_F_USO6;
    let set = |flags: libc::c_uint| {
        let flags = libc::c_int::try_from(flags).expect("seven low bits");
        // SAFETY: the descriptor is open and TUNSETOFFLOAD takes its argument by value.
        unsafe { tun_set_offload(fd.as_raw_fd(), flags) }
    };
    set(tcp | udp).or_else(|_| set(tcp))?;
    Ok(())
}

fn persist(fd: RawFd, on: bool) -> io::Result<()> {
    // SAFETY: the descriptor is open and TUNSETPERSIST takes its argument by value.
    unsafe { tun_set_persist(fd, libc::c_int::from(on)) }?;
    Ok(())
}

/// `name` has been checked.
fn request(name: &str, flags: libc::c_int) -> libc::ifreq {
    // SAFETY: ifreq is plain integers: all zeroes are a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(NAME_MAX)) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_flags =
        libc::c_short::try_from(flags).expect("TAP flags stay below 0x8000");
    request
}

/// tun-tap offers only the number.
struct BorrowedIface<'a>(&'a tun_tap::Iface);

impl AsFd for BorrowedIface<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the interface keeps the descriptor open for as long as it is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::linux::netns::Namespace;

    #[test]
    fn a_persistent_tap_of_that_name_is_not_ours() {
        Namespace::new().unwrap().run(|| {
            let foreign = tun_tap::Iface::without_packet_info("carp1", tun_tap::Mode::Tap).unwrap();
            persist(foreign.as_raw_fd(), true).unwrap();
            drop(foreign);
            let index = if_nametoindex("carp1").unwrap();
            assert_eq!(Tap::create("carp1").unwrap_err().errno(), libc::EEXIST);
            assert_eq!(if_nametoindex("carp1"), Ok(index), "it is left as it was");
            // As if it had been made between the look and the open.
            let attached =
                tun_tap::Iface::without_packet_info("carp1", tun_tap::Mode::Tap).unwrap();
            assert_eq!(
                only_ours(attached, "carp1").unwrap_err().raw_os_error(),
                Some(libc::EEXIST)
            );
            assert_eq!(if_nametoindex("carp1"), Ok(index));
        });
    }
}
