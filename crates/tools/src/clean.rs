//! The end of a tool that has written keys: they are deleted again.

use crate::resp::{Client, Response};
use std::time::{Duration, Instant};

/// Keys of one command: as many as a node carries out at a time.
const KEYS_AT_ONCE: usize = 1024;
/// Deleting goes on as long as some keys were deleted in this time.
const PATIENCE: Duration = Duration::from_secs(15);
/// Pause before the next attempt after a failure.
const PAUSE: Duration = Duration::from_millis(100);

/// Deletes keys through one node, or the next one when it fails. `progress` is told how many are done.
///
/// # Errors
/// Why the last attempt failed, and how many keys were not deleted for certain.
pub(crate) fn delete(
    addresses: &[String],
    keys: &mut dyn Iterator<Item = Vec<u8>>,
    progress: &mut dyn FnMut(u64),
) -> Result<(), String> {
    let (mut turn, mut client, mut done) = (0, None, 0);
    loop {
        let batch: Vec<Vec<u8>> = keys.take(KEYS_AT_ONCE).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let command: Vec<&[u8]> =
            std::iter::once(&b"DEL"[..]).chain(batch.iter().map(Vec::as_slice)).collect();
        let began = Instant::now();
        // It may be sent twice: nobody else writes these keys.
        while let Err(why) = attempt(addresses, turn, &mut client, &command) {
            if began.elapsed() > PATIENCE {
                let left = batch.len() + keys.count();
                return Err(format!("{left} keys are left in the cluster ({why})"));
            }
            client = None;
            turn += 1;
            #[expect(clippy::disallowed_methods, reason = "no event loop runs here")]
            std::thread::sleep(PAUSE);
        }
        done += batch.len() as u64;
        progress(done);
    }
}

fn attempt(
    addresses: &[String],
    turn: usize,
    client: &mut Option<Client>,
    command: &[&[u8]],
) -> Result<(), String> {
    let address = &addresses[turn % addresses.len()];
    let answered = match client {
        Some(client) => client.call(command),
        None => Client::connect(address).and_then(|connected| client.insert(connected).call(command)),
    };
    match answered {
        Ok(Response::Integer(_)) => Ok(()),
        Ok(Response::Error(why)) => Err(format!("{address}: {why}")),
        Ok(other) => Err(format!("{address} answered {other:?}")),
        Err(why) => Err(format!("{address}: {why}")),
    }
}
