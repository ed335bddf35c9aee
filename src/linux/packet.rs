//! A packet socket on one interface; must not know what its frames mean.
//!
//! It is born mute: without a protocol it receives nothing, gets its drop-all filter and its options, and only then may
//! hear, so no frame from before the first [`PacketSocket::set_filter`] is ever in its queue.
//!
//! A socket that hears costs every frame that it could hear a run of its filter, even one that lets nothing pass: with
//! [`Heard::All`] every frame of its interface.

use super::Error;
use super::filter::{Filter, Instruction};
use crate::wire::MacAddr;
use nix::sys::socket::{self as sys, AddressFamily, MsgFlags, SockFlag, SockType, sockopt};
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Bytes of the virtio header before each frame of a socket opened with [`Vnet::Yes`], and of a `Tap`: the legacy
/// form, without the number of buffers.
pub const VNET_HEADER: usize = 10;

/// Room for frames that the reader has not fetched yet. A queue of the default size holds three super-packets, or 9 ms of
/// a flood of 30,000 small frames a second.
const QUEUE_BYTES: usize = 4 << 20;

// linux/if_packet.h; not in the libc crate.
const PACKET_VNET_HDR: libc::c_int = 15;
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

/// Whether frames carry a virtio header, and with it unfinished checksums and super-packets (T19).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vnet {
    /// [`VNET_HEADER`] bytes before each frame, in both directions.
    Yes,
    /// Bare frames; the kernel still hands over unfinished checksums.
    No,
}

/// What a packet socket hears of its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Nothing.
    Nothing,
    /// Every frame, before programs, packet filters and bridges have seen it.
    All,
    /// IPv4 packets that those have left to this interface.
    Ipv4,
    /// The same of IPv6.
    Ipv6,
    /// The same of ARP.
    Arp,
}

impl Heard {
    /// As bind(2) has it, packet(7).
    const fn protocol(self) -> libc::c_int {
        match self {
            // Reserved (IANA, IEEE 802 numbers): no frame has it. 0 would leave what was there before.
            Self::Nothing => 0xffff,
            Self::All => libc::ETH_P_ALL,
            Self::Ipv4 => libc::ETH_P_IP,
            Self::Ipv6 => libc::ETH_P_IPV6,
            Self::Arp => libc::ETH_P_ARP,
        }
    }
}

/// A non-blocking AF_PACKET socket, SOCK_RAW, bound to one interface. It does not hear what this host sends.
///
/// An interface that is down at the time of opening, or goes down, makes one [`recv`](Self::recv) fail with ENETDOWN; the
/// socket hears again when the interface is up again. After the interface was deleted it stays silent.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
}

impl PacketSocket {
    /// Opens a socket on the interface with this index that hears [`Heard::All`]; its filter lets nothing pass until
    /// [`set_filter`](Self::set_filter).
    ///
    /// # Errors
    /// EPERM without CAP_NET_RAW, ENODEV when there is no such interface.
    pub fn open(index: u32, vnet: Vnet) -> Result<Self, Error> {
        let socket = Self::mute(index, vnet)?;
        let heard = socket.hear(Heard::All);
        heard.map_err(|source| Error {
            op: "bind",
            what: format!("packet socket on interface {index}"),
            source,
        })?;
        Ok(socket)
    }

    /// The same, but it hears nothing before [`hear`](Self::hear) and until then costs the interface's frames nothing. It
    /// sends, and has memberships.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn mute(index: u32, vnet: Vnet) -> Result<Self, Error> {
        let failed = |op| {
            move |source| Error {
                op,
                what: format!("packet socket on interface {index}"),
                source,
            }
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = sys::socket(AddressFamily::Packet, SockType::Raw, flags, None)
            .map_err(io::Error::from)
            .map_err(failed("open"))?;
        let socket = Self { fd };
        socket
            .set_filter(&Filter::none())
            .map_err(failed("set filter of"))?;
        // Kernels before 4.20 lack it; every filter refuses own frames as well.
        let _ = set_option(&socket.fd, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &1i32);
        if vnet == Vnet::Yes {
            set_option(&socket.fd, libc::SOL_PACKET, PACKET_VNET_HDR, &1i32)
                .map_err(failed("set virtio header of"))?;
        }
        socket.widen_queues();
        socket.bind(index, 0).map_err(failed("bind"))?;
        Ok(socket)
    }

    /// From now on it hears this, as far as its filter lets it pass. Between two of them something may be missed.
    ///
    /// # Errors
    /// ENODEV when the interface is gone.
    pub fn hear(&self, what: Heard) -> io::Result<()> {
        self.bind(self.present()?, what.protocol())
    }

    /// Replaces the filter in one step: every frame is judged by the old one or the new one.
    ///
    /// # Errors
    /// ENOMEM when even the coarse form exceeds net.core.optmem_max.
    pub fn set_filter(&self, filter: &Filter) -> io::Result<()> {
        match attach(&self.fd, &filter.program) {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => {
                attach(&self.fd, &filter.coarse)
            }
            done => done,
        }
    }

    /// Fetches one frame; what does not fit into `buffer` is cut off.
    ///
    /// # Errors
    /// WouldBlock when there is none. ENETDOWN once after the link went down, ENXIO when it is away. EINVAL when the
    /// frame, now gone, was of a kind that a virtio header cannot describe.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(sys::recv(
            self.fd.as_raw_fd(),
            buffer,
            MsgFlags::MSG_DONTWAIT,
        )?)
    }

    /// Sends one frame as it is.
    ///
    /// # Errors
    /// WouldBlock and ENOBUFS when a queue is full, ENETDOWN, ENXIO or ENODEV when the interface is down or away,
    /// EMSGSIZE when the frame is longer than its MTU.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        sys::send(self.fd.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }

    /// Makes the interface accept unicast frames to `mac` (T8): a device without a unicast filter becomes promiscuous.
    /// It ends with [`refuse_unicast`](Self::refuse_unicast) or with the socket. Nests.
    ///
    /// # Errors
    /// ENODEV when the interface is gone.
    pub fn accept_unicast(&self, mac: MacAddr) -> io::Result<()> {
        self.membership(libc::PACKET_ADD_MEMBERSHIP, libc::PACKET_MR_UNICAST, mac)
    }

    /// Takes back one [`accept_unicast`](Self::accept_unicast), if there was one.
    ///
    /// # Errors
    /// ENODEV when the interface is gone.
    pub fn refuse_unicast(&self, mac: MacAddr) -> io::Result<()> {
        self.membership(libc::PACKET_DROP_MEMBERSHIP, libc::PACKET_MR_UNICAST, mac)
    }

    /// Makes the interface accept frames to the group `mac` (T9). No IGMP or MLD report comes of it (T27). Nests.
    ///
    /// # Errors
    /// ENODEV when the interface is gone.
    pub fn accept_multicast(&self, mac: MacAddr) -> io::Result<()> {
        self.membership(libc::PACKET_ADD_MEMBERSHIP, libc::PACKET_MR_MULTICAST, mac)
    }

    /// Takes back one [`accept_multicast`](Self::accept_multicast), if there was one.
    ///
    /// # Errors
    /// ENODEV when the interface is gone.
    pub fn refuse_multicast(&self, mac: MacAddr) -> io::Result<()> {
        self.membership(libc::PACKET_DROP_MEMBERSHIP, libc::PACKET_MR_MULTICAST, mac)
    }

    /// The index of the interface it was bound to; `None` once that is deleted.
    ///
    /// # Errors
    /// Those of getsockname.
    pub fn index(&self) -> io::Result<Option<u32>> {
        let mut address = MaybeUninit::<libc::sockaddr_ll>::zeroed();
        let mut length = length_of::<libc::sockaddr_ll>();
        // SAFETY: address is writable memory of the length given, and the descriptor is open.
        let result = unsafe {
            libc::getsockname(
                self.fd.as_raw_fd(),
                address.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        nix::errno::Errno::result(result)?;
        // SAFETY: sockaddr_ll is plain integers, for which the zeroes it began with are a value too.
        let index = unsafe { address.assume_init() }.sll_ifindex;
        Ok(u32::try_from(index).ok().filter(|index| *index > 0))
    }

    /// How many frames passed the filter and found the queue full, since the last call.
    ///
    /// # Errors
    /// Those of getsockopt.
    pub fn missed(&self) -> io::Result<u32> {
        let mut statistics = libc::tpacket_stats {
            tp_packets: 0,
            tp_drops: 0,
        };
        let mut length = length_of::<libc::tpacket_stats>();
        // SAFETY: statistics is writable memory of the length given, and the descriptor is open.
        let result = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut length,
            )
        };
        nix::errno::Errno::result(result)?;
        Ok(statistics.tp_drops)
    }

    /// Larger queues, beyond the system's default where we may.
    fn widen_queues(&self) {
        if sys::setsockopt(&self.fd, sockopt::RcvBufForce, &QUEUE_BYTES).is_err() {
            let _ = sys::setsockopt(&self.fd, sockopt::RcvBuf, &QUEUE_BYTES);
        }
        if sys::setsockopt(&self.fd, sockopt::SndBufForce, &QUEUE_BYTES).is_err() {
            let _ = sys::setsockopt(&self.fd, sockopt::SndBuf, &QUEUE_BYTES);
        }
    }

    /// The index, or ENODEV.
    fn present(&self) -> io::Result<u32> {
        self.index()?
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
    }

    /// Without a protocol, an Ethernet type or "all", it hears nothing.
    fn bind(&self, index: u32, protocol: libc::c_int) -> io::Result<()> {
        let no_such = || io::Error::from_raw_os_error(libc::ENODEV);
        // Index 0 would bind to every interface.
        let index = i32::try_from(index)
            .ok()
            .filter(|index| *index > 0)
            .ok_or_else(no_such)?;
        // SAFETY: sockaddr_ll is plain integers: all zeroes are a value.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).expect("AF_PACKET is 17");
        address.sll_protocol = u16::try_from(protocol)
            .expect("protocols have 16 bits")
            .to_be();
        address.sll_ifindex = index;
        let length = length_of::<libc::sockaddr_ll>();
        // SAFETY: address is a sockaddr_ll of the length given, and the descriptor is open.
        let result =
            unsafe { libc::bind(self.fd.as_raw_fd(), (&raw const address).cast(), length) };
        nix::errno::Errno::result(result)?;
        Ok(())
    }

    fn membership(&self, option: libc::c_int, kind: libc::c_int, mac: MacAddr) -> io::Result<()> {
        let index = self.present()?;
        let mut address = [0; 8];
        address[..6].copy_from_slice(&mac.0);
        let request = libc::packet_mreq {
            mr_ifindex: i32::try_from(index).expect("it came from a positive i32"),
            mr_type: u16::try_from(kind).expect("membership kinds are small"),
            mr_alen: 6,
            mr_address: address,
        };
        set_option(&self.fd, libc::SOL_PACKET, option, &request)
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<OwnedFd> for PacketSocket {
    /// A descriptor that another process opened as a [`PacketSocket`].
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl From<PacketSocket> for OwnedFd {
    fn from(socket: PacketSocket) -> Self {
        socket.fd
    }
}

fn length_of<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).expect("structures of the socket interface are small")
}

pub(super) fn attach(fd: &OwnedFd, program: &[Instruction]) -> io::Result<()> {
    let mut program: Vec<libc::sock_filter> = program
        .iter()
        .map(|i| libc::sock_filter {
            code: i.code,
            jt: i.jt,
            jf: i.jf,
            k: i.k,
        })
        .collect();
    let whole = libc::sock_fprog {
        len: u16::try_from(program.len())
            .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?,
        filter: program.as_mut_ptr(),
    };
    // The kernel copies the program before setsockopt returns.
    set_option(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &whole)
}

/// `T` must be the plain structure that the option takes.
pub(super) fn set_option<T>(
    fd: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    // SAFETY: value is readable memory of the length given; the kernel only reads it; the descriptor is open.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            length_of::<T>(),
        )
    };
    nix::errno::Errno::result(result)?;
    Ok(())
}
