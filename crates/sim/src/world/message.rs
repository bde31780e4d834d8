//! The frames that nodes send, as people name them.

use crate::history::shown;
use crate::trace::{Label, MessageKind};
use abd::wire::{
    FRAME_HEADER, Received, get_reply, get_request, is_reply, put_frame, put_reply, put_request, take_frame,
};
use abd::{AcceptedThere, Base, CallId, Glimpse, Reply, Request, Version};
use bytes::{Bytes, BytesMut};
use node::configuration::Configuration;
use node::lanes::lane::{CONFIGURATION, PING, PONG};
use node::limits::FRAME_BYTES_MAX;
use node::lookups::found_bytes;
use node::news::News;
use node::repair::message::{Answer, Question, get_answer, get_question, is_answer, is_question};
use node::repair::ranges::Range;
use node::sync::Entry;
use node::sync::message as sync;

/// What a frame says.
pub(crate) enum Message {
    /// "Are you there?" or the answer, which nobody wants to read about.
    Ping,
    /// To a replica.
    Request(Received),
    /// To a coordinator, or to repair.
    Reply(CallId, Reply),
    /// Of repair.
    Question(Question),
    /// To it.
    Answer(Answer),
    /// Of a sync: a question, an answer, or how far somebody is.
    Sync(String),
    /// Which configuration a node serves.
    Configuration(Bytes),
    /// How a node stands in a change of members.
    News(Box<News>),
}

impl Message {
    /// Reads one frame; `None` if it is damaged.
    pub(crate) fn of(frame: &[u8]) -> Option<Self> {
        let mut input = BytesMut::from(frame);
        let body = take_frame(&mut input, FRAME_BYTES_MAX).ok().flatten().filter(|_| input.is_empty())?;
        Some(match body.first()? {
            &PING | &PONG => Self::Ping,
            &CONFIGURATION => Self::Configuration(body.slice(1..)),
            _ if sync::is_question(&body) => Self::Sync(pull_text(&sync::get_question(body).ok()?.1)),
            _ if sync::is_answer(&body) => Self::Sync(pulled_text(&sync::get_answer(body).ok()?.1)),
            _ if sync::is_wanted(&body) => Self::Sync(wanted_text(sync::get_wanted(&body).ok()?.1)),
            _ if sync::is_caught_up(&body) => Self::Sync(caught_up_text(sync::get_caught_up(&body).ok()?.1)),
            _ if News::is_news(&body) => Self::News(Box::new(News::get(&body).ok()?)),
            _ if is_reply(&body) => get_reply(body).map(|(call, reply)| Self::Reply(call, reply)).ok()?,
            _ if is_answer(&body) => Self::Answer(get_answer(body).ok()?.1),
            _ if is_question(&body) => Self::Question(get_question(body).ok()?.1),
            _ => Self::Request(get_request(body).ok()?),
        })
    }

    /// What the trace says about it, if it says anything.
    pub(crate) fn label(&self, operation: Option<usize>) -> Label {
        let (kind, text) = match self {
            Self::Ping => (MessageKind::Reply, String::new()),
            Self::Request(Received { request, .. }) => (kind_of(request), request_text(request)),
            Self::Reply(_, reply) => (MessageKind::Reply, reply_text(reply)),
            Self::Question(question) => (MessageKind::Compare, question_text(question)),
            Self::Answer(answer) => (MessageKind::Reply, answer_text(answer)),
            Self::Sync(text) => (MessageKind::Compare, text.clone()),
            Self::Configuration(encoded) => (MessageKind::Configuration, configuration_text(encoded)),
            Self::News(news) => (MessageKind::News, news_text(news)),
        };
        Label { kind, operation, text }
    }

    /// Bytes of the value in it.
    pub(crate) fn value_bytes(&self) -> usize {
        match self {
            Self::Request(Received { request, .. }) => request.bytes() - request.key().len(),
            Self::Reply(_, reply) => found_bytes(reply),
            _ => 0,
        }
    }

    /// Which call it belongs to.
    pub(crate) fn call(&self) -> Option<CallId> {
        match self {
            Self::Request(Received { call, .. }) | Self::Reply(call, _) => Some(*call),
            _ => None,
        }
    }
}

/// The first whole frame of what was sent over a lane.
pub(crate) fn next_frame(output: &mut BytesMut) -> Bytes {
    output.split_to(length(output)).freeze()
}

/// How long a frame says that it is, with its header.
pub(crate) fn length(frame: &[u8]) -> usize {
    let length = frame.first_chunk().map_or(0, |length| u32::from_be_bytes(*length));
    FRAME_HEADER + length as usize
}

/// A request as a frame.
pub(crate) fn request_frame(received: &Received) -> Bytes {
    let Received { call, remaining_ms, scope, request } = received;
    let mut frame = BytesMut::new();
    put_frame(&mut frame, |body| put_request(body, *call, *remaining_ms, *scope, request));
    frame.freeze()
}

/// The mutant `syncs-values-only`: the answer of a source without what is accepted there; `None` if it is something else.
pub(crate) fn without_records(frame: &[u8]) -> Option<Bytes> {
    let mut input = BytesMut::from(frame);
    let body = take_frame(&mut input, FRAME_BYTES_MAX).ok().flatten().filter(|body| sync::is_answer(body))?;
    let (call, mut answer) = sync::get_answer(body).ok()?;
    if let sync::Answer::Contents(contents) = &mut answer {
        contents.entries.iter_mut().for_each(|entry| entry.accepted = None);
        // Nothing is left of a key that was never written.
        contents.entries.retain(|entry| entry.newest.version() > Version::MIN);
    }
    let mut frame = BytesMut::new();
    put_frame(&mut frame, |body| sync::put_answer(body, call, &answer));
    Some(frame.freeze())
}

/// A reply as a frame.
pub(crate) fn reply_frame(call: CallId, reply: &Reply) -> Bytes {
    let mut frame = BytesMut::new();
    put_frame(&mut frame, |body| put_reply(body, call, reply));
    frame.freeze()
}

fn configuration_text(encoded: &Bytes) -> String {
    let decoded = Configuration::decode(encoded);
    decoded.map_or_else(
        |why| why.to_string(),
        |known| format!("epoch {} {} {}", known.epoch(), known.stage.name(), known.text()),
    )
}

fn kind_of(request: &Request) -> MessageKind {
    match request {
        Request::LocalRead { .. } => MessageKind::Read,
        Request::LocalReadTimestamp { .. } => MessageKind::Query,
        Request::LocalWrite { .. } => MessageKind::Write,
        Request::Prepare { .. } => MessageKind::Prepare,
        Request::Accept { .. } => MessageKind::Accept,
        Request::Adopt { .. } => unreachable!("it does not travel"),
    }
}

fn request_text(request: &Request) -> String {
    let key = request.key().escape_ascii();
    match request {
        Request::LocalRead { .. } | Request::LocalReadTimestamp { .. } => format!("{key}"),
        Request::LocalWrite { stamped, .. } => {
            format!("{key}={} {}", content(&stamped.content), stamped.version)
        }
        Request::Prepare { ballot, base, .. } => {
            let base = base.as_ref().map_or_else(|| "the newest".into(), |base| base_text(base));
            format!("{key} on {base} {ballot:?}")
        }
        Request::Accept { ballot, base, proposal, .. } => {
            let (proposed, base) = (content(&proposal.content), base_text(base));
            format!("{key}={proposed} on {base} {ballot:?} {:?}", proposal.update)
        }
        Request::Adopt { .. } => unreachable!("it does not travel"),
    }
}

fn base_text(base: &Base) -> String {
    format!("{}{}", base.version(), if matches!(base, Base::Whole(_)) { ", whole" } else { "" })
}

fn glimpse_text(glimpse: &Glimpse) -> String {
    let Glimpse { version, content: found, durable, .. } = glimpse;
    let found = found.as_ref().map_or_else(|| "the same".into(), content);
    format!("{found} {version}{}", if *durable { "" } else { ", not durable" })
}

fn reply_text(reply: &Reply) -> String {
    match reply {
        Reply::Read(glimpse) => glimpse_text(glimpse),
        Reply::Promise(promise) => {
            let accepted = promise.accepted.as_ref().map_or_else(String::new, |acceptance| {
                let proposal = &acceptance.proposal;
                format!(", accepted {} {:?}", content(&proposal.content), proposal.update)
            });
            let room = if promise.writable { "" } else { ", disk full" };
            format!("promised on {}{accepted}{room}", glimpse_text(&promise.newest))
        }
        Reply::Nack { promised, newest } => format!("promised {promised:?}, {}", glimpse_text(newest)),
        Reply::Closed(closed) => {
            let accepted = match closed.accepted {
                AcceptedThere::Nothing => ", accepted nothing".into(),
                AcceptedThere::Update { update, lowest, highest } => {
                    format!(", accepted {update:?} from {lowest:?} to {highest:?}")
                }
                AcceptedThere::Forgotten => String::new(),
            };
            let winner = closed.winner.map_or_else(String::new, |winner| format!(", {winner:?} won"));
            format!("closed by {}{accepted}{winner}", glimpse_text(&closed.newest))
        }
        Reply::Accepted => "accepted".into(),
        Reply::NeedBase => "the base is not here".into(),
        Reply::Stale { .. } => "of an older configuration".into(),
        Reply::Timestamp { version, writable, .. } => {
            format!("{version}{}", if *writable { "" } else { ", disk full" })
        }
        Reply::Written { .. } => "written".into(),
        Reply::Refused(refusal) => format!("refused: {refusal}"),
    }
}

fn question_text(question: &Question) -> String {
    match question {
        Question::Digest { count, .. } => format!("a digest of {count} keys"),
        Question::Versions { listed, .. } => format!("the versions of {} keys", listed.len()),
    }
}

fn answer_text(answer: &Answer) -> String {
    match answer {
        Answer::Same(same) => if *same { "the same" } else { "not the same" }.into(),
        Answer::Versions { versions, others, .. } => {
            format!("{} versions and {} other keys", versions.len(), others.len())
        }
        Answer::Refused(refusal) => format!("refused: {refusal}"),
    }
}

fn range_text(range: &Range) -> String {
    let end = |key: &Option<Bytes>| key.as_ref().map(|key| key.escape_ascii().to_string());
    match (end(&range.after), end(&range.up_to)) {
        (None, None) => "all keys".into(),
        (None, Some(up_to)) => format!("keys up to {up_to}"),
        (Some(after), None) => format!("keys behind {after}"),
        (Some(after), Some(up_to)) => format!("keys behind {after} up to {up_to}"),
    }
}

/// What a replica that pulls asks.
fn pull_text(question: &sync::Question) -> String {
    let sync::Question { scope, range, records, has } = question;
    let records = if *records { ", with what is accepted" } else { "" };
    let has = match has {
        sync::Has::Together { count, .. } => format!("a digest of {count}"),
        sync::Has::Each(digests) => format!("digests of each of {}", digests.len()),
    };
    format!("pulls {}{records}, in epoch {}: {has}", range_text(range), scope.epoch)
}

/// What it is told.
fn pulled_text(answer: &sync::Answer) -> String {
    match answer {
        sync::Answer::Same => "the same".into(),
        sync::Answer::Differs => "not the same".into(),
        sync::Answer::Refused(refusal) => format!("refused: {refusal}"),
        sync::Answer::Contents(sync::Contents { entries, lost, told_up_to }) => {
            let entry = |entry: &Entry| {
                let accepted = entry.accepted.as_ref().map_or_else(String::new, |accepted| {
                    let (proposed, ballot) = (content(&accepted.proposal.content), accepted.ballot);
                    format!(", accepted {proposed} {ballot:?}")
                });
                format!("{} {}{accepted}", entry.key.escape_ascii(), entry.newest.version())
            };
            let entries: Vec<String> = entries.iter().map(entry).collect();
            let lost: Vec<String> = lost.iter().map(range_text).collect();
            let lost = if lost.is_empty() { String::new() } else { format!("; lost {}", lost.join(", ")) };
            let end =
                told_up_to.as_ref().map_or_else(String::new, |key| format!("; up to {}", key.escape_ascii()));
            format!("has [{}]{lost}{end}", entries.join("; "))
        }
    }
}

fn wanted_text(wanted: sync::Wanted) -> String {
    format!("look what is lacking there{}", if wanted.urgent { ": something is" } else { "" })
}

fn caught_up_text(caught_up: sync::CaughtUp) -> String {
    let sync::CaughtUp { compared, keys, done } = caught_up;
    let done = if done { "all is here" } else { "not all is here yet" };
    format!("{done}: {compared} keys compared, {keys} lacked")
}

fn news_text(news: &News) -> String {
    let synced =
        if news.synced_in == 0 { "not synced".into() } else { format!("synced in epoch {}", news.synced_in) };
    let lost: Vec<String> = news.lost.iter().map(range_text).collect();
    let lost = if lost.is_empty() { String::new() } else { format!(", lost {}", lost.join(", ")) };
    let heals =
        news.heal.map_or("", |heal| if heal.is_gone { ", is to heal from nothing" } else { ", is to heal" });
    format!("{synced}{lost}{heals}")
}

fn content(content: &abd::Content) -> String {
    content.value().map_or_else(|| "tombstone".into(), |value| shown(value))
}
