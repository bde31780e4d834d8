//! Why the program ends without success, and with which exit code.

use std::fmt;

/// An end with one clear line for whoever started the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What the tool's help says about its exit codes.
    pub code: u8,
    /// What happened and what to do.
    pub message: String,
}

impl Failed {
    /// Something that whoever started the program can correct: exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// Something that failed: exit code 1.
    pub fn runtime(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failed {}
