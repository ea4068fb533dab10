//! Streams whose cost is known last.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use pin_project_lite::pin_project;
use quota_core::{ClientId, Credits};
use quota_service::{ServiceError, Settled};
use tokio::runtime::Handle;
use tracing::Instrument;

use crate::metering::held::Held;
use crate::metering::quota_error::QuotaError;
use crate::metering::request_quota::RequestQuota;

/// What becomes of a hold whose stream is dropped before its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDrop {
    /// It is released: who gets only a part pays nothing. So does `HEAD`, whose body no server reads.
    #[default]
    Release,
    /// What was streamed is charged. Where that is nothing yet, the hold is released.
    ///
    /// A service that was shut down settles nothing more: a server that is told to stop has to end its streams before
    /// `QuotaService::shutdown`, as `examples/llm-gateway` does; those that are cut later were for nothing.
    Settle,
}

pin_project! {
    /// What [`Held::settle_after`] makes of a stream.
    #[must_use = "a hold that is dropped is released"]
    pub struct SettledAfter<S, C> {
        #[pin]
        stream: S,
        cost: C,
        bill: Bill,
    }
}

type Settling = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is owed so far.
struct Bill {
    quota: RequestQuota,
    /// None once it is settled.
    held: Option<Held>,
    sum: Credits,
    on_drop: OnDrop,
    /// Once the stream has ended. Whoever goes away then has had all of it: that goes on by itself.
    settling: Option<Settling>,
}

impl<S, C> SettledAfter<S, C> {
    pub(crate) fn new(held: Held, stream: S, cost: C, on_drop: OnDrop) -> Self {
        held.quota().note_streamed();
        let bill = Bill { quota: held.quota().clone(), held: Some(held), sum: Credits::ZERO, on_drop, settling: None };
        Self { stream, cost, bill }
    }
}

impl<S, C> Stream for SettledAfter<S, C>
where
    S: Stream,
    C: FnMut(&S::Item) -> Credits,
{
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.project();
        let bill = this.bill;
        if bill.held.is_some() {
            if let Some(item) = ready!(this.stream.poll_next(cx)) {
                bill.sum = bill.sum.saturating_add((this.cost)(&item));
                return Poll::Ready(Some(item));
            }
            bill.settling = bill.settle();
        }
        if let Some(settling) = &mut bill.settling {
            ready!(settling.as_mut().poll(cx));
            bill.settling = None;
        }
        Poll::Ready(None)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

impl Bill {
    fn settle(&mut self) -> Option<Settling> {
        let (held, sum) = (self.held.take()?, self.sum);
        let client = self.quota.client().clone();
        Some(Box::pin(async move { told(held.settle(sum).await, &client, sum) }.in_current_span()))
    }
}

const NOT_CHARGED: &str = "the cost of a stream was not charged";

/// Nobody waits for an answer any more, so the log has to say it.
fn told(settled: Result<Settled, QuotaError>, client: &ClientId, sum: Credits) {
    match settled {
        Ok(settled) if settled.is_late() => {
            tracing::warn!(%client, cost = %sum, "the hold of a stream had expired; its cost was recorded");
        }
        Ok(_) => {}
        Err(error) => {
            let is_unknown = matches!(error.service_error(), Some(ServiceError::Unknown { .. }));
            let error: &dyn Error = &error;
            let what =
                if is_unknown { "it is not known whether the cost of a stream was charged" } else { NOT_CHARGED };
            tracing::error!(%client, cost = %sum, error, "{what}");
        }
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        let mut settling = self.settling.take();
        let (client, cost) = (self.quota.client(), self.sum);
        if self.held.is_some() && self.on_drop == OnDrop::Settle && !cost.is_zero() {
            tracing::debug!(%client, %cost, "a stream was dropped before its end, and what was streamed is charged");
            settling = self.settle();
        } else if self.held.is_some() {
            tracing::debug!(%client, %cost, "a stream was dropped before its end, and its hold is released");
        }
        let Some(settling) = settling else { return };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(settling)),
            Err(error) => {
                let (client, error): (_, &dyn Error) = (self.quota.client(), &error);
                tracing::error!(%client, %cost, error, "{NOT_CHARGED}");
            }
        }
    }
}

impl<S, C> fmt::Debug for SettledAfter<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettledAfter")
            .field("held", &self.bill.held)
            .field("sum", &self.bill.sum)
            .finish_non_exhaustive()
    }
}
