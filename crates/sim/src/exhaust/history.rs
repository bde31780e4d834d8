//! Linearizability by brute force (Herlihy and Wing 1990): is there an order of all operations that explains the
//! answers and respects real time?

use super::scenario::{MAX_OPERATIONS, Operation, OperationKind};
use super::values::Text;

/// What a client got to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ModelAnswer {
    /// A Set or Delete took effect.
    Written,
    /// What the key held; of an Update, what it held before.
    Read(Text),
}

/// How far an operation is, as a client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Progress {
    /// Not invoked yet.
    Idle,
    /// Invoked, not answered.
    Open,
    /// Its coordinator crashed: nobody will ever answer, and it may take effect at any time, or never.
    Lost,
    /// Over.
    Answered(ModelAnswer),
}

/// An operation's place in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct HistoryEntry {
    pub(super) progress: Progress,
    /// The operations, as a bit set, that had answered when this one was invoked.
    pub(super) before: u8,
}

impl HistoryEntry {
    pub(super) const IDLE: Self = Self { progress: Progress::Idle, before: 0 };

    pub(super) fn answered(self) -> bool {
        matches!(self.progress, Progress::Answered(_))
    }
}

/// Whether the history is linearizable. Every order is tried; writes without an answer may be left out.
pub(super) fn linearizable(operations: &[Operation], records: &[HistoryEntry; MAX_OPERATIONS]) -> bool {
    let must = (0..operations.len()).filter(|&i| records[i].answered()).fold(0, |set, i| set | 1 << i);
    extend(operations, records, must, 0, Held { text: Text::ABSENT, expires: false })
}

/// What the key holds, and whether that has a deadline.
#[derive(Clone, Copy)]
struct Held {
    text: Text,
    expires: bool,
}

/// Whether an order that has `placed` so far, and left `held` in the register, can be completed. A value with a deadline may be gone
/// at any moment, once.
fn extend(
    operations: &[Operation],
    records: &[HistoryEntry; MAX_OPERATIONS],
    must: u8,
    placed: u8,
    held: Held,
) -> bool {
    if must & !placed == 0 {
        return true;
    }
    let gone = Held { text: Text::ABSENT, expires: false };
    if held.expires && extend(operations, records, must, placed, gone) {
        return true;
    }
    for (index, operation) in operations.iter().enumerate() {
        let record = records[index];
        if placed & 1 << index != 0 || record.before & !placed != 0 {
            continue;
        }
        let letter = u8::try_from(index).unwrap_or(u8::MAX);
        match (operation.kind, record.progress) {
            (_, Progress::Idle) | (OperationKind::Get, Progress::Open | Progress::Lost) => continue,
            (_, Progress::Answered(ModelAnswer::Read(found))) if found != held.text => continue,
            _ => {}
        }
        let is_absent = held.text == Text::ABSENT;
        let after = match operation.kind {
            OperationKind::Set => Held { text: Text::ABSENT.and(letter), expires: false },
            OperationKind::SetEx => Held { text: Text::ABSENT.and(letter), expires: true },
            OperationKind::Delete => gone,
            OperationKind::Append => Held { text: held.text.and(letter), ..held },
            OperationKind::Create if is_absent => Held { text: held.text.and(letter), expires: false },
            OperationKind::Lock if is_absent => Held { text: held.text.and(letter), expires: true },
            OperationKind::Persist if held.expires => Held { text: held.text.and(letter), expires: false },
            OperationKind::Get | OperationKind::Create | OperationKind::Lock | OperationKind::Persist => held,
        };
        if extend(operations, records, must, placed | 1 << index, after) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use lincheck::{Action, History, Model, Update, Verdict};

    /// Xorshift (Marsaglia 2003).
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::from(self.0.to_le_bytes()[3]) % limit
        }
    }

    /// A random history twice: for the search here and for the checker.
    fn draw(
        random: &mut Random,
        kinds: &[OperationKind],
    ) -> (Vec<Operation>, [HistoryEntry; MAX_OPERATIONS], History) {
        let count = 1 + random.below(MAX_OPERATIONS);
        let operations: Vec<Operation> = (0..count)
            .map(|_| Operation {
                kind: kinds[random.below(kinds.len())],
                event_loop: 0,
                after: None,
                from: 1,
            })
            .collect();
        let adds = |o: &Operation| !matches!(o.kind, OperationKind::Get | OperationKind::Delete);
        let letters: Vec<u8> = (0u8..).zip(&operations).filter(|(_, o)| adds(o)).map(|(i, _)| i).collect();
        let has_updates = operations.iter().any(|operation| operation.kind.is_update());
        let mut records = [HistoryEntry::IDLE; MAX_OPERATIONS];
        let (mut invoked, mut returned) = ([None; MAX_OPERATIONS], [None; MAX_OPERATIONS]);
        for time in (0..).take(random.below(3 * count)) {
            let index = random.below(count);
            let record = &mut records[index];
            match record.progress {
                Progress::Idle => {
                    record.progress = Progress::Open;
                    invoked[index] = Some(time);
                    let before = (0..count).filter(|&i| returned[i].is_some());
                    record.before = before.fold(0, |set, i| set | 1 << i);
                }
                Progress::Open
                    if operations[index].kind == OperationKind::Get || operations[index].kind.is_update() =>
                {
                    let length = if has_updates { random.below(3) } else { 1 };
                    let drawn = (0..length).map(|_| letters.get(random.below(1 + letters.len())).copied());
                    let read = drawn.flatten().fold(Text::ABSENT, Text::and);
                    record.progress = Progress::Answered(ModelAnswer::Read(read));
                    returned[index] = Some(time);
                }
                Progress::Open => {
                    record.progress = Progress::Answered(ModelAnswer::Written);
                    returned[index] = Some(time);
                }
                Progress::Lost | Progress::Answered(_) => {}
            }
        }
        let same = (0..count).filter_map(|index| {
            let letter = u8::try_from(index).unwrap_or(u8::MAX);
            let read = match records[index].progress {
                Progress::Answered(ModelAnswer::Read(text)) => {
                    Some(text.letters()).filter(|letters| !letters.is_empty())
                }
                _ => None,
            };
            let action = match operations[index].kind {
                OperationKind::Get => Action::Read(read),
                OperationKind::Set | OperationKind::SetEx => Action::Write(vec![letter]),
                OperationKind::Delete => Action::Delete,
                OperationKind::Persist => unreachable!("its condition is no value"),
                OperationKind::Append => Update::append(&[letter]).before(read.as_deref()).into(),
                OperationKind::Create | OperationKind::Lock => {
                    Update::set(&[letter]).if_absent().before(read.as_deref()).into()
                }
            };
            let (client, invoke, ret) = (u64::from(letter), invoked[index]?, returned[index]);
            Some(lincheck::Operation { client, key: b"k".to_vec(), action, invoke, ret })
        });
        // Nobody's update takes away what has a deadline, once it may be there, or never.
        let expiries = (0..count).filter_map(|index| {
            let letter = u8::try_from(index).unwrap_or(u8::MAX);
            let action = Update::delete().if_equal(&[letter]).into();
            let (client, invoke) = (u64::from(letter) + 100, invoked[index]?);
            let expiry = lincheck::Operation { client, key: b"k".to_vec(), action, invoke, ret: None };
            operations[index].kind.has_deadline().then_some(expiry)
        });
        let history = History::new(same.chain(expiries).collect());
        (operations, records, history)
    }

    /// Two programs written apart have one opinion, and both opinions occur.
    fn agree(kinds: &[OperationKind]) {
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        let mut tally = [0, 0];
        for _ in 0..20_000 {
            let (operations, records, history) = draw(&mut random, kinds);
            let here = linearizable(&operations, &records);
            let verdict = lincheck::check(&Model::register_with_updates(), &history);
            assert_eq!(here, matches!(verdict, Verdict::Linearizable), "{history:?}");
            tally[usize::from(here)] += 1;
        }
        assert!(tally.iter().all(|&count| count > 1_000), "{tally:?}");
    }

    #[test]
    fn trying_every_order_agrees_with_the_checker() {
        use OperationKind::{Delete, Get, Set};
        agree(&[Get, Get, Set, Set, Delete]);
    }

    #[test]
    fn so_it_does_with_values_that_expire() {
        use OperationKind::{Create, Delete, Get, Lock, Set, SetEx};
        agree(&[Get, Get, SetEx, SetEx, Lock, Create, Set, Delete]);
    }

    #[test]
    fn so_it_does_with_updates() {
        use OperationKind::{Append, Create, Delete, Get, Set};
        agree(&[Get, Append, Append, Create, Set, Delete]);
    }
}
