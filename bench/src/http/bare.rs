//! The quickstart's routes without quotas.

use std::net::Ipv4Addr;

use anyhow::Context;
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Serves until it is killed, as the quickstart does.
pub(crate) fn serve(port: u16) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let routes =
            Router::new().route("/api/fetch-data", get(fetch_data)).route("/api/fetch-expensive-data", get(fetch_data));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.context("the port")?;
        let listener = listener.tap_io(|connection| {
            connection.set_nodelay(true).ok();
        });
        let served = axum::serve(listener, routes).with_graceful_shutdown(std::future::pending());
        served.await.context("the server")
    })
}

async fn fetch_data() -> Json<Value> {
    Json(json!({ "data": [1, 2, 3] }))
}
