//! The commands of a script, carried out one after the other on what one key holds. The key that a script touches first is its key; a
//! second one ends the script, before anybody sees an effect.

use super::alone::Part;
use super::command::{Call, Command, Plan, Run, find};
use super::commands::COMMANDS;
use super::outcomes::Outcomes;
use super::request::Args;
use super::response::Response;
use super::session::{Host, Session};
use crate::functions::{Circumstances, Function, Held};
use abd::{Outcome, Version};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;

/// A key while a script runs on it.
pub struct ScriptedKey<H> {
    key: Bytes,
    held: Held,
    circumstances: Circumstances,
    read_only: bool,
    session: Session,
    host: H,
    touched: Touched,
    changed: bool,
}

/// Which keys a script has touched so far.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Touched {
    Nothing,
    TheKey,
    /// Another one first.
    Other(Bytes),
    /// The key, and then this one.
    Second(Bytes),
}

/// What has become of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It holds this now, and whether that is a change.
    Ran(Held, bool),
    /// The script is about this key instead.
    OtherKey(Bytes),
    /// It has touched a second key: the error. Nothing has changed.
    SecondKey(Response),
}

impl<H: Host> ScriptedKey<H> {
    /// `key` holds `held`, as seen by a script that may change nothing if it is `read_only`. `session` is the script's: the limits of
    /// keys and values are its own.
    pub fn new(
        key: Bytes,
        held: Held,
        circumstances: Circumstances,
        read_only: bool,
        session: Session,
        host: H,
    ) -> Self {
        Self { key, held, circumstances, read_only, session, host, touched: Touched::Nothing, changed: false }
    }

    /// Whether the script is over, whatever it makes of the errors that it gets.
    pub fn is_over(&self) -> bool {
        matches!(self.touched, Touched::Other(_) | Touched::Second(_))
    }

    /// Carries out a command of the script. The texts of errors are those of Redis, without the place in the script.
    pub fn call(&mut self, args: Args) -> Response {
        self.carry_out(args).unwrap_or_else(|error| error)
    }

    fn carry_out(&mut self, args: Args) -> Result<Response, Response> {
        let refused = |text: &str| Err(Response::error(text));
        let Some(command) = args.first().and_then(|name| find(&COMMANDS, name)) else {
            return refused("ERR Unknown Redis command called from script");
        };
        let meant = match args.get(1) {
            Some(name) if !command.subcommands.is_empty() => match find(command.subcommands, name) {
                Some(subcommand) => subcommand,
                None => return refused("ERR Unknown Redis command called from script"),
            },
            _ => command,
        };
        if !meant.accepts(args.len()) {
            return refused("ERR Wrong number of args calling Redis command from script");
        }
        if [command, meant].iter().any(|command| command.flags.contains(&"noscript")) {
            return refused("ERR This Redis command is not allowed from script");
        }
        if self.read_only && meant.flags.contains(&"write") {
            return refused("ERR Write commands are not allowed from read-only scripts.");
        }
        self.touch(meant, &args)?;
        let run = match (meant.run)(Call { args, session: &mut self.session, host: &self.host })? {
            Plan::Reply(reply) => return Ok(reply),
            Plan::Run(run) => run,
            _ => return refused("ERR This Redis command is not allowed from script"),
        };
        self.apply(run)
    }

    /// The keys among the arguments are touched.
    fn touch(&mut self, command: &Command, args: &Args) -> Result<(), Response> {
        for key in command.keys_of(args) {
            self.session.limits.check_key(key).map_err(Response::err)?;
            self.touch_key(key)?;
        }
        Ok(())
    }

    fn touch_key(&mut self, key: &Bytes) -> Result<(), Response> {
        match &self.touched {
            Touched::Nothing if *key == self.key => self.touched = Touched::TheKey,
            Touched::Nothing => self.touched = Touched::Other(key.clone()),
            Touched::TheKey if *key != self.key => self.touched = Touched::Second(key.clone()),
            _ => {}
        }
        match &self.touched {
            Touched::Other(_) => Err(Response::error("ERR the script is run anew for another key")),
            Touched::Second(second) => Err(second_key(&self.key, second)),
            Touched::Nothing | Touched::TheKey => Ok(()),
        }
    }

    /// Its operations on the key, and the command's answer to how they ended.
    fn apply(&mut self, run: Run) -> Result<Response, Response> {
        let Run { operations, tells_version, answer, .. } = run;
        let parts: Vec<_> =
            operations.into_iter().map(|operation| Part::of(operation, tells_version)).collect();
        parts.iter().try_for_each(|part| self.touch_key(&part.key))?;
        let functions =
            |part: &Part| part.functions.iter().map(|one| Function::decode(&one.encoded)).collect();
        let decoded = parts.iter().map(functions).collect::<Result<Vec<Vec<_>>, _>>();
        let decoded = decoded.expect("this node has encoded them");
        let has_none =
            |function: &Function| self.held.version.is_none() || !matches!(function, Function::Read { .. });
        if decoded.iter().flatten().any(|function| function.wants_version() && has_none(function)) {
            return Err(Response::error(
                "ERR what a script writes has no version before the script has ended",
            ));
        }
        let mut outcomes = Outcomes::new();
        for (part, functions) in parts.iter().zip(decoded) {
            outcomes.push(self.outcome(part, &functions));
        }
        Ok(answer(outcomes, &self.circumstances.moments))
    }

    fn outcome(&mut self, part: &Part, functions: &[Function]) -> Outcome {
        let mut answers = Vec::with_capacity(functions.len());
        for function in functions {
            let (answer, changed) = function.apply(&mut self.held, self.circumstances);
            self.changed |= changed;
            answers.push(answer.encode());
        }
        part.outcome(answers, self.held.version.unwrap_or(Version::MIN))
    }

    /// The script has ended.
    pub fn end(self) -> Ending {
        match self.touched {
            Touched::Nothing | Touched::TheKey => Ending::Ran(self.held, self.changed),
            Touched::Other(key) => Ending::OtherKey(key),
            Touched::Second(second) => Ending::SecondKey(second_key(&self.key, &second)),
        }
    }
}

/// Keys longer than this are cut in the error, in bytes.
const SHOWN_BYTES: usize = 128;

fn second_key(key: &[u8], second: &[u8]) -> Response {
    let [key, second] =
        [key, second].map(|key| String::from_utf8_lossy(&key[..key.len().min(SHOWN_BYTES)]).to_string());
    Response::error(format!(
        "ERR a script is carried out on one key, and this one has touched '{key}' and then '{second}'; it had no effect"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::tests::{Node, args, session};
    use abd::{Content, Deadline};

    static KEY: Bytes = Bytes::from_static(b"k");

    /// Carries out commands on a key that holds "7"; returns the replies and how it ended.
    fn run(read_only: bool, lines: &[&str]) -> (Vec<Response>, Ending) {
        let (session, node) = (session(), Node::default());
        let moments = crate::resp::tests::NOW;
        let circumstances = Circumstances { moments, value_bytes_max: 32 };
        let held = Held {
            content: Content::Value("7".into()),
            deadline: Deadline::NONE,
            version: Some(Version::MIN),
        };
        let mut scripted = ScriptedKey::new(KEY.clone(), held, circumstances, read_only, session, node);
        let replies = lines.iter().map(|line| scripted.call(args(line))).collect();
        (replies, scripted.end())
    }

    fn text(reply: &Response) -> &str {
        match reply {
            Response::Error(text) => text,
            other => panic!("{other:?} is no error"),
        }
    }

    #[test]
    fn commands_see_what_those_before_them_have_left() {
        let (replies, ending) =
            run(false, &["INCR k", "GET k", "APPEND k 5", "STRLEN k", "EXISTS k k", "ECHO x"]);
        let bulk = |text: &'static str| Response::Bulk(text.into());
        let number = Response::Integer;
        assert_eq!(replies, [number(8), bulk("8"), number(2), number(2), number(2), bulk("x")]);
        let Ending::Ran(held, true) = ending else { panic!("{ending:?}") };
        assert_eq!(held.content, Content::Value("85".into()));
        let (replies, ending) = run(false, &["DEL k", "GET k", "SET k v NX"]);
        assert_eq!(replies, [number(1), Response::Null, Response::OK]);
        assert!(matches!(ending, Ending::Ran(_, true)));
        assert!(matches!(run(false, &["GET k"]).1, Ending::Ran(_, false)));
    }

    #[test]
    fn a_second_key_ends_the_script_without_effect() {
        let (replies, ending) = run(false, &["INCR k", "GET other", "INCR k"]);
        assert!(text(&replies[1]).contains("'k' and then 'other'"));
        assert_eq!(replies[1], replies[2]);
        assert_eq!(ending, Ending::SecondKey(replies[1].clone()));
        let (replies, ending) = run(false, &["GET other", "INCR k"]);
        assert_eq!(ending, Ending::OtherKey("other".into()));
        assert!(text(&replies[1]).starts_with("ERR"));
        assert!(matches!(run(false, &["MGET k k"]).1, Ending::Ran(_, false)));
        assert!(matches!(run(false, &["MGET k l"]).1, Ending::SecondKey(_)));
    }

    #[test]
    fn a_script_does_not_reach_what_the_cluster_keeps_for_itself() {
        let (replies, ending) = run(false, &["SET \0atomic-kv\0x v", "GET k"]);
        assert!(text(&replies[0]).contains("reserved"));
        assert!(matches!(ending, Ending::Ran(_, false)));
    }

    #[test]
    fn scripts_are_refused_what_redis_refuses_them() {
        let (replies, ending) = run(true, &["SET k v", "NOSUCH k", "GET", "CLIENT ID", "HELLO", "GET k"]);
        let errors: Vec<_> = replies[..5].iter().map(text).collect();
        assert_eq!(
            errors,
            [
                "ERR Write commands are not allowed from read-only scripts.",
                "ERR Unknown Redis command called from script",
                "ERR Wrong number of args calling Redis command from script",
                "ERR This Redis command is not allowed from script",
                "ERR This Redis command is not allowed from script",
            ]
        );
        assert!(matches!(ending, Ending::Ran(_, false)));
    }

    #[test]
    fn a_script_has_no_version_of_what_it_has_written() {
        let (replies, _) = run(false, &["GETVER k", "SET k v WITHVER", "SET k v", "GETVER k"]);
        assert!(matches!(replies[0], Response::Array(_)));
        assert_eq!(replies[2], Response::OK);
        assert!([1, 3].iter().all(|place| text(&replies[*place]).contains("no version")));
    }
}
