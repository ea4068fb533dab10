//! When a handler goes on, and how its work ends.

use std::future::Future;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use quota_core::{Decision, Status};
use quota_http::{RefusalResponse, member_from_query};
use tokio::sync::watch;

/// Where handlers wait until the suite lets them go on.
#[derive(Clone, Debug)]
pub struct Pause(watch::Sender<bool>);

impl Pause {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Waits until it is over.
    pub async fn over(&self) {
        // The sender lives in `self`, so waiting does not fail.
        let _ = self.0.subscribe().wait_for(|over| *over).await;
    }

    pub(super) fn end(&self) {
        self.0.send_replace(true);
    }

    pub(super) fn begin(&self) {
        self.0.send_replace(false);
    }

    /// A handler's work, by the query's `work`: none, or `wait` until the pause is over, or `panic`.
    ///
    /// # Panics
    /// If it is asked to.
    pub async fn work(&self, query: Option<&str>) {
        match member_from_query(query, "work").ok().flatten().as_deref() {
            Some("wait") => self.over().await,
            Some("panic") => panic!("a handler panics, as it was asked to"),
            _ => {}
        }
    }
}

/// How long somebody waits who gives up.
pub const IMPATIENT: Duration = Duration::from_millis(20);

/// A handler that is given up where the query has `give_up` and it has not ended in [`IMPATIENT`]: 504, `too late`.
///
/// # Errors
/// The handler's own, and that.
pub async fn in_time<T, E: From<RefusalResponse>>(
    query: Option<&str>,
    handler: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    if !matches!(member_from_query(query, "give_up"), Ok(Some(_))) {
        return handler.await;
    }
    tokio::time::timeout(IMPATIENT, handler).await.unwrap_or_else(|_| {
        Err(RefusalResponse::new(StatusCode::GATEWAY_TIMEOUT, HeaderMap::new(), "too late".into()).into())
    })
}

/// What a handler answers of a decision and of the status that it read later: the limit, and what remains by each.
///
/// # Errors
/// 503, `it is not checked`, where there is no decision about quotas.
pub fn told(decision: Option<&Decision>, status: Option<&Status>) -> Result<String, RefusalResponse> {
    let quotas = decision.and_then(Decision::quotas).and_then(|quotas| quotas.lowest());
    let (Some(quota), Some(later)) = (quotas, status.and_then(Status::lowest)) else {
        let headers = HeaderMap::new();
        return Err(RefusalResponse::new(StatusCode::SERVICE_UNAVAILABLE, headers, "it is not checked".into()));
    };
    Ok(format!("{}: {}, then {}", quota.limit(), quota.remaining(), later.remaining()))
}
