//! The engines below the multi-version layer.

pub mod disk;
mod failure;
pub mod memory;
mod merge;
pub mod snapshot;
mod watermark;
