//! Where clients reach a node.

use alloc::string::{String, ToString};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use core::fmt;
use core::net::IpAddr;

/// No name of a host is longer, in bytes (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// A host and a port, as clients are told of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
}

impl Endpoint {
    /// `host` is a name, or an address without brackets; `None` when it cannot be one, or with port 0. It has none of the
    /// characters that stand around it in what clients read.
    pub fn new(host: &str, port: u16) -> Option<Self> {
        let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
        let is_host = (1..=HOST_BYTES_MAX).contains(&host.len()) && host.bytes().all(is_usual);
        let is_address_or_name = !host.contains(':') || host.contains('%') || host.parse::<IpAddr>().is_ok();
        // An IPv4 client of a socket for both families is told of an IPv4 address.
        let host = host
            .parse::<IpAddr>()
            .map_or_else(|_| host.to_string(), |address| address.to_canonical().to_string());
        (is_host && is_address_or_name && port > 0).then_some(Self { host, port })
    }

    /// Reads `HOST:PORT`, with brackets around an IPv6 address.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return None;
        }
        Self::new(bare.unwrap_or(host), port.parse().ok()?)
    }

    /// The name, or the address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Appends it to a message between nodes.
    pub(crate) fn put(&self, out: &mut BytesMut) {
        out.put_u16(self.port);
        out.put_slice(self.host.as_bytes());
    }

    /// Takes it from the rest of a message; `None` for what cannot be one. A node is not refused for that: clients are just not
    /// sent there.
    pub(crate) fn get(mut bytes: Bytes) -> Option<Self> {
        let port = bytes.try_get_u16().ok()?;
        Self::new(core::str::from_utf8(&bytes).ok()?, port)
    }
}

/// As Redis writes it: without brackets.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_read() {
        for (text, host, port) in [
            ("127.0.0.1:6380", "127.0.0.1", 6380),
            ("node-1.example_.org:1", "node-1.example_.org", 1),
            ("[::1]:65535", "::1", 65_535),
            ("[fe80::1%eth0]:7", "fe80::1%eth0", 7),
            ("[::ffff:10.0.0.1]:7", "10.0.0.1", 7),
        ] {
            let read = Endpoint::parse(text).unwrap();
            assert_eq!((read.host(), read.port()), (host, port), "{text}");
            assert_eq!(read.to_string(), alloc::format!("{host}:{port}"));
        }
        for text in [
            "", "a", ":1", "a:", "a:0", "a:65536", "a b:1", "a,b:1", "a@b:1", "::1:1", "a:b:1", "[a:b]:1",
            "ä:1",
        ] {
            assert_eq!(Endpoint::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_sent_is_read_and_what_is_no_endpoint_is_none() {
        let sent = |endpoint: &Endpoint| {
            let mut out = BytesMut::new();
            endpoint.put(&mut out);
            out.freeze()
        };
        let endpoint = Endpoint::parse("node:6380").unwrap();
        assert_eq!(Endpoint::get(sent(&endpoint)), Some(endpoint));
        for bytes in [&b""[..], b"\0", b"\0\x01", b"\0\0node", b"\0\x01no de", b"\0\x01\xff", &[b'1'; 256]] {
            assert_eq!(Endpoint::get(Bytes::copy_from_slice(bytes)), None, "{bytes:?}");
        }
    }
}
