//! The engines below the multi-version layer.

pub mod disk;
mod watermark;
pub mod memory;
