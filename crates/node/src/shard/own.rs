//! The own replica: a call, not a message. A request is answered from memory now, from the disk here or elsewhere, or when
//! its write is durable.

use super::{Environment, ReplyTo, Return, Shard};
use abd::{
    Content, Glimpse, Instant, Newest, Reaction, Reply, Request, StampedValue, Unanswered, Version,
    VersionStore,
};

/// The part of a store that is in memory: whoever asks it never waits for the disk.
pub struct InMemory<'a, S>(pub &'a S);

/// What was asked for is not in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnDisk;

impl<S: VersionStore> VersionStore for InMemory<'_, S> {
    type Error = OnDisk;

    fn newest(&self, key: &[u8]) -> Result<Newest, OnDisk> {
        let Glimpse { version, content, durable, .. } = self.newest_above(key, Version::MIN)?;
        // A key that was never written has no content that could be above that.
        let content = content.unwrap_or(Content::Tombstone);
        Ok(Newest { stamped: StampedValue { version, content }, durable })
    }

    fn newest_above(&self, key: &[u8], have: Version) -> Result<Glimpse, OnDisk> {
        self.0.remembered_above(key, have).ok_or(OnDisk)
    }
}

impl<E: Environment, R: Return> Shard<E, R> {
    /// Answers one request of the Replica service; or queues it for the disk, and its reply comes later. `deadline`: when nobody
    /// waits for the answer any more.
    pub fn serve(&mut self, request: Request, to: ReplyTo, deadline: Instant) -> Option<Reply> {
        let environment = &self.environment;
        // The horizon is a rule of writes alone.
        let latest = if request.is_read() { 0 } else { environment.horizon() };
        let standing = environment.standing();
        let reaction = {
            let store = environment.store();
            match self.replica.try_handle(&InMemory(&*store), request, standing, latest) {
                Ok(reaction) => reaction,
                Err(Unanswered { request, why: OnDisk }) if environment.hands_over() => {
                    return environment.ask_disk(request, to, deadline).err();
                }
                Err(Unanswered { request, why: OnDisk }) => {
                    environment.look_here(|| self.replica.handle(&*store, request, standing, latest))
                }
            }
        };
        match reaction {
            Reaction::Reply(reply) => Some(reply),
            Reaction::Commit { key, stamped, reply } => environment.commit(key, stamped, reply, to).err(),
        }
    }
}
