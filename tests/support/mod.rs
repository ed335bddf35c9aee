//! What the tests share: hosts in namespaces, frames, recordings.
#![allow(dead_code)]

pub mod bench;
pub mod frames;
pub mod hosts;
pub mod scene;
pub mod talk;
pub mod wire;
