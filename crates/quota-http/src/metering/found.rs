//! What an application's function finds in a request, at once or later.

use crate::metering::framework::Framework;

/// A value, or the future of one that takes time. The first costs no allocation.
pub(crate) enum Found<F: Framework, T> {
    Now(T),
    Later(F::Later<T>),
}

impl<F: Framework, T> Found<F, T> {
    pub(crate) async fn get(self) -> T {
        match self {
            Self::Now(value) => value,
            Self::Later(future) => future.await,
        }
    }
}
