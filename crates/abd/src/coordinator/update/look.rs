//! A look before an Update: whether its functions would change anything. If they would not, it is a Get with an answer of its own,
//! and no promise is left behind (PROTOCOL section 5.2).

use super::super::get::Reading;
use super::super::step::{Step, updated};
use super::Member;
use crate::message::Reply;
use crate::quorum::QuorumSystem;
use crate::update::{EvaluatedOperation, Function};
use crate::version::{NodeId, Version};
use alloc::vec::Vec;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Look {
    pub(in super::super) functions: Vec<Function>,
    pub(in super::super) reading: Reading,
    /// What they come to at a version.
    evaluated: Option<(Version, EvaluatedOperation)>,
    /// The version at which they are being evaluated.
    asked: Option<Version>,
}

impl Look {
    pub(in super::super) fn new(functions: Vec<Function>) -> Self {
        Self { functions, reading: Reading::new(), evaluated: None, asked: None }
    }

    pub(in super::super) fn absorb(&mut self, quorums: &QuorumSystem, from: NodeId, reply: Reply) -> Step {
        let Reply::Read(glimpse) = reply else { return Step::Continue };
        if self.reading.absorb(from, glimpse) { self.advance(quorums) } else { Step::Continue }
    }

    /// What the functions come to at the version that was asked for.
    pub(in super::super) fn absorb_evaluated(
        &mut self,
        quorums: &QuorumSystem,
        evaluated: EvaluatedOperation,
    ) -> Step {
        let Some(version) = self.asked.take() else { return Step::Continue };
        self.evaluated = Some((version, evaluated));
        self.advance(quorums)
    }

    fn advance(&mut self, quorums: &QuorumSystem) -> Step {
        let Self { functions, reading, evaluated, asked } = self;
        let version = reading.newest.version;
        let Some((_, found)) = evaluated.take_if(|(at, _)| *at == version) else {
            if asked.is_some() {
                return Step::Continue;
            }
            *asked = Some(version);
            return Step::Evaluate(reading.newest.clone(), functions.clone());
        };
        if found.changes {
            return Step::Enqueue(reading.take(), Member::new(core::mem::take(functions)));
        }
        if quorums.is_quorum(reading.holders) {
            return Step::Settle(updated(found, version));
        }
        if quorums.is_quorum(reading.answered) {
            // Something is being changed at this moment.
            return Step::Enqueue(reading.take(), Member::new(core::mem::take(functions)));
        }
        *evaluated = Some((version, found));
        Step::AskMajority
    }
}
