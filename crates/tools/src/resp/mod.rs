//! The client's side of the protocol: commands become bytes, bytes become replies. All tools use this codec, and so do
//! the tests with real processes.
//!
//! It speaks RESP2, which a node answers with unless it is asked for more. Nothing here allocates for a status, a number
//! or a value before it is wanted: the load generator shares a machine with what it measures.

mod client;
mod decode;

pub use client::Client;
pub(crate) use client::connect_to_any;
pub use decode::{Decoded, LONGEST_VALUE, ResponseRef, decode};

/// What a node answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// A status line, such as `OK`.
    Status(String),
    /// An error line, which begins with the error's code.
    Error(String),
    /// A number.
    Integer(i64),
    /// A value, or none.
    Bulk(Option<Vec<u8>>),
    /// Several replies, or none.
    Array(Option<Vec<Response>>),
}

impl From<&ResponseRef<'_>> for Response {
    fn from(reply: &ResponseRef<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match reply {
            ResponseRef::Status(line) => Self::Status(text(line)),
            ResponseRef::Error(line) => Self::Error(text(line)),
            ResponseRef::Integer(number) => Self::Integer(*number),
            ResponseRef::Bulk(value) => Self::Bulk(value.map(<[u8]>::to_vec)),
            ResponseRef::Array(items) => {
                Self::Array(items.as_ref().map(|items| items.iter().map(Self::from).collect()))
            }
        }
    }
}

/// Appends a command's bytes.
pub fn encode(arguments: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", arguments.len()).as_bytes());
    for argument in arguments {
        out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}
