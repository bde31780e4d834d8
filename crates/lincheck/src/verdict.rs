//! What the judge says.

use std::fmt;

use crate::bars;
use crate::history::{History, Operation};

/// The answer about a history.
#[derive(Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Some order of all operations respects real time and the model.
    Linearizable,
    /// No order does.
    Violation(Violation),
    /// The search was cut off. This is not a pass.
    Unknown(GaveUp),
}

impl Verdict {
    /// True only for [`Verdict::Linearizable`].
    #[must_use]
    pub fn is_linearizable(&self) -> bool {
        matches!(self, Verdict::Linearizable)
    }

    /// The violation, if there is one.
    #[must_use]
    pub fn violation(&self) -> Option<&Violation> {
        match self {
            Verdict::Violation(violation) => Some(violation),
            Verdict::Linearizable | Verdict::Unknown(_) => None,
        }
    }
}

/// A verdict with the evidence for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The answer.
    pub verdict: Verdict,
    /// For each key found linearizable, an order that explains it: indices into the history, where operations of
    /// unknown outcome appear only if they must have happened.
    pub orders: Vec<(Vec<u8>, Vec<usize>)>,
    /// Every key found wrong, in the order of keys. The verdict reports the first.
    pub violations: Vec<Violation>,
    /// The keys left undecided. There may be some beside a violation: it is final, so the search then stops early.
    pub undecided: Vec<Vec<u8>>,
}

/// A key whose operations no order explains.
#[derive(Clone, PartialEq, Eq)]
pub struct Violation {
    /// The key.
    pub key: Vec<u8>,
    /// The operations that contradict each other, as indices into the history, by time of invocation. Whatever the
    /// others did, these cannot all be right.
    pub window: Vec<usize>,
    /// The operations of the window themselves, in the same order.
    pub operations: Vec<Operation>,
}

/// Where the search ran out of its allowance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GaveUp {
    /// The first key left undecided.
    pub key: Vec<u8>,
    /// How many positions were visited.
    pub limit: usize,
}

impl Violation {
    pub(crate) fn new(key: &[u8], mut window: Vec<usize>, history: &History) -> Self {
        window.sort_by_key(|&index| (history.operations[index].invoke, index));
        let operations = window.iter().map(|&index| history.operations[index].clone()).collect();
        Violation { key: key.to_vec(), window, operations }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "not linearizable: key {}", bars::text(&self.key))?;
        f.write_str(&bars::draw(&self.operations))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Linearizable => f.write_str("linearizable"),
            Verdict::Violation(violation) => violation.fmt(f),
            Verdict::Unknown(GaveUp { key, limit }) => {
                write!(f, "unknown: gave up on key {} after {limit} positions", bars::text(key))
            }
        }
    }
}

// The derived form would bury the picture in byte lists; a failed assertion should show it.
impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
