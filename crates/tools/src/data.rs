//! `get`, `set` and `del`.

use crate::resp::{Client, LONGEST_VALUE, Response};
use crate::{Addresses, Failed, print};
use clap::Args;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

/// A value on the command line that stands for the standard input.
const STANDARD_INPUT: &str = "-";

/// Flags of `del`; `get` and `set` have them, too.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// The key; any bytes.
    #[arg(allow_hyphen_values = true)]
    pub key: OsString,
    /// Where to ask.
    #[command(flatten)]
    pub addresses: Addresses,
}

/// Flags of `get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Print the value's bytes and nothing else: no line end.
    #[arg(long)]
    pub raw: bool,
    /// Of what, and where to ask.
    #[command(flatten)]
    pub of: KeyArgs,
}

/// Flags of `set`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Of what, and where to ask.
    #[command(flatten)]
    pub of: KeyArgs,
    /// The value; any bytes. With "-" it is read from the standard input, up to its end and as it is: so a value may be
    /// larger than a command line.
    #[arg(allow_hyphen_values = true)]
    pub value: OsString,
}

/// Prints a key's value.
///
/// # Errors
/// When there is none, no node can be reached, or the cluster cannot answer.
pub fn get(args: &GetArgs) -> Result<(), Failed> {
    match ask(&args.of, Effect::Reads, &[b"GET", args.of.key.as_bytes()])? {
        Response::Bulk(Some(value)) if args.raw => print(&value),
        Response::Bulk(Some(mut value)) => {
            value.push(b'\n');
            print(&value)
        }
        Response::Bulk(None) => Err(Failed::runtime(format!("there is no key {:?}", args.of.key))),
        other => Err(unexpected(other)),
    }
}

/// Gives a key a value.
///
/// # Errors
/// When no node can be reached, or the outcome is unknown or a refusal.
pub fn set(args: &SetArgs) -> Result<(), Failed> {
    let read;
    let value = if args.value == STANDARD_INPUT {
        read = read_value(std::io::stdin().lock())?;
        read.as_slice()
    } else {
        args.value.as_bytes()
    };
    match ask(&args.of, Effect::Writes, &[b"SET", args.of.key.as_bytes(), value])? {
        Response::Status(text) => print(text + "\n"),
        other => Err(unexpected(other)),
    }
}

/// Deletes a key; prints how many were seen present.
///
/// # Errors
/// As [`set`].
pub fn del(args: &KeyArgs) -> Result<(), Failed> {
    match ask(args, Effect::Writes, &[b"DEL", args.key.as_bytes()])? {
        Response::Integer(count) => print(format!("{count}\n")),
        other => Err(unexpected(other)),
    }
}

/// Reads a value to its end, unless it is longer than any node takes.
fn read_value(from: impl Read) -> Result<Vec<u8>, Failed> {
    let mut value = Vec::new();
    from.take(LONGEST_VALUE as u64 + 1)
        .read_to_end(&mut value)
        .map_err(|why| Failed::runtime(format!("cannot read the value from the standard input: {why}")))?;
    if value.len() > LONGEST_VALUE {
        let limit = LONGEST_VALUE >> 20;
        return Err(Failed::usage(format!(
            "the value is longer than {limit} MiB, the most that a node can take"
        )));
    }
    Ok(value)
}

/// Whether a command changes something: then it is sent again only when it certainly had no effect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Reads,
    Writes,
}

/// Asks one node after the other, while the last one certainly did not carry the command out: it could not be reached,
/// or answered `NOQUORUM`. A read may be repeated after a broken connection too; a write may not, for it may have
/// taken effect, and a second one could undo what somebody else has written since.
fn ask(of: &KeyArgs, effect: Effect, command: &[&[u8]]) -> Result<Response, Failed> {
    let addresses = &of.addresses.addr;
    let mut tried = Vec::new();
    for address in addresses {
        let mut client = match Client::connect(address) {
            Ok(client) => client,
            Err(why) => {
                tried.push(format!("{address}: {why}"));
                continue;
            }
        };
        match client.call(command) {
            Ok(Response::Error(text)) if text.starts_with("NOQUORUM") => {
                tried.push(format!("{address}: {text}"));
            }
            Ok(answer) => return Ok(answer),
            Err(why) if effect == Effect::Reads => tried.push(format!("{address}: {why}")),
            Err(why) => {
                return Err(Failed::runtime(format!(
                    "INDETERMINATE {address} was asked and did not answer ({why}); the write may have taken effect: \
                     read the key before you repeat it"
                )));
            }
        }
    }
    Err(Failed::runtime(format!(
        "no node could do it, and nothing was changed ({}); see atomic-kv status --addr {}",
        tried.join("; "),
        addresses.join(",")
    )))
}

fn unexpected(answer: Response) -> Failed {
    match answer {
        Response::Error(text) => Failed::runtime(text),
        other => Failed::runtime(format!("an unexpected answer: {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A node that reads something from each connection, answers this, and closes it. Counts its connections.
    fn node(answer: &'static [u8]) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let count = Arc::new(AtomicUsize::new(0));
        let asked = count.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                asked.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer);
            }
        });
        (address, count)
    }

    fn of(addr: &[String], key: &str) -> KeyArgs {
        KeyArgs { key: key.into(), addresses: Addresses { addr: addr.to_vec() } }
    }

    fn set(addr: &[String], key: &str, value: &str) -> Result<(), Failed> {
        super::set(&SetArgs { of: of(addr, key), value: value.into() })
    }

    fn get(addr: &[String], key: &str) -> Result<(), Failed> {
        super::get(&GetArgs { raw: false, of: of(addr, key) })
    }

    fn del(addr: &[String], key: &str) -> Result<(), Failed> {
        super::del(&of(addr, key))
    }

    /// Nothing listens on port 1.
    fn down() -> String {
        "127.0.0.1:1".to_owned()
    }

    #[test]
    fn the_next_node_is_asked_only_when_nothing_can_have_happened() {
        let (good, asked) = node(b"+OK\r\n");
        set(&[down(), good.clone()], "k", "v").unwrap();
        let (refusing, _) = node(b"-NOQUORUM no effect: alone\r\n");
        set(&[refusing, good.clone()], "k", "v").unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        for half in [&b""[..], b"+O", b"-NOQUORUM", b"?\r\n"] {
            let (broken, _) = node(half);
            let unknown = set(&[broken.clone(), good.clone()], "k", "v").unwrap_err();
            assert!(unknown.code == 1 && unknown.message.starts_with("INDETERMINATE"), "{unknown}");
            del(&[broken, good.clone()], "k").unwrap_err();
        }
        let (unsure, _) = node(b"-INDETERMINATE timeout\r\n");
        assert_eq!(set(&[unsure, good.clone()], "k", "v").unwrap_err().message, "INDETERMINATE timeout");
        assert_eq!(asked.load(Ordering::SeqCst), 2, "a write whose outcome is unknown was sent again");
    }

    #[test]
    fn a_read_goes_on_to_the_next_node() {
        let (broken, _) = node(b"$5\r\nhal");
        let (good, _) = node(b"$2\r\nhi\r\n");
        get(&[broken.clone(), good], "k").unwrap();
        let (empty, _) = node(b"$-1\r\n");
        assert!(get(&[broken.clone(), empty], "k").unwrap_err().message.contains("no key"));
        assert!(get(&[broken, down()], "k").unwrap_err().message.starts_with("no node"));
    }

    #[test]
    fn an_absurd_length_is_an_error() {
        let (absurd, _) = node(b"$9223372036854775807\r\n");
        assert_eq!(get(&[absurd], "k").unwrap_err().code, 1);
    }

    #[test]
    fn a_value_from_a_file_is_any_bytes_up_to_a_limit() {
        assert_eq!(read_value(&b"a\r\n\xff\0"[..]).unwrap(), b"a\r\n\xff\0");
        assert_eq!(read_value(std::io::repeat(0)).unwrap_err().code, 2);
    }
}
