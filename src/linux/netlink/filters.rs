//! Queueing disciplines of kind clsact and ingress, and the eBPF filters in them.

use super::Netlink;
use crate::linux::bpf::Hook;
use crate::linux::{Error, Result};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage as Rtm;
use netlink_packet_route::tc::{
    TcAttribute, TcBpfFlags, TcFilterBpf, TcFilterBpfOption, TcHandle, TcMessage, TcOption,
};
use nix::errno::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Every protocol, in network order as tc has it.
const ALL: u32 = 0x0300;

/// What stands at the place where clsact goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Classifying {
    /// clsact: filters for both ways.
    Both,
    /// ingress: filters for what arrives.
    Ingress,
}

/// How one filter is told from others: its priority, handle and name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark<'a> {
    /// Lower ones run first.
    pub priority: u16,
    /// Its number among those of the same priority.
    pub handle: u32,
    /// What `tc filter show` prints.
    pub name: &'a str,
}

impl Netlink {
    /// The interfaces with a clsact or ingress qdisc.
    pub fn classifying(&self) -> Result<Vec<(u32, Classifying)>> {
        let request = Rtm::GetQueueDiscipline(TcMessage::default());
        let answers = self.ask("list qdiscs", "", &request, NLM_F_DUMP)?;
        let found = answers.into_iter().filter_map(|answer| match answer {
            Rtm::NewQueueDiscipline(message) => {
                let what = message.attributes.iter().find_map(classifying_of)?;
                Some((u32::try_from(message.header.index).ok()?, what))
            }
            _ => None,
        });
        Ok(found.collect())
    }

    /// Adds a clsact qdisc; EEXIST when it, or an ingress one, is there.
    pub fn add_clsact(&self, index: u32) -> Result<()> {
        let request = Rtm::NewQueueDiscipline(clsact(index)?);
        self.ask(
            "add clsact to",
            what(index),
            &request,
            NLM_F_CREATE | NLM_F_EXCL,
        )
        .map(drop)
    }

    /// Adds an ingress qdisc, which keeps clsact out.
    pub fn add_ingress(&self, index: u32) -> Result<()> {
        let mut message = clsact(index)?;
        message.attributes = vec![TcAttribute::Kind("ingress".to_owned())];
        self.ask(
            "add ingress to",
            what(index),
            &Rtm::NewQueueDiscipline(message),
            NLM_F_CREATE | NLM_F_EXCL,
        )
        .map(drop)
    }

    /// Removes it with all its filters.
    pub fn del_clsact(&self, index: u32) -> Result<()> {
        let request = Rtm::DelQueueDiscipline(clsact(index)?);
        self.ask("remove clsact from", what(index), &request, 0)
            .map(drop)
    }

    /// Puts a program into the qdisc, instead of a filter that bears this mark already. Its return value decides.
    pub fn put_filter(
        &self,
        index: u32,
        hook: Hook,
        mark: Mark<'_>,
        program: BorrowedFd<'_>,
    ) -> Result<()> {
        let number = u32::try_from(program.as_raw_fd()).map_err(|_| refused(index))?;
        let mut request = filter(index, hook, mark)?;
        request.attributes = vec![
            TcAttribute::Kind(TcFilterBpf::KIND.to_owned()),
            TcAttribute::Options(vec![
                TcOption::Bpf(TcFilterBpfOption::ProgFd(number)),
                TcOption::Bpf(TcFilterBpfOption::ProgName(mark.name.to_owned())),
                TcOption::Bpf(TcFilterBpfOption::Flags(TcBpfFlags::DirectAction)),
            ]),
        ];
        self.ask(
            "add filter to",
            what(index),
            &Rtm::NewTrafficFilter(request),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
        .map(drop)
    }

    /// Removes the filter of this mark; ENOENT or EINVAL when there is none.
    pub fn del_filter(&self, index: u32, hook: Hook, mark: Mark<'_>) -> Result<()> {
        let mut request = filter(index, hook, mark)?;
        request.attributes = vec![TcAttribute::Kind(TcFilterBpf::KIND.to_owned())];
        self.ask(
            "remove filter from",
            what(index),
            &Rtm::DelTrafficFilter(request),
            0,
        )
        .map(drop)
    }

    /// The names of all filters at this hook of an interface; those that are no eBPF programs have none.
    pub fn filters(&self, index: u32, hook: Hook) -> Result<Vec<(u16, u32, Option<String>)>> {
        let mut request = TcMessage::default();
        request.header.index = i32::try_from(index).map_err(|_| refused(index))?;
        request.header.parent = parent(hook);
        let answers = self.ask(
            "list filters of",
            what(index),
            &Rtm::GetTrafficFilter(request),
            NLM_F_DUMP,
        )?;
        let found = answers.into_iter().filter_map(|answer| match answer {
            // A priority alone, without a filter, is told as handle 0.
            Rtm::NewTrafficFilter(message) if u32::from(message.header.handle) != 0 => {
                let priority = u16::try_from(message.header.info >> 16).ok()?;
                let name = message.attributes.iter().find_map(name_of);
                Some((priority, u32::from(message.header.handle), name))
            }
            _ => None,
        });
        Ok(found.collect())
    }
}

fn clsact(index: u32) -> Result<TcMessage> {
    let mut message = TcMessage::default();
    message.header.index = i32::try_from(index).map_err(|_| refused(index))?;
    message.header.handle = TcHandle::from(0xffff_0000);
    message.header.parent = TcHandle::CLSACT;
    message.attributes = vec![TcAttribute::Kind("clsact".to_owned())];
    Ok(message)
}

fn filter(index: u32, hook: Hook, mark: Mark<'_>) -> Result<TcMessage> {
    let mut message = TcMessage::default();
    message.header.index = i32::try_from(index).map_err(|_| refused(index))?;
    message.header.handle = TcHandle::from(mark.handle);
    message.header.parent = parent(hook);
    message.header.info = u32::from(mark.priority) << 16 | ALL;
    Ok(message)
}

fn parent(hook: Hook) -> TcHandle {
    TcHandle {
        major: TcHandle::CLSACT.major,
        minor: match hook {
            Hook::Ingress => TcHandle::MIN_INGRESS,
            Hook::Egress => TcHandle::MIN_EGRESS,
        },
    }
}

fn classifying_of(attribute: &TcAttribute) -> Option<Classifying> {
    match attribute {
        TcAttribute::Kind(kind) if kind == "clsact" => Some(Classifying::Both),
        TcAttribute::Kind(kind) if kind == "ingress" => Some(Classifying::Ingress),
        _ => None,
    }
}

fn name_of(attribute: &TcAttribute) -> Option<String> {
    let TcAttribute::Options(options) = attribute else {
        return None;
    };
    options.iter().find_map(|option| match option {
        TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => Some(name.clone()),
        _ => None,
    })
}

fn what(index: u32) -> String {
    format!("interface {index}")
}

fn refused(index: u32) -> Error {
    Error::new("find", what(index), Errno::EINVAL)
}
