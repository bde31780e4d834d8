//! One small file per property. Each holds what it must remember and nothing else; the world tells them what happened.

pub mod acked;
pub mod alive;
pub mod bounded;
pub mod calm;
pub mod chosen;
pub mod configurations;
pub mod converged;
pub mod expiry;
pub mod linearizable;
pub mod monotone;
pub mod once;
pub mod strangers;
pub mod swept;
pub mod unique;
pub mod verdicts;

use std::fmt;

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conviction {
    /// Which check.
    pub check: &'static str,
    /// What it saw.
    pub text: String,
    /// The operations that contradict each other, as indices into the run's operations.
    pub operations: Vec<usize>,
}

impl Conviction {
    /// Of one check, without operations.
    pub fn new(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, text: text.into(), operations: Vec::new() }
    }
}

impl fmt::Display for Conviction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.text)
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to complain about.
    Fine,
    /// Safety is violated.
    Wrong(Conviction),
    /// An operation did not end, or a healed cluster did not serve.
    Stuck(String),
    /// The production code panicked.
    Crashed(String),
    /// The judge gave up. Never a pass.
    Undecided(String),
}

impl Verdict {
    /// Whether it speaks against the protocol.
    pub fn convicts(&self) -> bool {
        matches!(self, Self::Wrong(_) | Self::Stuck(_) | Self::Crashed(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fine => f.write_str("fine"),
            Self::Wrong(conviction) => write!(f, "wrong: {conviction}"),
            Self::Stuck(why) => write!(f, "stuck: {why}"),
            Self::Crashed(why) => write!(f, "crashed: {why}"),
            Self::Undecided(why) => write!(f, "undecided: {why}"),
        }
    }
}
