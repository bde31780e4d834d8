//! Small worlds, whole: every state that the production machines can reach in a tiny cluster.

mod hash;
mod history;
mod machines;
mod narrate;
mod report;
mod rows;
mod scenario;
mod search;
mod symmetry;
mod values;
mod world;

pub use report::command;
pub use rows::{Expected, Row, rows};
pub use search::{CounterExample, Finding, Violation};
