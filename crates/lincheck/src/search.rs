//! The exact search of Wing and Gong (1993) with the memory that Lowe added (2017), for every model.
//!
//! The search builds a sequence operation by operation. An operation may come next when no other operation still to
//! be placed returned before it was invoked. Four observations keep the tree small; each only removes branches whose
//! success would imply the success of a branch that stays:
//!
//! - An operation that may come next and can only look, such as a matching read, is placed at once: in any completion
//!   it could be moved to the front without disturbing the others. (A write of the present value is another matter:
//!   it may be needed again after the next write.)
//! - Operations of unknown outcome never have to be placed, and equal ones differ only in when they become possible,
//!   so of equal ones the earliest goes first.
//! - An operation of unknown outcome is placed only if an operation that may follow looks at the state it leaves;
//!   otherwise the completion works without it.
//! - What was placed is determined by what is possible next (see [`Search::memo_key`]), so the memory holds a few
//!   numbers per position, not a bit per operation.

use std::collections::{HashMap, HashSet};

use crate::compile::{Key, Step};
use crate::states::State;

/// How a search ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SearchResult {
    /// There is an order; the indices of the operations in it, unknown ones only where they took effect.
    Order(Vec<usize>),
    /// There is none. No attempt got past the return at this time, so the history up to there is already wrong.
    Nothing { stuck_at: u64 },
    /// The search visited as many positions as it was allowed to.
    GaveUp,
}

/// A result and its price in positions.
pub(crate) struct Searched {
    pub(crate) found: SearchResult,
    pub(crate) spent: usize,
}

/// How many concurrent operations one position may have before it costs more than one. It keeps a history in which
/// everything is concurrent from taking far more time and memory than the limit suggests.
const WIDTH: usize = 8;

/// How many bytes the values may take that the search itself makes up.
const STATE_BYTES: usize = 256 << 20;

/// Looks for a linearization of the key, visiting at most `limit` positions.
pub(crate) fn search(key: &mut Key, limit: usize) -> Searched {
    let mut search = Search::new(key, limit);
    let found = search.run();
    Searched { found, spent: search.spent }
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
    /// How many operations were placed when the choices were listed.
    placed: usize,
    choices: Vec<(Choice, State)>,
    tried: usize,
}

enum Opened {
    /// Everything that must be placed is.
    Done,
    /// This position is being, or was, explored.
    SeenBefore,
    /// The allowance is spent.
    TooDear,
    /// The ways on, perhaps none.
    Frame(Frame),
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
    spent: usize,
    limit: usize,
}

impl<'a> Search<'a> {
    fn new(key: &'a mut Key, limit: usize) -> Self {
        let mut required = Vec::new();
        let mut by_step: HashMap<Step, Vec<(u64, usize)>> = HashMap::new();
        for op in &key.ops {
            match op.ret {
                Some(ret) => {
                    required.push(Required { index: op.index, step: op.step, invoke: op.invoke, ret });
                }
                None => by_step.entry(op.step).or_default().push((op.invoke, op.index)),
            }
        }
        // Whatever nobody can see need not happen.
        let observers = Observers::new(key.ops.iter().map(|op| op.step));
        by_step.retain(|step, _| match *step {
            Step::Set(after) | Step::Swap(_, after) => observers.notice(after),
            Step::Append(_) | Step::Run(_) | Step::Update(_) | Step::Expect(_) | Step::Refused(_) => true,
        });
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
            spent: 0,
            limit,
            key,
            required,
            classes,
        }
    }

    fn run(&mut self) -> SearchResult {
        let mut stack: Vec<Frame> = Vec::new();
        let mut state = self.key.initial;
        loop {
            match self.open(state) {
                Opened::Done => return SearchResult::Order(self.order()),
                Opened::Frame(frame) => stack.push(frame),
                Opened::SeenBefore => {}
                Opened::TooDear => return SearchResult::GaveUp,
            }
            if self.spent > self.limit || self.key.states.made_up_bytes() > STATE_BYTES {
                return SearchResult::GaveUp;
            }
            state = loop {
                let Some(frame) = stack.last_mut() else {
                    return SearchResult::Nothing { stuck_at: self.stuck_at };
                };
                if let Some(&(choice, after)) = frame.choices.get(frame.tried) {
                    frame.tried += 1;
                    let placed = frame.placed;
                    self.undo(placed);
                    self.place(choice);
                    break after;
                }
                stack.pop();
            };
        }
    }

    /// Places what can be placed without thinking, then lists the ways on.
    fn open(&mut self, state: State) -> Opened {
        let (candidates, bound) = loop {
            let (candidates, bound) = self.candidates();
            self.spent += (candidates.len() + self.classes.len()) / WIDTH;
            if self.spent > self.limit {
                return Opened::TooDear;
            }
            let before = self.placed.len();
            for &op in &candidates {
                let step = self.required[op].step;
                if step.only_looks() && self.key.states.apply(state, step).is_some() {
                    self.place(Choice::Required(op));
                }
            }
            if self.placed.len() == before {
                break (candidates, bound);
            }
        };
        if candidates.is_empty() {
            return Opened::Done;
        }
        self.stuck_at = self.stuck_at.max(bound);
        self.spent += 1;
        if !self.seen.insert(self.memo_key(&candidates, state)) {
            return Opened::SeenBefore;
        }
        let mut ready: Vec<Choice> = candidates.iter().map(|&op| Choice::Required(op)).collect();
        for (class, used) in self.used.iter().enumerate() {
            let members = &self.classes[class].members;
            if members[0].0 > bound {
                break;
            }
            if members.get(*used).is_some_and(|&(invoke, _)| invoke <= bound) {
                ready.push(Choice::Optional(class));
            }
        }
        let observers = Observers::new(ready.iter().map(|&choice| self.step(choice)));
        let mut choices = Vec::new();
        for &choice in &ready {
            let Some(after) = self.key.states.apply(state, self.step(choice)) else { continue };
            let welcome = observers.notice(after);
            match choice {
                // First what a waiting operation asks for, then what has to happen soonest.
                Choice::Required(op) => choices.push(((!welcome, self.required[op].ret), choice, after)),
                Choice::Optional(_) if welcome && after != state => {
                    choices.push(((true, u64::MAX), choice, after));
                }
                Choice::Optional(_) => {}
            }
        }
        choices.sort_by_key(|&(rank, ..)| rank);
        let choices = choices.into_iter().map(|(_, choice, after)| (choice, after)).collect();
        Opened::Frame(Frame { placed: self.placed.len(), choices, tried: 0 })
    }

    /// The operations that may come next, and the earliest return among those still to be placed.
    fn candidates(&self) -> (Vec<usize>, u64) {
        let end = self.required.len();
        let mut found = Vec::new();
        let mut bound = u64::MAX;
        let mut op = self.next[end];
        // Later operations are invoked later still and return after that, so none of them can lower the bound below
        // the invocation of one already listed.
        while op != end && self.required[op].invoke <= bound {
            bound = bound.min(self.required[op].ret);
            found.push(op);
            op = self.next[op];
        }
        (found, bound)
    }

    /// Names the position: what is placed, and the state.
    ///
    /// Let the bound be the earliest return among operations still to be placed. Everything that returned before it
    /// is placed, and nothing invoked after it is, because the bound only grows. Of the operations around the bound
    /// exactly the candidates are not placed. So candidates, used unknown operations and state say it all.
    fn memo_key(&self, candidates: &[usize], state: State) -> Box<[u32]> {
        let small = |n: usize| u32::try_from(n).expect("an operation takes more than one byte");
        let mut key = vec![state, small(candidates.len())];
        key.extend(candidates.iter().map(|&op| small(op)));
        for (class, &used) in self.used.iter().enumerate().filter(|&(_, &used)| used > 0) {
            key.extend([small(class), small(used)]);
        }
        key.into_boxed_slice()
    }

    fn step(&self, choice: Choice) -> Step {
        match choice {
            Choice::Required(op) => self.required[op].step,
            Choice::Optional(class) => self.classes[class].step,
        }
    }

    fn place(&mut self, choice: Choice) {
        match choice {
            Choice::Required(op) => {
                let (previous, next) = (self.previous[op], self.next[op]);
                self.next[previous] = next;
                self.previous[next] = previous;
            }
            Choice::Optional(class) => self.used[class] += 1,
        }
        self.placed.push(choice);
    }

    /// Takes back placements, last first, until `keep` are left. The ring remembers the neighbours of what left it.
    fn undo(&mut self, keep: usize) {
        while self.placed.len() > keep {
            match self.placed.pop() {
                Some(Choice::Required(op)) => {
                    let (previous, next) = (self.previous[op], self.next[op]);
                    self.next[previous] = op;
                    self.previous[next] = op;
                }
                Some(Choice::Optional(class)) => self.used[class] -= 1,
                None => {}
            }
        }
    }

    fn order(&self) -> Vec<usize> {
        let mut used = vec![0; self.classes.len()];
        let index = |&choice: &Choice| match choice {
            Choice::Required(op) => self.required[op].index,
            Choice::Optional(class) => {
                used[class] += 1;
                self.classes[class].members[used[class] - 1].1
            }
        };
        self.placed.iter().map(index).collect()
    }
}

/// What a set of operations looks at.
struct Observers {
    wanted: Vec<State>,
    refused: Vec<State>,
    all: bool,
}

impl Observers {
    fn new(steps: impl Iterator<Item = Step>) -> Self {
        let mut observers = Observers { wanted: Vec::new(), refused: Vec::new(), all: false };
        for step in steps {
            match step {
                Step::Expect(value) | Step::Swap(value, _) => observers.wanted.push(value),
                // Two are as good as any number: each state differs from one of them.
                Step::Refused(value)
                    if observers.refused.len() < 2 && !observers.refused.contains(&value) =>
                {
                    observers.refused.push(value);
                }
                Step::Refused(_) => {}
                Step::Append(_) | Step::Run(_) | Step::Update(_) => observers.all = true,
                Step::Set(_) => {}
            }
        }
        observers.wanted.sort_unstable();
        observers
    }

    /// True when one of them, coming next, would find this state to its liking and might not find another so.
    fn notice(&self, state: State) -> bool {
        self.all
            || self.wanted.binary_search(&state).is_ok()
            || self.refused.iter().any(|&value| value != state)
    }
}
