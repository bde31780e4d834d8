//! How many files and connections a process may have open, and who gets how many of them.
//!
//! Clients are counted, so they cannot take what the node lives of: files of the database, links to its peers, and a few
//! connections over HTTP, by which an operator learns what is wrong.

/// Standard streams, event loops, listeners, timers, and what libraries keep open.
const PROCESS: u64 = 24;
/// For the files of the database there is at least this much,
const FILES_LEAST: u64 = 48;
/// and otherwise one of so many: each table is one, and so is each segment of large values.
const FILES_PART: u64 = 4;
/// Connections between two event loops of two nodes: two in each direction, as one that broke may linger.
const PER_PEER_LOOP: u64 = 4;
/// Strangers at the peers' port that have not said who they are, in one event loop.
pub const NEWCOMERS: usize = 16;
/// Connections over HTTP at a time.
pub const HTTP: usize = 16;
/// A client beyond the limit is told so, which takes a connection for a moment.
const REFUSED: u64 = 4;

/// Fewer clients than this are no service.
const CLIENTS_LEAST: u64 = 1;

/// How many clients there may be, of `wanted`, where a process may have `limit` descriptors; `None`: not one.
pub fn clients(wanted: usize, limit: u64, members: usize, event_loops: usize) -> Option<usize> {
    let peers = (members as u64).saturating_sub(1) * event_loops as u64 * PER_PEER_LOOP;
    let files = FILES_LEAST.max(limit / FILES_PART);
    let strangers = (event_loops * NEWCOMERS + HTTP) as u64;
    let set_aside = PROCESS + files + peers + strangers + REFUSED;
    let left = limit.checked_sub(set_aside).filter(|left| *left >= CLIENTS_LEAST)?;
    Some(usize::try_from(left).unwrap_or(usize::MAX).min(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_is_left() {
        assert_eq!(clients(10_000, 1 << 20, 3, 1), Some(10_000));
        assert_eq!(clients(10_000, 1024, 3, 1), Some(700));
        assert_eq!(clients(10_000, 160, 3, 1), Some(44));
        assert_eq!(clients(10, 160, 3, 1), Some(10));
        assert_eq!(clients(10_000, 64, 3, 1), None);
        assert_eq!(clients(10_000, u64::MAX, 7, 64), Some(10_000));
    }
}
