//! What the fuzzers run: one function for each kind of bytes that come from outside.
//!
//! Each takes any bytes and panics when a promise is broken: that nothing crashes, and what its own comment says
//! beyond that. Two drivers feed them. `cargo fuzz` (folder `fuzz`, nightly Rust) searches for hours, guided by
//! coverage; the smoke test of this crate mutates a small corpus with a fixed seed, in seconds, on any Rust, with every
//! run of the test suite.

mod frames;
mod histories;
mod keys;
mod resp;

pub use frames::frames;
pub use histories::histories;
pub use keys::keys;
pub use resp::resp;

/// A target: any bytes, no result.
pub type Target = fn(&[u8]);

/// All targets by the names they have under `cargo fuzz`.
pub const TARGETS: [(&str, Target); 4] =
    [("frames", frames), ("resp", resp), ("keys", keys), ("histories", histories)];
