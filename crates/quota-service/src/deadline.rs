//! Waiting, but not for ever.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::error::Elapsed;

/// What the future yields, unless the deadline passes first. A future that is ready at once costs no timer, and
/// needs no runtime.
pub(crate) async fn within<T>(deadline: Duration, future: impl Future<Output = T>) -> Result<T, Elapsed> {
    let mut future = pin!(future);
    match poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => tokio::time::timeout(deadline, future).await,
    }
}

/// The same until an instant.
pub(crate) async fn within_until<T>(deadline: Instant, future: impl Future<Output = T>) -> Result<T, Elapsed> {
    let mut future = pin!(future);
    match poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => tokio::time::timeout_at(deadline, future).await,
    }
}
