//! What sockets and descriptors of a node have in common.

use crate::config::Settings;
use crate::fatal::Fatal;
use ::node::client::descriptors;
use rustix::net::{listen, sockopt};
use rustix::process::{Resource, getrlimit};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// After so long a silence a connection is asked whether its other side is there: Redis' `tcp-keepalive`.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(300);
/// It is asked so often, and all of it takes as long again.
const PROBES: u32 = 3;

/// Has as many connections wait to be accepted as the system allows, and those that are accepted be asked after a while
/// whether their clients are still there: what vanishes without a word would stay for ever.
pub(super) fn prepare(listener: &impl AsFd) -> io::Result<()> {
    // The system takes what it allows.
    listen(listener, i32::MAX)?;
    // Accepted sockets inherit these.
    sockopt::set_socket_keepalive(listener, true)?;
    sockopt::set_tcp_keepidle(listener, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(listener, KEEPALIVE / PROBES)?;
    sockopt::set_tcp_keepcnt(listener, PROBES)?;
    Ok(())
}

/// How many files and connections this process may have open.
pub(crate) fn descriptor_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Lowers the number of clients to what so many members leave of the descriptors.
///
/// # Errors
/// Exit code 2 when nothing is.
pub(super) fn limit_clients(settings: &mut Settings, members: usize) -> Result<(), Fatal> {
    let (limit, wanted) = (descriptor_limit(), settings.max_clients);
    let left = descriptors::clients(wanted, limit, members, settings.threads);
    settings.max_clients = left.ok_or_else(|| {
        Fatal::usage(format!(
            "this process may have {limit} files open, which leaves none for clients; raise the limit (ulimit -n, or \
             LimitNOFILE= of systemd)"
        ))
    })?;
    if settings.max_clients < wanted {
        tracing::warn!(
            wanted,
            clients = settings.max_clients,
            open_files = limit,
            "fewer clients than --max-clients: the limit of open files leaves no more; raise it (ulimit -n) or lower \
             --max-clients"
        );
    }
    Ok(())
}
