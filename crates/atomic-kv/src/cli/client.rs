//! A small blocking RESP2 client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a node may be silent in the middle of a call.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest line of an answer, in bytes.
const LONGEST_LINE: u64 = 64 << 10;
/// The longest value, in bytes: the largest that `--max-value-bytes` allows.
const LONGEST_VALUE: usize = 512 << 20;

/// What a node answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A status line.
    Simple(String),
    /// An error line.
    Error(String),
    /// A number.
    Integer(i64),
    /// A value, or none.
    Bulk(Option<Vec<u8>>),
}

/// A connection to a node.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects to `HOST:PORT`.
    ///
    /// # Errors
    /// When it cannot be reached within two seconds.
    pub fn connect(address: &str) -> std::io::Result<Self> {
        Self::connect_with(address, PATIENCE)
    }

    /// Connects to `HOST:PORT`; the node may be silent for `patience` in the middle of a call.
    ///
    /// # Errors
    /// When it cannot be reached within two seconds.
    pub fn connect_with(address: &str, patience: Duration) -> std::io::Result<Self> {
        let mut last = std::io::Error::other("the name has no address");
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, Duration::from_secs(2)) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(patience))?;
                    stream.set_write_timeout(Some(patience))?;
                    return Ok(Self { stream: BufReader::new(stream) });
                }
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    /// When the connection breaks: then nobody knows whether the command was carried out.
    pub fn call(&mut self, arguments: &[&[u8]]) -> std::io::Result<Answer> {
        let mut out = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments {
            out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            out.extend_from_slice(argument);
            out.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&out)?;
        let mut line = Vec::new();
        self.stream.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(closed());
        }
        let line = String::from_utf8_lossy(&line);
        // A line that ends without its line feed was cut off: half an answer is none.
        let Some(line) = line.strip_suffix("\r\n") else { return Err(closed()) };
        let strange = || std::io::Error::other(format!("an answer that is not RESP: {line:?}"));
        let rest = line.get(1..).ok_or_else(strange)?;
        match line.as_bytes().first().copied().unwrap_or_default() {
            b'+' => Ok(Answer::Simple(rest.to_owned())),
            b'-' => Ok(Answer::Error(rest.to_owned())),
            b':' => Ok(Answer::Integer(rest.parse().map_err(|_| strange())?)),
            b'$' => {
                let length: i64 = rest.parse().map_err(|_| strange())?;
                let Ok(length) = usize::try_from(length) else { return Ok(Answer::Bulk(None)) };
                if length > LONGEST_VALUE {
                    return Err(strange());
                }
                let mut bytes = Vec::new();
                self.stream.by_ref().take(length as u64 + 2).read_to_end(&mut bytes)?;
                if bytes.len() < length + 2 {
                    return Err(closed());
                }
                bytes.truncate(length);
                Ok(Answer::Bulk(Some(bytes)))
            }
            _ => Err(strange()),
        }
    }
}

fn closed() -> std::io::Error {
    std::io::Error::new(
        std::io::ErrorKind::UnexpectedEof,
        "it closed the connection in the middle of an answer",
    )
}
