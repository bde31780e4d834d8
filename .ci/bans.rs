//! One use of whatever any `clippy.toml` bans; see `.ci/bans`.
#![allow(unused, reason = "it is only looked at: what is banned has to be named here, and nothing runs")]
extern crate alloc;

use std::collections::{HashMap, HashSet};
use std::hash::RandomState;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Barrier, Condvar, Mutex, RwLock};
use std::time::{Instant, SystemTime};

fn entropy(counted: alloc::rc::Rc<u8>, shared: alloc::sync::Arc<u8>) {
    alloc::rc::Rc::as_ptr(&counted);
    alloc::sync::Arc::as_ptr(&shared);
    std::thread::spawn(|| ());
    std::thread::scope(|_| ());
}

fn time() {
    Instant::now();
    SystemTime::now();
}

fn blocks() {
    std::hint::spin_loop();
    std::thread::park();
    std::thread::sleep(std::time::Duration::ZERO);
}

fn other() {
    mpsc::channel::<u8>();
    std::process::exit(0);
}
