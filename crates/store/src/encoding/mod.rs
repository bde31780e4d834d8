//! What the bytes of data keys and records say. The layer of versions writes them; an engine below it reads them to tell
//! which versions are dominated.

pub(crate) mod accepted;
pub mod dominated;
pub mod key;
pub(crate) mod record;
pub mod space;
