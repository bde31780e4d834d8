//! The pure core: the claims of the papers, one by one, and thousands of random schedules.

mod delay;
mod found;
mod functions;
mod haste;
mod made;
mod messages;
mod nearness;
mod paper;
mod random;
mod support;
