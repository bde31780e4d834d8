//! Real processes on loopback: started, asked, killed, paused, restarted.
//!
//! One binary, so that the tests share two cores well; a module for each kind of promise.

mod commands;
mod support;
