//! How coordinators behave, in the process as in the simulator.

use crate::configuration::Configuration;
use abd::{Config, NodeId, PAUSE, Replica, Scope};
use bytes::Bytes;
use core::num::NonZeroU64;
use core::time::Duration;

/// A query phase that a bare majority has not answered by then asks everybody.
const HEDGE_AFTER: Duration = Duration::from_millis(10);
/// How old knowledge of how near a member is may become.
const PROBE_AFTER: Duration = Duration::from_millis(50);
/// Long enough that most of what is in flight at any time asks the same members.
const ROTATE_AFTER: NonZeroU64 = NonZeroU64::new(256).unwrap();
/// First pause before an unanswered call is sent again.
const RESEND_AFTER: Duration = Duration::from_millis(100);
/// A version may lie this far in a replica's future, no further (PROTOCOL section 1).
const MAX_FUTURE: Duration = Duration::from_secs(60);
/// What every replica has in common, whatever the configuration: enough to look something up.
pub const REPLICA: Replica =
    Replica { scope: Scope::FIRST, configuration: Bytes::new(), max_future: Some(MAX_FUTURE) };

/// The replica of a node that serves a configuration.
pub fn replica(configuration: &Configuration) -> Replica {
    Replica { scope: configuration.scope, configuration: configuration.encoded(), ..REPLICA }
}

/// Of a node's coordinators.
pub fn coordinator_config(local: NodeId, configuration: &Configuration) -> Config {
    Config {
        local,
        quorums: configuration.quorums(),
        mode: configuration.timestamps,
        hedge_after: HEDGE_AFTER,
        rotate_after: ROTATE_AFTER,
        probe_after: Some(PROBE_AFTER),
        resend_after: RESEND_AFTER,
        pause: PAUSE,
    }
}
