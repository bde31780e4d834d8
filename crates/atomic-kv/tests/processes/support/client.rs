//! A small blocking RESP client that shows every byte if asked.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use tools::resp::{Decoded, decode, encode};

/// Longer than any operation of the nodes may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a node answered, in RESP2 terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    /// `+text`
    Status(String),
    /// `-text`
    Error(String),
    /// `:number`
    Integer(i64),
    /// `$length`, or none.
    Bulk(Option<Vec<u8>>),
    /// `*count`
    Array(Vec<Response>),
}

impl From<tools::resp::Response> for Response {
    fn from(reply: tools::resp::Response) -> Self {
        use tools::resp::Response as Told;
        match reply {
            Told::Status(text) => Self::Status(text),
            Told::Error(text) => Self::Error(text),
            Told::Integer(number) => Self::Integer(number),
            Told::Bulk(value) => Self::Bulk(value),
            Told::Array(items) => {
                Self::Array(items.unwrap_or_default().into_iter().map(Self::from).collect())
            }
        }
    }
}

impl Response {
    /// A value.
    pub(crate) fn bulk(text: &str) -> Self {
        Self::Bulk(Some(text.as_bytes().to_vec()))
    }

    /// `+OK`
    pub(crate) fn ok() -> Self {
        Self::Status("OK".to_owned())
    }

    /// The text of an error; fails the test when it is none.
    #[track_caller]
    pub(crate) fn error(self) -> String {
        match self {
            Self::Error(text) => text,
            other => panic!("an error was expected, not {other:?}"),
        }
    }
}

/// A connection to one node.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What has arrived and nobody has looked at.
    input: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: &str) -> io::Result<Self> {
        let address: SocketAddr = address.parse().unwrap();
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, input: Vec::new() })
    }

    /// How long to wait for the node to take what is sent.
    pub(crate) fn set_write_timeout(&mut self, limit: Duration) {
        self.stream.set_write_timeout(Some(limit)).unwrap();
    }

    /// The same connection, to send from another thread.
    pub(crate) fn second_half(&self) -> Self {
        Self { stream: self.stream.try_clone().unwrap(), input: Vec::new() }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Says that nothing more will come.
    pub(crate) fn finish_sending(&mut self) -> io::Result<()> {
        self.stream.shutdown(std::net::Shutdown::Write)
    }

    /// Waits for more bytes; false when the node has closed the connection.
    fn receive(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 64 << 10];
        let count = self.stream.read(&mut chunk)?;
        self.input.extend_from_slice(&chunk[..count]);
        Ok(count > 0)
    }

    /// Reads exactly as many bytes as are expected and shows them.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: &str) {
        while self.input.len() < expected.len() {
            let so_far = String::from_utf8_lossy(&self.input).into_owned();
            assert!(self.receive().unwrap(), "{so_far:?} instead of {expected:?}");
        }
        let bytes: Vec<u8> = self.input.drain(..expected.len()).collect();
        assert_eq!(String::from_utf8_lossy(&bytes), expected);
    }

    /// Reads a line, with its end.
    pub(crate) fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                return String::from_utf8(self.input.drain(..=end).collect()).unwrap();
            }
            assert!(self.receive().unwrap(), "the connection was closed");
        }
    }

    /// Reads until the node closes the connection.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = std::mem::take(&mut self.input);
        self.stream.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Sends a command without waiting for its reply.
    pub(crate) fn ask(&mut self, arguments: &[&[u8]]) -> io::Result<()> {
        let mut out = Vec::new();
        encode(arguments, &mut out);
        self.send(&out)
    }

    /// Sends a command and waits for its reply.
    pub(crate) fn try_call(&mut self, arguments: &[&[u8]]) -> io::Result<Response> {
        self.ask(arguments)?;
        self.read()
    }

    /// Sends a command of words; fails the test when the connection breaks.
    #[track_caller]
    pub(crate) fn call(&mut self, command: &str) -> Response {
        let words: Vec<&[u8]> = command.split_whitespace().map(str::as_bytes).collect();
        self.try_call(&words).unwrap_or_else(|why| panic!("{command}: {why}"))
    }

    /// A field of `INFO`.
    #[track_caller]
    pub(crate) fn info(&mut self, field: &str) -> String {
        self.try_info(field).unwrap()
    }

    /// A field of `INFO`, if the node answers.
    pub(crate) fn try_info(&mut self, field: &str) -> io::Result<String> {
        let Response::Bulk(Some(text)) = self.try_call(&[b"INFO"])? else {
            return Err(io::Error::other("INFO without a text"));
        };
        let text = String::from_utf8(text).map_err(io::Error::other)?;
        let found = text.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| *name == field);
        found
            .map(|(_, value)| value.to_owned())
            .ok_or_else(|| io::Error::other(format!("INFO has no {field}")))
    }

    /// Reads one reply.
    pub(crate) fn read(&mut self) -> io::Result<Response> {
        let mut needed = 1;
        loop {
            if self.input.len() >= needed {
                match decode(&self.input)? {
                    Decoded::Whole { reply, length } => {
                        let reply = Response::from(tools::resp::Response::from(&reply));
                        self.input.drain(..length);
                        return Ok(reply);
                    }
                    Decoded::Part { at_least } => needed = at_least,
                }
            }
            if !self.receive()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
