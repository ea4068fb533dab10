//! A language model behind quotas: starts it, prints what to try, stops it.

mod words;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use axum::serve::ListenerExt;
use llm_gateway::{Gateway, Model, Rates, Stop, stop};
use quickstart_shared::Settings;
use tokio::net::TcpListener;

/// How long requests have to end when the server is told to stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the model takes for a token: slowly enough to be watched.
const PACE: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    quickstart_shared::log_to_stderr();
    let settings = Settings::from_env()?;
    let service = settings.service_with(llm_gateway::plans()?).await?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port()));
    let listener = TcpListener::bind(address).await.with_context(|| quickstart_shared::cannot_listen(address))?;
    let asked = quickstart_shared::asked_to_stop().context("signals cannot be heard")?;
    words::print_what_to_try(listener.local_addr()?)?;

    let listener = listener.tap_io(|connection| {
        // Tokens are small: none should wait for the next.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!("a connection keeps its delay: {error}");
        }
    });
    let (stopper, stop) = stop();
    let rates = Rates::new("0.0005".parse()?, "0.0015".parse()?);
    let gateway = Gateway::new(Model::new(PACE), rates, stop.clone());
    let router = gateway.router(&service, settings.usage_api(&service), llm_gateway::keys()?);
    let asked = async move {
        asked.await;
        // Streams end and settle by themselves: after the service has shut down, nothing is settled.
        stopper.stop();
    };
    let served = tokio::select! {
        served = axum::serve(listener, router).with_graceful_shutdown(asked) => served,
        () = patience(stop) => {
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
async fn patience(mut stop: Stop) {
    stop.asked().await;
    tokio::time::sleep(PATIENCE).await;
}
