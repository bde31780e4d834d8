//! A file system for tests.

pub(crate) mod crashing;
