//! A small blocking RESP client that shows every byte if asked.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any operation of the nodes may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a node answered, in RESP2 terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `+text`
    Status(String),
    /// `-text`
    Error(String),
    /// `:number`
    Integer(i64),
    /// `$length`, or none.
    Bulk(Option<Vec<u8>>),
    /// `*count`
    Array(Vec<Reply>),
}

impl Reply {
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
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: &str) -> io::Result<Self> {
        let address: SocketAddr = address.parse().unwrap();
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// The same connection, to send from another thread.
    pub(crate) fn second_half(&self) -> Self {
        Self { stream: BufReader::new(self.stream.get_ref().try_clone().unwrap()) }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Says that nothing more will come.
    pub(crate) fn finish_sending(&mut self) -> io::Result<()> {
        self.stream.get_ref().shutdown(std::net::Shutdown::Write)
    }

    /// Reads exactly as many bytes as are expected and shows them.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: &str) {
        let mut bytes = vec![0; expected.len()];
        self.stream.read_exact(&mut bytes).unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), expected);
    }

    /// Reads a line, with its end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.stream.read_line(&mut line).unwrap(), 0, "the connection was closed");
        line
    }

    /// Reads until the node closes the connection.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Sends a command without waiting for its reply.
    pub(crate) fn ask(&mut self, arguments: &[&[u8]]) -> io::Result<()> {
        let mut out = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments {
            out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            out.extend_from_slice(argument);
            out.extend_from_slice(b"\r\n");
        }
        self.send(&out)
    }

    /// Sends a command and waits for its reply.
    pub(crate) fn try_call(&mut self, arguments: &[&[u8]]) -> io::Result<Reply> {
        self.ask(arguments)?;
        self.read()
    }

    /// Sends a command of words; fails the test when the connection breaks.
    #[track_caller]
    pub(crate) fn call(&mut self, command: &str) -> Reply {
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
        let Reply::Bulk(Some(text)) = self.try_call(&[b"INFO"])? else {
            return Err(io::Error::other("INFO without a text"));
        };
        let text = String::from_utf8(text).map_err(io::Error::other)?;
        let found = text.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| *name == field);
        found
            .map(|(_, value)| value.to_owned())
            .ok_or_else(|| io::Error::other(format!("INFO has no {field}")))
    }

    /// Reads one reply.
    pub(crate) fn read(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let line = line.strip_suffix("\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let (kind, rest) = line.split_at_checked(1).ok_or(io::ErrorKind::InvalidData)?;
        let number = || rest.parse::<i64>().map_err(|_| io::Error::other(format!("not RESP2: {line}")));
        Ok(match kind {
            "+" => Reply::Status(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(number()?),
            "$" => match usize::try_from(number()?) {
                Err(_) => Reply::Bulk(None),
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.stream.read_exact(&mut bytes)?;
                    bytes.truncate(length);
                    Reply::Bulk(Some(bytes))
                }
            },
            "*" => {
                let count = number()?;
                Reply::Array((0..count).map(|_| self.read()).collect::<io::Result<_>>()?)
            }
            _ => return Err(io::Error::other(format!("not RESP2: {line}"))),
        })
    }
}
