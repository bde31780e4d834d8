//! A link to etcd: gRPC over HTTP/2 with the two calls that are needed, so that the load generator stays cheap.
//!
//! There is one connection to each node, and the clients share it: etcd's best mode, because the frames of many
//! clients then travel together.

use crate::protobuf::{self, Value};
use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tools::load::{Failure, Link, LoadAnswer, LoadRequest, ReadOrWrite, Target, Workload};

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";
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
        let put = http_request(self.nodes[node], PUT)?;
        let range = http_request(self.nodes[node], RANGE)?;
        let value: Rc<[u8]> = self.workload.value(client as u64).into();
        Ok(EtcdLink { connection, put, range, value, message: Vec::new() })
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
    value: Rc<[u8]>,
    message: Vec<u8>,
}

impl Link for EtcdLink {
    async fn exchange(
        &mut self,
        batch: &[LoadRequest],
        answered: &mut dyn FnMut(LoadAnswer),
    ) -> io::Result<()> {
        for request in batch {
            self.message.clear();
            protobuf::put_bytes(&mut self.message, 1, &Workload::key(request.key));
            let method = match request.kind {
                ReadOrWrite::Read => &self.range,
                ReadOrWrite::Write => {
                    protobuf::put_bytes(&mut self.message, 2, &self.value);
                    &self.put
                }
            };
            let answer = call(&self.connection, method, &self.message).await.map_err(io::Error::other)?;
            answered(match (request.kind, answer) {
                (_, Err(_)) => LoadAnswer::Failed(Failure::Error),
                // A range without a key-value pair found nothing.
                (ReadOrWrite::Read, Ok(found)) if !protobuf::fields(&found).any(|(field, _)| field == 2) => {
                    LoadAnswer::Missing
                }
                (_, Ok(_)) => LoadAnswer::Done,
            });
        }
        Ok(())
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
            let number = |message: &[u8], wanted: u64| {
                protobuf::fields(message).find_map(|(field, value)| match value {
                    Value::Number(number) if field == wanted => Some(number),
                    _ => None,
                })
            };
            let member = protobuf::fields(&status).find_map(|(field, value)| match value {
                Value::Bytes(header) if field == 1 => number(header, 2),
                _ => None,
            });
            if member.is_some() && member == number(&status, 4) {
                return Ok(Some(index));
            }
        }
        Ok(None)
    })
}
