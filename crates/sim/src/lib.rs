//! The world in which the production protocol and store are tried: deterministic, hostile, and judged.
//!
//! One seed is one run, to the last byte of its trace. The state machines of [`abd`], its wire format and the
//! multi-version layer of [`store`] run as they are; around them everything is made up: time, clocks, disks, the network,
//! crashes, clients. What the clients saw goes to [`lincheck`].
//!
//! Read in this order: [`plan`] (what a run is made of), [`world`] (how it goes), [`disk`] and [`clock`] (what they may
//! and may not do), [`checks`] (one file per property), [`mutant`] (known-wrong variants that must be convicted);
//! then [`exhaust`], which leaves nothing to chance: every state of tiny worlds.

pub mod checks;
pub mod clock;
pub mod directory;
pub mod disk;
pub mod exhaust;
pub mod history;
pub mod html;
pub mod mutant;
pub mod out;
pub mod plan;
pub mod rng;
pub mod run;
pub mod script;
pub mod shrink;
pub mod time;
pub mod trace;
pub mod world;
