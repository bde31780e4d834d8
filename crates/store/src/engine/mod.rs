//! The engines below the multi-version layer.

pub mod disk;
mod failure;
mod journal;
mod large;
mod lost;
pub mod memory;
mod memtable;
mod merge;
pub mod snapshot;
mod strays;
mod tables;
mod view;
pub mod watermark;
mod workers;
mod writeback;

pub use failure::catches_panics;
pub use tables::LOG_FILTER;
