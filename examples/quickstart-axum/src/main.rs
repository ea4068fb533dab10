//! An API with quotas: one router, one store, four metered routes.

mod app;
mod settings;

use std::io::{IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

use crate::settings::Settings;

/// How long requests have to end when the server is told to stop.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr).init();

    let settings = Settings::from_env()?;
    let service = settings.service().await?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port()));
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    print_what_to_try(listener.local_addr()?)?;

    let listener = listener.tap_io(|connection| {
        // Answers are small: none should wait for the next.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!("a connection keeps its delay: {error}");
        }
    });
    let (stopping, stopped) = oneshot::channel();
    let stop = async {
        asked_to_stop().await;
        // Nobody waits for it if the server has ended by itself.
        let _ = stopping.send(());
    };
    let router = app::router(&service)?;
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

fn print_what_to_try(address: SocketAddr) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on http://{address}\n\ntry:")?;
    for path in [
        "/api/fetch-data",
        "/api/fetch-expensive-data",
        "/api/compute?credits=2.5",
        "/api/generate?max=100&actual=42",
        "/api/generate?max=100&actual=42&fail=true",
    ] {
        writeln!(out, "  curl -i -H 'X-Client-Id: client1' 'http://{address}{path}'")?;
    }
    writeln!(out, "\nstop with ctrl-c")?;
    out.flush()
}

/// Ready some time after the server was told to stop: a client that never ends its request must not keep it.
async fn patience(stopped: oneshot::Receiver<()>) {
    if stopped.await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(PATIENCE).await;
}

/// Ready on ctrl-c, and on SIGTERM where there is such a thing.
async fn asked_to_stop() {
    let interrupted = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!("ctrl-c cannot be heard: {error}");
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = interrupted => {}
        () = terminated() => {}
    }
    tracing::info!("stopping");
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};

    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            terminate.recv().await;
        }
        Err(error) => {
            tracing::error!("SIGTERM cannot be heard: {error}");
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending::<()>().await;
}
