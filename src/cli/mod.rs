//! Front ends: words in, text out; must not know how the daemon works.
