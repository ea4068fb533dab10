//! axum, bare and with `tower_governor`.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Context;
use axum::handler::Handler;
use axum::http::Request;
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde_json::Value;
use tokio::net::TcpListener;
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::KeyExtractor;
use tower_governor::{GovernorError, GovernorLayer};

use super::{CLIENT, data};

/// As the quickstart does.
pub(super) fn serve(routes: Router, port: u16) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.context("the port")?;
        let listener = listener.tap_io(|connection| {
            connection.set_nodelay(true).ok();
        });
        let served = axum::serve(listener, routes).with_graceful_shutdown(std::future::pending());
        served.await.context("the server")
    })
}

pub(super) fn bare() -> Router {
    Router::new().route("/api/fetch-data", get(fetch_data)).route("/api/fetch-expensive-data", get(fetch_data))
}

/// One bucket for each client, refilled faster than anyone can ask, and the headers that tell of it.
pub(super) fn governed() -> anyhow::Result<Router> {
    let config = GovernorConfigBuilder::default()
        .per_nanosecond(1)
        .burst_size(u32::MAX)
        .key_extractor(ByHeader)
        .use_headers()
        .finish()
        .context("governor's settings")?;
    let layer = GovernorLayer::new(Arc::new(config));
    Ok(Router::new()
        .route("/api/fetch-data", get(fetch_data.layer(layer.clone())))
        .route("/api/fetch-expensive-data", get(fetch_data.layer(layer))))
}

async fn fetch_data() -> Json<Value> {
    Json(data())
}

#[derive(Clone)]
struct ByHeader;

impl KeyExtractor for ByHeader {
    type Key = String;

    fn extract<T>(&self, request: &Request<T>) -> Result<String, GovernorError> {
        let value = request.headers().get(CLIENT).ok_or(GovernorError::UnableToExtractKey)?;
        value.to_str().map(str::to_owned).map_err(|_| GovernorError::UnableToExtractKey)
    }
}
