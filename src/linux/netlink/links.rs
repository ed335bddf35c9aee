//! Interfaces: what they are, made, changed and removed.

use super::Netlink;
use crate::linux::{Error, Result};
use crate::wire::MacAddr;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage as Rtm;
use netlink_packet_route::link::{
    InfoBridge, InfoData, InfoKind, InfoMacVlan, InfoVeth, InfoVrf, LinkAttribute, LinkExtentMask,
    LinkFlags, LinkInfo, LinkLayerType, LinkMessage, MacVlanMode,
};
use nix::errno::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The longest interface name, in bytes (IFNAMSIZ without its NUL).
const NAME_MAX: usize = libc::IFNAMSIZ - 1;

/// An interface as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index: unique in its namespace while it exists.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its Ethernet address; zero for one that has none.
    pub mac: MacAddr,
    /// Its MTU, in bytes.
    pub mtu: u32,
    /// All IFF_ bits of if.h.
    pub flags: u32,
    /// IFF_UP: the administrator wants it up.
    pub up: bool,
    /// IFF_RUNNING: up, and not known to be without carrier (an unknown operstate counts as running).
    pub running: bool,
    /// IFF_LOWER_UP: the carrier as the driver reports it.
    pub lower_up: bool,
    /// "tun", "veth", "bridge", "macvlan" ...; `None` for hardware.
    pub kind: Option<String>,
    /// Its link group (0 unless set).
    pub group: u32,
    /// IFF_LOOPBACK.
    pub loopback: bool,
    /// Its frames are Ethernet's.
    pub ethernet: bool,
    /// The bridge, bond or VRF of which it is a port.
    pub master: Option<u32>,
    /// The routing table that it is, if it is a VRF.
    pub table: Option<u32>,
    /// The interface under it (macvlan, vlan), or the peer of a veth; possibly of another namespace.
    pub lower: Option<u32>,
}

/// How a macvlan shares its lower interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacvlanMode {
    /// No traffic between siblings.
    Private,
    /// Siblings reach each other.
    Bridge,
    /// Siblings reach each other by way of the switch.
    Vepa,
    /// The lower interface belongs to this one alone.
    Passthru,
}

impl Netlink {
    /// The interface of this name, if there is one.
    pub fn link(&self, name: &str) -> Result<Option<Link>> {
        if name.is_empty() || name.len() > NAME_MAX {
            return Ok(None);
        }
        let mut request = LinkMessage::default();
        request
            .attributes
            .push(LinkAttribute::IfName(name.to_owned()));
        self.one_link(name, request)
    }

    /// The interface of this index, if there is one. Asking settles a carrier that was just changed (T33).
    pub fn link_by_index(&self, index: u32) -> Result<Option<Link>> {
        self.one_link(&numbered(index), about(index))
    }

    /// All interfaces of the namespace.
    pub fn links(&self) -> Result<Vec<Link>> {
        let answers = self.ask(
            "list interfaces",
            "",
            &Rtm::GetLink(all_links()),
            NLM_F_DUMP,
        )?;
        Ok(answers.iter().filter_map(link_in).collect())
    }

    /// Makes a pair of virtual Ethernet interfaces; gives the index of the first.
    pub fn create_veth(&self, name: &str, peer: &str) -> Result<u32> {
        self.veth(name, peer, None)
    }

    /// Makes a pair of virtual Ethernet interfaces whose second one is born in another namespace.
    pub fn create_veth_into(
        &self,
        name: &str,
        peer: &str,
        namespace: BorrowedFd<'_>,
    ) -> Result<u32> {
        self.veth(name, peer, Some(namespace))
    }

    /// Makes a bridge; gives its index.
    pub fn create_bridge(&self, name: &str) -> Result<u32> {
        self.create(name, InfoKind::Bridge, None, None)
    }

    /// Makes a macvlan on the interface `lower`; gives its index.
    pub fn create_macvlan(&self, name: &str, lower: u32, mode: MacvlanMode) -> Result<u32> {
        let mode = match mode {
            MacvlanMode::Private => MacVlanMode::Private,
            MacvlanMode::Bridge => MacVlanMode::Bridge,
            MacvlanMode::Vepa => MacVlanMode::Vepa,
            MacvlanMode::Passthru => MacVlanMode::Passthrough,
        };
        self.create(
            name,
            InfoKind::MacVlan,
            Some(InfoData::MacVlan(vec![InfoMacVlan::Mode(mode)])),
            Some(lower),
        )
    }

    /// Makes an ipvlan on the interface `lower`; gives its index. EOPNOTSUPP where the kernel has none.
    pub fn create_ipvlan(&self, name: &str, lower: u32) -> Result<u32> {
        self.create(name, InfoKind::IpVlan, None, Some(lower))
    }

    /// Whether a bridge sends multicast only to the ports whose IGMP and MLD reports asked for it. It then also asks for reports
    /// itself (only in IPv4, unless it has an IPv6 address), since without anybody who asks it would flood all the same.
    pub fn set_multicast_snooping(&self, bridge: u32, yes: bool) -> Result<()> {
        // In hundredths of a second: it begins to hold back so long after it has begun to ask.
        self.set_bridge(bridge, vec![InfoBridge::MulticastQueryResponseInterval(10)])?;
        self.set_bridge(
            bridge,
            vec![
                InfoBridge::MulticastQuerier(yes),
                InfoBridge::MulticastSnooping(yes),
            ],
        )
    }

    /// Has a bridge forget at once behind which port an Ethernet address is: a hub, which brings everything everywhere.
    pub fn make_hub(&self, bridge: u32) -> Result<()> {
        self.set_bridge(bridge, vec![InfoBridge::AgeingTime(0)])
    }

    fn set_bridge(&self, bridge: u32, options: Vec<InfoBridge>) -> Result<()> {
        let mut request = about(bridge);
        let info = vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(options)),
        ];
        request.attributes.push(LinkAttribute::LinkInfo(info));
        self.ask("set up", numbered(bridge), &Rtm::NewLink(request), 0)
            .map(drop)
    }

    /// Removes an interface. It is gone when this returns.
    pub fn delete(&self, index: u32) -> Result<()> {
        self.ask("delete", numbered(index), &Rtm::DelLink(about(index)), 0)
            .map(drop)
    }

    /// Removes all interfaces of a link group in one request (T26). One that cannot be removed fails the whole request;
    /// an empty group is `ENODEV`.
    pub fn delete_group(&self, group: u32) -> Result<()> {
        let mut request = LinkMessage::default();
        request.attributes.push(LinkAttribute::Group(group));
        self.ask("delete group", group.to_string(), &Rtm::DelLink(request), 0)
            .map(drop)
    }

    /// Sets or clears IFF_UP.
    pub fn set_up(&self, index: u32, up: bool) -> Result<()> {
        let mut request = about(index);
        request.header.change_mask = LinkFlags::Up;
        request.header.flags = if up {
            LinkFlags::Up
        } else {
            LinkFlags::empty()
        };
        self.ask(
            if up { "bring up" } else { "bring down" },
            numbered(index),
            &Rtm::SetLink(request),
            0,
        )
        .map(drop)
    }

    /// Sets the Ethernet address.
    pub fn set_mac(&self, index: u32, mac: MacAddr) -> Result<()> {
        self.set(
            "set address of",
            index,
            LinkAttribute::Address(mac.0.to_vec()),
        )
    }

    /// Sets the MTU, in bytes.
    pub fn set_mtu(&self, index: u32, mtu: u32) -> Result<()> {
        self.set("set MTU of", index, LinkAttribute::Mtu(mtu))
    }

    /// Makes it a port of a bridge, or of none.
    pub fn set_master(&self, index: u32, master: Option<u32>) -> Result<()> {
        self.set(
            "set bridge of",
            index,
            LinkAttribute::Controller(master.unwrap_or(0)),
        )
    }

    /// Puts it into a link group.
    pub fn set_group(&self, index: u32, group: u32) -> Result<()> {
        self.set("set group of", index, LinkAttribute::Group(group))
    }

    /// Moves it to another namespace, where it may get another index.
    pub fn set_netns(&self, index: u32, namespace: BorrowedFd<'_>) -> Result<()> {
        self.set("move", index, LinkAttribute::NetNsFd(namespace.as_raw_fd()))
    }

    /// Gives it another name.
    pub fn rename(&self, index: u32, name: &str) -> Result<()> {
        check_name("rename", name)?;
        self.set("rename", index, LinkAttribute::IfName(name.to_owned()))
    }

    fn set(&self, op: &'static str, index: u32, attribute: LinkAttribute) -> Result<()> {
        let mut request = about(index);
        request.attributes.push(attribute);
        self.ask(op, numbered(index), &Rtm::SetLink(request), 0)
            .map(drop)
    }

    fn one_link(&self, what: &str, mut request: LinkMessage) -> Result<Option<Link>> {
        request
            .attributes
            .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        match self.ask("find interface", what, &Rtm::GetLink(request), 0) {
            Ok(answers) => Ok(answers.iter().find_map(link_in)),
            Err(error) if error.errno() == libc::ENODEV => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn veth(&self, name: &str, peer: &str, namespace: Option<BorrowedFd<'_>>) -> Result<u32> {
        check_name("create", peer)?;
        let mut other = LinkMessage::default();
        other
            .attributes
            .push(LinkAttribute::IfName(peer.to_owned()));
        other
            .attributes
            .extend(namespace.map(|fd| LinkAttribute::NetNsFd(fd.as_raw_fd())));
        self.create(
            name,
            InfoKind::Veth,
            Some(InfoData::Veth(InfoVeth::Peer(other))),
            None,
        )
    }

    fn create(
        &self,
        name: &str,
        kind: InfoKind,
        data: Option<InfoData>,
        lower: Option<u32>,
    ) -> Result<u32> {
        check_name("create", name)?;
        let mut info = vec![LinkInfo::Kind(kind)];
        info.extend(data.map(LinkInfo::Data));
        let mut request = LinkMessage::default();
        request
            .attributes
            .push(LinkAttribute::IfName(name.to_owned()));
        request.attributes.extend(lower.map(LinkAttribute::Link));
        request.attributes.push(LinkAttribute::LinkInfo(info));
        self.ask(
            "create",
            name,
            &Rtm::NewLink(request),
            NLM_F_CREATE | NLM_F_EXCL,
        )?;
        let made = self
            .link(name)?
            .ok_or_else(|| Error::new("create", name, Errno::ENODEV))?;
        Ok(made.index)
    }
}

/// What all interfaces are asked with: no statistics, which make most of an answer.
pub(in crate::linux) fn all_links() -> LinkMessage {
    let mut request = LinkMessage::default();
    request
        .attributes
        .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    request
}

/// Reads an interface out of its message.
pub(in crate::linux) fn link_of(message: &LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mac: MacAddr::ZERO,
        mtu: 0,
        flags: flags.bits(),
        up: flags.contains(LinkFlags::Up),
        running: flags.contains(LinkFlags::Running),
        lower_up: flags.contains(LinkFlags::LowerUp),
        kind: None,
        group: 0,
        loopback: flags.contains(LinkFlags::Loopback),
        ethernet: message.header.link_layer_type == LinkLayerType::Ether,
        master: None,
        table: None,
        lower: None,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) => link.mac = mac_of(bytes).unwrap_or_default(),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Group(group) => link.group = *group,
            LinkAttribute::Controller(master) => link.master = Some(*master),
            LinkAttribute::Link(lower) => link.lower = Some(*lower),
            LinkAttribute::LinkInfo(info) => {
                link.kind = info.iter().find_map(|item| match item {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
                link.table = info.iter().find_map(|item| match item {
                    LinkInfo::Data(InfoData::Vrf(vrf)) => vrf.iter().find_map(|item| match item {
                        InfoVrf::TableId(table) => Some(*table),
                        _ => None,
                    }),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    link
}

/// An Ethernet address out of an attribute of any length.
pub(super) fn mac_of(bytes: &[u8]) -> Option<MacAddr> {
    <[u8; 6]>::try_from(bytes).ok().map(MacAddr)
}

/// How an interface is called in an error when only its index is known.
pub(super) fn numbered(index: u32) -> String {
    format!("interface {index}")
}

fn link_in(answer: &Rtm) -> Option<Link> {
    match answer {
        Rtm::NewLink(message) => Some(link_of(message)),
        _ => None,
    }
}

fn about(index: u32) -> LinkMessage {
    let mut request = LinkMessage::default();
    request.header.index = index;
    request
}

/// The kernel would make its own out of an empty name, and expand a `%d`.
fn check_name(op: &'static str, name: &str) -> Result<()> {
    let errno = match name {
        "" | "." | ".." => Errno::EINVAL,
        _ if name.len() > NAME_MAX => Errno::ENAMETOOLONG,
        _ if name.contains(|c: char| {
            c == '/' || c == ':' || c == '%' || c == '\0' || c.is_ascii_whitespace()
        }) =>
        {
            Errno::EINVAL
        }
        _ => return Ok(()),
    };
    Err(Error::new(op, name, errno))
}
