//! Files of a data directory.

pub mod private;
pub mod slots;
