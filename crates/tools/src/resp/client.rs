//! A small blocking client.

use super::{Decoded, Response, decode, encode};
use crate::Failed;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a node may be silent in the middle of a call.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long one address of a node may take to accept a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);
/// Read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Connects to the first of a node's addresses that takes it. Each has two seconds.
///
/// # Errors
/// When none does: what the first one said.
pub(crate) fn connect_to_any(addresses: &[SocketAddr]) -> Result<TcpStream> {
    let mut first = None;
    for address in addresses {
        match TcpStream::connect_timeout(address, CONNECT_PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(why) => first = first.or(Some(why)),
        }
    }
    Err(first.unwrap_or_else(|| Error::other("the name has no address")))
}

/// A connection to a node.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    /// What has arrived and was not asked for yet.
    input: Vec<u8>,
    chunk: Box<[u8]>,
}

impl Client {
    /// Connects to `HOST:PORT`.
    ///
    /// # Errors
    /// When none of its addresses can be reached within two seconds each.
    pub fn connect(address: &str) -> Result<Self> {
        Self::connect_with(address, PATIENCE)
    }

    /// Connects to `HOST:PORT`; the node may be silent for `patience` in the middle of a call.
    ///
    /// # Errors
    /// When none of its addresses can be reached within two seconds each.
    pub fn connect_with(address: &str, patience: Duration) -> Result<Self> {
        let addresses: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
        let stream = connect_to_any(&addresses)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let chunk = vec![0; CHUNK_BYTES].into_boxed_slice();
        Ok(Self { stream, input: Vec::new(), chunk })
    }

    /// A first look, so that a typing mistake is not taken for an outage.
    ///
    /// # Errors
    /// Exit code 2 when no node can be reached.
    pub(crate) fn check_reachable(addresses: &[String]) -> std::result::Result<(), Failed> {
        let mut tried = Vec::new();
        for address in addresses {
            match Self::connect(address) {
                Ok(_) => return Ok(()),
                Err(why) => tried.push(format!("{address}: {why}")),
            }
        }
        Err(Failed::usage(format!("no node is in reach ({}); check --addr", tried.join("; "))))
    }

    /// Sends a command and waits for its reply.
    ///
    /// # Errors
    /// When the connection breaks: then nobody knows whether the command was carried out.
    pub fn call(&mut self, arguments: &[&[u8]]) -> Result<Response> {
        let mut out = Vec::new();
        encode(arguments, &mut out);
        self.stream.write_all(&out)?;
        let mut needed = 1;
        loop {
            if self.input.len() >= needed {
                match decode(&self.input)? {
                    Decoded::Whole { reply, length } => {
                        let reply = Response::from(&reply);
                        self.input.drain(..length);
                        return Ok(reply);
                    }
                    Decoded::Part { at_least } => needed = at_least,
                }
            }
            match self.stream.read(&mut self.chunk)? {
                0 => {
                    let why = "it closed the connection in the middle of an answer";
                    return Err(Error::new(ErrorKind::UnexpectedEof, why));
                }
                count => self.input.extend_from_slice(&self.chunk[..count]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn all_addresses_are_tried_and_the_first_reason_is_told() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = connect_to_any(&[closed, open.local_addr().unwrap()]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open.local_addr().unwrap());
        assert_eq!(connect_to_any(&[closed]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert!(connect_to_any(&[]).unwrap_err().to_string().contains("no address"));
    }
}
