//! Bytes become replies.

use std::io;

/// The longest line of a reply, in bytes.
const LONGEST_LINE: usize = 64 << 10;
/// The longest value, in bytes: the largest that `--max-value-bytes` allows.
pub const LONGEST_VALUE: usize = 512 << 20;
/// The most replies in one.
const MOST_ITEMS: usize = 1 << 20;
/// Arrays within arrays, at the most.
const DEEPEST: usize = 8;

/// A reply within the bytes that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseRef<'a> {
    /// A status line.
    Status(&'a [u8]),
    /// An error line.
    Error(&'a [u8]),
    /// A number.
    Integer(i64),
    /// A value, or none.
    Bulk(Option<&'a [u8]>),
    /// Several replies, or none.
    Array(Option<Vec<ResponseRef<'a>>>),
}

/// What the bytes so far hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A reply of so many bytes.
    Whole {
        /// The reply.
        reply: ResponseRef<'a>,
        /// Its length in bytes.
        length: usize,
    },
    /// More must arrive.
    Part {
        /// The reply is at least so long, in bytes.
        at_least: usize,
    },
}

/// Reads the first reply.
///
/// # Errors
/// When the bytes are no reply of RESP2, or claim to be longer than a node's can be.
pub fn decode(input: &[u8]) -> io::Result<Decoded<'_>> {
    let mut at = 0;
    Ok(match item(input, &mut at, DEEPEST)? {
        Some(reply) => Decoded::Whole { reply, length: at },
        None => Decoded::Part { at_least: at.max(input.len() + 1) },
    })
}

/// The reply that begins at `at`, which moves behind it; without a whole one, to where its known part ends.
fn item<'a>(input: &'a [u8], at: &mut usize, depth: usize) -> io::Result<Option<ResponseRef<'a>>> {
    let Some(line) = line(input, at)? else { return Ok(None) };
    let [kind, rest @ ..] = line else { return Err(strange(line)) };
    Ok(Some(match kind {
        b'+' => ResponseRef::Status(rest),
        b'-' => ResponseRef::Error(rest),
        b':' => ResponseRef::Integer(number(rest).ok_or_else(|| strange(line))?),
        b'$' => match count(rest, LONGEST_VALUE).ok_or_else(|| strange(line))? {
            None => ResponseRef::Bulk(None),
            Some(length) => {
                let begin = *at;
                *at += length + 2;
                let Some(value) = input.get(begin..*at) else { return Ok(None) };
                ResponseRef::Bulk(Some(value.strip_suffix(b"\r\n").ok_or_else(|| strange(line))?))
            }
        },
        b'*' => match count(rest, MOST_ITEMS).filter(|_| depth > 0).ok_or_else(|| strange(line))? {
            None => ResponseRef::Array(None),
            Some(length) => {
                let mut items = Vec::new();
                for _ in 0..length {
                    let Some(reply) = item(input, at, depth - 1)? else { return Ok(None) };
                    items.push(reply);
                }
                ResponseRef::Array(Some(items))
            }
        },
        _ => return Err(strange(line)),
    }))
}

/// The line that begins at `at`, without its end.
fn line<'a>(input: &'a [u8], at: &mut usize) -> io::Result<Option<&'a [u8]>> {
    let from = &input[*at..];
    let Some(end) = from.iter().take(LONGEST_LINE).position(|byte| *byte == b'\n') else {
        return if from.len() < LONGEST_LINE { Ok(None) } else { Err(strange(&from[..80])) };
    };
    *at += end + 1;
    from[..end].strip_suffix(b"\r").ok_or_else(|| strange(&from[..end])).map(Some)
}

fn number(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// A length up to `most`, or that there is nothing: -1.
fn count(digits: &[u8], most: usize) -> Option<Option<usize>> {
    match number(digits)? {
        -1 => Some(None),
        length => usize::try_from(length).ok().filter(|length| *length <= most).map(Some),
    }
}

fn strange(line: &[u8]) -> io::Error {
    let shown = line[..line.len().min(80)].escape_ascii();
    io::Error::new(io::ErrorKind::InvalidData, format!("a reply that is not RESP2: \"{shown}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_told_apart_and_cut_at_every_byte() {
        for (bytes, reply) in [
            (&b"+OK\r\n"[..], ResponseRef::Status(b"OK")),
            (b":-12\r\n", ResponseRef::Integer(-12)),
            (b"$-1\r\n", ResponseRef::Bulk(None)),
            (b"$5\r\na\r\nb\n\r\n", ResponseRef::Bulk(Some(b"a\r\nb\n"))),
            (b"$0\r\n\r\n", ResponseRef::Bulk(Some(b""))),
            (b"-NOQUORUM no effect: x\r\n", ResponseRef::Error(b"NOQUORUM no effect: x")),
            (b"*-1\r\n", ResponseRef::Array(None)),
            (
                b"*2\r\n*1\r\n:1\r\n$2\r\n\r\n\r\n",
                ResponseRef::Array(Some(vec![
                    ResponseRef::Array(Some(vec![ResponseRef::Integer(1)])),
                    ResponseRef::Bulk(Some(b"\r\n")),
                ])),
            ),
        ] {
            let followed = [bytes, b"+OK\r\n"].concat();
            assert_eq!(decode(&followed).unwrap(), Decoded::Whole { reply, length: bytes.len() });
            for cut in 0..bytes.len() {
                let Decoded::Part { at_least } = decode(&bytes[..cut]).unwrap() else {
                    panic!("{cut} bytes of {bytes:?} are no reply")
                };
                assert!(at_least > cut && at_least <= bytes.len());
            }
        }
    }

    #[test]
    fn what_is_no_reply_or_absurdly_long_is_an_error() {
        for bytes in [
            &b"nonsense\r\n"[..],
            b"\r\n",
            b"$x\r\n",
            b"$-2\r\n",
            b"$9223372036854775807\r\n",
            b"$1\r\nabc",
            b"*9223372036854775807\r\n",
            b"+OK\n",
            &[b"*1\r\n".repeat(DEEPEST + 1), b":1\r\n".to_vec()].concat(),
            &[b'+'; LONGEST_LINE],
        ] {
            assert!(decode(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
