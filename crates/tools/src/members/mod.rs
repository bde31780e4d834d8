//! `members`, `replace`, `add`, `remove`, `move`, `abort-change`: who the members of a cluster are, and changes of them.
//!
//! A change is carried on by the cluster itself. These tools begin it, tell how it goes on, and wait for its end; so they may be
//! interrupted and repeated at any time.

mod arguments;
mod ask;
mod report;
mod run;
mod table;
#[cfg(test)]
pub(crate) mod tests;

pub use arguments::{AbortArgs, AddArgs, Asked, MembersArgs, MoveArgs, RemoveArgs, ReplaceArgs};
pub use run::{abort, add, list, relocate, remove, replace};
