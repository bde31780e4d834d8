//! Clients: what they may hold of a node, whose turn it is, how long they are waited for.

pub mod budget;
pub mod descriptors;
pub mod patience;
pub mod turns;
