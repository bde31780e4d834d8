//! A fast and exact check of append histories: values that tell their own past.
//!
//! # What fits
//!
//! Reads, sets, deletes and appends of one key; a delete may say whether there was something to delete; an append may
//! be answered with the value before or after it, or with the length after it. Each value that is set and each tail
//! that is appended is a *token*. No token is empty, occurs twice, or is the beginning of another. Tokens of one length
//! are like that, and tokens that end in a separator that they do not contain otherwise. A value that was read then
//! falls apart into tokens in one way at most: it names the updates that made it, in their order, back to the last
//! set, or to absence. This is the idea of list-append in Elle (Kingsbury and Alvaro, VLDB 2020, section 4.2: with
//! traceable objects a read shows the whole version order), for one register, in real time, and with answers that
//! decide instead of cycles.
//!
//! # Lives
//!
//! A *life* of the key begins with a set, or from absence with an append, and goes on with appends. Updates that were
//! read lie in a life at a place that is known, and so do the reads of it; two reads of one life must agree. What
//! follows from that is necessary, and it is all that convicts here:
//!
//! - A value that is no sequence of tokens, that has a set in its midst or a token twice, was made by nobody. Two reads
//!   with the same first token of which none is the beginning of the other, or two lives that share a token, need an
//!   update twice. A length that was answered by an append that was read is the length of that beginning.
//! - Within a life all operations have their order: an update, the reads of what it left, the next update. None may
//!   have returned before an earlier one was invoked.
//! - From the first to the last operation that was placed in it a life is one uninterrupted run: no other set, append,
//!   delete or sight of absence lies within. So lives are to appends what clusters are to distinct writes in Gibbons
//!   and Korach (1997): a run with its earliest return and latest invocation, and pairs of runs contradict each other or
//!   all of them can be put in an order (`zones.rs` has the argument; it never looks into a run). Everything of known
//!   outcome that nobody saw is a run by itself: an append that was not read cannot be followed by a read before the next
//!   set or delete, just like a set. What is unknown and was not seen need not happen.
//!
//! # When it declines
//!
//! Without deletes, and without lengths answered by appends that nobody read, these conditions are also sufficient:
//! the order of the runs is a linearization. (Only one life can then begin from absence, with the sights of absence
//! before it: one run that begins before time.) Deletes look alike, so which of them a life from absence followed, or
//! which one a reader of absence saw, is not written in the history; nor is whose tail an unread append lengthened.
//! There `guess.rs` chooses, by time and by length. A choice that works out is an order, and whatever order is found is
//! replayed, operation by operation, before it is believed (`witness.rs`). A choice that does not work out proves
//! nothing: then this check declines, as it does for everything that does not fit, and the search decides.

mod guess;
mod lives;
mod witness;

use crate::history::Operation;
use crate::model::Model;
use crate::zones::{Span, Time, arrange};
use lives::{Conflict, Kind, Lives, Op};

/// What the lives say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Appends {
    /// An order, as indices of operations.
    Order(Vec<usize>),
    /// A few operations that no order can satisfy, with the reads that show where they belong.
    Conflict(Vec<usize>),
    /// The history does not fit, or a choice did not work out.
    Declined,
}

/// Judges the operations of one key in O(n log n), beside reading the values once.
pub(crate) fn appends(model: &Model, operations: &[Operation], chosen: &[usize]) -> Appends {
    let Some(ops) = lives::understand(model, operations, chosen) else { return Appends::Declined };
    match decide(&ops) {
        Ok(Some(order)) => Appends::Order(order.into_iter().map(|op| ops[op].index).collect()),
        Ok(None) => Appends::Declined,
        Err(Conflict(core)) => {
            let mut indices: Vec<usize> = core.into_iter().map(|op| ops[op].index).collect();
            indices.sort_unstable();
            indices.dedup();
            Appends::Conflict(indices)
        }
    }
}

/// An order of positions, nothing, or what speaks against any.
fn decide(ops: &[Op<'_>]) -> Result<Option<Vec<usize>>, Conflict> {
    let Some(mut lives) = Lives::new(ops)? else { return Ok(None) };
    necessary(ops, &lives)?;
    if !guess::lengthen(ops, &mut lives) {
        return Ok(None);
    }
    let order = guess::order(ops, &lives);
    Ok(order.filter(|order| witness::holds(ops, &lives, order)))
}

/// What holds of every linearizable history: the runs that are known fit together.
fn necessary(ops: &[Op<'_>], lives: &Lives) -> Result<(), Conflict> {
    /// Whose run it is.
    enum Owner {
        Life(usize),
        One(usize),
        Beginning,
    }
    let mut spans: Vec<Span> = lives.all.iter().map(|life| life.span()).collect();
    let mut owners: Vec<Owner> = (0..spans.len()).map(Owner::Life).collect();
    let mut absent = Vec::new();
    let mut deletes = false;
    for (position, op) in ops.iter().enumerate() {
        let alone = match op.kind {
            Kind::Delete { .. } => {
                deletes = true;
                op.ret < Time::MAX
            }
            Kind::Absent => {
                absent.push(position);
                true
            }
            Kind::Set(_) | Kind::Append(_) => lives.at[position].is_none() && op.ret < Time::MAX,
            Kind::Read(_) => false,
        };
        if alone {
            spans.push(Span { finish: op.ret, start: op.invoke });
            owners.push(Owner::One(position));
        }
    }
    // Without deletes all absence is that of the beginning.
    if !deletes {
        let mut from_absence = (0..lives.all.len()).filter(|&life| lives.all[life].from_absence);
        let first = from_absence.next();
        if let (Some(a), Some(b)) = (first, from_absence.next()) {
            return Err(Conflict(vec![lives.all[a].evidence, lives.all[b].evidence]));
        }
        let latest = absent.iter().copied().max_by_key(|&look| ops[look].invoke);
        if let (Some(first), Some(look)) = (first, latest) {
            let life = &lives.all[first];
            if life.finish.0 < ops[look].invoke {
                return Err(Conflict(vec![look, life.finish.1, life.evidence]));
            }
        }
        let start = [first.map(|first| lives.all[first].start.0), latest.map(|look| ops[look].invoke)];
        if let Some(start) = start.into_iter().flatten().max() {
            spans.push(Span { finish: Time::MIN, start });
            owners.push(Owner::Beginning);
        }
        // They are part of the run of the beginning, which must not be held against itself.
        let is_part = |owner: &Owner| match *owner {
            Owner::Life(life) => Some(life) == first,
            Owner::One(op) => matches!(ops[op].kind, Kind::Absent),
            Owner::Beginning => false,
        };
        let kept =
            spans.iter().zip(owners).filter(|(_, owner)| !is_part(owner)).map(|(span, owner)| (*span, owner));
        (spans, owners) = kept.unzip();
    }
    let Err((a, b)) = arrange(&spans) else { return Ok(()) };
    let (mut core, mut involved) = (Vec::new(), Vec::new());
    for owner in [&owners[a], &owners[b]] {
        match *owner {
            Owner::Life(life) => involved.push(life),
            Owner::One(op) => core.push(op),
            Owner::Beginning => {
                involved.extend((0..lives.all.len()).filter(|&life| lives.all[life].from_absence));
                core.extend(absent.iter().copied().max_by_key(|&look| ops[look].invoke));
            }
        }
    }
    for &life in &involved {
        let life = &lives.all[life];
        core.extend([life.finish.1, life.start.1, life.evidence]);
    }
    Err(Conflict(core))
}
