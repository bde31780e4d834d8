//! Repair: every replica gets every version in the end.

pub mod unacknowledged;
