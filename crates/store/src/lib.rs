//! The multi-version store of a replica: versions by key, over an ordered database with atomic batches and snapshots.
//!
//! Read [`database`] (what is asked of an engine), [`key`] (how versions become ordered bytes), [`mvcc`] (reads,
//! writes and garbage collection), then [`engine::disk`].

mod cache;
pub mod counted;
pub mod damage;
pub mod database;
pub mod engine;
pub mod garbage;
pub mod key;
pub mod mvcc;
pub mod private;
mod puts;
pub mod slots;
mod version_record;
mod walk;

pub use database::{Change, Database, DatabaseError, DatabaseIterator, HEAD_BYTES, Snapshot, WriteBatch};
pub use engine::disk::{DiskDatabase, DiskOptions};
pub use engine::memory::MemoryDatabase;
pub use engine::watermark::Watermark;
pub use engine::{LOG_FILTER, catches_panics};
pub use mvcc::{CACHE_BYTES, Fit, MultiVersionStore};
pub use puts::Puts;
pub use walk::Walked;
