//! The instant of an operation.

use std::sync::Arc;

use quota_core::{Instant, Refusal};

use crate::clock::Clock;
use crate::error::ServiceError;
use crate::server_clock::ServerClock;
use crate::service::Inner;
use crate::store::UsageStore;

impl<S: UsageStore> Inner<S> {
    /// Knows the server's time from here on.
    pub(crate) async fn follow_server(&self) -> Result<(), ServiceError> {
        match &self.server {
            // Boxed, so that who need not wait is a small future.
            Some(server) if server.known_at(tokio::time::Instant::now(), &self.store).is_none() => {
                Box::pin(self.ask_server(server)).await
            }
            _ => Ok(()),
        }
    }

    /// Waits for the server's time. Where what it told before could go on, that does if it keeps silent: it may do all else.
    async fn ask_server(&self, server: &Arc<ServerClock>) -> Result<(), ServiceError> {
        let asked = server.follow(&self.store);
        let answer = self.read(async { asked.clone().await.map_err(|error| error.again()) });
        let Some(patience) = server.patience() else {
            let answered = answer.await;
            if answered.is_err() {
                server.forget(&asked);
            }
            return answered;
        };
        if !matches!(tokio::time::timeout(patience, answer).await, Ok(Ok(()))) {
            server.forget(&asked);
            server.go_on();
        }
        Ok(())
    }

    /// The instant of an operation, where nothing has to be waited for.
    pub(crate) fn instant_now(
        &self,
        given: Option<Instant>,
        now: tokio::time::Instant,
    ) -> Option<Result<Instant, ServiceError>> {
        let server = self.server.as_ref().map(|server| server.known_at(now, &self.store));
        match (given, server) {
            (_, Some(None)) => None,
            // The service's own clock is the server's, which is not ahead of itself.
            (None, Some(Some(server))) if self.follows_server => Some(Ok(server)),
            _ => Some(self.instant(given)),
        }
    }

    /// The instant of an operation, unless it is too far ahead of the server's time.
    pub(crate) fn instant(&self, given: Option<Instant>) -> Result<Instant, ServiceError> {
        let own = self.clock.now();
        let at = given.unwrap_or(own);
        let server = self.reference(own);
        if at > server && at.since(server) > self.max_ahead {
            self.instruments.clock_was_ahead();
            self.instruments.offset(own, server);
            let refusal = Refusal::ClockAhead { at, server, max_ahead: self.max_ahead };
            tracing::error!(%at, %server, "refused: {refusal}");
            return Err(refusal.into());
        }
        Ok(at)
    }

    /// The present, of whichever clock is behind: for what is done without being asked for, and so cannot be refused where
    /// the own one is ahead.
    pub(crate) fn present(&self) -> Instant {
        let own = self.clock.now();
        own.min(self.reference(own))
    }

    /// The server's time, as far as it is known.
    fn reference(&self, own: Instant) -> Instant {
        match (&self.reference, &self.server) {
            (Some(reference), _) => reference.now(),
            (None, Some(server)) if server.is_servers() => server.now(),
            _ => own,
        }
    }
}
