//! An API with quotas: one Rocket, one store, four metered routes, and the usage API.

mod app;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context;
use quickstart_shared::Settings;
use rocket::config::{LogLevel, Shutdown};
use rocket::fairing::AdHoc;

/// How many seconds requests have to end when the server is told to stop.
const PATIENCE: u32 = 10;

#[rocket::main]
async fn main() -> anyhow::Result<()> {
    quickstart_shared::log_to_stderr();
    let settings = Settings::from_arguments()?;
    let service = settings.service().await?;

    let config = rocket::Config {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: settings.port(),
        // What is to be read stands on standard output, and nothing else.
        log_level: LogLevel::Off,
        shutdown: Shutdown { grace: PATIENCE, mercy: 1, ..Shutdown::default() },
        ..rocket::Config::default()
    };
    let listening = AdHoc::on_liftoff("what to try", |rocket| {
        Box::pin(async move {
            let address = SocketAddr::new(rocket.config().address, rocket.config().port);
            if let Err(error) = quickstart_shared::print_what_to_try(address) {
                tracing::warn!("nothing can be printed: {error}");
            }
        })
    });
    let rocket = app::mount(rocket::custom(config), &service, settings.usage_api(&service))?;
    // It hears ctrl-c and SIGTERM by itself.
    let served = rocket.attach(listening).launch().await;
    // What was answered is stored already; what is still held is released, however serving ended.
    service.shutdown().await;
    tracing::info!("stopped");
    served.map(drop).map_err(|error| anyhow::anyhow!("{error}")).context("the server failed")
}
