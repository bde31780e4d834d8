//! Real processes on loopback: started, asked, killed, paused, restarted, cut off.
//!
//! One binary, so that the tests share the machine well; a module for each kind of promise. Nothing here measures
//! time: what must happen is waited for, and what clients saw is judged.

#![expect(clippy::disallowed_methods, reason = "tests wait, on threads of their own")]

mod acceptances;
mod addresses;
mod changes;
mod clients;
mod commands;
mod configurations;
mod crashes;
mod damage;
mod disks;
mod expiry;
mod formats;
mod healing;
mod identity;
mod info;
mod intruders;
mod keys;
mod keyspace;
mod limits;
mod loops;
mod members;
mod network;
mod operating;
mod operators;
mod outcomes;
mod parts;
mod questions;
mod races;
mod releases;
mod repair;
mod scripts;
mod stopping;
mod support;
mod surroundings;
mod tools;
mod transactions;
mod updates;
mod usage;
mod verify;
mod versions;
