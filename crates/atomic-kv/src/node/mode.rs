//! A change of how timestamps are chosen (PROTOCOL 3.7).

use super::database::ReplicaStore;
use crate::config::Settings;
use crate::fatal::Fatal;
use crate::identity::DataDir;
use abd::{IntervalClock, TimestampMode};
use std::time::Duration;

/// How often the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until the mode of the settings may be used, and remembers it durably then: a node that ends while it waits waits
/// again.
///
/// A write of TrueTime must get a later time than whatever was answered before, and nobody waited for times in logical mode.
/// So a node meets nobody before its clock has certainly passed every time in its store. What was answered is in the
/// stores of a majority, and a node begins nothing before it has met a majority: so whoever issues a time knows that true time
/// has passed all that was answered. That holds whatever clocks the others had.
///
/// # Errors
/// Exit code 1 when the store cannot be read or the directory not be written.
pub(super) fn enter(
    settings: &Settings,
    identity: &DataDir,
    store: &ReplicaStore,
    clock: Option<&(dyn IntervalClock + Send + Sync)>,
) -> Result<(), Fatal> {
    if identity.identity().timestamps == settings.timestamps_name() {
        return Ok(());
    }
    if settings.timestamps == TimestampMode::TrueTime
        && let Some(clock) = clock
    {
        let largest = store
            .largest_time()
            .map_err(|why| Fatal::runtime(format!("cannot look at the times of what is stored: {why}")))?;
        wait_until_past(largest, clock);
    }
    identity
        .set_timestamps(settings.timestamps_name())
        .map_err(|why| Fatal::runtime(format!("cannot write down how timestamps are chosen: {why}")))
}

fn wait_until_past(time: u64, clock: &(dyn IntervalClock + Send + Sync)) {
    let mut told = false;
    // An unknown clock has not passed anything; it may be known again.
    while !clock.now().is_ok_and(|interval| interval.earliest > time) {
        if !told {
            let ahead = clock.now().map_or_else(
                |why| why.to_string(),
                |interval| format!("{:?}", Duration::from_nanos(time.saturating_sub(interval.earliest))),
            );
            tracing::info!(
                ahead,
                "timestamps are chosen by the clock from now on; waiting until it has passed all that is stored"
            );
            told = true;
        }
        #[expect(clippy::disallowed_methods, reason = "no event loop has begun")]
        std::thread::sleep(LOOK_EVERY);
    }
}
