//! What is free goes back to the system.
//!
//! The allocator keeps what is free for a while, as it may be used again; by default for ten seconds, and for as long as
//! nothing happens. What a crowd of clients has held would stay, or be held twice.

// Whose functions are called here, also where another allocator is used.
use mimalloc as _;
use std::ffi::{c_int, c_long};

/// `mi_option_purge_delay`: how long, in milliseconds, and ten times that for large pieces.
const PURGE_DELAY: c_int = 15;
const MILLISECONDS: c_long = 10;

#[allow(unsafe_code, reason = "the allocator's options have no safe wrapper")]
unsafe extern "C" {
    fn mi_option_set_default(option: c_int, value: c_long);
    fn mi_collect(force: bool);
}

/// Has the allocator keep what is free for a tenth of a second at most. Whoever sets `MIMALLOC_PURGE_DELAY` knows better.
#[allow(unsafe_code, reason = "the allocator's options have no safe wrapper")]
pub fn give_back_soon() {
    // SAFETY: it stores a number.
    unsafe { mi_option_set_default(PURGE_DELAY, MILLISECONDS) }
}

/// Gives back at once what is free. It takes time for each piece: for when much is.
#[allow(unsafe_code, reason = "the allocator has no safe wrapper for this")]
pub(crate) fn give_back() {
    // SAFETY: any thread may call it at any time.
    unsafe { mi_collect(true) }
}
