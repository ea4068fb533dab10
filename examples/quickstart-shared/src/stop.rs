//! When a server is asked to stop.

use std::future::Future;
use std::io;

/// Ready on ctrl-c, and on SIGTERM where there is such a thing. They are heard from the call on, not only when somebody
/// waits: whoever is told that the server is there may stop it.
///
/// # Errors
/// Where the system does not let them be heard.
#[cfg(unix)]
pub fn asked_to_stop() -> io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
    })
}

/// Ready on ctrl-c.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn asked_to_stop() -> io::Result<impl Future<Output = ()> + Send> {
    Ok(async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!("ctrl-c cannot be heard: {error}");
            std::future::pending::<()>().await;
        }
        tracing::info!("stopping");
    })
}
