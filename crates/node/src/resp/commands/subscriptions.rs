//! Subscriptions to what a Sentinel tells. Clients with Sentinel support insist on them; nothing ever comes, as nobody is elected
//! here. There is no publish and subscribe beside that: other channels are refused.

use super::CAT_PUBSUB;
use crate::resp::command::{Arg, Call, Command, Plan, Planned, arg};
use crate::resp::response::Response;
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// The most channels and patterns of a connection: a Sentinel has no more.
const COUNT_MAX: usize = 128;
/// No name of a channel of a Sentinel is longer, in bytes.
const NAME_BYTES_MAX: usize = 64;

const fn row(name: &'static str, arity: i32, run: fn(Call<'_>) -> Planned, summary: &'static str) -> Command {
    Command::new("pubsub", name, arity, run, summary)
        .since("2.0.0")
        .flags(&["pubsub", "noscript", "loading", "stale", "no_multi"], CAT_PUBSUB)
        .linear()
}

const CHANNELS: &[Arg] = &[arg("channel", "string").flags(&["multiple"])];
const PATTERNS: &[Arg] = &[arg("pattern", "pattern").flags(&["multiple"])];
const SOME_CHANNELS: &[Arg] = &[arg("channel", "string").flags(&["optional", "multiple"])];
const SOME_PATTERNS: &[Arg] = &[arg("pattern", "pattern").flags(&["optional", "multiple"])];

pub(super) const COMMANDS: &[Command] = &[
    row(
        "psubscribe",
        -2,
        |call| subscribe(call, Kind::Pattern),
        "Listens to channels of a Sentinel by patterns.",
    )
    .args(PATTERNS),
    row("punsubscribe", -1, |call| unsubscribe(call, Kind::Pattern), "Stops listening to patterns.")
        .args(SOME_PATTERNS),
    row("subscribe", -2, |call| subscribe(call, Kind::Channel), "Listens to channels of a Sentinel.")
        .args(CHANNELS),
    row("unsubscribe", -1, |call| unsubscribe(call, Kind::Channel), "Stops listening to channels.")
        .args(SOME_CHANNELS),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Channel,
    Pattern,
}

/// What a connection listens to.
#[derive(Debug, Default)]
pub(in crate::resp) struct Subscriptions(BTreeSet<(Kind, Bytes)>);

impl Subscriptions {
    /// Whether there are none.
    pub(in crate::resp) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Kind {
    /// What a client is told of a subscription that begins, or ends.
    fn told(self, begins: bool, name: Response, count: usize) -> Response {
        let word = match (self, begins) {
            (Self::Channel, true) => "subscribe",
            (Self::Channel, false) => "unsubscribe",
            (Self::Pattern, true) => "psubscribe",
            (Self::Pattern, false) => "punsubscribe",
        };
        Response::Push(vec![Response::text(word), name, Response::count(count)])
    }
}

/// Whether a Sentinel may have such a channel: its events begin with a sign, but for the ends of failovers. What clients ask for
/// may be a pattern.
fn is_of_sentinel(name: &[u8]) -> bool {
    name.len() <= NAME_BYTES_MAX
        && (name.first().is_some_and(|first| b"+-[*".contains(first))
            || name.starts_with(b"failover-")
            || name.starts_with(b"switch-master"))
}

fn subscribe(mut call: Call<'_>, kind: Kind) -> Planned {
    if !call.args[1..].iter().all(|name| is_of_sentinel(name)) {
        return Err(Response::error(
            "ERR there is no publish and subscribe here: a connection can listen to the channels of a Sentinel alone",
        ));
    }
    let subscribed = &mut call.session.subscriptions.0;
    if subscribed.len() + call.args.len() > COUNT_MAX {
        return Err(Response::err(format_args!("a connection has {COUNT_MAX} subscriptions at the most")));
    }
    let told = call.args.iter_mut().skip(1).map(|name| {
        // It is kept, and what it came in is not.
        subscribed.insert((kind, Bytes::copy_from_slice(name)));
        kind.told(true, Response::Bulk(core::mem::take(name)), subscribed.len())
    });
    Ok(Plan::Reply(Response::Several(told.collect())))
}

fn unsubscribe(call: Call<'_>, kind: Kind) -> Planned {
    let subscribed = &mut call.session.subscriptions.0;
    let names: Vec<Bytes> = match &call.args[1..] {
        [] => subscribed.iter().filter(|(other, _)| *other == kind).map(|(_, name)| name.clone()).collect(),
        names => names.to_vec(),
    };
    if names.is_empty() {
        return Ok(Plan::Reply(kind.told(false, Response::Null, subscribed.len())));
    }
    let told = names.into_iter().map(|name| {
        let subscription = (kind, name);
        subscribed.remove(&subscription);
        kind.told(false, Response::Bulk(subscription.1), subscribed.len())
    });
    Ok(Plan::Reply(Response::Several(told.collect())))
}
