//! Group commit: one batch and one sync for all that waits for a database.
//!
//! Event loops put writes into the [`Queue`], each with its reply, which is sealed (rule S1). Whoever works on the disk follows
//! the [`Rounds`]: it takes what has gathered while the last [`Batch`] was being synced, so it flushes at once when idle and
//! batches when busy; when the disk has told what fitted, the batch opens its replies. No other code does. Between batches the
//! room on the disk is looked at (rule D1), and the database tidies up.

mod batch;
mod queue;
mod rounds;

pub use batch::{Address, Batch, Opened};
pub use queue::{QUEUE_BYTES_MAX, Queue, WRITE_OVERHEAD};
pub use rounds::{LOOK_EVERY, Round, Rounds, Tidied};

#[cfg(test)]
mod tests;
