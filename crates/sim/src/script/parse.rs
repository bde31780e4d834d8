//! From text to directions.

use super::{Direction, Expected, Fate, Script};
use crate::directory::{NAMES, PartState, Parts};
use crate::disk::Loss;
use crate::plan::{OperationKind, Wish};
use crate::time;
use crate::trace;
use abd::TimestampMode;
use bytes::Bytes;
use std::fmt;
use std::str::FromStr;

/// Nodes that come with a change of the members, at most.
const COME: u32 = 2;

/// A line that is not a direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Its number, from one.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for ParseError {}

impl FromStr for Script {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut script: Option<Self> = None;
        let mut preface = Vec::new();
        let mut places = 0;
        for (line, raw) in (1..).zip(text.lines()) {
            let at = |why: String| ParseError { line, why };
            let content = raw.split('#').next().unwrap_or_default().trim();
            if content.is_empty() {
                if let (None, Some(comment)) = (&script, raw.trim().strip_prefix('#')) {
                    preface.push(comment.trim().to_owned());
                }
                continue;
            }
            let words: Vec<&str> = content.split_whitespace().collect();
            match &mut script {
                None => {
                    let cluster = cluster(&words).map_err(at)?;
                    places = cluster.nodes;
                    script = Some(cluster);
                }
                Some(script) => {
                    let direction = direction(&words).map_err(at)?;
                    check_nodes(&direction, places).map_err(at)?;
                    if matches!(direction, Direction::Members(..)) {
                        places += COME;
                    }
                    script.directions.push((line, direction));
                }
            }
        }
        let mut script =
            script.ok_or(ParseError { line: 1, why: "a script begins with `cluster`".into() })?;
        script.preface = preface;
        Ok(script)
    }
}

fn cluster(words: &[&str]) -> Result<Script, String> {
    let (nodes, mode, rest) = match words {
        ["cluster", nodes, mode, rest @ ..] => (nodes, mode, rest),
        _ => return Err("a script begins with `cluster 3 logical` or the like".into()),
    };
    let nodes = match nodes.parse() {
        Ok(nodes @ (3 | 5 | 7)) => nodes,
        _ => return Err(format!("a cluster has 3, 5 or 7 nodes, not {nodes}")),
    };
    let mode = match *mode {
        "logical" => TimestampMode::Logical,
        "truetime" => TimestampMode::TrueTime,
        other => return Err(format!("timestamps are `logical` or `truetime`, not `{other}`")),
    };
    let (repairs, rest) = match rest {
        ["repairs", rest @ ..] => (true, rest),
        _ => (false, rest),
    };
    let (shows_unsynced, rest) = match rest {
        ["shows", "unsynced", rest @ ..] => (true, rest),
        _ => (false, rest),
    };
    let (remembers, rest) = match rest {
        ["remembers", rest @ ..] => (true, rest),
        _ => (false, rest),
    };
    let (short_queues, rest) = match rest {
        ["short", "queues", rest @ ..] => (true, rest),
        _ => (false, rest),
    };
    let (short_backlogs, rest) = match rest {
        ["short", "backlogs", rest @ ..] => (true, rest),
        _ => (false, rest),
    };
    let (little_for_clients, rest) = match rest {
        ["little", "for", "clients", rest @ ..] => (true, rest),
        _ => (false, rest),
    };
    let (heals, rest) = match rest {
        ["heals", rest @ ..] => (true, rest),
        _ => (false, rest),
    };
    let tick = match rest {
        [] => 1,
        ["ticks", tick] => time::parse(tick).ok_or_else(|| format!("`{tick}` is no duration"))?,
        _ => return Err(format!("nobody understands `{}`", rest.join(" "))),
    };
    let (directions, preface) = (Vec::new(), Vec::new());
    Ok(Script {
        nodes,
        mode,
        repairs,
        shows_unsynced,
        remembers,
        short_queues,
        short_backlogs,
        little_for_clients,
        heals,
        tick,
        directions,
        preface,
    })
}

fn direction(words: &[&str]) -> Result<Direction, String> {
    Ok(match words {
        [node, "clock", behind, ahead] => {
            Direction::Clock(member(node)?, signed(behind, '-')?, signed(ahead, '+')?)
        }
        [node, "wall", offset] => {
            let ahead = offset.starts_with('+');
            let size = signed(offset, if ahead { '+' } else { '-' })?;
            let size = i64::try_from(size).map_err(|_| format!("`{offset}` is too far"))?;
            Direction::Wall(member(node)?, if ahead { size } else { -size })
        }
        [node, "syncs", "when", "told"] => Direction::SyncsWhenTold(member(node)?),
        [client, "asks", node, request @ .., "as", name] => {
            let node = node.strip_suffix(':').ok_or("a colon is missing behind the node")?;
            let (client, node, name) = (number(client, 'c')?, member(node)?, (*name).to_owned());
            ask(client, node, name, request)?
        }
        [node, "is", "asked", "to", wish @ ..] => Direction::Members(member(node)?, self::wish(wish)?),
        [node, "stops"] => Direction::Stop(member(node)?),
        [node, "lets", "clients", "write", bytes, "bytes"] => {
            let bytes = bytes.parse().map_err(|_| format!("`{bytes}` is no number"))?;
            Direction::Limit(member(node)?, bytes)
        }
        [from, "->", to, "is", "dead"] => Direction::Mute(member(from)?, member(to)?),
        [from, "->", to, "breaks"] => Direction::Break(member(from)?, member(to)?),
        [from, "->", to, "is", "full"] => Direction::Backlog(member(from)?, member(to)?, true),
        [from, "->", to, "has", "room"] => Direction::Backlog(member(from)?, member(to)?, false),
        [from, "->", to, kind, name, fate @ ..] => {
            let kind = match *kind {
                "read" => trace::MessageKind::Read,
                "query" => trace::MessageKind::Query,
                "write" => trace::MessageKind::Write,
                "prepare" => trace::MessageKind::Prepare,
                "accept" => trace::MessageKind::Accept,
                "reply" => trace::MessageKind::Reply,
                other => {
                    return Err(format!(
                        "`{other}` is no message: read, query, write, prepare, accept or reply"
                    ));
                }
            };
            let fate = match fate {
                ["arrives"] => Fate::Arrives,
                ["is", "lost"] => Fate::IsLost,
                ["is", "copied"] => Fate::IsCopied,
                _ => return Err("a message `arrives`, `is lost` or `is copied`".into()),
            };
            Direction::Message { from: member(from)?, to: member(to)?, kind, name: (*name).to_owned(), fate }
        }
        [nodes @ .., "settle"] if !nodes.is_empty() => {
            Direction::Settle(nodes.iter().map(|node| member(node)).collect::<Result<_, _>>()?)
        }
        ["time", "passes", duration] => {
            Direction::Pass(time::parse(duration).ok_or_else(|| format!("`{duration}` is no duration"))?)
        }
        ["expect", node, "holds", both] => {
            let (key, value) = both.split_once('=').ok_or("`holds` wants key=value")?;
            Direction::ExpectHeld(member(node)?, key.to_owned(), value.to_owned())
        }
        ["expect", node, "is", "in", "epoch", epoch] => {
            let epoch = epoch.parse().map_err(|_| format!("`{epoch}` is no number"))?;
            Direction::ExpectEpoch(member(node)?, epoch)
        }
        ["expect", node, "refuses"] => Direction::ExpectRefusal(member(node)?),
        ["expect", name, expected] => Direction::Expect(
            (*name).to_owned(),
            match *expected {
                "pending" => Expected::Pending,
                "ok" => Expected::Ok,
                "refused" => Expected::Refused,
                "unknown" => Expected::Unknown,
                "absent" => Expected::Absent,
                value => Expected::Value(value.to_owned()),
            },
        ),
        [node, "syncs"] => Direction::Sync(member(node)?),
        [node, "has", "room"] => Direction::Room(member(node)?, true),
        [node, "has", "no", "room"] => Direction::Room(member(node)?, false),
        [node, "crashes"] => Direction::Crash(member(node)?),
        [node, "loses", "power"] => Direction::PowerCut(member(node)?),
        [node, "starts"] => Direction::Start(member(node)?),
        [node, "comes", "back", "empty"] => Direction::Empty(member(node)?),
        [node, "comes", "back", "old"] => Direction::Old(member(node)?),
        [node, "cannot", "read", key] => Direction::Damage(member(node)?, (*key).to_owned()),
        [node, "has", "lost", lost @ ..] => Direction::Lose(member(node)?, loss(lost)?),
        ["a", "stranger", "greets", node, "as", claimed] => {
            Direction::Stranger(member(node)?, member(claimed)?)
        }
        [node, can @ ("can" | "cannot"), "write", "its", "identity"] => {
            Direction::Writable(member(node)?, *can == "can")
        }
        [node, "is", "copied"] => Direction::Copy(member(node)?),
        [node, "comes", "back", changed @ ..] => Direction::Parts(member(node)?, parts(changed)?),
        [node, "stands", "still"] => Direction::Pause(member(node)?),
        [node, "goes", "on"] => Direction::Resume(member(node)?),
        _ => return Err(format!("nobody understands `{}`", words.join(" "))),
    })
}

/// `k`, `anything from k on`, and so on.
fn loss(words: &[&str]) -> Result<Loss, String> {
    let key = |key: &str| Bytes::from(key.to_owned());
    Ok(match words {
        ["what", "it", "has", "accepted", "of", of] => Loss::Record(key(of)),
        ["what", "it", "has", "promised"] => Loss::Own,
        ["anything", "from", first, "on"] => Loss::From(key(first)),
        [one] => Loss::Versions(key(one)),
        _ => return Err(format!("nobody can lose `{}`", words.join(" "))),
    })
}

/// `replace n3`, and so on.
fn wish(words: &[&str]) -> Result<Wish, String> {
    Ok(match words {
        ["replace", node] => Wish::Replace(member(node)?),
        ["add", "two", "nodes"] => Wish::Grow,
        ["remove", node, "and", "the", "next", "one"] => Wish::Shrink(member(node)?),
        ["move", node] => Wish::Move(member(node)?),
        ["give", "up", "the", "change"] => Wish::Abort,
        _ => return Err(format!("nobody can be asked to `{}`", words.join(" "))),
    })
}

/// `set k=x`, `delete k`, `setifeq k=x if y`, `setpx k=x for 10ms`, and so on.
fn ask(client: u32, node: u32, name: String, request: &[&str]) -> Result<Direction, String> {
    let names = || OperationKind::ALL.map(OperationKind::name).join(", ");
    let (asked, request) = request.split_first().ok_or("a client asks for something")?;
    let kind =
        OperationKind::named(asked).ok_or_else(|| format!("a client asks {}, not `{asked}`", names()))?;
    let (request, lives) = match request {
        [request @ .., "for", lives] if kind.has_deadline() => {
            let nanos = time::parse(lives).ok_or_else(|| format!("`{lives}` is no duration"))?;
            (request, nanos / time::MS)
        }
        _ if kind.has_deadline() => return Err(format!("`{asked}` wants a duration behind `for`")),
        request => (request, 0),
    };
    let (both, expected) = match request {
        [both] if !kind.has_expected() => (*both, ""),
        [both, "if", expected] if kind.has_expected() => (*both, *expected),
        _ if kind.has_expected() => {
            return Err(format!("`{asked}` wants a key, and what it must hold behind `if`"));
        }
        _ => return Err(format!("`{asked}` wants a key")),
    };
    let (key, value) = match kind.has_value() {
        true => both.split_once('=').ok_or_else(|| format!("`{asked}` wants key=value"))?,
        false => (both, ""),
    };
    let (key, value, expected) = (key.to_owned(), value.to_owned(), expected.to_owned());
    Ok(Direction::Ask { client, node, kind, key, value, expected, lives, name })
}

/// `db gone watermark copied`, and so on.
fn parts(words: &[&str]) -> Result<Parts, String> {
    let mut parts = [PartState::Kept; 3];
    for pair in words.chunks(2) {
        let [name, fate] = pair else {
            return Err(format!("nobody knows what becomes of `{}`", pair.concat()));
        };
        let known = NAMES.iter().zip(&mut parts).find(|(known, _)| *known == name);
        let (_, part) =
            known.ok_or_else(|| format!("`{name}` is no part of a directory: {}", NAMES.join(", ")))?;
        *part = match *fate {
            "gone" => PartState::Gone,
            "older" => PartState::Older,
            "copied" => PartState::Copied,
            other => return Err(format!("a part is `gone`, `older` or `copied`, not `{other}`")),
        };
    }
    if parts == [PartState::Kept; 3] {
        Err("nothing of the directory is exchanged".into())
    } else {
        Ok(parts)
    }
}

fn number(word: &str, letter: char) -> Result<u32, String> {
    let number = word.strip_prefix(letter).and_then(|digits| digits.parse::<u32>().ok());
    number
        .and_then(|number| number.checked_sub(1))
        .ok_or_else(|| format!("`{word}` is not {letter}1, {letter}2 …"))
}

fn member(word: &str) -> Result<u32, String> {
    number(word, 'n')
}

fn signed(word: &str, sign: char) -> Result<u64, String> {
    word.strip_prefix(sign)
        .and_then(time::parse)
        .ok_or_else(|| format!("`{word}` is no duration with a `{sign}` in front"))
}

fn check_nodes(direction: &Direction, count: u32) -> Result<(), String> {
    let named: Vec<u32> = match direction {
        Direction::Clock(node, ..)
        | Direction::Wall(node, _)
        | Direction::SyncsWhenTold(node)
        | Direction::Ask { node, .. }
        | Direction::Sync(node)
        | Direction::Room(node, _)
        | Direction::Writable(node, _)
        | Direction::Crash(node)
        | Direction::PowerCut(node)
        | Direction::Start(node)
        | Direction::Empty(node)
        | Direction::Old(node)
        | Direction::Copy(node)
        | Direction::Parts(node, _)
        | Direction::Damage(node, _)
        | Direction::Lose(node, _)
        | Direction::Pause(node)
        | Direction::Resume(node)
        | Direction::ExpectHeld(node, ..)
        | Direction::Stop(node)
        | Direction::Limit(node, _)
        | Direction::Members(node, _)
        | Direction::ExpectEpoch(node, _)
        | Direction::ExpectRefusal(node) => vec![*node],
        Direction::Message { from, to, .. }
        | Direction::Break(from, to)
        | Direction::Mute(from, to)
        | Direction::Stranger(from, to)
        | Direction::Backlog(from, to, _) => {
            vec![*from, *to]
        }
        Direction::Settle(nodes) => nodes.clone(),
        Direction::Pass(_) | Direction::Expect(..) => Vec::new(),
    };
    match named.iter().find(|node| **node >= count) {
        Some(node) => Err(format!("there is no n{} in a cluster of {count}", node + 1)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "\
# The title
cluster 3 truetime repairs shows unsynced remembers short queues short backlogs little for clients heals ticks 10ms
n1 clock -2ms +3ms
n2 wall -1.5s
n2 syncs when told
c1 asks n1: set k=x as A
c2 asks n2: get k as B
c2 asks n2: delete k as C
c2 asks n2: append k=y; as D
c2 asks n2: setifeq k=z if y as E
c2 asks n2: delifeq k if z as F
c2 asks n2: lock k=x for 10ms as G
c2 asks n2: getex k for 10ms as H
n1 -> n2 prepare D arrives
n1 -> n2 accept D arrives
n1 -> n2 write A arrives
n2 -> n1 reply A is lost
n1 -> n3 query A is copied
n1 -> n3 read B arrives
n1 n2 settle
n2 syncs
n1 has no room
n1 has room
n1 cannot write its identity
n1 can write its identity
n1 crashes
n1 loses power
n1 stops
n1 lets clients write 8 bytes
n1 -> n2 is dead
n1 starts
n1 comes back empty
n1 comes back old
n1 cannot read k
n1 has lost k
n1 has lost what it has accepted of k
n1 has lost anything from k on
n1 has lost what it has promised
n1 stands still
n1 goes on
time passes 10ms
expect A ok
expect B absent
expect B x
expect n3 refuses
expect n3 holds k=x
n1 is asked to replace n3
n1 is asked to add two nodes
n1 is asked to remove n2 and the next one
n1 is asked to move n2
n1 is asked to give up the change
expect n4 is in epoch 4
n1 -> n2 breaks
n1 -> n2 is full
n1 -> n2 has room
";

    #[test]
    fn every_direction_is_read_and_written_alike() {
        let script: Script = ALL.parse().unwrap();
        assert_eq!(script.to_string(), ALL);
    }

    #[test]
    fn a_broken_line_is_named() {
        for (line, why) in
            [("n4 syncs", "no n4"), ("n1 dances", "nobody understands"), ("c1 asks n1 get k as A", "colon")]
        {
            let error = format!("cluster 3 logical\n\n{line}\n").parse::<Script>().unwrap_err();
            assert_eq!(error.line, 3, "{error}");
            assert!(error.why.contains(why), "{error}");
        }
        assert!("".parse::<Script>().is_err());
    }
}
