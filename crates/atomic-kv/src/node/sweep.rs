//! Expiring what nobody reads (rule E4): the shell around the sweeper of the first event loop ([`::node::sweep`]), which decides. Looks at the
//! store that may wait for the disk are done elsewhere.

use super::database::ReplicaStore;
use super::shard::{Machine, Shard};
use super::supervise;
use ::node::sweep::{Config, Deadlines, Found};
use abd::{Deadline, Moment};
use std::rc::Rc;
use store::{DatabaseError, Due};

impl Deadlines for ReplicaStore {
    type Error = DatabaseError;

    fn soonest(&self) -> Deadline {
        self.versions.soonest_deadline()
    }

    fn forget(&self) {
        self.versions.forget_deadlines();
    }

    fn due(
        &self,
        after: Option<&[u8]>,
        moment: Moment,
        at_most: usize,
        bytes_max: usize,
    ) -> Result<Found, DatabaseError> {
        let Due { due, soonest, last, keys } =
            self.versions.due(after, moment, at_most, bytes_max).inspect_err(cannot_read)?;
        Ok(Found { due, soonest, last, keys })
    }
}

/// It is told where it is noticed, too, and ends the node if it is for good.
fn cannot_read(why: &DatabaseError) {
    tracing::debug!(%why, "the sweeper cannot read this node's own store now");
}

/// Sweeps from when this node may begin operations until it stops.
pub(crate) async fn keep_sweeping(shard: Rc<Shard>) {
    shard.membership.wait_to_begin().await;
    let now = shard.now();
    shard.with(|machine| machine.begin_sweeping(Config::default(), now));
    let mut stops = std::pin::pin!(shard.membership.wait_to_stop());
    loop {
        tokio::select! {
            biased;
            () = &mut stops => break,
            () = shard.sweeps.wait() => {}
        }
        let Some(look) = shard.with(Machine::poll_look) else { continue };
        let disk = shard.disk.clone();
        let found = supervise::blocking(move || look.carry_out(&disk.store)).await;
        let now = shard.now();
        shard.with(|machine| machine.handle_swept(found, now));
    }
    shard.with(Machine::stop_sweeping);
}
