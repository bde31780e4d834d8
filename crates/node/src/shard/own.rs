//! The own replica: a call, not a message. A request is answered from memory now, from the disk here or elsewhere, or when
//! its write is durable.

use super::{Environment, ReplyTo, Return, Shard, configuring};
use crate::lanes::lane::LaneKey;
use abd::{
    Ballot, CallId, Glimpse, Instant, Newest, Reaction, Refusal, Reply, Request, Scope, Unanswered, Version,
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
        Ok(Newest::of(self.newest_above(key, Version::MIN)?))
    }

    fn newest_above(&self, key: &[u8], have: Version) -> Result<Glimpse, OnDisk> {
        self.0.remembered_above(key, have).ok_or(OnDisk)
    }

    fn mark(&self) -> Ballot {
        self.0.mark()
    }
}

/// What has become of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// It is answered.
    Replied(Reply),
    /// Its reply waits for a write to become durable.
    Queued,
    /// It waits for somebody to look something up, or for its configuration.
    HandedOver,
}

impl Served {
    /// The reply, if it is there.
    pub fn reply(self) -> Option<Reply> {
        match self {
            Self::Replied(reply) => Some(reply),
            Self::Queued | Self::HandedOver => None,
        }
    }

    /// From what [`Environment`] says to something that is to be queued.
    fn or_refused(self, queued: Result<(), Reply>) -> Self {
        queued.map_or_else(Self::Replied, |()| self)
    }
}

impl<E: Environment, R: Return> Shard<E, R> {
    /// Answers one request of the Replica service; or queues it for the disk, and its reply comes later. `scope`: to which
    /// configuration it belongs. `deadline`: when nobody waits for the answer any more.
    pub fn serve(&mut self, scope: Scope, request: Request, to: ReplyTo, deadline: Instant) -> Served {
        let reply = match self.replica.judge_scope(scope) {
            None => return self.serve_own(request, to, Some(deadline)),
            Some(reply) => reply,
        };
        if reply == Reply::Refused(Refusal::OtherConfiguration)
            && self.keep_early(scope, request, to, deadline).is_none()
        {
            return Served::HandedOver;
        }
        Served::Replied(reply)
    }

    /// Answers one request of this configuration. It is handed over only if there is a deadline.
    pub(super) fn serve_own(&mut self, request: Request, to: ReplyTo, deadline: Option<Instant>) -> Served {
        let environment = &self.environment;
        // Asked at most once, and only if something is not in memory.
        let hands_over = || deadline.filter(|_| environment.hands_over());
        if request.is_read() {
            return self.look(request, to, hands_over);
        }
        let configuration = configuring::decided(&request);
        let served = self.change(request, to, hands_over);
        if configuration.is_some() {
            self.configuring.notice(configuration);
        }
        served
    }

    /// Where a reply goes that has to wait.
    pub(super) fn to(&self, lane: Option<LaneKey>, call: CallId) -> ReplyTo {
        ReplyTo { lane, call, epoch: self.replica.scope.epoch }
    }

    /// Whether what was looked up before is an answer in this epoch (rule C1): no event loop of this node serves a newer one.
    pub(super) fn answers_in(&self, epoch: u32) -> bool {
        epoch == self.replica.scope.epoch && epoch == self.environment.served_epoch()
    }

    /// Looks first, and then whether that counts: the thread may have waited in between.
    fn look(&self, question: Request, to: ReplyTo, hands_over: impl FnOnce() -> Option<Instant>) -> Served {
        let served = self.look_up(question, to, hands_over);
        match served {
            Served::Replied(_) if !self.answers_in(to.epoch) => {
                Served::Replied(Reply::Refused(Refusal::OtherConfiguration))
            }
            served => served,
        }
    }

    fn look_up(
        &self,
        question: Request,
        to: ReplyTo,
        hands_over: impl FnOnce() -> Option<Instant>,
    ) -> Served {
        let environment = &self.environment;
        let (standing, store) = (environment.standing(), environment.store());
        match self.replica.try_read(&InMemory(&*store), question, standing) {
            Ok(reply) => Served::Replied(reply),
            Err(Unanswered { request, why: OnDisk }) => match hands_over() {
                Some(deadline) => Served::HandedOver.or_refused(environment.ask_disk(request, to, deadline)),
                None => {
                    let look = || self.replica.read(&*store, request, standing);
                    Served::Replied(environment.look_here(look))
                }
            },
        }
    }

    /// One change of a key after the other: what is decided about it is queued for the disk before the next one is.
    fn change(&self, request: Request, to: ReplyTo, hands_over: impl FnOnce() -> Option<Instant>) -> Served {
        let environment = &self.environment;
        let (standing, latest) = (environment.standing(), environment.horizon());
        let key = request.key().clone();
        environment.acceptor(&key, |acceptor| {
            // What is known of a write stays true if it is not stored here.
            let before = request.ends_with_its_phase().then(|| acceptor.before(&key));
            let reaction = {
                let store = environment.store();
                match self.replica.try_change(&InMemory(&*store), acceptor, request, standing, latest) {
                    Ok(reaction) => reaction,
                    Err(Unanswered { request, why: OnDisk }) => match hands_over() {
                        Some(deadline) => {
                            let asked = environment.ask_disk(request, to, deadline);
                            return Served::HandedOver.or_refused(asked);
                        }
                        None => environment
                            .look_here(|| self.replica.handle(&*store, acceptor, request, standing, latest)),
                    },
                }
            };
            match reaction {
                Reaction::Reply(reply) => Served::Replied(reply),
                Reaction::Commit { unit, reply } => match environment.commit(unit, reply, to) {
                    Ok(()) => Served::Queued,
                    Err(refusal) => {
                        if let Some(before) = before {
                            acceptor.undo(&key, before);
                        }
                        Served::Replied(refusal)
                    }
                },
            }
        })
    }
}
