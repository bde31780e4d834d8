//! What a command is: one row with its name, what clients are told of it, and the function that carries it out.

use super::outcomes::Outcomes;
use super::request::Args;
use super::response::Response;
use super::session::{Host, Session};
use crate::clock::Clock;
use crate::functions::Function;
use crate::inquiry::{Finding, Inquiry};
use abd::{Operation, Outcome};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use bytes::Bytes;
use core::time::Duration;
use smallvec::{SmallVec, smallvec};

/// A command or a subcommand. Names, arities and positions are those of Redis 7.
#[derive(Clone, Copy, Debug)]
pub(super) struct Command {
    pub(super) name: &'static str,
    /// The number of arguments with the name; negative means at least that many.
    pub(super) arity: i32,
    pub(super) flags: &'static [&'static str],
    /// First key, last key (negative: counted from the end) and step; zeros without keys.
    pub(super) keys: (i32, i32, i32),
    /// How it uses the keys that it names, in Redis' words.
    pub(super) key_use: &'static [&'static str],
    pub(super) categories: &'static [&'static str],
    pub(super) summary: &'static str,
    pub(super) since: &'static str,
    pub(super) group: &'static str,
    pub(super) complexity: &'static str,
    pub(super) args: &'static [Arg],
    pub(super) subcommands: &'static [Command],
    /// Carries it out. The number of arguments fits, and no key is longer than it may be.
    pub(super) run: fn(Call<'_>) -> Planned,
}

/// An argument, as `COMMAND DOCS` describes it.
#[derive(Debug)]
pub(super) struct Arg {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) token: Option<&'static str>,
    pub(super) flags: &'static [&'static str],
    pub(super) args: &'static [Arg],
}

/// A request on its way through the function of its command.
pub(super) struct Call<'a> {
    /// The name, that of the subcommand if there is one, and the arguments.
    pub(super) args: Args,
    pub(super) session: &'a mut Session,
    pub(super) host: &'a dyn Host,
}

/// What a request leads to. Every key and value in it is within the limits.
#[derive(Debug)]
pub enum Plan {
    /// Send this; nothing else is to be done.
    Reply(Response),
    /// Send this and close the connection.
    Last(Response),
    /// Close the connection without a word: the client is a browser that was tricked into talking to us.
    Close,
    /// Run operations.
    Run(Run),
    /// Do one thing first. What comes of it says what is done next.
    First(Stage),
}

/// A plan, or the error that is the reply.
pub type Planned = Result<Plan, Response>;

/// A part of a request that is carried out step by step. Such a request waits for all that its connection has asked for before,
/// and what is asked after it waits for it.
pub struct Stage {
    /// What is done.
    pub step: Step,
    /// Bytes of memory that the request holds meanwhile, beside what the step names.
    pub held: usize,
}

/// A step of a request, and what follows from it. Nothing follows that closes the connection.
pub enum Step {
    /// An inquiry. Should it fail, that is the reply.
    Inquire(Inquiry, AfterInquiry),
    /// How many other nodes hold the last write of the connection: an inquiry for so many, which waits so long
    /// ([`Inquiry::Holders`]).
    InquireHolders(usize, Duration, AfterInquiry),
    /// Operations that run at the same time. All their outcomes are handed on, bad news as well.
    Run(Operations, AfterRun),
}

/// What follows from an inquiry.
pub type AfterInquiry = Box<dyn FnOnce(Finding, &dyn Host) -> Planned>;

/// What follows from operations.
pub type AfterRun = Box<dyn FnOnce(Outcomes, &dyn Host) -> Planned>;

/// What the operations of a request are; nearly always one.
pub type Operations = SmallVec<[Operation; 1]>;

/// From outcomes to a reply, with a look at the clock for what remains of a value's time. All operations have taken effect, unless
/// [`Run::hears_all`]. A function that captures nothing costs no allocation.
pub type Answer = Box<dyn FnOnce(Outcomes, &dyn Clock) -> Response>;

/// What is done instead of the operation at a place, after the outcome that it has had; nothing nearly always.
pub type Then = Box<dyn FnMut(usize, &Outcome) -> Option<Operation>>;

/// Operations that run at the same time, and what becomes of their outcomes.
pub struct Run {
    /// The operations, in the order of their outcomes.
    pub operations: Operations,
    /// Whether the answer needs the values that are read, or only whether there are any.
    pub needs_values: bool,
    /// Whether the answer tells the version that its key has then. In a transaction nothing may change behind it, so that it is true.
    pub tells_version: bool,
    /// Whether the answer is told of operations that have not taken effect, too. Otherwise the reply is that bad news.
    pub hears_all: bool,
    /// Whether it may turn out to be about keys that it does not name: it waits for all that its connection has asked for before,
    /// and what is asked after it waits for it.
    pub is_alone: bool,
    /// Makes the reply.
    pub answer: Answer,
    /// Looks at each outcome first. An operation that it gives begins then, and its outcome takes the place of that one.
    pub then: Option<Then>,
}

impl core::fmt::Debug for Stage {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut out = out.debug_tuple("Stage");
        match &self.step {
            Step::Inquire(inquiry, _) => out.field(inquiry),
            Step::InquireHolders(wanted, wait, _) => out.field(wanted).field(wait),
            Step::Run(operations, _) => out.field(operations),
        };
        out.finish()
    }
}

impl core::fmt::Debug for Run {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.debug_tuple("Run").field(&self.operations).finish()
    }
}

impl Plan {
    /// One operation, and what becomes of its outcome.
    pub(super) fn one(operation: Operation, answer: impl FnOnce(Outcomes) -> Response + 'static) -> Planned {
        Self::one_at(operation, |outcomes, _| answer(outcomes))
    }

    /// One operation, and what becomes of its outcome at the time of the reply.
    pub(super) fn one_at(
        operation: Operation,
        answer: impl FnOnce(Outcomes, &dyn Clock) -> Response + 'static,
    ) -> Planned {
        Ok(Self::Run(Run {
            operations: smallvec![operation],
            needs_values: true,
            tells_version: false,
            hears_all: false,
            is_alone: false,
            answer: Box::new(answer),
            then: None,
        }))
    }

    /// As [`Run::tells_version`] says.
    pub(super) fn tell_version(mut self) -> Self {
        if let Self::Run(run) = &mut self {
            run.tells_version = true;
        }
        self
    }

    /// An update of one function, and what becomes of its outcome.
    pub(super) fn update(
        key: Bytes,
        function: &Function,
        answer: impl FnOnce(Outcomes) -> Response + 'static,
    ) -> Planned {
        Self::one(Operation::Update { key, functions: vec![function.encode()] }, answer)
    }

    /// An inquiry, and what follows from what it finds, while the request holds so many bytes.
    pub(super) fn inquire(
        inquiry: Inquiry,
        held: usize,
        next: impl FnOnce(Finding, &dyn Host) -> Planned + 'static,
    ) -> Planned {
        Ok(Self::First(Stage { step: Step::Inquire(inquiry, Box::new(next)), held }))
    }

    /// Several, and what becomes of all outcomes. `needs_values` as in [`Run`].
    pub(super) fn several(
        operations: impl Iterator<Item = Operation>,
        needs_values: bool,
        answer: impl FnOnce(Outcomes) -> Response + 'static,
    ) -> Planned {
        Ok(Self::Run(Run {
            operations: operations.collect(),
            needs_values,
            tells_version: false,
            hears_all: false,
            is_alone: false,
            answer: Box::new(|outcomes, _| answer(outcomes)),
            then: None,
        }))
    }
}

impl Call<'_> {
    /// An argument, which is there; 0 is the name.
    pub(super) fn take(&mut self, place: usize) -> Bytes {
        core::mem::take(&mut self.args[place])
    }

    /// The key at a place and the value behind it, which is no larger than it may be.
    pub(super) fn take_pair(&mut self, place: usize) -> Result<(Bytes, Bytes), Response> {
        let value = self.take_value(place + 1)?;
        Ok((self.take(place), value))
    }

    /// The value at a place, which is no larger than it may be.
    pub(super) fn take_value(&mut self, place: usize) -> Result<Bytes, Response> {
        self.session.limits.check_value(&self.args[place]).map_err(Response::err)?;
        Ok(self.take(place))
    }

    /// There are more or fewer arguments than the command takes.
    pub(super) fn wrong_arity(&self) -> Response {
        wrong_arity(&self.session.listed().last_command())
    }
}

pub(super) fn wrong_arity(name: &str) -> Response {
    Response::error(format!("ERR wrong number of arguments for '{name}' command"))
}

/// As Redis says it.
pub(super) fn syntax_error() -> Response {
    Response::error("ERR syntax error")
}

pub(super) const fn arg(name: &'static str, kind: &'static str) -> Arg {
    Arg { name, kind, token: None, flags: &[], args: &[] }
}

impl Arg {
    pub(super) const fn token(mut self, token: &'static str) -> Self {
        self.token = Some(token);
        self
    }
    pub(super) const fn flags(mut self, flags: &'static [&'static str]) -> Self {
        self.flags = flags;
        self
    }
    pub(super) const fn of(mut self, args: &'static [Arg]) -> Self {
        self.args = args;
        self
    }
}

impl Command {
    pub(super) const fn new(
        group: &'static str,
        name: &'static str,
        arity: i32,
        run: fn(Call<'_>) -> Planned,
        summary: &'static str,
    ) -> Self {
        Self {
            name,
            arity,
            flags: &[],
            keys: (0, 0, 0),
            key_use: &[],
            categories: &[],
            summary,
            since: "1.0.0",
            group,
            complexity: "O(1)",
            args: &[],
            subcommands: &[],
            run,
        }
    }
    pub(super) const fn flags(
        mut self,
        flags: &'static [&'static str],
        categories: &'static [&'static str],
    ) -> Self {
        self.flags = flags;
        self.categories = categories;
        self
    }
    pub(super) const fn keys(mut self, keys: (i32, i32, i32), key_use: &'static [&'static str]) -> Self {
        self.keys = keys;
        self.key_use = key_use;
        self
    }
    pub(super) const fn args(mut self, args: &'static [Arg]) -> Self {
        self.args = args;
        self
    }
    pub(super) const fn since(mut self, since: &'static str) -> Self {
        self.since = since;
        self
    }
    pub(super) const fn linear(mut self) -> Self {
        self.complexity = "O(N) where N is the number of arguments or entries.";
        self
    }
    pub(super) const fn subcommands(mut self, subcommands: &'static [Command]) -> Self {
        self.subcommands = subcommands;
        self
    }

    /// Whether so many arguments, name included, are right.
    pub(super) fn accepts(&self, count: usize) -> bool {
        let wanted = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { count >= wanted } else { count == wanted }
    }

    /// The keys among its arguments, which are as many as it takes.
    pub(super) fn keys_of<'a>(&self, args: &'a [Bytes]) -> impl Iterator<Item = &'a Bytes> + use<'a> {
        let (first, last, step) = self.keys;
        let place = |number: i32| usize::try_from(number).unwrap_or(0);
        let end = match last {
            0 => 0,
            from_end if from_end < 0 => (args.len() + 1).saturating_sub(from_end.unsigned_abs() as usize),
            last => args.len().min(place(last) + 1),
        };
        args[..end].iter().skip(place(first)).step_by(place(step).max(1))
    }
}

/// The place of a name in a table, without regard to case.
pub(super) fn position(table: &[Command], name: &[u8]) -> Option<usize> {
    table.iter().position(|command| name.eq_ignore_ascii_case(command.name.as_bytes()))
}

/// The command of a name.
pub(super) fn find(table: &'static [Command], name: &[u8]) -> Option<&'static Command> {
    position(table, name).map(|place| &table[place])
}
