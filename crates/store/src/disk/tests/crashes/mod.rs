//! All states in which power cuts can leave the engine's own files, for short runs, and what becomes of each.
//!
//! The files are on a [`CrashingDisk`](crate::files::tests::crashing), whose head says what a power cut may do. The tables of the other
//! crate are real files: what counts of them is the list in force, so of each list a copy is kept, and a crash state has the
//! copy of its moment. From each state the engine is opened. It must have what was acknowledged by then, and may have the batch
//! that was under way, as a whole; on a disk that keeps its promises it must not refuse.
//!
//! Broken variants of the engine are told around it, by disks that break promises: a sync that does nothing is a sync that
//! was forgotten.

mod database;
mod parts;
mod run;
mod units;
