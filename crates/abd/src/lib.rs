//! Multi-writer ABD as pure state machines.
pub mod value;
pub mod version;
pub use value::{Content, Newest, StampedValue};
pub use version::{NodeId, TIME_CEILING, Timestamp, Version, VersionError};
