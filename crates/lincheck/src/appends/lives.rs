//! From values to lives: which updates a value names, and where everything that is known lies.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::history::{Action, Operation};
use crate::model::Model;
use crate::update::{Answer, Change, Condition, Update};
use crate::zones::{Span, Time};

/// What an operation is to this check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// Saw this value.
    Read(&'a [u8]),
    /// Saw that the key was absent.
    Absent,
    Set(&'a [u8]),
    /// Deleted, and found something to delete if it says so.
    Delete {
        found: bool,
    },
    Append(&'a [u8]),
}

/// What the answer of an append tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told<'a> {
    Nothing,
    Before(Option<&'a [u8]>),
    After(&'a [u8]),
    Length(u64),
}

/// An operation that says or explains something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Op<'a> {
    /// Where it stands in the list the caller gave.
    pub(super) index: usize,
    pub(super) kind: Kind<'a>,
    pub(super) told: Told<'a>,
    pub(super) invoke: Time,
    /// [`Time::MAX`] when the outcome is unknown.
    pub(super) ret: Time,
}

/// The operations in this check's words, or nothing if it has no words for one of them.
pub(super) fn understand<'a>(
    model: &Model,
    operations: &'a [Operation],
    chosen: &[usize],
) -> Option<Vec<Op<'a>>> {
    let empty_is_absent = model.seen(None).is_some();
    if model.seen(model.initial()) != model.seen(None) {
        return None;
    }
    let mut ops = Vec::with_capacity(chosen.len());
    for &index in chosen {
        let operation = &operations[index];
        let known = operation.ret.is_some();
        let (kind, told) = match &operation.action {
            Action::Read(_) if !known => continue,
            Action::Read(None) => (Kind::Absent, Told::Nothing),
            Action::Read(Some(value)) if value.is_empty() && empty_is_absent => (Kind::Absent, Told::Nothing),
            Action::Read(Some(value)) => (Kind::Read(value), Told::Nothing),
            Action::Write(value) => (Kind::Set(value), Told::Nothing),
            Action::Delete => (Kind::Delete { found: false }, Told::Nothing),
            Action::Update(update) => understand_update(update, known)?,
            Action::Transaction(_) => return None,
        };
        let ret = operation.ret.map_or(Time::MAX, Time::from);
        ops.push(Op { index, kind, told, invoke: operation.invoke.into(), ret });
    }
    Some(ops)
}

fn understand_update(update: &Update, known: bool) -> Option<(Kind<'_>, Told<'_>)> {
    let Update { condition, change, answer } = update;
    let answer = if known { answer } else { &Answer::Nothing };
    Some(match (condition, change, answer) {
        (Condition::Always, Change::Append(tail), answer) => {
            let told = match answer {
                Answer::Nothing | Answer::Applied(true) => Told::Nothing,
                Answer::Before(value) => Told::Before(value.as_deref()),
                Answer::After(value) => Told::After(value.as_deref()?),
                Answer::Length(bytes) => Told::Length(*bytes),
                Answer::Applied(false) => return None,
            };
            (Kind::Append(tail), told)
        }
        (Condition::Always, Change::Set(Some(value)), Answer::Nothing | Answer::Applied(true)) => {
            (Kind::Set(value), Told::Nothing)
        }
        (Condition::Always, Change::Set(None), Answer::Nothing | Answer::Applied(true))
        | (Condition::IsNot(None), Change::Set(None), Answer::Nothing) => {
            (Kind::Delete { found: false }, Told::Nothing)
        }
        (Condition::IsNot(None), Change::Set(None), Answer::Applied(true)) => {
            (Kind::Delete { found: true }, Told::Nothing)
        }
        (Condition::IsNot(None), Change::Set(None), Answer::Applied(false)) => (Kind::Absent, Told::Nothing),
        _ => return None,
    })
}

/// Positions of operations that contradict each other, with the reads that show where they belong.
#[derive(Debug)]
pub(super) struct Conflict(pub(super) Vec<usize>);

/// What the key held from one beginning to the next.
#[derive(Debug)]
pub(super) struct Life {
    /// True if it begins with an append to an absent key.
    pub(super) from_absence: bool,
    /// Its updates in their order.
    pub(super) chain: Vec<usize>,
    /// How long the value is after each of them.
    pub(super) ends: Vec<u64>,
    /// Who saw the value after each of them.
    pub(super) looks: Vec<Vec<usize>>,
    /// Who saw most of it.
    pub(super) evidence: usize,
    /// The earliest return and whose it is.
    pub(super) finish: (Time, usize),
    /// The latest invocation and whose it is.
    pub(super) start: (Time, usize),
}

impl Life {
    pub(super) fn begin(ops: &[Op<'_>], first: usize, evidence: usize) -> Life {
        let from_absence = matches!(ops[first].kind, Kind::Append(_));
        let none = ((Time::MAX, first), (Time::MIN, first));
        let mut life = Life {
            from_absence,
            chain: Vec::new(),
            ends: Vec::new(),
            looks: Vec::new(),
            evidence,
            finish: none.0,
            start: none.1,
        };
        life.push(ops, first);
        life
    }

    /// Adds an update at the end.
    pub(super) fn push(&mut self, ops: &[Op<'_>], update: usize) {
        self.chain.push(update);
        self.ends.push(self.length() + token(&ops[update]).map_or(0, |token| token.len() as u64));
        self.looks.push(Vec::new());
        self.take_in(ops, update);
    }

    /// How long the value is at the end.
    pub(super) fn length(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    pub(super) fn span(&self) -> Span {
        Span { finish: self.finish.0, start: self.start.0 }
    }

    fn take_in(&mut self, ops: &[Op<'_>], op: usize) {
        self.finish = self.finish.min((ops[op].ret, op));
        self.start = self.start.max((ops[op].invoke, op));
    }

    /// An operation that returned before one was invoked that must have come first, with that one.
    fn out_of_order(&self, ops: &[Op<'_>]) -> Option<(usize, usize)> {
        let mut latest = self.chain[0];
        for (&update, looks) in self.chain.iter().zip(&self.looks) {
            if ops[update].ret < ops[latest].invoke {
                return Some((update, latest));
            }
            latest = if ops[update].invoke > ops[latest].invoke { update } else { latest };
            if let Some(&look) = looks.iter().find(|&&look| ops[look].ret < ops[latest].invoke) {
                return Some((look, latest));
            }
            let last_look = looks.iter().copied().max_by_key(|&look| ops[look].invoke);
            latest = last_look.filter(|&look| ops[look].invoke > ops[latest].invoke).unwrap_or(latest);
        }
        None
    }
}

/// The bytes that an update brings into a value.
pub(super) fn token<'a>(op: &Op<'a>) -> Option<&'a [u8]> {
    match op.kind {
        Kind::Set(token) | Kind::Append(token) => Some(token),
        Kind::Read(_) | Kind::Absent | Kind::Delete { .. } => None,
    }
}

/// All lives of a key.
#[derive(Debug)]
pub(super) struct Lives {
    pub(super) all: Vec<Life>,
    /// Life and place of an update or a read, where that is known.
    pub(super) at: Vec<Option<(usize, usize)>>,
}

impl Lives {
    /// Finds them; nothing, if tokens cannot be told apart.
    pub(super) fn new(ops: &[Op<'_>]) -> Result<Option<Lives>, Conflict> {
        let Some(tokens) = Tokens::new(ops) else { return Ok(None) };
        let Some(mut observed) = observed(ops) else { return Ok(None) };
        // The longest first, so that a life is complete when it begins.
        observed.sort_by_key(|(op, value)| (std::cmp::Reverse(value.len()), *op));
        let mut lives = Lives { all: Vec::new(), at: vec![None; ops.len()] };
        // By the first update: the life, and the longest value that was seen of it.
        let mut by_head: HashMap<usize, (usize, &[u8])> = HashMap::new();
        for (op, value) in &observed {
            let from_nowhere = || Conflict(vec![*op]);
            let Some(head) = tokens.first(value) else { return Err(from_nowhere()) };
            if let Some(&(life, longest)) = by_head.get(&head) {
                let place = lives.all[life].ends.binary_search(&(value.len() as u64));
                match place {
                    Ok(place) if longest.starts_with(value) => lives.see(ops, *op, (life, place)),
                    _ => return Err(Conflict(vec![lives.all[life].evidence, *op])),
                }
                continue;
            }
            let mut life = Life::begin(ops, head, *op);
            let mut rest = &value[token(&ops[head]).unwrap_or_default().len()..];
            while !rest.is_empty() {
                let next = tokens.first(rest).filter(|&next| matches!(ops[next].kind, Kind::Append(_)));
                let Some(next) = next else { return Err(from_nowhere()) };
                life.push(ops, next);
                rest = &rest[token(&ops[next]).unwrap_or_default().len()..];
            }
            lives.add(life)?;
            let number = lives.all.len() - 1;
            by_head.insert(head, (number, value));
            let last = lives.all[number].chain.len() - 1;
            lives.see(ops, *op, (number, last));
        }
        lives.begin_alone(ops)?;
        lives.check(ops)?;
        Ok(Some(lives))
    }

    /// Adds a life and says of its updates where they are.
    pub(super) fn add(&mut self, life: Life) -> Result<(), Conflict> {
        let number = self.all.len();
        for (place, &update) in life.chain.iter().enumerate() {
            if let Some((other, _)) = self.at[update].replace((number, place)) {
                let other = if other == number { life.evidence } else { self.all[other].evidence };
                return Err(Conflict(vec![other, life.evidence]));
            }
        }
        self.all.push(life);
        Ok(())
    }

    fn see(&mut self, ops: &[Op<'_>], op: usize, (life, place): (usize, usize)) {
        // An append that saw the value before it is in the chain already.
        if matches!(ops[op].kind, Kind::Read(_)) {
            self.at[op] = Some((life, place));
            self.all[life].looks[place].push(op);
            self.all[life].take_in(ops, op);
        }
    }

    /// Lives that nobody read, of which is known how they began.
    fn begin_alone(&mut self, ops: &[Op<'_>]) -> Result<(), Conflict> {
        for (position, op) in ops.iter().enumerate() {
            let begins = match (op.kind, op.told) {
                (Kind::Set(_), _) => true,
                (Kind::Append(token), Told::Length(bytes)) => bytes == token.len() as u64,
                _ => false,
            };
            if begins && op.ret < Time::MAX && self.at[position].is_none() {
                self.add(Life::begin(ops, position, position))?;
            }
        }
        Ok(())
    }

    /// Lengths that were answered, and the order within each life.
    fn check(&self, ops: &[Op<'_>]) -> Result<(), Conflict> {
        for (position, op) in ops.iter().enumerate() {
            let Told::Length(bytes) = op.told else { continue };
            match self.at[position] {
                Some((life, place)) if self.all[life].ends[place] != bytes => {
                    return Err(Conflict(vec![position, self.all[life].evidence]));
                }
                None if token(op).is_some_and(|token| bytes < token.len() as u64) => {
                    return Err(Conflict(vec![position]));
                }
                _ => {}
            }
        }
        for life in &self.all {
            if let Some((op, other)) = life.out_of_order(ops) {
                return Err(Conflict(vec![op, other, life.evidence]));
            }
        }
        Ok(())
    }
}

/// Values that were seen, by whom. An append that was told the value before it saw the value after it as well. Nothing
/// if an answer does not fit its append; the search will say so.
fn observed<'a>(ops: &[Op<'a>]) -> Option<Vec<(usize, Cow<'a, [u8]>)>> {
    let mut observed = Vec::new();
    for (position, op) in ops.iter().enumerate() {
        let value = match (op.kind, op.told) {
            (Kind::Read(value), _) => Cow::Borrowed(value),
            (Kind::Append(tail), Told::Before(before)) => {
                if before.is_some_and(<[u8]>::is_empty) {
                    return None;
                }
                Cow::Owned([before.unwrap_or_default(), tail].concat())
            }
            (Kind::Append(tail), Told::After(after)) if after.ends_with(tail) => Cow::Borrowed(after),
            (Kind::Append(_), Told::After(_)) => return None,
            _ => continue,
        };
        observed.push((position, value));
    }
    Some(observed)
}

/// All tokens in order, with their updates.
struct Tokens<'a>(Vec<(&'a [u8], usize)>);

impl<'a> Tokens<'a> {
    /// Nothing if one of them is empty, or occurs twice, or is the beginning of another where values are put together.
    fn new(ops: &[Op<'a>]) -> Option<Self> {
        let mut tokens: Vec<(&[u8], usize)> = Vec::new();
        for (position, op) in ops.iter().enumerate() {
            tokens.extend(token(op).map(|token| (token, position)));
        }
        tokens.sort_unstable();
        // In order, what a token begins follows it at once.
        let appends = ops.iter().any(|op| matches!(op.kind, Kind::Append(_)));
        let clash = tokens
            .windows(2)
            .any(|pair| if appends { pair[1].0.starts_with(pair[0].0) } else { pair[1].0 == pair[0].0 });
        let empty = tokens.first().is_some_and(|(token, _)| token.is_empty());
        (!clash && !empty).then_some(Tokens(tokens))
    }

    /// The update whose token the value begins with.
    fn first(&self, value: &[u8]) -> Option<usize> {
        let after = self.0.partition_point(|&(token, _)| token <= value);
        let &(token, update) = self.0.get(after.checked_sub(1)?)?;
        value.starts_with(token).then_some(update)
    }
}
