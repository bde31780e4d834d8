//! Inline commands: what a person types into `nc` or `telnet`.

use super::request::{Args, ProtocolError};
use bytes::{Bytes, BytesMut};

/// Splits a line into words, with the quotes and escapes that Redis knows.
pub(super) fn split(line: &[u8]) -> Result<Args, ProtocolError> {
    let mut args = Args::new();
    let mut rest = trim_start(line);
    while !rest.is_empty() {
        let (word, after) = word(rest).ok_or(ProtocolError::UnbalancedQuotes)?;
        args.push(word);
        rest = trim_start(after);
    }
    Ok(args)
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let blank = bytes.iter().take_while(|&&byte| is_space(byte)).count();
    &bytes[blank..]
}

/// The first word and what follows it; `None` where a quote is not closed, or is closed inside a word.
fn word(mut rest: &[u8]) -> Option<(Bytes, &[u8])> {
    let mut word = BytesMut::new();
    while let Some((&first, after)) = rest.split_first() {
        match first {
            b'"' | b'\'' => {
                rest = quoted(first, after, &mut word)?;
                return rest.first().is_none_or(|&next| is_space(next)).then(|| (word.freeze(), rest));
            }
            space if is_space(space) => break,
            byte => {
                word.extend_from_slice(&[byte]);
                rest = after;
            }
        }
    }
    Some((word.freeze(), rest))
}

/// Reads up to and with the closing quote.
fn quoted<'a>(quote: u8, mut rest: &'a [u8], word: &mut BytesMut) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match (quote, rest) {
            (b'"', [b'\\', b'x', high, low, after @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex(*high) << 4 | hex(*low), after)
            }
            (b'"', [b'\\', escaped, after @ ..]) => (unescape(*escaped), after),
            (b'\'', [b'\\', b'\'', after @ ..]) => (b'\'', after),
            (_, [byte, after @ ..]) if *byte == quote => return Some(after),
            (_, [byte, after @ ..]) => (*byte, after),
            (_, []) => return None,
        };
        word.extend_from_slice(&[byte]);
        rest = after;
    }
}

fn unescape(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}
