//! A configuration on its way to take the place of another one.

use crate::configuration::{Configuration, KEY};
use crate::functions::{Function, FunctionAnswer};
use abd::{Operation, Outcome, Reason};
use alloc::vec;
use bytes::Bytes;

/// An update of the reserved key, pinned to what is in force (rule C2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// What is in force.
    pub from: Configuration,
    /// What is to be.
    pub to: Configuration,
}

/// What has become of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is decided: this is in force.
    Done(Configuration),
    /// Somebody else's was: this is in force.
    Other(Configuration),
    /// It had no effect.
    Refused(Reason),
    /// Nobody knows whether it takes effect.
    Unknown(Reason),
    /// The replicas hold something that this node does not understand, or nothing where there should be something.
    Strange,
}

impl Proposal {
    /// What is to be carried out.
    pub fn operation(&self) -> Operation {
        let function = Function::Configure { from: self.from.encoded(), to: self.to.encoded() };
        Operation::Update { key: Bytes::from_static(KEY), functions: vec![function.encode()] }
    }

    /// What its outcome says.
    pub fn decision(&self, outcome: &Outcome) -> Decision {
        let answer = match outcome {
            Outcome::Updated { answers, .. } => answers.first().map(FunctionAnswer::decode),
            Outcome::Refused(reason) => return Decision::Refused(*reason),
            Outcome::Indeterminate(reason) => return Decision::Unknown(*reason),
            Outcome::Read(_) | Outcome::Written { .. } => return Decision::Strange,
        };
        match answer {
            Some(Ok(FunctionAnswer::Ok)) => Decision::Done(self.to.clone()),
            Some(Ok(FunctionAnswer::Value(present))) => match Configuration::decode(&present) {
                // It was decided before: an attempt whose outcome nobody heard.
                Ok(present) if present == self.to => Decision::Done(present),
                Ok(present) => Decision::Other(present),
                Err(_) => Decision::Strange,
            },
            _ => Decision::Strange,
        }
    }
}

impl Decision {
    /// What is in force, if that is known.
    pub fn known(self) -> Option<Configuration> {
        match self {
            Self::Done(known) | Self::Other(known) => Some(known),
            Self::Refused(_) | Self::Unknown(_) | Self::Strange => None,
        }
    }
}
