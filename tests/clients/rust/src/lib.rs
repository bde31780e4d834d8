//! Where the server is, as `run` says, and how to wait for what takes its time.

use std::time::{Duration, Instant};

/// The name of the master that a Sentinel is asked for.
pub const MASTER: &str = "mymaster";

/// The addresses in a variable: `KV_NODE` is what plain clients connect to, `KV_CLUSTER` where a cluster client begins,
/// `KV_SENTINEL` who is asked for the master.
///
/// # Panics
/// If `run` did not set the variable.
pub fn addresses(variable: &str) -> Vec<(String, u16)> {
    let value = std::env::var(variable).unwrap_or_else(|why| panic!("{variable}: {why}"));
    let address = |one: &str| {
        let (host, port) = one.rsplit_once(':').expect("HOST:PORT");
        (host.to_owned(), port.parse().expect("a port"))
    };
    value.split(',').map(address).collect()
}

/// The same addresses as URLs.
pub fn urls(variable: &str) -> Vec<String> {
    addresses(variable).into_iter().map(|(host, port)| format!("redis://{host}:{port}")).collect()
}

/// Waits until the condition holds.
///
/// # Panics
/// If it does not within ten seconds.
pub fn eventually(mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < end, "not within 10 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}
