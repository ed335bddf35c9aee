//! What a driver says of its interface: speed, duplex, offloads; must not know how that is shown.

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::os::fd::{AsRawFd, OwnedFd};

/// linux/sockios.h.
const SIOCETHTOOL: libc::c_int = 0x8946;
nix::ioctl_readwrite_bad!(siocethtool, SIOCETHTOOL, libc::ifreq);

/// The longest interface name: IFNAMSIZ less the final zero.
const NAME_MAX: usize = libc::IFNAMSIZ - 1;

// linux/ethtool.h: commands that are answered with one number, and bits of the last.
const GRXCSUM: u32 = 0x14;
const GTXCSUM: u32 = 0x16;
const GTSO: u32 = 0x1e;
const GFLAGS: u32 = 0x25;
const TXVLAN: u32 = 1 << 7;
const RXVLAN: u32 = 1 << 8;
const LRO: u32 = 1 << 15;

/// linux/ethtool.h: struct ethtool_link_settings, in words of 32 bits, and the three masks behind it, each of 127 words at most.
const GLINKSETTINGS: u32 = 0x4c;
const SETTINGS: usize = 12;
const MASKS: usize = 3 * 127;

/// How an interface sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Media {
    /// Mbit/s, where they are known.
    pub speed: Option<u32>,
    /// Both directions at once.
    pub full_duplex: bool,
    /// Negotiated with the other end.
    pub autoselect: bool,
}

/// What an interface does for the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offloads {
    /// It checks checksums.
    pub rx_checksum: bool,
    /// It makes checksums.
    pub tx_checksum: bool,
    /// It cuts TCP into segments.
    pub tso: bool,
    /// It joins segments.
    pub lro: bool,
    /// It adds and removes VLAN tags.
    pub vlan_tags: bool,
}

/// Asks the drivers of the calling thread's network namespace.
#[derive(Debug)]
pub struct Ethtool {
    socket: OwnedFd,
}

impl Ethtool {
    /// Opens a socket to ask by.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open() -> Result<Self, Errno> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        Ok(Self { socket })
    }

    /// The media of the interface of this name; `None` where the driver knows none.
    #[must_use]
    pub fn media(&self, name: &str) -> Option<Media> {
        let mut data = [0; SETTINGS + MASKS];
        // Asked with no room for masks it tells, as a negative number, how many words each has.
        data[0] = GLINKSETTINGS;
        self.ask(name, &mut data).ok()?;
        let [mdio, crossed, control, words] = data[3].to_ne_bytes();
        let words = i8::from_ne_bytes([words]).checked_neg()?.to_ne_bytes()[0];
        data[0] = GLINKSETTINGS;
        data[3] = u32::from_ne_bytes([mdio, crossed, control, words]);
        self.ask(name, &mut data).ok()?;
        let [duplex, _port, _address, autonegotiation] = data[2].to_ne_bytes();
        Some(Media {
            // SPEED_UNKNOWN is -1.
            speed: Some(data[1]).filter(|speed| (1..u32::MAX).contains(speed)),
            full_duplex: duplex == 1,
            autoselect: autonegotiation == 1,
        })
    }

    /// The offloads that are on.
    #[must_use]
    pub fn offloads(&self, name: &str) -> Offloads {
        let number = |command| {
            let mut data = [command, 0];
            self.ask(name, &mut data).map_or(0, |()| data[1])
        };
        let flags = number(GFLAGS);
        Offloads {
            rx_checksum: number(GRXCSUM) != 0,
            tx_checksum: number(GTXCSUM) != 0,
            tso: number(GTSO) != 0,
            lro: flags & LRO != 0,
            vlan_tags: flags & (RXVLAN | TXVLAN) == RXVLAN | TXVLAN,
        }
    }

    /// `data` begins with a command of this module, and has room for its whole answer: two words, or those of GLINKSETTINGS.
    fn ask(&self, name: &str, data: &mut [u32]) -> Result<(), Errno> {
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        // SAFETY: an ifreq is integers, arrays of them and a pointer, for all of which zeroes are valid.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        request.ifr_ifru.ifru_data = data.as_mut_ptr().cast();
        // SAFETY: the descriptor is open; request is the ifreq that SIOCETHTOOL reads; its pointer leads to `data`, which lives
        // through the call and has the room that its command needs.
        unsafe { siocethtool(self.socket.as_raw_fd(), &raw mut request) }.map(drop)
    }
}
