//! Connecting to a name: all its addresses, one after another and then side by side (RFC 8305).

use ::node::addresses::in_order_of_attempts;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a name may take to be looked up, and each address to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// The next address is tried when one has not answered for so long (RFC 8305 calls it the connection attempt delay).
const STAGGER: Duration = Duration::from_millis(250);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("cannot look up its address: {0}")]
    Name(std::io::Error),
    #[error("its name has no address")]
    Nowhere,
    #[error("{}", .0.join("; "))]
    Nobody(Vec<String>),
}

/// Connects to HOST:PORT, to the address that answers first. `in_vain` is one that is no use, if others are there.
pub(super) async fn connect(address: &str, in_vain: Option<SocketAddr>) -> Result<TcpStream, ConnectError> {
    let found = match timeout(LIMIT, tokio::net::lookup_host(address)).await {
        Ok(found) => found.map_err(ConnectError::Name)?.collect::<Vec<SocketAddr>>(),
        Err(_) => return Err(ConnectError::Name(std::io::ErrorKind::TimedOut.into())),
    };
    connect_to_any(&in_order_of_attempts(&found, in_vain)).await
}

async fn connect_to_any(addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
    let (mut left, mut attempts, mut failures) = (addresses.iter().copied(), JoinSet::new(), Vec::new());
    loop {
        if let Some(address) = left.next() {
            attempts.spawn(attempt(address));
        }
        tokio::select! {
            biased;
            ended = attempts.join_next() => match ended {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(why))) => failures.push(why),
                Some(Err(why)) => failures.push(why.to_string()),
                None if failures.is_empty() => return Err(ConnectError::Nowhere),
                None => return Err(ConnectError::Nobody(failures)),
            },
            () = tokio::time::sleep(STAGGER), if left.len() > 0 => {}
        }
    }
}

async fn attempt(address: SocketAddr) -> Result<TcpStream, String> {
    match timeout(LIMIT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(why)) => Err(format!("{address}: {why}")),
        Err(_) => Err(format!("{address}: no answer within {LIMIT:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};
    use tokio::net::TcpSocket;

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    fn anywhere() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }

    /// Where nobody listens.
    fn closed() -> SocketAddr {
        TcpListener::bind(anywhere()).unwrap().local_addr().unwrap()
    }

    #[test]
    fn an_address_that_swallows_everything_does_not_hide_the_next() {
        run(async {
            // It has room for one connection that nobody accepts; whoever comes then hears nothing.
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(anywhere()).unwrap();
            let black_hole = socket.listen(0).unwrap();
            let hole = black_hole.local_addr().unwrap();
            let mut fillers = JoinSet::new();
            for _ in 0..8 {
                fillers.spawn(TcpStream::connect(hole));
            }
            let swallowed = async || timeout(STAGGER, TcpStream::connect(hole)).await.is_err();
            while !swallowed().await {
                tokio::task::yield_now().await;
            }
            let listener = TcpListener::bind(anywhere()).unwrap();
            let there = listener.local_addr().unwrap();
            let stream = connect_to_any(&[hole, there]).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), there);
        });
    }

    #[test]
    fn who_refuses_is_followed_by_the_next_at_once_and_all_are_named_in_the_end() {
        run(async {
            let listener = TcpListener::bind(anywhere()).unwrap();
            let there = listener.local_addr().unwrap();
            let (first, second) = (closed(), closed());
            let stream = connect_to_any(&[first, second, there]).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), there);
            let why = connect_to_any(&[first, second]).await.unwrap_err().to_string();
            assert!(why.contains(&first.to_string()) && why.contains(&second.to_string()), "{why}");
            assert!(matches!(connect_to_any(&[]).await, Err(ConnectError::Nowhere)));
        });
    }
}
