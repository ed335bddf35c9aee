//! Classic BPF programs that decide in the kernel which frames wake us; must not know sockets or what the frames are for.
//!
//! Each program sees an Ethernet frame from the destination address on, as a packet socket of type SOCK_RAW does. All of
//! them refuse what this host sent itself and what carries a VLAN tag (T23): the kernel has moved the outer tag into the
//! frame's metadata, where only the ancillary loads see it. Priority tags (VID 0 under 0x8100) are no VLAN and pass.

use crate::wire::MacAddr;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The kernel's bound on a program, BPF_MAXINSNS in linux/bpf_common.h.
const MOST: usize = 4096;

/// A loaded byte past the end of the frame ends the program with "refuse", so lengths need no check of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) code: u16,
    pub(super) jt: u8,
    pub(super) jf: u8,
    pub(super) k: u32,
}

// linux/bpf_common.h
const LD_W: u16 = 0x20;
const LD_H: u16 = 0x28;
const LD_B: u16 = 0x30;
const AND: u16 = 0x54;
const JA: u16 = 0x05;
const JEQ: u16 = 0x15;
const JSET: u16 = 0x45;
const RET: u16 = 0x06;

// linux/filter.h: ancillary loads, SKF_AD_OFF (-0x1000) plus a field.
const PACKET_TYPE: u32 = 0xffff_f000 + 4;
const MARK: u32 = 0xffff_f000 + 20;
const VLAN_TAG: u32 = 0xffff_f000 + 44;
const VLAN_TAG_PRESENT: u32 = 0xffff_f000 + 48;
const VLAN_PROTOCOL: u32 = 0xffff_f000 + 60;

const OTHER_HOST: u32 = 3;
const OUTGOING: u32 = 4;
const ETHERTYPE: u32 = 12;
const IPV4: u32 = 0x0800;
const ARP: u32 = 0x0806;
const IPV6: u32 = 0x86dd;
const VLAN: u32 = 0x8100;
const SERVICE_VLAN: u32 = 0x88a8;
const CARP: u32 = 112;

/// Where a socket hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vantage {
    /// As frames come from the wire.
    Wire,
    /// Where they reach the host's own protocols. The kernel has forgotten their tags by then, and calls the frames of a VLAN
    /// that nobody serves another host's (T23). Programs before that have set `skb->mark`.
    Stack {
        /// Another host's, and yet to be heard: kept from those protocols.
        withheld: u32,
        /// Not to be heard: it had a tag, but of VLAN 0.
        tagged: u32,
    },
}

/// A program, and a shorter one that lets more pass, for when the kernel finds the first one too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    pub(super) program: Vec<Instruction>,
    pub(super) coarse: Vec<Instruction>,
}

impl Filter {
    /// Refuses everything.
    #[must_use]
    pub fn none() -> Self {
        let mut program = Program::default();
        program.refuse();
        Self::exact(program)
    }

    /// Lets everything pass that arrives, tagged frames too: for a capture.
    #[must_use]
    pub fn everything() -> Self {
        let mut program = Program::default();
        program.load(LD_W, PACKET_TYPE);
        program.refuse_if(OUTGOING);
        program.pass();
        Self::exact(program)
    }

    /// IP protocol 112 in IPv4 (options or not, fragments too) and IPv6. Behind IPv6 extension headers the first
    /// header's successor decides, so that MLD reports wake nobody; what is behind a second one the reader looks up.
    #[must_use]
    pub fn advertisements(from: Vantage) -> Self {
        const HOP_BY_HOP: u32 = 0;
        const ROUTING: u32 = 43;
        const FRAGMENT: u32 = 44;
        const OPTIONS: u32 = 60;
        let mut program = Program::untagged(from);
        program.section(IPV4, |ip| {
            ip.load(LD_B, 14 + 9);
            ip.pass_if(CARP);
            ip.refuse();
        });
        program.section(IPV6, |ip| {
            ip.load(LD_B, 14 + 6);
            ip.pass_if(CARP);
            for extension in [HOP_BY_HOP, OPTIONS, FRAGMENT] {
                ip.section(extension, |next| {
                    next.load(LD_B, 14 + 40);
                    for behind in [CARP, HOP_BY_HOP, ROUTING, FRAGMENT, OPTIONS] {
                        next.pass_if(behind);
                    }
                    next.refuse();
                });
            }
            ip.refuse();
        });
        program.refuse();
        Self::exact(program)
    }

    /// ARP requests for one of `v4` and neighbour solicitations for one of `v6`, whatever their Ethernet destination, and
    /// neighbour advertisements to one of `v6`, as far as its last quarter tells. With more addresses than a program can hold: all of each.
    #[must_use]
    pub fn neighbours(from: Vantage, v4: &[Ipv4Addr], v6: &[Ipv6Addr]) -> Self {
        if v4.is_empty() && v6.is_empty() {
            return Self::none();
        }
        let build = |exact: bool| {
            let mut program = Program::untagged(from);
            program.section(ARP, |arp| {
                arp.load(LD_H, 14 + 6);
                arp.refuse_unless(1);
                if exact {
                    arp.load(LD_W, 14 + 24);
                    for address in v4 {
                        arp.pass_if(address.to_bits());
                    }
                    arp.refuse();
                } else {
                    arp.pass();
                }
            });
            program.section(IPV6, |ip| {
                ip.load(LD_B, 14 + 6);
                ip.refuse_unless(58);
                ip.load(LD_B, 14 + 40);
                ip.section(136, |answer| {
                    if exact {
                        // A quarter of the address will do for the few that there are.
                        answer.load(LD_W, 14 + 24 + 12);
                        for address in v6 {
                            let [.., a, b, c, d] = address.octets();
                            answer.pass_if(u32::from_be_bytes([a, b, c, d]));
                        }
                        answer.refuse();
                    } else {
                        answer.pass();
                    }
                });
                ip.refuse_unless(135);
                if exact {
                    for address in v6 {
                        ip.pass_if_words(14 + 40 + 8, *address);
                    }
                    ip.refuse();
                } else {
                    ip.pass();
                }
            });
            program.refuse();
            program.0
        };
        Self::either(build(true), build(false))
    }

    /// Frames whose Ethernet destination is one of `macs`. With more of them than a program can hold: all unicast.
    #[must_use]
    pub fn unicast_to(macs: &[MacAddr]) -> Self {
        if macs.is_empty() {
            return Self::none();
        }
        let mut program = Program::untagged(Vantage::Wire);
        program.load(LD_W, 0);
        let mut rest: Vec<(u32, u32)> = macs.iter().map(|mac| halves(*mac)).collect();
        rest.sort_unstable();
        rest.dedup();
        for same in rest.chunk_by(|a, b| a.0 == b.0) {
            program.section(same[0].0, |low| {
                low.load(LD_H, 4);
                for (_, half) in same {
                    low.pass_if(*half);
                }
                low.refuse();
            });
        }
        program.refuse();

        let mut coarse = Program::untagged(Vantage::Wire);
        coarse.load(LD_B, 0);
        coarse.push(JSET, 0, 1, 1);
        coarse.refuse();
        coarse.pass();
        Self::either(program.0, coarse.0)
    }

    fn exact(program: Program) -> Self {
        Self {
            coarse: program.0.clone(),
            program: program.0,
        }
    }

    fn either(program: Vec<Instruction>, coarse: Vec<Instruction>) -> Self {
        let program = if program.len() > MOST {
            coarse.clone()
        } else {
            program
        };
        Self { program, coarse }
    }
}

/// The first four bytes and the last two.
fn halves(mac: MacAddr) -> (u32, u32) {
    let [a, b, c, d, e, f] = mac.0;
    (
        u32::from_be_bytes([a, b, c, d]),
        u32::from(u16::from_be_bytes([e, f])),
    )
}

/// Writes a program from front to back. Conditional jumps reach 255 instructions only: lists are chains of "equal: return",
/// and what skips a list uses the long jump.
#[derive(Debug, Default)]
struct Program(Vec<Instruction>);

impl Program {
    /// Refuses own frames and tagged ones; leaves the Ethernet type in the accumulator.
    fn untagged(from: Vantage) -> Self {
        let mut program = Self::default();
        program.load(LD_W, PACKET_TYPE);
        program.refuse_if(OUTGOING);
        if let Vantage::Stack { withheld, tagged } = from {
            program.push(JEQ, 0, 3, OTHER_HOST);
            program.load(LD_W, MARK);
            program.refuse_unless(withheld);
            program.load(LD_W, MARK);
            program.refuse_if(tagged);
        }
        program.load(LD_W, VLAN_TAG_PRESENT);
        program.push(JEQ, 7, 0, 0);
        program.load(LD_W, VLAN_TAG);
        program.push(AND, 0, 0, 0x0fff);
        program.refuse_unless(0);
        program.load(LD_W, VLAN_PROTOCOL);
        program.refuse_unless(VLAN);
        program.load(LD_H, ETHERTYPE);
        // A second tag is still in the frame.
        program.refuse_if(VLAN);
        program.refuse_if(SERVICE_VLAN);
        program
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) {
        self.0.push(Instruction { code, jt, jf, k });
    }

    fn load(&mut self, size: u16, offset: u32) {
        self.push(size, 0, 0, offset);
    }

    /// The returned number is how much of the frame is kept: all of it.
    fn pass(&mut self) {
        self.push(RET, 0, 0, u32::MAX);
    }

    fn refuse(&mut self) {
        self.push(RET, 0, 0, 0);
    }

    fn pass_if(&mut self, k: u32) {
        self.push(JEQ, 0, 1, k);
        self.pass();
    }

    fn refuse_if(&mut self, k: u32) {
        self.push(JEQ, 0, 1, k);
        self.refuse();
    }

    fn refuse_unless(&mut self, k: u32) {
        self.push(JEQ, 1, 0, k);
        self.refuse();
    }

    /// Passes when the 16 bytes at `offset` are `address`; the last word differs most often and is looked at first.
    fn pass_if_words(&mut self, offset: u32, address: Ipv6Addr) {
        let bits = address.to_bits();
        for (word, jf) in [(3u32, 7u8), (2, 5), (1, 3), (0, 1)] {
            self.load(LD_W, offset + 4 * word);
            let k = (bits >> (32 * (3 - word))) & u128::from(u32::MAX);
            self.push(JEQ, 0, jf, u32::try_from(k).expect("masked to 32 bits"));
        }
        self.pass();
    }

    /// Runs `body`, which must end in a return, when the accumulator is `k`; else goes on with the accumulator unchanged.
    fn section(&mut self, k: u32, body: impl FnOnce(&mut Self)) {
        self.push(JEQ, 1, 0, k);
        let jump = self.0.len();
        self.push(JA, 0, 0, 0);
        body(self);
        let length = self.0.len() - jump - 1;
        self.0[jump].k = u32::try_from(length).unwrap_or(u32::MAX);
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
