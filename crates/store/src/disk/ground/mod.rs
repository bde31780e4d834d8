//! The ground of the disk engine: what is on the disk and in memory, and how it is read.
//!
//! ```text
//! log         batches, durable before they are visible; large values stay in it
//! values      pointers to large values in the log, and the segments that they lead to
//! memtable    recent batches, by key
//! tables      sorted tables, and which of them a view looks at (lsm: the tables of another crate)
//! view        memtables over tables, as of one moment; snapshot: positions in it
//! watermark   how many batches there must be
//! ```
//! Nothing here begins anything by itself: that is what the rounds above are for.

pub(crate) mod failure;
pub(crate) mod log;
pub(crate) mod lost;
pub(crate) mod memtable;
pub(crate) mod snapshot;
pub(crate) mod strays;
pub(crate) mod tables;
pub(crate) mod values;
pub(crate) mod view;
pub(crate) mod watermark;
