//! The evidence: the production state machines in worlds where nothing is left to chance.

pub mod exhaust;
