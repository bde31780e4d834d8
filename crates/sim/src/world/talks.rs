//! Connections of clients: RESP goes in and out, as over a socket.

use super::World;
use super::desk::{Asked, Desk};
use super::running::About;
use crate::history::{ClientAnswer, OperationRecord};
use abd::Instant;
use bytes::{Buf, Bytes, BytesMut};
use node::client::budget::{Account, Budget, Charged};
use node::client::conversation::{Advance, Conversation};
use node::client::front::Resp;
use node::client::patience::Patience;
use node::limits::VALUE_BYTES_MAX;
use node::resp::{Limits, Session};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

/// Bytes of replies that may wait for a client.
const OUTPUT_LIMIT: usize = 1 << 20;

/// A connection of a client to a node.
pub(crate) struct Talk {
    conversation: Conversation<Resp>,
    patience: Rc<Patience>,
    /// What was asked and not answered, the oldest first.
    pub(super) owed: VecDeque<usize>,
    asked: VecDeque<Asked>,
    /// What the node does not read yet, and what has come of a reply.
    unsent: BytesMut,
    received: BytesMut,
    account: Account,
    charged: Charged,
}

/// How a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Open,
    Closed,
}

impl Talk {
    fn new(number: u64, max_value_bytes: u64, budget: &mut Budget, now: Instant) -> Self {
        let max_value_bytes =
            usize::try_from(max_value_bytes).unwrap_or(VALUE_BYTES_MAX).min(VALUE_BYTES_MAX);
        let limits = Limits { max_value_bytes, ..Limits::default() };
        let address = || format!("client:{number}");
        let session = Session::new(number, address(), address(), Duration::ZERO, limits);
        let patience = Rc::<Patience>::default();
        let front = Resp::new(session, limits);
        let conversation = Conversation::new(front, BytesMut::new(), OUTPUT_LIMIT, patience.clone(), now);
        Self {
            conversation,
            patience,
            owed: VecDeque::new(),
            asked: VecDeque::new(),
            unsent: BytesMut::new(),
            received: BytesMut::new(),
            account: budget.open(),
            charged: Charged::default(),
        }
    }

    /// A client sends a request.
    fn send(&mut self, operation: usize, record: &OperationRecord) {
        self.owed.push_back(operation);
        self.asked.push_back(Asked { operation, key: record.key.clone(), has_begun: false });
        put_command(&mut self.unsent, record);
    }

    /// Does what can be done, and reads what comes; whether the node has closed it.
    fn advance(&mut self, desk: &Desk, now: Instant) -> Stands {
        let mut context = Context::from_waker(Waker::noop());
        std::mem::swap(&mut *desk.asked.borrow_mut(), &mut self.asked);
        let stands = loop {
            match self.conversation.advance(desk) {
                Err(_) | Ok(Advance::Done) => break Stands::Closed,
                Ok(Advance::OthersTurn) => continue,
                Ok(Advance::Waits) => {}
            }
            if self.conversation.reads() && !self.unsent.is_empty() {
                let (input, _) = self.conversation.input();
                input.extend_from_slice(&self.unsent);
                self.conversation.handle_read(self.unsent.len(), now);
                self.unsent.clear();
                continue;
            }
            let is_owed = self.conversation.is_owed();
            let has_settled = is_owed && self.conversation.poll_settle(desk, &mut context).is_ready();
            let count = self.conversation.output().len();
            self.received.extend_from_slice(self.conversation.output());
            if count > 0 {
                self.conversation.handle_written(count);
            } else if !has_settled {
                break Stands::Open;
            }
        };
        std::mem::swap(&mut *desk.asked.borrow_mut(), &mut self.asked);
        stands
    }
}

/// Appends a request as a client sends it.
fn put_command(out: &mut BytesMut, record: &OperationRecord) {
    let words = record.command();
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// Takes a whole reply off the front of what has come: what a client knows then.
fn take_reply(input: &mut BytesMut) -> Option<ClientAnswer> {
    let end = input.windows(2).position(|two| two == b"\r\n")?;
    let line = String::from_utf8_lossy(&input[1..end]).into_owned();
    let kind = input[0];
    let (start, mut whole) = (end + 2, end + 2);
    if kind == b'$' && line != "-1" {
        whole += line.parse::<usize>().ok()? + 2;
    }
    if input.len() < whole {
        return None;
    }
    let bulk = Bytes::copy_from_slice(&input[start..whole.saturating_sub(2).max(start)]);
    input.advance(whole);
    Some(match kind {
        b'$' if line == "-1" => ClientAnswer::Read(None),
        b'$' => ClientAnswer::Read(Some(bulk)),
        b'-' if line.starts_with("INDETERMINATE") => ClientAnswer::Unknown(line),
        b'-' => ClientAnswer::Refused(line),
        b':' => ClientAnswer::Number(line.parse().ok()?),
        _ => ClientAnswer::Written,
    })
}

impl World {
    /// A request goes over a connection of its client.
    pub(super) fn ask_over(&mut self, node: u32, connection: u64, operation: usize) {
        let record = self.records[operation].clone();
        let limit = self.nodes[node as usize].own.limits.value;
        let Some((process, now)) = self.enter(node, About::Other) else { return };
        let budget = &mut process.budget;
        let new = || Talk::new(connection, limit, budget, now.instant);
        process.talks.entry(connection).or_insert_with(new).send(operation, &record);
        self.look_after_talk(node, connection);
        self.follow_up(node);
    }

    /// Looks after the connections of a node, as something has happened to their operations.
    pub(super) fn look_after_talks(&mut self, node: u32) {
        let Some(process) = self.nodes[node as usize].process.as_ref() else { return };
        let owed = process.talks.iter().filter(|(_, talk)| !talk.owed.is_empty());
        for connection in owed.map(|(connection, _)| *connection).collect::<Vec<u64>>() {
            self.look_after_talk(node, connection);
        }
    }

    fn look_after_talk(&mut self, node: u32, connection: u64) {
        let lies = self.lies;
        let Some((process, now)) = self.enter(node, About::Other) else { return };
        let super::Process { desk, talks, budget, .. } = process;
        let Some(talk) = talks.get_mut(&connection) else { return };
        let mut stands = talk.advance(desk, now.instant);
        if talk.patience.look(now.instant, OUTPUT_LIMIT).is_some() {
            stands = Stands::Closed;
        }
        let mut answers = Vec::new();
        while let Some(answer) = take_reply(&mut talk.received) {
            let Some(operation) = talk.owed.pop_front() else { unreachable!("a reply to nothing") };
            talk.asked.retain(|asked| asked.operation != operation);
            answers.push((operation, answer));
        }
        if let Some(charge) = talk.charged.change(talk.conversation.memory()) {
            budget.charge(talk.account, charge);
        }
        let mut leave = Vec::new();
        // The mutant `clients-without-bound` lets everybody stay.
        while !lies.keeps_clients
            && let Some((account, _)) = budget.next_to_leave()
        {
            leave.extend(talks.iter().find(|(_, talk)| talk.account == account).map(|(number, _)| *number));
        }
        let mut lost = false;
        for (operation, answer) in answers {
            lost |= self.rng.chance(self.plan.lost_answers);
            let unknown = || ClientAnswer::Unknown("the answer was lost".into());
            self.end(operation, if lost { unknown() } else { answer });
        }
        if stands == Stands::Closed || lost {
            self.hang_up(node, connection, "the connection was closed");
        }
        for connection in leave {
            self.hang_up(node, connection, "the node has closed the connection");
        }
        self.check_budget(node);
    }

    /// Rule B1: what clients hold of a node is bounded.
    fn check_budget(&mut self, node: u32) {
        let Some(process) = &self.nodes[node as usize].process else { return };
        let (used, limit) = (process.budget.used(), process.budget.limit());
        let of = "for its clients";
        let [used, limit] = [used, limit].map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        self.convict(crate::checks::bounded::check(node, of, used, limit));
    }

    /// A connection ends: what its operations come to nobody will know.
    pub(super) fn hang_up(&mut self, node: u32, connection: u64, why: &str) {
        let Some((process, _)) = self.enter(node, About::Other) else { return };
        let super::Process { desk, talks, budget, .. } = process;
        let Some(mut talk) = talks.remove(&connection) else { return };
        talk.conversation.abandon(desk);
        budget.close(talk.account);
        for operation in talk.owed {
            self.answer_unknown(operation, why);
        }
    }
}
