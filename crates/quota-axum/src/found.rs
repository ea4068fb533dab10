//! What an application's function finds in a request, at once or later.

use std::future::Future;
use std::pin::Pin;

/// A value, or the future of one that takes time. The first costs no allocation.
pub(crate) enum Found<T> {
    Now(T),
    Later(Pin<Box<dyn Future<Output = T> + Send>>),
}

impl<T> Found<T> {
    pub(crate) fn later(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self::Later(Box::pin(future))
    }

    pub(crate) async fn get(self) -> T {
        match self {
            Self::Now(value) => value,
            Self::Later(future) => future.await,
        }
    }
}
