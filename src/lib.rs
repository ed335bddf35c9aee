//! carp(4) for Linux: one library behind the one executable `carp`.
//!
//! A group of machines shares an address. The MASTER advertises with HMAC-SHA1 over IP protocol 112 and answers for the
//! address with the virtual MAC 00:00:5e:00:01:vhid; a BACKUP takes over when the advertisements stop.
//!
//! # The house
//!
//! * [`time`] is an integer clock; [`wire`] turns bytes into values and back. Both are pure.
//! * [`carp`] is the protocol: frames, configuration and moments in, frames and requests out. It reads no clock and opens no
//!   socket, so a test or a simulator drives it exactly as the daemon does.
//! * [`linux`] touches the kernel and holds the only `unsafe`; it knows interfaces and bytes, no vhid and no policy.
//! * [`dataplane`] moves frames between a carpdev and its carpN interfaces, as far as the protocol's gate and lease allow.
//! * [`control`] is the language between the front ends and the daemon.
//! * [`daemon`] owns one engine and performs its actions. What needs privilege goes through one narrow door: an
//!   `Effect` out, its outcome back as an input, descriptors passed beside them.
//! * [`lab`] builds networks of namespaces for the demo and the tests; [`cli`] holds the front ends.
//!
//! `tests/layers.rs` holds this order against the `use crate::` lines of every module.
//!
//! # A frame's way
//!
//! carpdev's packet socket -> `daemon` -> [`carp::Input::Frame`] -> the engine -> [`carp::Action::Send`] -> the same socket.
//! Data for the virtual MAC never passes the engine: `dataplane` moves it, by programs in the kernel or on a thread of its own,
//! while the vhost's gate is open and its lease has not run out.

pub mod carp;
pub mod cli;
pub mod control;
pub mod daemon;
pub mod dataplane;
pub mod lab;
pub mod linux;
pub mod time;
pub mod wire;
