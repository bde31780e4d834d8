//! Catching up (rule R2): carries out what [`crate::repair`] decides. The node's first event loop does, over its own lanes; looks at
//! the store that may wait for the disk are handed out as a [`Look`].

use super::own::{InMemory, OnDisk};
use super::{Environment, Return, Served, Shard};
use crate::repair::Action;
use crate::repair::message::put_question;
use crate::repair::ranges::{self, Page, Range};
use crate::sync::OwnPage;
use crate::sync::source::{Records, Source, own_page};
use abd::{CallId, Newest, NodeId, Now, Request, Transmit, Version, VersionStore};
use alloc::vec::Vec;
use bytes::Bytes;

/// A look at the own store that may wait for the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Which versions there are of some keys.
    Versions {
        /// For whom.
        peer: NodeId,
        /// Which look.
        look: u64,
        /// The keys.
        keys: Vec<Bytes>,
    },
    /// A page of a range.
    Page {
        /// For whom.
        peer: NodeId,
        /// Which look.
        look: u64,
        /// The range.
        range: Range,
    },
    /// A page of what is here, for a question to a source.
    Own {
        /// Which look.
        look: u64,
        /// Behind which key the page begins.
        after: Option<Bytes>,
        /// Whether what is accepted is a part of it.
        records: bool,
    },
    /// What is to be sent to a peer.
    Newest {
        /// To whom.
        peer: NodeId,
        /// As which call.
        call: CallId,
        /// Of which key.
        key: Bytes,
    },
}

/// What a look has found; `None` in it if the store cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// By key; see [`Ranges::version`](crate::repair::ranges::Ranges::version).
    Versions(NodeId, u64, Option<Vec<Option<Version>>>),
    /// The page.
    Page(NodeId, u64, Option<Page>),
    /// What is here.
    Own(u64, Option<OwnPage>),
    /// What is to be sent.
    Newest(NodeId, CallId, Bytes, Option<Newest>),
}

impl Look {
    /// Looks, and may wait for the disk. That the store cannot be read is told by the store itself. `accepted`: what the
    /// own acceptors have accepted of a range, in memory.
    pub fn carry_out<S: Source>(self, store: &S, accepted: impl FnOnce(&Range) -> Records) -> Looked {
        match self {
            Self::Versions { peer, look, keys } => {
                let versions = keys.iter().map(|key| store.version(key)).collect::<Result<Vec<_>, _>>();
                Looked::Versions(peer, look, versions.ok())
            }
            Self::Page { peer, look, range } => {
                Looked::Page(peer, look, store.walk(&range, ranges::PAGE_KEYS, ranges::PAGE_BYTES).ok())
            }
            Self::Own { look, after, records } => Looked::Own(
                look,
                own_page(store, after, |range| if records { accepted(range) } else { Records::new() }).ok(),
            ),
            Self::Newest { peer, call, key } => {
                let newest = store.newest(&key).ok();
                Looked::Newest(peer, call, key, newest)
            }
        }
    }

    /// The same from memory alone.
    fn in_memory<S: VersionStore>(&self, store: &S) -> Result<Looked, OnDisk> {
        let memory = InMemory(store);
        Ok(match self {
            Self::Versions { peer, look, keys } => {
                let version = |key: &Bytes| Ok(Some(memory.newest_above(key, Version::MAX)?.version));
                Looked::Versions(*peer, *look, Some(keys.iter().map(version).collect::<Result<Vec<_>, _>>()?))
            }
            Self::Page { .. } | Self::Own { .. } => return Err(OnDisk),
            Self::Newest { peer, call, key } => {
                Looked::Newest(*peer, *call, key.clone(), Some(memory.newest(key)?))
            }
        })
    }
}

impl<E: Environment, R: Return> Shard<E, R> {
    /// Does one thing that repair wants done; the look that it may need is handed out.
    pub fn carry_out_repair(&mut self, action: Action, now: Now) -> Option<Look> {
        let look = match action {
            Action::LookUp { peer, look, keys } => Look::Versions { peer, look, keys },
            Action::Walk { peer, look, range } => Look::Page { peer, look, range },
            Action::Push { peer, call, key } => Look::Newest { peer, call, key },
            Action::Ask { peer, call, question } => {
                if !self.frame_to(peer, 0, |body| put_question(body, call, &question)) {
                    self.not_sent(peer, call);
                }
                return None;
            }
            Action::Fetch { peer, call, key, have } => {
                self.send_for_repair(peer, call, Request::LocalRead { key, have }, now);
                return None;
            }
            Action::Sync(action) => return self.carry_out_sync(action, now),
            Action::CatchUp { peer, call, wanted } => {
                self.want(peer, call, wanted);
                return None;
            }
            Action::Store { call, key, stamped } => {
                self.store_for_repair(call, Request::LocalWrite { key, stamped }, now);
                return None;
            }
        };
        let found = look.in_memory(&*self.environment.store());
        match found {
            Ok(looked) => {
                self.handle_looked(looked, now);
                None
            }
            Err(OnDisk) => Some(look),
        }
    }

    /// What a [`Look`] has found.
    pub fn handle_looked(&mut self, looked: Looked, now: Now) {
        match looked {
            Looked::Versions(peer, look, versions) => {
                self.environment.repair(|repair, now| repair.looked_up(peer, look, versions, now));
            }
            Looked::Page(peer, look, page) => {
                self.environment.repair(|repair, now| repair.walked(peer, look, page, now));
            }
            Looked::Own(look, page) => {
                self.environment.repair(|repair, now| repair.sync().looked(look, page, now));
            }
            Looked::Newest(peer, call, key, Some(newest)) if newest.stamped.version > Version::MIN => {
                self.send_for_repair(peer, call, Request::LocalWrite { key, stamped: newest.stamped }, now);
            }
            Looked::Newest(peer, call, ..) => self.not_sent(peer, call),
        }
    }

    /// Gives the own replica what repair has brought.
    pub(super) fn store_for_repair(&mut self, call: CallId, request: Request, now: Now) {
        let (to, deadline) = (self.to(None, call), now.instant + self.op_timeout);
        if let Served::Replied(reply) = self.serve_own(request, to, Some(deadline)) {
            let own = self.local;
            self.environment.repair(|repair, now| repair.handle_reply(own, call, reply, now));
        }
    }

    pub(super) fn send_for_repair(&mut self, to: NodeId, call: CallId, request: Request, now: Now) {
        let deadline = now.instant + self.op_timeout;
        let scope = self.replica.scope;
        self.send(Transmit { to, call, scope, deadline, request, may_wait: false, again: false }, now);
    }
}
