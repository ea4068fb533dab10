//! An API with quotas: one Rocket, one store, four metered routes, and the usage API.

mod app;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use quickstart_shared::Settings;
use rocket::config::{LogLevel, Shutdown};
use rocket::error::ErrorKind;
use rocket::fairing::AdHoc;
use rocket::{Ignite, Rocket, tokio};

/// How many seconds requests have to end when the server is told to stop.
const PATIENCE: u32 = 10;

/// How many seconds their connections have to close after that.
const MERCY: u32 = 1;

#[rocket::main]
async fn main() -> anyhow::Result<()> {
    quickstart_shared::log_to_stderr();
    let settings = Settings::from_arguments()?;
    let service = settings.service().await?;

    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port()));
    let config = rocket::Config {
        address: address.ip(),
        port: address.port(),
        // What is to be read stands on standard output, and nothing else.
        log_level: LogLevel::Off,
        shutdown: Shutdown { grace: PATIENCE, mercy: MERCY, ..Shutdown::default() },
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
    let waits = Arc::new(AtomicBool::new(false));
    let waiting = AdHoc::on_shutdown("waits for requests", {
        let waits = Arc::clone(&waits);
        |_| Box::pin(async move { waits.store(true, Ordering::Relaxed) })
    });
    let rocket = app::mount(rocket::custom(config), &service, settings.usage_api(&service))?;
    // It hears ctrl-c and SIGTERM by itself.
    let served = rocket.attach(listening).attach(waiting).launch().await;
    let is_taken = matches!(&served, Err(error) if matches!(error.kind(), ErrorKind::Bind(_)));
    let served = ended(served, waits.load(Ordering::Relaxed)).await;
    // What was answered is stored already; what is still held is released, however serving ended.
    service.shutdown().await;
    tracing::info!("stopped");
    served.with_context(|| match is_taken {
        true => quickstart_shared::cannot_listen(address),
        false => "the server failed".to_owned(),
    })
}

/// Waits for the requests that a server has left running when it stopped, as long as they have to end.
///
/// Where the signal reaches Rocket 0.5 between two of its polls, `launch` does not wait for them itself: it calls no
/// fairing and returns at once, with an error that tells of no cause. Each request shares the server that is in the error.
async fn ended(served: Result<Rocket<Ignite>, rocket::Error>, has_waited: bool) -> anyhow::Result<()> {
    let Err(error) = served else { return Ok(()) };
    if let ErrorKind::Shutdown(server, None) = error.kind()
        && !has_waited
    {
        // With the time that Rocket takes to close connections.
        for _ in 0..(PATIENCE + MERCY + 1) * 100 {
            if Arc::strong_count(server) == 1 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Err(anyhow::anyhow!("{error}"))
}
