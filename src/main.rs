//! Chooses a front end by name or first word; exit codes, and nothing else.

fn main() {}
