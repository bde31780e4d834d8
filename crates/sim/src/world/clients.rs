//! Clients: each asks one thing at a time or a few, writes values that nobody else writes, and remembers what it was told.

use super::{Event, World};
use crate::history::{ClientAnswer, OperationRecord};
use crate::plan::{OperationKind, Plan, Planned};
use crate::time::MS;
use crate::trace::What;
use abd::NodeId;
use bytes::Bytes;
use std::collections::VecDeque;

/// A client and what it has yet to do.
#[derive(Debug)]
pub(crate) struct Client {
    pub(super) todo: VecDeque<Planned>,
    /// How many requests it sends before it has the answers, and how many it has sent.
    at_a_time: u32,
    in_flight: u32,
    /// Whether it is about to ask.
    is_due: bool,
}

/// What a client says in a request.
pub(crate) struct Asked {
    pub(crate) key: Bytes,
    /// What it writes, appends or adds.
    pub(crate) value: Bytes,
    /// What the key must hold.
    pub(crate) expected: Bytes,
}

/// Gives every client its operations.
pub(super) fn of_plan(plan: &Plan) -> Vec<Client> {
    let count = plan.operations.iter().map(|operation| operation.client + 1).max().unwrap_or(0);
    (0..count)
        .map(|client| {
            let own = plan.operations.iter().filter(|operation| operation.client == client);
            let at_a_time = plan.pipelines.get(client as usize).copied().unwrap_or(1);
            Client { todo: own.cloned().collect(), at_a_time, in_flight: 0, is_due: false }
        })
        .collect()
}

impl World {
    /// A client is free: it goes on when its next operation is due.
    pub(super) fn schedule_next(&mut self, client: usize) {
        if let Some(next) = self.clients[client].todo.front() {
            self.queue.push(next.at.max(self.now), Event::Begin { client });
            self.clients[client].is_due = true;
        }
    }

    /// A client asks.
    pub(super) fn begin(&mut self, client: usize) {
        self.clients[client].is_due = false;
        let Some(planned) = self.clients[client].todo.pop_front() else { return };
        self.clients[client].in_flight += 1;
        let count = self.count();
        // It tries the next address when one is down.
        let up = (0..count)
            .map(|offset| (planned.node + offset) % count)
            .find(|node| self.nodes[*node as usize].process.is_some());
        let asked = self.ask(&planned, up);
        if up.is_none() {
            self.end(asked, ClientAnswer::NotAsked);
        } else if planned.patience > 0 {
            self.queue.push(self.now + planned.patience, Event::GiveUp { operation: asked });
        }
        self.go_on(client);
    }

    /// Records an operation and sends it to its node. What it writes, nobody else writes.
    fn ask(&mut self, planned: &Planned, node: Option<u32>) -> usize {
        let key = Plan::key(planned.key);
        let asked = Asked { value: self.new_value(planned), expected: self.last_seen(&key), key };
        self.ask_for(planned, node, asked)
    }

    /// A value that nobody else writes. Its end is marked, so that it can be told from another one that it begins.
    fn new_value(&self, planned: &Planned) -> Bytes {
        let (number, size) = (self.records.len(), planned.size.saturating_sub(2));
        Bytes::from(match planned.kind {
            // Each sum says what was added.
            OperationKind::Increment => format!("{}", 1 + number),
            OperationKind::Append => format!("a{number:.<size$};"),
            _ if Plan::is_counter(planned.key) => format!("{}", 1_000_000 * (1 + number)),
            _ => format!("v{number:.<size$};"),
        })
    }

    /// What somebody was told last that a key holds; or what nobody ever writes.
    fn last_seen(&self, key: &Bytes) -> Bytes {
        let told = self.records.iter().rev().filter(|record| record.key == key);
        let mut seen = told.filter_map(|record| match (record.kind, &record.answer) {
            (OperationKind::Get | OperationKind::GetEx, ClientAnswer::Read(Some(value))) => {
                Some(value.clone())
            }
            (OperationKind::Set | OperationKind::SetEx | OperationKind::GetSet, answer)
                if answer.is_answered() =>
            {
                Some(record.value.clone())
            }
            (
                OperationKind::SetIfAbsent | OperationKind::Lock | OperationKind::SetIfEqual,
                ClientAnswer::Written,
            ) => Some(record.value.clone()),
            (OperationKind::Increment, ClientAnswer::Number(sum)) => Some(Bytes::from(sum.to_string())),
            _ => None,
        });
        seen.next().unwrap_or_else(|| Bytes::from_static(b"nothing"))
    }

    /// The same with a key and values of somebody's choice.
    pub(crate) fn ask_for(&mut self, planned: &Planned, node: Option<u32>, asked: Asked) -> usize {
        let Asked { key, value, expected } = asked;
        let lives = match planned.kind.has_deadline() {
            true => Bytes::from(planned.lives.to_string()),
            false => Bytes::new(),
        };
        let operation = self.records.len();
        let record = OperationRecord {
            client: planned.client,
            node: node.unwrap_or(planned.node),
            key,
            kind: planned.kind,
            value,
            expected,
            lives,
            proposals: Vec::new(),
            is_blind: false,
            version: None,
            invoked: (self.now, self.moment),
            returned: (0, 0),
            answer: ClientAnswer::Pending,
        };
        self.stats.operations += 1;
        self.stats.updates += u64::from(planned.kind.is_update());
        let text = if self.trace.is_on() { record.text() } else { String::new() };
        self.records.push(record);
        if let Some(node) = node
            && let Some(process) = self.nodes[node as usize].process.as_ref()
        {
            let (client, incarnation) = (planned.client, process.incarnation);
            self.trace.record(self.now, || What::Invoked { operation, client, node, text });
            self.dispatch(Event::Submit { operation, node, incarnation });
        }
        operation
    }

    /// An operation reaches its node, over a connection of its client.
    pub(super) fn submit(&mut self, operation: usize, node: u32, incarnation: u64) {
        if self.process_of(node, incarnation).is_none() {
            return self.answer_unknown(operation, "the node ended");
        }
        let connection = self.connection_of(operation);
        self.ask_over(node, connection, operation);
    }

    /// Over which connection: a client has one to each node. In a script each operation has one, so that none waits for another.
    fn connection_of(&self, operation: usize) -> u64 {
        let client = self.records[operation].client;
        if self.held.is_some() { operation as u64 } else { u64::from(client) }
    }

    pub(super) fn look_at_holders(&mut self, operation: usize, version: abd::Version) {
        let key = &self.records[operation].key;
        let mut holders = Vec::new();
        for (node, state) in (0u32..).zip(&self.nodes) {
            // A node that is down, or whose disk is gone, counts as what it had promised: it does not vote meanwhile.
            let promised = self.monotone.borrow().promised(node, key);
            let held = match &state.process {
                Some(process) if !state.replaced => {
                    process.store().newest(key).map_or(promised, |newest| newest.stamped.version)
                }
                _ => promised,
            };
            if held >= version {
                holders.push((NodeId(node + 1), state.identity.voting()));
            }
        }
        holders.extend(self.monotone.borrow().former(key, version));
        let record = &self.records[operation];
        let epochs = self.epochs_since(record.node, record.invoked.0);
        let suffice = self.configurations.suffice(epochs, &holders);
        self.convict(crate::checks::acked::check(version, suffice, holders.len()));
    }

    /// The process that had the operation is gone: nobody will ever know.
    pub(super) fn answer_unknown(&mut self, operation: usize, why: &str) {
        self.end(operation, ClientAnswer::Unknown(why.into()));
    }

    /// The client does not want to wait any longer, and closes the connection.
    pub(super) fn give_up(&mut self, operation: usize) {
        let record = &self.records[operation];
        if record.answer == ClientAnswer::Pending {
            let (node, connection) = (record.node, self.connection_of(operation));
            self.answer_unknown(operation, "the client gave up");
            self.hang_up(node, connection, "the client gave up");
            self.follow_up(node);
        }
    }

    pub(super) fn end(&mut self, operation: usize, answer: ClientAnswer) {
        let record = &mut self.records[operation];
        if record.answer != ClientAnswer::Pending {
            return;
        }
        record.answer = answer;
        record.returned = (self.now, self.moment);
        self.stats.answered += u64::from(record.answer.is_answered());
        self.stats.indeterminate += u64::from(record.kind.is_update() && record.is_indeterminate());
        let client = record.client as usize;
        if let Some(client) = self.clients.get_mut(client) {
            client.in_flight -= 1;
        }
        if self.trace.is_on() {
            let text = self.records[operation].answer.text();
            self.trace.record(self.now, || What::Answered { operation, text });
        }
        self.go_on(client);
    }

    /// A client goes on if it may ask more, and not in the same event: an operation begins strictly after the one before has ended.
    fn go_on(&mut self, client: usize) {
        let rest = self.rng.below(MS);
        let Some(asks) = self.clients.get_mut(client) else { return };
        if let Some(next) = asks.todo.front()
            && !asks.is_due
            && asks.in_flight < asks.at_a_time
        {
            asks.is_due = true;
            self.queue.push(next.at.max(self.now + rest), Event::Begin { client });
        }
    }

    /// After the chaos: every key is read and written through every node that serves, by a client of its own. How many
    /// operations each of them has. `after`: then every key is updated through one of them.
    pub(super) fn add_last_operations(&mut self, after: impl Fn(u64) -> u64) -> u64 {
        let keys = self.plan.operations.iter().map(|operation| operation.key + 1).max().unwrap_or(1);
        let each = u64::from(keys) * 2;
        let mut updates = true;
        let first = u32::try_from(self.clients.len()).unwrap_or(u32::MAX);
        for node in 0..self.count() {
            let state = &self.nodes[node as usize];
            // One that waits for its heal serves nobody: beside a member that never starts again it waits for an operator.
            if state.process.is_none() || state.identity.is_gone() || !self.is_member(node) {
                continue;
            }
            let client = first + node;
            let operation =
                |key, kind| Planned { at: self.now, client, node, key, kind, size: 0, lives: 0, patience: 0 };
            let mut todo: VecDeque<Planned> = (0..keys)
                .flat_map(|key| [operation(key, OperationKind::Get), operation(key, OperationKind::Set)])
                .collect();
            if std::mem::take(&mut updates) {
                let kind = |key| match Plan::is_counter(key) {
                    true => OperationKind::Increment,
                    false => OperationKind::Append,
                };
                let update = |key| Planned { at: after(each), ..operation(key, kind(key)) };
                todo.extend((0..keys).map(update));
            }
            while self.clients.len() <= client as usize {
                self.clients.push(Client {
                    todo: VecDeque::new(),
                    at_a_time: 1,
                    in_flight: 0,
                    is_due: false,
                });
            }
            self.clients[client as usize].todo = todo;
            self.schedule_next(client as usize);
        }
        each
    }
}
