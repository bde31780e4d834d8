//! Asking one node after the other. Every command about members may be repeated, so the next node is asked whatever has become of
//! the last attempt, unless that was a refusal.

use crate::resp::{Client, Response};
use std::time::Duration;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// A node has decided that it is not done.
    Refused(String),
    /// No node could say anything.
    Undecided(String),
}

/// The text that a node answers. `first` is where is asked first; it is where was answered then.
pub(super) fn ask(
    addresses: &[String],
    first: &mut usize,
    command: &[&[u8]],
    patience: Duration,
) -> Result<String, Unanswered> {
    let (mut tried, mut unknown) = (Vec::new(), 0);
    for turn in 0..addresses.len() {
        let place = (*first + turn) % addresses.len();
        let address = &addresses[place];
        let answer = Client::connect_with(address, patience).and_then(|mut client| client.call(command));
        match answer {
            Ok(Response::Bulk(Some(text))) => {
                *first = place;
                return Ok(String::from_utf8_lossy(&text).into_owned());
            }
            Ok(Response::Error(text)) => match text.strip_prefix("REFUSED ") {
                Some(why) => return Err(Unanswered::Refused(why.to_owned())),
                None => {
                    unknown += usize::from(text.starts_with("ERR unknown"));
                    tried.push(format!("{address}: {text}"));
                }
            },
            Ok(other) => tried.push(format!("{address} answered {other:?}")),
            Err(why) => tried.push(format!("{address}: {why}")),
        }
    }
    let tried = tried.join("; ");
    if unknown == addresses.len() {
        return Err(Unanswered::Refused(format!(
            "these nodes run a release that does not know the command ({tried})"
        )));
    }
    Err(Unanswered::Undecided(format!("no node could say anything ({tried}); repeat it")))
}
