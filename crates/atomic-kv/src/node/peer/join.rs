//! A newcomer asks who it is, until somebody knows.

use super::connect::connect;
use super::read_frame;
use crate::config::{Settings, required};
use crate::fatal::Fatal;
use ::node::configuration::Configuration;
use ::node::hello::HANDSHAKE_BYTES_MAX;
use ::node::peer::joining::{Answer, answer, question};
use abd::NodeId;
use abd::wire::put_frame;
use bytes::BytesMut;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// Pause between two rounds of questions.
const PAUSE: Duration = Duration::from_millis(500);
/// How long somebody who is asked may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Waits until the cluster of `--join` awaits a node at the address in `--peer-listen`: which it is, and the configuration that says
/// so. Whoever ends meanwhile may ask again.
///
/// # Errors
/// Exit code 2 without an address.
pub(in crate::node) fn join(settings: &Settings) -> Result<(NodeId, Configuration), Fatal> {
    let address = required(settings.peer_listen.clone(), "--peer-listen")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|why| Fatal::runtime(format!("cannot start: {why}")))?;
    Ok(runtime.block_on(wait_until_awaited(&settings.first.join, &address)))
}

async fn wait_until_awaited(members: &[String], address: &str) -> (NodeId, Configuration) {
    let mut said: BTreeMap<&str, String> = BTreeMap::new();
    loop {
        for member in members {
            let told = match timeout(LIMIT, ask(member, address)).await {
                Ok(Ok(Answer::Awaited(id, configuration))) => {
                    let epoch = configuration.epoch();
                    tracing::info!(
                        node = id.0,
                        epoch,
                        by = member,
                        "the cluster awaits this node: it starts"
                    );
                    return (id, configuration);
                }
                Ok(Ok(Answer::Nobody { epoch, members, awaited })) => {
                    // A name and an address of one host are two texts.
                    let elsewhere = if awaited.is_empty() { awaited } else { format!(", but {awaited}") };
                    format!("it awaits nobody at {address}{elsewhere} (epoch {epoch}, members {members})")
                }
                Ok(Err(why)) => why,
                Err(_) => format!("no answer within {LIMIT:?}"),
            };
            // Once for each thing that is said.
            if said.get(member.as_str()) != Some(&told) {
                tracing::info!(
                    address,
                    member,
                    told,
                    "waiting until the cluster awaits a node at this address; run atomic-kv add or atomic-kv replace with it"
                );
                said.insert(member, told);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(member: &str, address: &str) -> Result<Answer, String> {
    let mut stream = connect(member, None).await.map_err(|why| why.to_string())?;
    let mut out = BytesMut::new();
    put_frame(&mut out, |body| body.extend_from_slice(&question(address)));
    stream.write_all(&out).await.map_err(|why| why.to_string())?;
    let body = read_frame(&mut stream, &mut BytesMut::new(), HANDSHAKE_BYTES_MAX).await;
    let body = body.map_err(|why| why.to_string())?.ok_or("it closed the connection without an answer")?;
    answer(body, address).map_err(|why| why.to_string())
}
