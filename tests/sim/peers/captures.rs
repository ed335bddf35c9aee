//! The models against captures of the systems themselves.
