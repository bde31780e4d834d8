//! Choices where the history does not say which: of a delete among deletes, of a life among lives.
//!
//! Nothing here needs to be right for a verdict to be right. It needs to be right often.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::lives::{Kind, Life, Lives, Op, Told, token};
use crate::zones::{Span, Time, arrange};

/// How many candidates are looked at before the choice is given up.
const NEAREST: usize = 64;

/// Puts appends that nobody read, but that were told a length, at the end of a life as long as they found it. False
/// when there is none for one of them.
pub(super) fn lengthen(ops: &[Op<'_>], lives: &mut Lives) -> bool {
    let mut waiting: Vec<(u64, usize)> = Vec::new();
    let mut spare: Vec<usize> = Vec::new();
    for (position, op) in ops.iter().enumerate().filter(|&(position, _)| lives.at[position].is_none()) {
        match (op.kind, op.told) {
            (Kind::Append(_), Told::Length(bytes)) => waiting.push((bytes, position)),
            (Kind::Append(_) | Kind::Set(_), _) if op.ret == Time::MAX => spare.push(position),
            _ => {}
        }
    }
    if waiting.is_empty() {
        return true;
    }
    // Short ones first: what they lengthen others may have found.
    waiting.sort_unstable_by_key(|&(bytes, position)| (bytes, ops[position].invoke));
    spare.sort_unstable_by_key(|&position| ops[position].invoke);
    let mut near = Near::new(lives);
    for (bytes, append) in waiting {
        let Some(found) = bytes.checked_sub(size(&ops[append])) else { return false };
        let life = match fitting(ops, lives, &near, found, append) {
            Some(life) => life,
            // Perhaps it found what somebody left who never heard of it.
            None => match unheard_of(ops, lives, &mut near, &mut spare, found, append) {
                Some(life) => life,
                None => return false,
            },
        };
        extend(ops, lives, &mut near, life, append);
    }
    true
}

/// Where to look for a life.
struct Near {
    /// By how long their values are at the end.
    by_length: HashMap<u64, Vec<usize>>,
    /// By their latest invocations, as those were at first.
    by_start: Vec<(Time, usize)>,
}

impl Near {
    fn new(lives: &Lives) -> Self {
        let mut near = Near { by_length: HashMap::new(), by_start: Vec::new() };
        for (number, life) in lives.all.iter().enumerate() {
            near.by_length.entry(life.length()).or_default().push(number);
            near.by_start.push((life.start.0, number));
        }
        near.by_start.sort_unstable();
        near
    }
}

fn size(op: &Op<'_>) -> u64 {
    token(op).map_or(0, |token| token.len() as u64)
}

fn extend(ops: &[Op<'_>], lives: &mut Lives, near: &mut Near, life: usize, update: usize) {
    if let Some(others) = near.by_length.get_mut(&lives.all[life].length()) {
        others.retain(|&other| other != life);
    }
    lives.all[life].push(ops, update);
    lives.at[update] = Some((life, lives.all[life].chain.len() - 1));
    near.by_length.entry(lives.all[life].length()).or_default().push(life);
}

/// The life of this length that the append most likely lengthened: the latest that no other run comes between.
fn fitting(ops: &[Op<'_>], lives: &Lives, near: &Near, length: u64, append: usize) -> Option<usize> {
    let op = &ops[append];
    let mut candidates: Vec<usize> = near.by_length.get(&length)?.clone();
    candidates.retain(|&life| lives.all[life].start.0 <= op.ret);
    candidates.sort_unstable_by_key(|&life| Reverse(lives.all[life].start.0));
    let disturbed = |&life: &usize| {
        let Life { finish, start, .. } = &lives.all[life];
        let (finish, start) = (finish.0.min(op.ret), start.0.max(op.invoke));
        let after = near.by_start.partition_point(|&(other, _)| other <= finish);
        let others = near.by_start[after..].iter().take(NEAREST).filter(|&&(_, other)| other != life);
        finish < start && others.clone().any(|&(_, other)| lives.all[other].finish.0 < start)
    };
    candidates.into_iter().take(NEAREST).find(|life| !disturbed(life))
}

/// Puts an update of unknown outcome where it explains the length that the append found.
fn unheard_of(
    ops: &[Op<'_>],
    lives: &mut Lives,
    near: &mut Near,
    spare: &mut Vec<usize>,
    length: u64,
    append: usize,
) -> Option<usize> {
    let in_time = spare.partition_point(|&update| ops[update].invoke <= ops[append].ret);
    for at in (0..in_time).rev().take(NEAREST) {
        let update = spare[at];
        let Some(before) = length.checked_sub(size(&ops[update])) else { continue };
        let appends = matches!(ops[update].kind, Kind::Append(_));
        let life = match fitting(ops, lives, near, before, append) {
            // A set does not care what it finds, and an append of this length found nothing.
            _ if before == 0 && lives.add(Life::begin(ops, update, update)).is_ok() => {
                let life = lives.all.len() - 1;
                near.by_length.entry(length).or_default().push(life);
                life
            }
            Some(life) if appends => {
                extend(ops, lives, near, life, update);
                life
            }
            _ => continue,
        };
        spare.remove(at);
        return Some(life);
    }
    None
}

/// A place where absence begins: the beginning of time or a delete.
struct Absence {
    delete: Option<usize>,
    looks: Vec<usize>,
    life: Option<usize>,
    /// Between which runs it may lie: slot `i` is before run `i`.
    slots: (usize, usize),
}

/// The runs in an order, and when something that lies between them has to happen.
struct Slots {
    /// The latest invocation before the slot, and the earliest return after it.
    bounds: Vec<(Time, Time)>,
}

impl Slots {
    fn new(spans: &[Span], order: &[usize]) -> Self {
        let mut bounds = vec![(Time::MIN, Time::MAX); spans.len() + 1];
        for (i, &run) in order.iter().enumerate() {
            bounds[i + 1].0 = bounds[i].0.max(spans[run].start);
        }
        for (i, &run) in order.iter().enumerate().rev() {
            bounds[i].1 = bounds[i + 1].1.min(spans[run].finish);
        }
        Slots { bounds }
    }

    /// The first and the last slot that the operation fits in.
    fn of(&self, op: &Op<'_>) -> Option<(usize, usize)> {
        let first = self.bounds.partition_point(|&(_, earliest)| earliest < op.invoke);
        let last = self.bounds.partition_point(|&(latest, _)| latest <= op.ret).checked_sub(1)?;
        (first <= last).then_some((first, last))
    }
}

/// An order of positions that may be a linearization.
pub(super) fn order(ops: &[Op<'_>], lives: &Lives) -> Option<Vec<usize>> {
    let one = |position: usize| Span { finish: ops[position].ret, start: ops[position].invoke };
    // What is more than one operation, or has to follow an absence, says where absences can be. The rest finds a place.
    let firm = |life: &Life| life.from_absence || life.chain.len() > 1 || !life.looks[0].is_empty();
    let firm: Vec<usize> = (0..lives.all.len()).filter(|&life| firm(&lives.all[life])).collect();
    let spans: Vec<Span> = firm.iter().map(|&life| lives.all[life].span()).collect();
    let runs = arrange(&spans).ok()?;
    let slots = Slots::new(&spans, &runs);
    let runs: Vec<usize> = runs.into_iter().map(|run| firm[run]).collect();
    let mut absences = absences(ops, &slots)?;
    assign_lives(ops, lives, &runs, &mut absences)?;
    assign_looks(ops, &slots, &mut absences)?;

    // A life is one run with the absence it came from.
    let mut blocks: Vec<(Span, Vec<usize>)> = Vec::new();
    let mut placed = vec![false; lives.all.len()];
    for absence in &mut absences {
        let unknown = absence.delete.is_none_or(|delete| ops[delete].ret == Time::MAX);
        if unknown && absence.looks.is_empty() && absence.life.is_none() {
            continue;
        }
        absence.looks.sort_by_key(|&look| ops[look].invoke);
        let mut block: Vec<usize> = absence.delete.into_iter().chain(absence.looks.iter().copied()).collect();
        if let Some(life) = absence.life {
            placed[life] = true;
            block.extend(in_order(ops, &lives.all[life]));
        }
        let finish = block.iter().map(|&op| ops[op].ret).min()?;
        let finish = if absence.delete.is_none() { Time::MIN } else { finish };
        let start = block.iter().map(|&op| ops[op].invoke).max()?;
        blocks.push((Span { finish, start }, block));
    }
    for (life, _) in lives.all.iter().zip(placed).filter(|&(_, placed)| !placed) {
        blocks.push((life.span(), in_order(ops, life)));
    }
    let alone = |&position: &usize| {
        let op = &ops[position];
        matches!(op.kind, Kind::Append(_)) && op.ret < Time::MAX && lives.at[position].is_none()
    };
    let alone = (0..ops.len()).filter(alone);
    blocks.extend(alone.map(|position| (one(position), vec![position])));
    let spans: Vec<Span> = blocks.iter().map(|(span, _)| *span).collect();
    let arranged = arrange(&spans).ok()?;
    Some(arranged.into_iter().flat_map(|block| std::mem::take(&mut blocks[block].1)).collect())
}

fn in_order(ops: &[Op<'_>], life: &Life) -> Vec<usize> {
    let mut order = Vec::new();
    for (&update, looks) in life.chain.iter().zip(&life.looks) {
        order.push(update);
        let from = order.len();
        order.extend(looks);
        order[from..].sort_by_key(|&look| ops[look].invoke);
    }
    order
}

/// All absences that there may be, by the invocation of their deletes; the beginning of time is first.
fn absences(ops: &[Op<'_>], slots: &Slots) -> Option<Vec<Absence>> {
    let absence = |delete, slots| Absence { delete, looks: Vec::new(), life: None, slots };
    let mut absences = vec![absence(None, (0, 0))];
    for (position, op) in ops.iter().enumerate().filter(|(_, op)| matches!(op.kind, Kind::Delete { .. })) {
        match slots.of(op) {
            Some(slots) => absences.push(absence(Some(position), slots)),
            None if op.ret == Time::MAX => {}
            None => return None,
        }
    }
    absences.sort_by_key(|absence| absence.delete.map(|delete| ops[delete].invoke));
    Some(absences)
}

/// Gives each life that begins with an absence one of them. Every delete fits a range of slots and each such life needs
/// one in its own, so going on in order the delete whose range ends first is the right one (Glover 1967).
fn assign_lives(ops: &[Op<'_>], lives: &Lives, runs: &[usize], absences: &mut [Absence]) -> Option<()> {
    let mut by_first: Vec<usize> = (1..absences.len()).collect();
    by_first.sort_by_key(|&absence| absences[absence].slots.0);
    let mut coming = by_first.into_iter().peekable();
    let mut ready = BinaryHeap::new();
    for (slot, &run) in runs.iter().enumerate() {
        while let Some(absence) = coming.next_if(|&absence| absences[absence].slots.0 <= slot) {
            let op = absences[absence]
                .delete
                .map(|delete| (ops[delete].ret == Time::MAX, Reverse(ops[delete].invoke)));
            ready.push(Reverse((absences[absence].slots.1, op, absence)));
        }
        if !lives.all[run].from_absence {
            continue;
        }
        while ready.peek().is_some_and(|Reverse((last, ..))| *last < slot) {
            ready.pop();
        }
        // The beginning of time fits the first slot only, unless nothing else will do.
        let must =
            ready.peek().is_some_and(|Reverse((last, op, _))| *last == slot && op.is_some_and(|op| !op.0));
        let chosen = match ready.peek() {
            Some(Reverse((_, _, absence))) if slot > 0 || must => *absence,
            _ if absences[0].life.is_none() => 0,
            _ => return None,
        };
        if chosen > 0 {
            ready.pop();
        }
        absences[chosen].life = Some(run);
        absences[chosen].slots = (if chosen > 0 { slot } else { 0 }, slot);
    }
    Some(())
}

/// Gives each sight of absence the latest one it fits in.
fn assign_looks(ops: &[Op<'_>], slots: &Slots, absences: &mut [Absence]) -> Option<()> {
    let mut looks: Vec<usize> =
        (0..ops.len()).filter(|&position| matches!(ops[position].kind, Kind::Absent)).collect();
    looks.sort_by_key(|&look| ops[look].invoke);
    for look in looks {
        let (first, last) = slots.of(&ops[look])?;
        let in_time =
            absences.partition_point(|absence| absence.delete.is_none_or(|d| ops[d].invoke <= ops[look].ret));
        let nearest = (in_time.saturating_sub(NEAREST)..in_time).rev().chain([0]);
        let fits = |&i: &usize| absences[i].slots.0.max(first) <= absences[i].slots.1.min(last);
        let known = |&i: &usize| absences[i].delete.is_none_or(|delete| ops[delete].ret < Time::MAX);
        let chosen = nearest.clone().find(|i| fits(i) && known(i)).or_else(|| nearest.clone().find(fits))?;
        let absence = &mut absences[chosen];
        absence.looks.push(look);
        absence.slots = (absence.slots.0.max(first), absence.slots.1.min(last));
    }
    Some(())
}
