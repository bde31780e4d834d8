//! What a script reaches beyond itself.

use bytes::Bytes;
use node::resp::{Protocol, Response};

/// What a script works on.
pub trait Keyspace {
    /// Carries out a command, as `redis.call` and `redis.pcall` do. The first argument is its name; there is one. A command that
    /// fails answers [`Response::Error`], which the script may catch. `protocol` says which kinds of replies the script wants.
    ///
    /// # Errors
    /// The script has to end; it cannot catch that.
    fn call(&mut self, arguments: Vec<Bytes>, protocol: Protocol) -> Result<Response, Stop>;

    /// Asked often while a script runs: whether it may go on.
    ///
    /// # Errors
    /// It may not.
    fn interrupt(&mut self) -> Result<(), Stop>;

    /// Whether there is a command of this name.
    fn knows(&self, command: &[u8]) -> bool;

    /// The script writes a line to the log.
    fn log(&mut self, level: LogLevel, line: &[u8]);
}

/// A script ends where it is, without a chance to catch it, and answers this error. The text begins with its code, such as `ERR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop(pub String);

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// `redis.LOG_DEBUG`.
    Debug,
    /// `redis.LOG_VERBOSE`.
    Verbose,
    /// `redis.LOG_NOTICE`.
    Notice,
    /// `redis.LOG_WARNING`.
    Warning,
}
