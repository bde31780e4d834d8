//! `/metrics`, `/livez` (the process lives) and `/readyz` (operations can be expected to succeed).

use super::crowd::Crowd;
use super::report::Report;
use super::sockets;
use super::supervise::Supervisor;
use crate::logging::limit::limited;
use ::node::client::descriptors;
use axum::{Router, extract::State, http::StatusCode, routing::get};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A request's head must be there after this time,
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// and the connection is over after this. Each request has a connection of its own: none is idle.
const CONNECTION_LIMIT: Duration = Duration::from_secs(30);
/// Pause after a connection could not be accepted.
const AFTER_ERROR: Duration = Duration::from_millis(50);

/// Serves until the node ends.
pub(crate) async fn serve(report: Arc<Report>, supervisor: Arc<Supervisor>, listener: TcpListener) {
    let app = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(async |State(report): State<Arc<Report>>| report.metrics()))
        .with_state(report);
    let prepared = sockets::prepare(&listener).and_then(|()| tokio::net::TcpListener::from_std(listener));
    let listener = match prepared {
        Ok(listener) => listener,
        Err(why) => return supervisor.fail(format!("cannot serve HTTP: {why}")),
    };
    let mut server = http1::Builder::new();
    server.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
    let crowd = Rc::new(Crowd::new(descriptors::HTTP));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let connection =
                    server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app.clone()));
                let crowd = crowd.clone();
                tokio::task::spawn_local(async move {
                    // However it ends, nobody else is concerned.
                    let _ = crowd.serve(tokio::time::timeout(CONNECTION_LIMIT, connection)).await;
                });
            }
            Err(why) => {
                limited!(warn, "cannot accept a connection for HTTP", %why);
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
}

async fn readiness(State(report): State<Arc<Report>>) -> (StatusCode, String) {
    if let Some(why) = report.not_ready() {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"));
    }
    // A full disk is a reason to make room, not one to take the node out or restart it.
    if !report.disk.committer.writable() {
        let degraded = "degraded: the disk is full, writes but for deletes are refused here\n";
        return (StatusCode::OK, degraded.into());
    }
    (StatusCode::OK, "ok\n".into())
}
