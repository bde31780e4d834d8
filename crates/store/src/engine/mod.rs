//! The engines below the multi-version layer.

pub mod disk;
mod failure;
mod journal;
pub mod memory;
mod merge;
pub mod snapshot;
mod tables;
mod watermark;
mod workers;
