//! The multi-version store of a replica: versions by key, over an ordered database with atomic batches and snapshots.
//!
//! ```text
//! versions    newest, commit, scan: many versions of a key, a cache of the newest
//! ────────    database: what is asked of an engine         encoding: what the bytes of a data key and a record say
//! disk        rounds    flush, merge, collect, repair, and their threads
//!             ground    log, memtable, tables, large values, frozen views
//! memory      the same interface for tests and simulations
//! ────────
//! files       private files, slots that are written in turn
//! ```
//!
//! Each floor names only those below it (`tests/fence.rs`). Read [`database`], [`key`] and [`versions`], then [`disk`].

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests wait, on threads of their own"))]

pub mod damage;
pub mod database;
pub mod disk;
mod encoding;
pub mod files;
pub mod memory;
pub mod versions;

pub use database::{
    Change, Database, DatabaseError, DatabaseIterator, DirectoryId, HEAD_BYTES, Snapshot, WriteBatch,
};
pub use disk::{DiskDatabase, DiskOptions, LOG_FILTER, Scrub, ScrubStatus, Watermark, catches_panics};
pub use encoding::{dominated, key, space};
pub use files::{private, slots};
pub use memory::MemoryDatabase;
pub use versions::{CACHE_BYTES, Due, KeyRange, ListLimits, ListedKey, Listing, MultiVersionStore, Puts};
pub use versions::{Told, Trust, WalkLimits, Walked, WalkedPage};
