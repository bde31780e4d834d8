//! Append histories that happened, and such with a mistake in them. Values drawn at random would hardly ever be right.

use crate::history::{Action, Operation};
use crate::testing::random::Random;
use crate::update::{Answer, Change, Update};

/// Two to seven operations of one key, in most cases with some lies.
pub(crate) fn history(random: &mut Random, plain: bool) -> Vec<Operation> {
    let count = 2 + random.below(6);
    let width = 1 + random.below(9);
    let mut value: Option<Vec<u8>> = None;
    let mut operations: Vec<Operation> = Vec::new();
    for i in 0..count {
        let token = token(random, i);
        let unknown = random.one_in(6);
        let (action, after) = happens(random, plain, value.as_deref(), &token);
        if !unknown || random.one_in(2) {
            value = after;
        }
        let now = 20 + 4 * i;
        let (invoke, ret) = (now - random.below(width), now + random.below(width));
        operations.push(Operation {
            client: i,
            key: b"k".to_vec(),
            action,
            invoke,
            ret: (!unknown).then_some(ret),
        });
    }
    for _ in 0..random.below(4) {
        lie(random, &mut operations);
    }
    // The check must not depend on the order in which a history lists its operations.
    let shift = random.index(operations.len());
    operations.rotate_left(shift);
    operations
}

/// Letters, some of them doubled, so that lengths differ.
fn token(random: &mut Random, i: u64) -> Vec<u8> {
    let letter = b'a' + u8::try_from(i).expect("histories are short");
    if random.one_in(3) { vec![letter, b'+'] } else { vec![letter, b'-'] }
        .into_iter()
        .chain((random.one_in(4)).then_some(b'!'))
        .collect()
}

fn happens(
    random: &mut Random,
    plain: bool,
    value: Option<&[u8]>,
    token: &[u8],
) -> (Action, Option<Vec<u8>>) {
    let after = [value.unwrap_or_default(), token].concat();
    let append = Update::append(token);
    match random.below(10) {
        0 => (Action::Write(token.to_vec()), Some(token.to_vec())),
        1 if !plain && random.one_in(2) => (Action::Delete, None),
        1 if !plain => (Update::delete().if_present().applied(value.is_some()).into(), None),
        2..=5 => (Action::Read(value.map(<[u8]>::to_vec)), value.map(<[u8]>::to_vec)),
        6 | 7 if !plain => (append.length(after.len() as u64).into(), Some(after)),
        8 if random.one_in(2) => (append.before(value).into(), Some(after)),
        8 => (append.after(Some(&after)).into(), Some(after)),
        _ => (append.into(), Some(after)),
    }
}

fn lie(random: &mut Random, operations: &mut [Operation]) {
    let other = random.index(operations.len());
    let elsewhere = match &operations[other].action {
        Action::Read(value) => value.clone(),
        Action::Write(value) => Some(value.clone()),
        _ => None,
    };
    let operation = &mut operations[random.index(operations.len())];
    match &mut operation.action {
        Action::Read(value) if random.one_in(2) => *value = elsewhere,
        Action::Read(Some(value)) if random.one_in(2) => {
            value.pop();
            value.pop();
        }
        Action::Read(Some(value)) => value.extend_from_within(..value.len().min(2)),
        Action::Update(Update { change: Change::Append(_), answer: Answer::Length(bytes), .. }) => {
            *bytes = (*bytes + 4 * random.below(2)).saturating_sub(2);
        }
        _ => {
            operation.invoke += 6;
            operation.ret = operation.ret.map(|ret| ret + 6 + random.below(4));
        }
    }
}
