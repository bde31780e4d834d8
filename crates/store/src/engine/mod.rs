//! The engines below the multi-version layer.

pub mod disk;
pub mod memory;
mod watermark;
