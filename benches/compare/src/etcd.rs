//! A link to etcd: gRPC over HTTP/2 with the few calls that are needed, so that the load generator stays cheap.
//!
//! There is one connection to each node, and the clients share it: etcd's best mode, because the frames of many
//! clients then travel together.

use crate::increment::{Counter, outcome};
use crate::protobuf;
use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tools::load::{Failure, Link, LoadAnswer, LoadRequest, Target, Verb, Workload};

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";
const TXN: &str = "/etcdserverpb.KV/Txn";
const STATUS: &str = "/etcdserverpb.Maintenance/Status";

/// What may be on its way to this side: more than enough that no call ever waits for it.
const WINDOW: u32 = 8 << 20;

/// The nodes, and the connection to each.
pub(crate) struct Etcd {
    nodes: Vec<SocketAddr>,
    first: usize,
    workload: Workload,
    connections: Vec<Mutex<Option<SendRequest<Bytes>>>>,
}

impl Etcd {
    /// Clients are spread over the first so many of the nodes, and go on to any of them.
    pub(crate) fn new(nodes: Vec<SocketAddr>, first: usize, workload: Workload) -> Self {
        let connections = nodes.iter().map(|_| Mutex::default()).collect();
        Self { nodes, first, workload, connections }
    }
}

impl Target for Etcd {
    type Link = EtcdLink;

    async fn connect(&self, client: usize, attempt: usize) -> io::Result<EtcdLink> {
        let node = match attempt {
            0 => client % self.first,
            _ => (client + attempt) % self.nodes.len(),
        };
        // Held while it is opened: the other clients wait for this connection and do not open their own.
        let mut shared = self.connections[node].lock().await;
        let known = match shared.clone() {
            Some(connection) => connection.clone().ready().await.ok().map(|_| connection),
            None => None,
        };
        let connection = match known {
            Some(connection) => connection,
            None => shared.insert(open(self.nodes[node]).await?).clone(),
        };
        let method = |name| http_request(self.nodes[node], name);
        Ok(EtcdLink {
            connection,
            put: method(PUT)?,
            range: method(RANGE)?,
            txn: method(TXN)?,
            workload: self.workload.clone(),
            value: self.workload.value(client as u64).into(),
        })
    }
}

/// Opens a connection and has a task of this thread serve it.
async fn open(node: SocketAddr) -> io::Result<SendRequest<Bytes>> {
    let stream = TcpStream::connect(node).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .initial_max_send_streams(4096)
        .handshake(stream)
        .await
        .map_err(io::Error::other)?;
    tokio::task::spawn_local(async move {
        // Whoever uses the connection learns of its end from its own call.
        let _ = connection.await;
    });
    Ok(sender)
}

fn http_request(node: SocketAddr, method: &str) -> io::Result<http::Request<()>> {
    http::Request::post(format!("http://{node}{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .map_err(io::Error::other)
}

/// Calls a method and gives the answer's message, or the text of a gRPC error.
async fn call(
    connection: &SendRequest<Bytes>,
    request: &http::Request<()>,
    message: &[u8],
) -> Result<Result<BytesMut, String>, h2::Error> {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    let mut sender = connection.clone().ready().await?;
    let (response, mut stream) = sender.send_request(request.clone(), false)?;
    stream.send_data(frame.freeze(), true)?;
    let response = response.await?;
    let early = response.headers().get("grpc-status").cloned();
    let mut body = response.into_body();
    let mut answer = BytesMut::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        answer.extend_from_slice(&part);
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    let status = early.or_else(|| trailers.get("grpc-status").cloned());
    if status.as_ref().is_none_or(|status| status != "0") {
        let text = trailers.get("grpc-message").and_then(|text| text.to_str().ok());
        return Ok(Err(format!("status {status:?}: {}", text.unwrap_or("no message"))));
    }
    Ok(Ok(if answer.len() >= 5 { answer.split_off(5) } else { BytesMut::new() }))
}

/// A client's share in the connection to a node.
pub(crate) struct EtcdLink {
    connection: SendRequest<Bytes>,
    put: http::Request<()>,
    range: http::Request<()>,
    txn: http::Request<()>,
    workload: Workload,
    value: Rc<[u8]>,
}

impl Link for EtcdLink {
    async fn exchange(
        &mut self,
        batch: &[LoadRequest],
        answered: &mut dyn FnMut(LoadAnswer),
    ) -> io::Result<()> {
        for request in batch {
            let key = self.workload.key(request.key);
            let answer = match request.verb {
                Verb::Get => self.get(&key).await,
                Verb::Set => self.set(&key).await,
                Verb::Increment => self.increment(&key).await,
                Verb::SetIfAbsent | Verb::DeleteIfEqual | Verb::Append => {
                    Ok(LoadAnswer::Failed(Failure::Error))
                }
            };
            answered(answer.map_err(io::Error::other)?);
        }
        Ok(())
    }
}

impl EtcdLink {
    async fn get(&self, key: &[u8]) -> Result<LoadAnswer, h2::Error> {
        let mut message = Vec::new();
        protobuf::put_bytes(&mut message, 1, key);
        Ok(match call(&self.connection, &self.range, &message).await? {
            Err(_) => LoadAnswer::Failed(Failure::Error),
            // A range without a key-value pair found nothing.
            Ok(found) if protobuf::bytes(&found, 2).is_none() => LoadAnswer::Nothing,
            Ok(_) => LoadAnswer::Done,
        })
    }

    async fn set(&self, key: &[u8]) -> Result<LoadAnswer, h2::Error> {
        let mut message = Vec::with_capacity(key.len() + self.value.len() + 16);
        protobuf::put_bytes(&mut message, 1, key);
        protobuf::put_bytes(&mut message, 2, &self.value);
        let put = call(&self.connection, &self.put, &message).await?;
        Ok(put.map_or(LoadAnswer::Failed(Failure::Error), |_| LoadAnswer::Done))
    }

    /// Reads, and tries until nobody slips in between.
    async fn increment(&self, key: &[u8]) -> Result<LoadAnswer, h2::Error> {
        let mut message = Vec::new();
        protobuf::put_bytes(&mut message, 1, key);
        let read = call(&self.connection, &self.range, &message).await?;
        let mut known = read.ok().and_then(|range| Counter::of(&range));
        while let Some(counter) = known {
            let Ok(response) = call(&self.connection, &self.txn, &counter.next(key)).await? else { break };
            match outcome(&response) {
                Ok(()) => return Ok(LoadAnswer::Done),
                Err(found) => known = found,
            }
        }
        Ok(LoadAnswer::Failed(Failure::Error))
    }
}

/// Which of the nodes leads; `None` while none does or none answers.
pub(crate) fn leader(nodes: &[SocketAddr]) -> io::Result<Option<usize>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        for (index, node) in nodes.iter().enumerate() {
            let status = async {
                let connection = open(*node).await?;
                call(&connection, &http_request(*node, STATUS)?, &[]).await.map_err(io::Error::other)
            };
            let Ok(Ok(Ok(status))) = tokio::time::timeout(std::time::Duration::from_secs(1), status).await
            else {
                continue;
            };
            let member = protobuf::bytes(&status, 1).and_then(|header| protobuf::number(header, 2));
            if member.is_some() && member == protobuf::number(&status, 4) {
                return Ok(Some(index));
            }
        }
        Ok(None)
    })
}
