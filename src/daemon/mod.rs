//! One task owns the engine: inputs in, actions out; must not know the words typed by a user.

pub mod door;
