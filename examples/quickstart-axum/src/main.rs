//! An API with quotas: one router, one store, four metered routes, and the usage API.

mod app;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use axum::serve::ListenerExt;
use quickstart_shared::Settings;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// How long requests have to end when the server is told to stop.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    quickstart_shared::log_to_stderr();
    let settings = Settings::from_arguments()?;
    let service = settings.service().await?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port()));
    let listener = TcpListener::bind(address).await.with_context(|| quickstart_shared::cannot_listen(address))?;
    let asked = quickstart_shared::asked_to_stop().context("signals cannot be heard")?;
    quickstart_shared::print_what_to_try(listener.local_addr()?)?;

    let listener = listener.tap_io(|connection| {
        // Answers are small: none should wait for the next.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!("a connection keeps its delay: {error}");
        }
    });
    let (stopping, stopped) = oneshot::channel();
    let stop = async {
        asked.await;
        // Nobody waits for it if the server has ended by itself.
        let _ = stopping.send(());
    };
    let router = app::router(&service, settings.usage_api(&service))?;
    let served = tokio::select! {
        served = axum::serve(listener, router).with_graceful_shutdown(stop) => served,
        () = patience(stopped) => {
            tracing::warn!("some connections did not end; they are cut");
            Ok(())
        }
    };
    // What was answered is stored already; what is still held is released, however serving ended.
    service.shutdown().await;
    tracing::info!("stopped");
    served.context("the server failed")
}

/// Ready some time after the server was told to stop: a client that never ends its request must not keep it.
async fn patience(stopped: oneshot::Receiver<()>) {
    if stopped.await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(PATIENCE).await;
}
