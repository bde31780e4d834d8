//! A change of the configuration (rule C2 of docs/PROTOCOL.md): a function that is pinned to what the key holds, so that of two
//! drivers one wins.

use super::answer::{FunctionAnswer, FunctionError};
use super::apply::{Applied, Held};
use crate::configuration::Configuration;
use abd::Content;
use bytes::Bytes;

/// The key gets the configuration `to`, if it holds exactly `from` and `to` may follow that. An absent key holds the first one,
/// whatever that is: nobody has written it.
pub(super) fn configure(held: &mut Held, from: &Bytes, to: &Bytes) -> Result<Applied, FunctionError> {
    let wrong = |_| FunctionError::NotASuccessor;
    let before = Configuration::decode(from).map_err(wrong)?;
    match held.content.value() {
        Some(value) if value == from => {}
        None if before.is_first() => {}
        Some(other) => return Ok((FunctionAnswer::Value(other.clone()), false)),
        None => return Ok((FunctionAnswer::Null, false)),
    }
    let after = Configuration::decode(to).map_err(wrong)?;
    before.check_successor(&after).map_err(|_| FunctionError::NotASuccessor)?;
    held.change(Content::Value(to.clone()));
    Ok((FunctionAnswer::Ok, true))
}
