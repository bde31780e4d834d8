//! Connections between members: who dials, and how both sides look who is there.

pub mod dialling;
pub mod greeting;
pub mod joining;
mod own;
