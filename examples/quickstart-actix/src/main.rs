//! An API with quotas: one app, one store, four metered routes, and the usage API.

mod app;

use std::net::{Ipv4Addr, SocketAddr};

use actix_web::{App, HttpServer};
use anyhow::Context;
use quickstart_shared::Settings;

use crate::app::Routes;

/// How many seconds requests have to end when the server is told to stop.
const PATIENCE: u64 = 10;

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    quickstart_shared::log_to_stderr();
    let settings = Settings::from_arguments()?;
    let service = settings.service().await?;
    let routes = Routes::new(&service, settings.usage_api(&service))?;

    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port()));
    let asked = quickstart_shared::asked_to_stop().context("signals cannot be heard")?;
    let server = HttpServer::new(move || App::new().configure(|app| routes.register(app)))
        .shutdown_timeout(PATIENCE)
        // What actix-web hears by itself ends requests at once on ctrl-c.
        .shutdown_signal(asked)
        .tcp_nodelay(true)
        // A client that goes away ends its handler, and what it holds is released.
        .h1_allow_half_closed(false)
        .bind(address)
        .with_context(|| quickstart_shared::cannot_listen(address))?;
    let address = server.addrs().first().copied().unwrap_or(address);
    quickstart_shared::print_what_to_try(address)?;

    let served = server.run().await;
    // What was answered is stored already; what is still held is released, however serving ended.
    service.shutdown().await;
    tracing::info!("stopped");
    served.context("the server failed")
}
