//! A linearizability checker.
//!
//! A [`History`] holds what clients saw; a [`Model`] says how one key behaves when nobody else is around. [`check`]
//! answers whether the history could have come from operations that happened one at a time, each between its
//! invocation and its return. Nothing here does I/O, reads a clock or draws a random number.
//!
//! There are three answers. [`Verdict::Violation`] carries the few operations that contradict each other and prints
//! them as bars; [`Verdict::Unknown`] means that the search was cut off and is never a pass.

mod appends;
mod bars;
mod checker;
mod compile;
mod history;
mod model;
#[cfg(test)]
mod properties;
pub mod read;
pub mod register;
mod search;
mod states;
#[cfg(test)]
mod testing;
mod transaction;
mod update;
mod updates;
mod verdict;
mod window;
mod zones;

pub use checker::{DEFAULT_LIMIT, check, check_register, judge};
pub use history::{Access, Action, History, Operation};
pub use model::Model;
pub use update::{Answer, Change, Condition, Update};
pub use verdict::{GaveUp, Judgement, Verdict, Violation};
