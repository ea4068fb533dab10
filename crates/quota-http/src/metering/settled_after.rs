//! Streams whose cost is known last.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use pin_project_lite::pin_project;
use quota_core::{ClientId, Credits};
use quota_service::Settled;
use tokio::runtime::Handle;
use tracing::Instrument;

use crate::metering::held::Held;
use crate::metering::quota_error::QuotaError;

/// What becomes of a hold whose stream is dropped before its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDrop {
    /// It is released: who gets only a part pays nothing.
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
        settling: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    }
}

/// What is owed so far.
struct Bill {
    /// None once it is settled.
    held: Option<Held>,
    sum: Credits,
    on_drop: OnDrop,
}

impl<S, C> SettledAfter<S, C> {
    pub(crate) const fn new(held: Held, stream: S, cost: C, on_drop: OnDrop) -> Self {
        let bill = Bill { held: Some(held), sum: Credits::ZERO, on_drop };
        Self { stream, cost, bill, settling: None }
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
        if this.settling.is_none() {
            if this.bill.held.is_none() {
                return Poll::Ready(None);
            }
            if let Some(item) = ready!(this.stream.poll_next(cx)) {
                this.bill.sum = this.bill.sum.saturating_add((this.cost)(&item));
                return Poll::Ready(Some(item));
            }
            *this.settling = this.bill.settle();
        }
        if let Some(settling) = this.settling {
            ready!(settling.as_mut().poll(cx));
            *this.settling = None;
        }
        Poll::Ready(None)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

impl Bill {
    fn settle(&mut self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let (held, sum) = (self.held.take()?, self.sum);
        let client = held.quota().client().clone();
        Some(Box::pin(async move { told(held.settle(sum).await, &client, sum) }.in_current_span()))
    }
}

/// Nobody waits for an answer any more, so the log has to say it.
fn told(settled: Result<Settled, QuotaError>, client: &ClientId, sum: Credits) {
    match settled {
        Ok(settled) if settled.is_late() => {
            tracing::warn!(%client, cost = %sum, "the hold of a stream had expired; its cost was recorded");
        }
        Ok(_) => {}
        Err(error) => {
            let cause: &dyn std::error::Error = &error;
            tracing::error!(%client, cost = %sum, error = cause, "the cost of a stream was not charged");
        }
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        if self.on_drop == OnDrop::Settle
            && !self.sum.is_zero()
            && let Ok(runtime) = Handle::try_current()
            && let Some(settling) = self.settle()
        {
            runtime.spawn(settling);
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
