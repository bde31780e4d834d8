//! The exact search of Wing and Gong (1993) with the memory that Lowe added (2017), for every model.
//!
//! The search builds a sequence operation by operation. An operation may come next when no other operation still to
//! be placed returned before it was invoked. Four observations keep the tree small; each only removes branches whose
//! success would imply the success of a branch that stays:
//!
//! - An operation that may come next and leaves the state as it is, such as a matching read, is placed at once: in
//!   any completion it could be moved to the front without disturbing the others.
//! - Operations of unknown outcome never have to be placed, and equal ones differ only in when they become possible,
//!   so of equal ones the earliest goes first.
//! - An operation of unknown outcome is placed only if an operation that may follow looks at the state it leaves;
//!   otherwise the completion works without it.
//! - What was placed is determined by what is possible next (see [`Search::memo_key`]), so the memory holds a few
//!   numbers per position, not a bit per operation.

use std::collections::{HashMap, HashSet};

use crate::compile::{Key, State, Step};

/// How a search ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is an order; the indices of the operations in it, unknown ones only where they took effect.
    Order(Vec<usize>),
    /// There is none. No attempt got past the return at this time, so the history up to there is already wrong.
    Nothing { stuck_at: u64 },
    /// The search visited as many positions as it was allowed to.
    GaveUp,
}

/// Looks for a linearization of the key, visiting at most `limit` positions.
pub(crate) fn search(key: &mut Key, limit: usize) -> Found {
    Search::new(key).run(limit)
}

/// An operation that must be placed.
struct Required {
    index: usize,
    step: Step,
    invoke: u64,
    ret: u64,
}

/// Equal operations of unknown outcome, in the order in which they become possible.
struct Class {
    step: Step,
    members: Vec<(u64, usize)>,
}

#[derive(Clone, Copy)]
enum Choice {
    Required(usize),
    Optional(usize),
}

/// A position whose ways on are being tried.
struct Frame {
    state: State,
    placed: usize,
    choices: Vec<(Choice, State)>,
    tried: usize,
}

struct Search<'a> {
    key: &'a mut Key,
    required: Vec<Required>,
    /// A ring over `required` and one end mark: the operations still to be placed, by time of invocation.
    next: Vec<usize>,
    previous: Vec<usize>,
    classes: Vec<Class>,
    used: Vec<usize>,
    placed: Vec<Choice>,
    seen: HashSet<Box<[u32]>>,
    stuck_at: u64,
}

impl<'a> Search<'a> {
    fn new(key: &'a mut Key) -> Self {
        let mut required = Vec::new();
        let mut by_step: HashMap<Step, Vec<(u64, usize)>> = HashMap::new();
        for op in &key.ops {
            match op.ret {
                Some(ret) => required.push(Required { index: op.index, step: op.step, invoke: op.invoke, ret }),
                None => by_step.entry(op.step).or_default().push((op.invoke, op.index)),
            }
        }
        required.sort_by_key(|op| (op.invoke, op.ret, op.index));
        let mut classes: Vec<Class> = by_step
            .into_iter()
            .map(|(step, mut members)| {
                members.sort_unstable();
                Class { step, members }
            })
            .collect();
        // The map's order is random; sorting makes two runs on one history do the same.
        classes.sort_by_key(|class| class.members[0]);
        let marks = required.len() + 1;
        Search {
            next: (1..marks).chain([0]).collect(),
            previous: [marks - 1].into_iter().chain(0..marks - 1).collect(),
            used: vec![0; classes.len()],
            placed: Vec::new(),
            seen: HashSet::new(),
            stuck_at: 0,
            key,
            required,
            classes,
        }
    }

    fn run(mut self, limit: usize) -> Found {
        let mut stack: Vec<Frame> = Vec::new();
        let mut state = self.key.initial;
        loop {
            let placed = self.placed.len();
            match self.open(state, placed) {
                Opened::Done => return Found::Order(self.order()),
                Opened::Frame(frame) => stack.push(frame),
                Opened::SeenBefore => self.undo(placed),
            }
            if self.seen.len() > limit {
                return Found::GaveUp;
            }
            state = loop {
                let Some(frame) = stack.last_mut() else {
                    return Found::Nothing { stuck_at: self.stuck_at };
                };
                if let Some(&(choice, after)) = frame.choices.get(frame.tried) {
                    frame.tried += 1;
                    let placed = frame.placed;
                    debug_assert!(frame.state != after, "a choice that changes nothing is no choice");
                    self.undo_to_choices(placed);
                    self.place(choice);
                    break after;
                }
                let frame = stack.pop().expect("looked at it just now");
                self.undo(frame.placed);
            };
        }
    }
}
