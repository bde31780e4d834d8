//! The way back of what an event loop carries out.

use super::environment::Surroundings;
use abd::{Outcome, Reason};
use bytes::Bytes;
use node::change::Proposal;
use node::client::answers::WayBack;
use node::inquiry::Finding;
use node::shard::Return;
use std::rc::Rc;

/// Who waits for an operation.
pub(crate) enum To {
    /// A client.
    Client(WayBack),
    /// An operator, who wants a configuration decided.
    Operator(Box<Proposal>),
}

/// The way back of an operation.
pub(crate) struct Back {
    pub(crate) operation: usize,
    pub(crate) key: Bytes,
    pub(crate) around: Rc<Surroundings>,
    pub(crate) to: To,
    /// The mutant `expires-by-delete`: it is the Delete of a Get.
    pub(crate) deletes: bool,
}

impl Return for Back {
    fn wake(&self) {
        if let To::Client(way) = &self.to {
            way.wake();
        }
    }

    fn send(self, outcome: Outcome) {
        if let To::Operator(proposal) = &self.to {
            return self.around.decided.borrow_mut().push(proposal.decision(&outcome));
        }
        let Some((back, outcome)) = self.judged(outcome) else { return };
        let version = match outcome {
            Outcome::Written { version, .. } | Outcome::Updated { version, .. } => Some(version),
            _ => None,
        };
        let Self { operation, key, around, to, .. } = back;
        around.ended.borrow_mut().push((operation, version));
        let outcome = around.answered_alike(&key, outcome);
        let To::Client(way) = to else { unreachable!("an operator is told what was decided") };
        way.send(match outcome {
            // The mutant `drain-says-refused`.
            Outcome::Indeterminate(_) if around.lies.drain_refuses && around.stops.get() => {
                Outcome::Refused(Reason::Stopping)
            }
            outcome => outcome,
        });
    }

    fn tell(self, finding: Finding) {
        self.around.has_found.set(true);
        if let To::Client(way) = self.to {
            way.tell(finding);
        }
    }
}
