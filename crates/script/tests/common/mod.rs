//! An interpreter with a keyspace in memory.
#![allow(dead_code, reason = "each test uses a part")]

use bytes::{Bytes, BytesMut};
use node::resp::{Protocol, Response};
use script::{Interpreter, Keyspace, Limits, LogLevel, STACK_BYTES, Script, Stop, sha1hex};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Strings by key, and when scripts have to end.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) values: HashMap<Bytes, Bytes>,
    pub(crate) log: Vec<(LogLevel, String)>,
    pub(crate) deadline: Option<Instant>,
    /// Questions whether the script may go on.
    pub(crate) questions: u64,
}

/// What a script that takes too long answers.
pub(crate) const TOO_LONG: &str = "ERR too long";

impl Keyspace for Store {
    fn call(&mut self, arguments: Vec<Bytes>, protocol: Protocol) -> Result<Response, Stop> {
        let name = String::from_utf8_lossy(&arguments[0]).to_lowercase();
        let wrong = || Response::error("ERR Wrong number of args calling Redis command from script");
        Ok(match (name.as_str(), &arguments[1..]) {
            ("get", [key]) => self.values.get(key).cloned().map_or(Response::Null, Response::Bulk),
            ("set", [key, value]) => {
                self.values.insert(key.clone(), value.clone());
                Response::OK
            }
            ("del", keys) if !keys.is_empty() => {
                let count = keys.iter().filter(|key| self.values.remove(*key).is_some()).count();
                Response::Integer(i64::try_from(count).expect("few keys"))
            }
            ("exists", [key]) => Response::Integer(i64::from(self.values.contains_key(key))),
            ("mget", keys) if !keys.is_empty() => {
                let value = |key| self.values.get(key).cloned().map_or(Response::Null, Response::Bulk);
                Response::Array(keys.iter().map(value).collect())
            }
            ("incr", [key]) => {
                let old =
                    self.values.get(key).map_or(Ok(0), |text| String::from_utf8_lossy(text).parse::<i64>());
                match old {
                    Ok(old) => {
                        self.values.insert(key.clone(), Bytes::from((old + 1).to_string()));
                        Response::Integer(old + 1)
                    }
                    Err(_) => Response::error("ERR value is not an integer or out of range"),
                }
            }
            ("echo", [text]) => Response::Bulk(text.clone()),
            ("ping", []) => Response::Simple("PONG".into()),
            // What no command in Redis answers in one reply; its `DEBUG PROTOCOL` does, one by one.
            ("debug", [_, kind]) => debug(kind, protocol),
            ("stop", []) => return Err(Stop("ERR stopped by the keyspace".to_owned())),
            ("get" | "set" | "incr" | "exists" | "del" | "mget" | "echo" | "ping", _) => wrong(),
            _ => Response::error("ERR Unknown Redis command called from script"),
        })
    }

    fn interrupt(&mut self) -> Result<(), Stop> {
        self.questions += 1;
        match self.deadline {
            Some(deadline) if Instant::now() > deadline => Err(Stop(TOO_LONG.to_owned())),
            _ => Ok(()),
        }
    }

    fn knows(&self, command: &[u8]) -> bool {
        [&b"get"[..], b"set", b"incr"].iter().any(|known| command.eq_ignore_ascii_case(known))
    }

    fn log(&mut self, level: LogLevel, line: &[u8]) {
        self.log.push((level, String::from_utf8_lossy(line).into_owned()));
    }
}

/// What `DEBUG PROTOCOL` answers.
fn debug(kind: &[u8], protocol: Protocol) -> Response {
    let numbers = |range: std::ops::Range<i64>| range.map(Response::Integer);
    match kind {
        b"string" => Response::text("Hello World"),
        b"integer" => Response::Integer(12345),
        b"double" => Response::Double("3.141".into()),
        b"null" if protocol == Protocol::Resp2 => Response::Null,
        b"null" => Response::Null,
        b"array" => Response::Array(numbers(0..3).collect()),
        b"set" => Response::Set(numbers(0..3).collect()),
        b"map" => Response::Map(
            numbers(0..3).map(|at| (at.clone(), Response::Boolean(at == Response::Integer(1)))).collect(),
        ),
        b"bignum" => Response::BigNumber("1234567999999999999999999999999999999".to_owned()),
        b"true" => Response::Boolean(true),
        b"false" => Response::Boolean(false),
        b"verbatim" => Response::Verbatim("This is a verbatim\nstring".into()),
        _ => Response::error("ERR Wrong protocol type name. Please use one of the following: string|integer"),
    }
}

/// The limits of most tests.
pub(crate) const LIMITS: Limits = Limits { memory_bytes: 32 << 20, random: 0x1234_ABCD_330E, chunks: 1000 };

/// Runs a test on a thread that has the stack for an interpreter.
pub(crate) fn with_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(test).expect("a thread begins");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// An interpreter and its keyspace.
pub(crate) struct Bench {
    pub(crate) interpreter: Interpreter<Store>,
    pub(crate) store: Store,
    /// Whether the last script was ended against its will.
    pub(crate) stopped: bool,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(LIMITS)
    }

    pub(crate) fn with(limits: Limits) -> Self {
        Self {
            interpreter: Interpreter::new(limits).expect("an interpreter begins"),
            store: Store::default(),
            stopped: false,
        }
    }

    /// Runs a script that has this long.
    pub(crate) fn run_for(
        &mut self,
        source: &[u8],
        keys: &[&str],
        argv: &[&str],
        time: Duration,
    ) -> Response {
        self.store.deadline = Some(Instant::now() + time);
        let bytes = |texts: &[&str]| {
            texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect::<Vec<_>>()
        };
        let script = Script { source, sha: &sha1hex(source) };
        let store = std::mem::take(&mut self.store);
        let (response, store) = self.interpreter.run(&script, &bytes(keys), &bytes(argv), store);
        self.store = store;
        self.stopped = response.is_err();
        response.unwrap_or_else(|Stop(text)| Response::Error(text))
    }

    pub(crate) fn run(&mut self, source: &str) -> Response {
        self.run_for(source.as_bytes(), &[], &[], Duration::from_secs(20))
    }

    /// The text of the answer, whatever its kind.
    pub(crate) fn text(&mut self, source: &str) -> String {
        match self.run(source) {
            Response::Bulk(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Response::Simple(text) => text.into_owned(),
            Response::Error(text) => text,
            other => format!("{other:?}"),
        }
    }
}

/// The bytes of a reply.
pub(crate) fn encoded(response: &Response, protocol: Protocol) -> Vec<u8> {
    let mut out = BytesMut::new();
    response.encode(protocol, &mut out);
    out.to_vec()
}
