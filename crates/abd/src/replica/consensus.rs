//! `Prepare` and `Accept`: the part of a replica in consensus on updates (rules P2', P5 and P7).

use super::acceptor::{Acceptor, Judged, raised_mark};
use super::{AfterCommit, Reaction, Standing, Unanswered, VersionStore};
use crate::ballot::Ballot;
use crate::commit::Unit;
use crate::message::{Closed, Promise, Refusal, Reply, Request};
use crate::update::{Acceptance, AcceptedRecord, Base, Proposal};
use crate::value::{Glimpse, Newest, StampedValue};
use crate::version::Version;
use alloc::boxed::Box;
use bytes::Bytes;

/// Answers a `Prepare` or an `Accept` that may be answered as far as its time and this replica's standing go.
pub(super) fn handle<S: VersionStore>(
    store: &S,
    acceptor: &mut Acceptor,
    request: Request,
    standing: Standing,
) -> Result<Reaction, Unanswered<S::Error>> {
    let have = match &request {
        Request::Prepare { have, .. } => *have,
        _ => Version::MAX,
    };
    // Asked after the request has arrived: what was acknowledged before it was sent is seen here.
    let newest = match store.newest_above(request.key(), have) {
        Ok(newest) => newest,
        // A replica that heals takes what others have for a key for which it abstains: what is stored is joined when it may be told.
        Err(why) if S::is_damage(&why) && matches!(request, Request::Adopt { .. }) => {
            Newest { stamped: StampedValue::NEVER, durable: true }.glimpse(have)
        }
        Err(why) => return Err(Unanswered { request, why }),
    };
    acceptor.settle(request.key(), &newest);
    Ok(match request {
        Request::Prepare { key, ballot, base, .. } => {
            prepare(acceptor, key, ballot, base.map(|base| *base), newest, standing, store.mark())
        }
        Request::Accept { key, ballot, base, proposal } => {
            accept(acceptor, key, ballot, *base, *proposal, newest, standing)
        }
        Request::Adopt { key, base, acceptance } => {
            adopt(acceptor, key, *base, *acceptance, newest, standing)
        }
        other => unreachable!("{other:?} is no part of consensus"),
    })
}

fn prepare(
    acceptor: &mut Acceptor,
    key: Bytes,
    ballot: Ballot,
    base: Option<Base>,
    newest: Glimpse,
    standing: Standing,
    mark: Ballot,
) -> Reaction {
    let at = base.as_ref().map_or(newest.version, Base::version);
    let lacking = match lacking_base(acceptor, &key, at, base, &newest) {
        Ok(lacking) => lacking,
        Err(reply) => return Reaction::Reply(reply),
    };
    if !standing.writable && lacking.as_ref().is_some_and(|base| base.content.is_value()) {
        return Reaction::Reply(Reply::Refused(Refusal::DiskFull));
    }
    if ballot > mark && lacking.is_some() {
        // One thing after the other: the proposer asks again, and the mark is there.
        let reply = AfterCommit(Reply::Refused(Refusal::Busy));
        return Reaction::Commit { unit: Unit::Mark(raised_mark(ballot)), reply };
    }
    let has_record = acceptor.accepted(&key).is_some_and(|(base, _)| base < at);
    if let Some(reply) = refusal(acceptor.promise(&key, at, lacking.is_none(), ballot), &newest) {
        return Reaction::Reply(reply);
    }
    let accepted = acceptor.accepted(&key).map(|(_, acceptance)| acceptance.clone());
    let promise = |newest| {
        let (writable, boot) = (standing.writable, acceptor.boot());
        Reply::Promise(Box::new(Promise { newest, accepted, writable, boot }))
    };
    match lacking {
        Some(base) => {
            let StampedValue { version, deadline, update, .. } = base;
            let present = base.content.is_value();
            let reply = promise(Glimpse { version, present, deadline, update, content: None, durable: true });
            acceptor.handle_write(&key, version, update);
            let unit = if has_record {
                Unit::Closing { key, stamped: base }
            } else {
                Unit::Version { key, stamped: base }
            };
            Reaction::Commit { unit, reply: AfterCommit(reply) }
        }
        None if ballot > mark => {
            let unit = Unit::Mark(raised_mark(ballot));
            Reaction::Commit { unit, reply: AfterCommit(promise(newest)) }
        }
        None => Reaction::Reply(promise(newest)),
    }
}

fn accept(
    acceptor: &mut Acceptor,
    key: Bytes,
    ballot: Ballot,
    base: Base,
    proposal: Proposal,
    newest: Glimpse,
    standing: Standing,
) -> Reaction {
    let at = base.version();
    let lacking = match lacking_base(acceptor, &key, at, Some(base), &newest) {
        Ok(lacking) => lacking,
        Err(reply) => return Reaction::Reply(reply),
    };
    let has_value =
        proposal.content.is_value() || lacking.as_ref().is_some_and(|base| base.content.is_value());
    if !standing.writable && has_value {
        // Before anything was accepted: what is chosen can be published.
        return Reaction::Reply(Reply::Refused(Refusal::DiskFull));
    }
    let judged = acceptor.accept(&key, at, lacking.is_none(), ballot, proposal.clone());
    if let Some(reply) = refusal(judged, &newest) {
        return Reaction::Reply(reply);
    }
    if let Some(base) = &lacking {
        // What it says of the instance before is worth knowing.
        acceptor.handle_write(&key, base.version, base.update);
    }
    let record = AcceptedRecord { base: at, acceptance: Acceptance { ballot, proposal } };
    let unit = Unit::Acceptance { key, base: lacking.map(Box::new), record: Box::new(record) };
    Reaction::Commit { unit, reply: AfterCommit(Reply::Accepted) }
}

/// Rule C3: the join of what is here with what another replica has. The larger base wins, then the later ballot.
fn adopt(
    acceptor: &mut Acceptor,
    key: Bytes,
    base: StampedValue,
    acceptance: Acceptance,
    newest: Glimpse,
    standing: Standing,
) -> Reaction {
    let at = base.version;
    let done = Reply::Written { previous: None };
    if newest.version > at {
        // Closed at that base, for ever; once it is durable.
        return Reaction::Reply(if newest.durable { done } else { Reply::Refused(Refusal::Busy) });
    }
    let is_held = newest.version == at && newest.durable;
    let has_value = acceptance.proposal.content.is_value() || (!is_held && base.content.is_value());
    if !standing.writable && has_value {
        return Reaction::Reply(Reply::Refused(Refusal::DiskFull));
    }
    if !acceptor.adopt(&key, at, is_held, acceptance.clone()) {
        // What is here is as new. It may wait for the disk yet, or the disk has lost it: it is written again, and an older thing queued
        // behind it changes nothing.
        let known = acceptor.accepted(&key).filter(|(known_at, _)| *known_at == at);
        let record = known.map(|(_, acceptance)| AcceptedRecord { base: at, acceptance: acceptance.clone() });
        let unit = match record.map(Box::new) {
            Some(record) => Unit::Acceptance { key, base: (!is_held).then(|| Box::new(base)), record },
            None => Unit::Version { key, stamped: base },
        };
        return Reaction::Commit { unit, reply: AfterCommit(done) };
    }
    if !is_held {
        acceptor.handle_write(&key, at, base.update);
    }
    let record = AcceptedRecord { base: at, acceptance };
    let unit = Unit::Acceptance { key, base: (!is_held).then(|| Box::new(base)), record: Box::new(record) };
    Reaction::Commit { unit, reply: AfterCommit(done) }
}

/// What has to be stored of a base before this replica may take part in its instance; an error is the reply.
fn lacking_base(
    acceptor: &Acceptor,
    key: &Bytes,
    at: Version,
    base: Option<Base>,
    newest: &Glimpse,
) -> Result<Option<StampedValue>, Reply> {
    if !newest.durable {
        // It may vanish yet, and what is said about an instance is said for ever.
        return Err(Reply::Refused(Refusal::Busy));
    }
    if newest.version > at {
        let (accepted, known, told) = acceptor.evidence(key, at);
        // Nothing lies between a base and its successor.
        let shown = Some(newest.update).filter(|_| at.successor() == Some(newest.version));
        let winner = shown.or(known);
        let closed = Closed { newest: newest.clone(), boot: acceptor.boot(), accepted, winner, told };
        return Err(Reply::Closed(Box::new(closed)));
    }
    match base {
        _ if newest.version == at => Ok(None),
        Some(Base::Whole(base)) => Ok(Some(base)),
        Some(Base::Named(_)) => Err(Reply::NeedBase),
        None => unreachable!("without a base the newest version is it"),
    }
}

/// What a ballot that may not go on is answered.
fn refusal(judged: Judged, newest: &Glimpse) -> Option<Reply> {
    match judged {
        Judged::Taken => None,
        Judged::Promised(promised) => Some(Reply::Nack { promised, newest: Box::new(newest.clone()) }),
        Judged::Busy => Some(Reply::Refused(Refusal::Busy)),
    }
}
