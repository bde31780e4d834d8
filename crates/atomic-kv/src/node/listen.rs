//! Where a node listens: all addresses that a name has.

use crate::fatal::Fatal;
use ::node::endpoint::Endpoint;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};

/// Listens at all addresses of HOST:PORT. `what` is the setting that it comes from.
///
/// # Errors
/// Exit code 2 when the name has no address, or one of them cannot be listened at. One that this machine does not have now, an
/// IPv6 address where that is switched off say, is left out with a line in the log as long as there is another.
pub(super) fn listen(what: &str, address: &str) -> Result<Vec<TcpListener>, Fatal> {
    let found = address
        .to_socket_addrs()
        .map_err(|why| Fatal::usage(format!("cannot listen on {address} ({what}): no such name: {why}")))?;
    listen_at(what, address, found.collect())
}

fn listen_at(what: &str, name: &str, mut addresses: Vec<SocketAddr>) -> Result<Vec<TcpListener>, Fatal> {
    let mut listeners = Vec::new();
    let mut left_out = None;
    let mut known = BTreeSet::new();
    addresses.retain(|address| known.insert(*address));
    for mut address in addresses {
        // Where the system chooses the port it is one for all.
        if address.port() == 0
            && let Some(port) = listeners.first().and_then(|first: &TcpListener| first.local_addr().ok())
        {
            address.set_port(port.port());
        }
        let bound = TcpListener::bind(address);
        match bound.and_then(|listener| listener.set_nonblocking(true).map(|()| listener)) {
            Ok(listener) => listeners.push(listener),
            Err(why) if why.kind() == ErrorKind::AddrNotAvailable => left_out = Some((address, why)),
            Err(why) => return Err(cannot_listen(what, name, address, &why)),
        }
    }
    match left_out {
        Some((address, why)) if listeners.is_empty() => return Err(cannot_listen(what, name, address, &why)),
        None if listeners.is_empty() => {
            return Err(Fatal::usage(format!("cannot listen on {name} ({what}): the name has no address")));
        }
        Some((address, why)) => {
            tracing::warn!(%address, name, what, %why, "does not listen at one of the addresses of a name");
        }
        None => {}
    }
    Ok(listeners)
}

/// Where clients reach these listeners of `--listen`, for all that this node can know: its host in `--cluster` stands in for
/// one that means all addresses.
pub(super) fn endpoint(listen: &str, listeners: &[TcpListener], peer_address: &str) -> Option<Endpoint> {
    let port = listeners.first()?.local_addr().ok()?.port();
    let host = |text: &str| {
        let (host, _) = text.rsplit_once(':')?;
        Some(host.trim_start_matches('[').trim_end_matches(']').to_owned())
    };
    let is_any = |host: &String| host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified());
    let host = host(listen).filter(|host| !is_any(host)).or_else(|| host(peer_address))?;
    Endpoint::new(&host, port)
}

fn cannot_listen(what: &str, name: &str, address: SocketAddr, why: &std::io::Error) -> Fatal {
    let hint = if why.kind() == ErrorKind::AddrInUse {
        "; is another process using the port? Stop it, or choose another port"
    } else {
        ""
    };
    let is_name = name.parse::<SocketAddr>().is_err();
    let address = if is_name { format!(", address {address}") } else { String::new() };
    Fatal::usage(format!("cannot listen on {name} ({what}){address}: {why}{hint}"))
}

/// Where these listen, for the log.
pub(super) fn shown(listeners: &[TcpListener]) -> String {
    let addresses: Vec<String> = listeners
        .iter()
        .map(|listener| listener.local_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string()))
        .collect();
    addresses.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn all_addresses_of_a_name_are_listened_at_with_one_port() {
        let both = addresses(&["127.0.0.1:0", "127.0.0.1:0", "127.0.0.2:0"]);
        let listeners = listen_at("--listen", "name:0", both).unwrap();
        let found: Vec<SocketAddr> = listeners.iter().map(|one| one.local_addr().unwrap()).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].port(), found[1].port());
        assert_eq!(shown(&listeners), format!("{}, {}", found[0], found[1]));
        found.iter().for_each(|address| drop(TcpStream::connect(address).unwrap()));
    }

    #[test]
    fn clients_are_told_a_host_that_they_can_reach_and_the_real_port() {
        let listeners = [TcpListener::bind("127.0.0.1:0").unwrap()];
        let port = listeners[0].local_addr().unwrap().port();
        for (listen, told) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("clients.example:0", "clients.example"),
            ("[::1]:0", "::1"),
            ("0.0.0.0:0", "peers.example"),
            ("[::]:0", "peers.example"),
        ] {
            assert_eq!(
                endpoint(listen, &listeners, "peers.example:7001"),
                Endpoint::new(told, port),
                "{listen}"
            );
        }
        assert_eq!(endpoint("0.0.0.0:0", &listeners, "[fd00::1]:7001"), Endpoint::new("fd00::1", port));
        assert_eq!(endpoint("0.0.0.0:0", &[], "a:1"), None);
    }

    #[test]
    fn an_address_that_is_not_of_this_machine_is_left_out_but_not_the_only_one() {
        // Of a block for documentation (RFC 5737).
        let foreign = "192.0.2.1:0";
        let listeners = listen_at("--listen", "name:0", addresses(&[foreign, "127.0.0.1:0"])).unwrap();
        assert_eq!(listeners.len(), 1);
        for none in [addresses(&[foreign]), Vec::new()] {
            let why = listen_at("--listen", "name:0", none).unwrap_err();
            assert!(why.message.contains("cannot listen on name:0 (--listen)"), "{why}");
        }
        let taken = listeners[0].local_addr().unwrap();
        let why = listen("--listen", &taken.to_string()).unwrap_err();
        assert!(why.message.contains("another process using the port"), "{why}");
    }
}
