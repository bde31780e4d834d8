//! `/metrics`, `/livez` (the process lives) and `/readyz` (operations can be expected to succeed).

use super::Node;
use super::shard::Shard;
use axum::{Router, http::StatusCode, routing::get};
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;

/// Serves until the node ends.
pub(crate) async fn serve(shard: Rc<Shard>, listener: TcpListener) {
    let node = shard.node.clone();
    let app = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route(
            "/readyz",
            get({
                let node = node.clone();
                move || readiness(node.clone())
            }),
        )
        .route(
            "/metrics",
            get({
                let node = node.clone();
                move || async move { node.metrics() }
            }),
        );
    let served = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => axum::serve(listener, app).await,
        Err(why) => Err(why),
    };
    if let Err(why) = served {
        node.fail(format!("cannot serve HTTP: {why}"));
    }
}

async fn readiness(node: Arc<Node>) -> (StatusCode, String) {
    if let Some(why) = node.not_ready() {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"));
    }
    // A full disk is a reason to make room, not one to take the node out or restart it.
    if !node.committer.writable() {
        return (
            StatusCode::OK,
            "degraded: the disk is full, writes but for deletes are refused here\n".into(),
        );
    }
    (StatusCode::OK, "ok\n".into())
}
