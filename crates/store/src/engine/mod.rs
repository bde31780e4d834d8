//! The engines below the multi-version layer.

pub mod disk;
mod failure;
mod merge;
pub mod memory;
pub mod snapshot;
mod watermark;
