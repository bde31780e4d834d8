//! `CLIENT KILL`.

use super::client::is_normal;
use super::{number, shown};
use crate::resp::command::{Call, Plan, Planned, syntax_error};
use crate::resp::listed::Listed;
use crate::resp::response::Response;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// What the connections to be closed have in common.
#[derive(Debug, Default)]
struct Filters {
    ids: Vec<u64>,
    peer: Option<String>,
    local: Option<String>,
    /// A type or a user that no connection has.
    nobody: bool,
    max_age: Duration,
}

impl Filters {
    fn fit(&self, client: &Listed, now: Duration) -> bool {
        !self.nobody
            && (self.ids.is_empty() || self.ids.contains(&client.id()))
            && self.peer.as_ref().is_none_or(|peer| *peer == client.peer)
            && self.local.as_ref().is_none_or(|local| *local == client.local)
            && client.age(now) >= self.max_age
    }
}

/// The own connection is closed after the reply.
pub(super) fn kill(call: Call<'_>) -> Planned {
    let (mut filters, mut spares_itself) = (Filters::default(), true);
    let args = &call.args[2..];
    let is_old_form = args.len() == 1;
    if let [address] = args {
        filters.peer = Some(text(address));
        spares_itself = false;
    } else {
        let (pairs, rest) = args.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(syntax_error());
        }
        for [name, value] in pairs {
            match name.to_ascii_lowercase().as_slice() {
                b"id" => filters.ids.push(
                    number(value)
                        .filter(|id| *id > 0)
                        .ok_or_else(|| Response::error("ERR client-id should be greater than 0"))?,
                ),
                b"addr" => filters.peer = Some(text(value)),
                b"laddr" => filters.local = Some(text(value)),
                b"type" => filters.nobody |= !is_normal(value)?,
                b"user" => {
                    if &value[..] != b"default" {
                        return Err(Response::error(format!("ERR No such user '{}'", shown(value))));
                    }
                }
                b"maxage" => {
                    filters.max_age = Duration::from_secs(number(value).ok_or_else(syntax_error)?);
                }
                b"skipme" => {
                    spares_itself = match value.to_ascii_lowercase().as_slice() {
                        b"yes" => true,
                        b"no" => false,
                        _ => return Err(syntax_error()),
                    }
                }
                _ => return Err(syntax_error()),
            }
        }
    }
    let now = call.host.uptime();
    let (mut closed, mut itself) = (0, false);
    for (client, _) in call.host.clients() {
        if !filters.fit(&client, now) {
            continue;
        }
        if client.id() != call.session.listed().id() {
            call.host.kill(client.id());
        } else if spares_itself {
            continue;
        } else {
            itself = true;
        }
        closed += 1;
    }
    let reply = match (is_old_form, closed) {
        (true, 0) => return Err(Response::error("ERR No such client")),
        (true, _) => Response::OK,
        (false, count) => Response::Integer(count),
    };
    Ok(if itself { Plan::Last(reply) } else { Plan::Reply(reply) })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
