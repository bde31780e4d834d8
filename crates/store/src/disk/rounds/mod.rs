//! What goes on above the ground, in threads of its own ([`workers`]) while batches are written.
//!
//! ```text
//! flush      a full memtable becomes a synced table
//! merge      tables become fewer
//! repair     what is left of damaged tables takes their place
//! scrub      everything is read now and then, in search of damage
//! heal       what was lost and is back is forgotten
//! collect    large values still in use are written again, and their segment is given back
//! ```
//! [`upkeep::Upkeep`] is what all of them but the last share: who may change the files of tables, and what is in doubt after a failure.

pub(crate) mod collect;
mod flush;
mod heal;
mod merge;
pub(crate) mod policy;
mod repair;
pub(crate) mod scrub;
#[cfg(test)]
mod tests;
pub(crate) mod upkeep;
mod used;
pub(crate) mod workers;
