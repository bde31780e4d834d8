//! `get`, `set` and `del`.

use super::client::{Answer, Client};
use crate::fatal::Fatal;
use std::io::Write;

/// Prints a key's value.
///
/// # Errors
/// When there is none, no node can be reached, or the cluster cannot answer.
pub fn get(addresses: &[String], key: &str) -> Result<(), Fatal> {
    match ask(addresses, &[b"GET", key.as_bytes()])? {
        Answer::Bulk(Some(value)) => {
            let mut out = std::io::stdout().lock();
            out.write_all(&value)
                .and_then(|()| out.write_all(b"\n"))
                .map_err(|why| Fatal::runtime(format!("cannot print: {why}")))
        }
        Answer::Bulk(None) => Err(Fatal::runtime(format!("there is no key {key:?}"))),
        other => Err(unexpected(other)),
    }
}

/// Gives a key a value.
///
/// # Errors
/// When no node can be reached, or the outcome is unknown or a refusal.
pub fn set(addresses: &[String], key: &str, value: &str) -> Result<(), Fatal> {
    match ask(addresses, &[b"SET", key.as_bytes(), value.as_bytes()])? {
        Answer::Simple(text) => {
            println!("{text}");
            Ok(())
        }
        other => Err(unexpected(other)),
    }
}

/// Deletes a key; prints how many were seen present.
///
/// # Errors
/// As [`set`].
pub fn del(addresses: &[String], key: &str) -> Result<(), Fatal> {
    match ask(addresses, &[b"DEL", key.as_bytes()])? {
        Answer::Integer(count) => {
            println!("{count}");
            Ok(())
        }
        other => Err(unexpected(other)),
    }
}

/// Asks the first node that can be reached. Once a command was sent it is not sent to another: it may have taken
/// effect.
fn ask(addresses: &[String], command: &[&[u8]]) -> Result<Answer, Fatal> {
    let mut unreachable = Vec::new();
    for address in addresses {
        match Client::connect(address) {
            Err(why) => unreachable.push(format!("{address}: {why}")),
            Ok(mut client) => {
                return client.call(command).map_err(|why| {
                    Fatal::runtime(format!(
                        "INDETERMINATE {address} was asked and did not answer ({why}); a write may have taken effect"
                    ))
                });
            }
        }
    }
    Err(Fatal::runtime(format!("no node can be reached ({}); is the cluster running?", unreachable.join("; "))))
}

fn unexpected(answer: Answer) -> Fatal {
    match answer {
        Answer::Error(text) => Fatal::runtime(text),
        other => Fatal::runtime(format!("an unexpected answer: {other:?}")),
    }
}
