//! What goes on by itself.

use std::future::Future;

use tokio::runtime::Handle;
use tracing::Instrument;

/// Runs it to its end, whether or not anybody still waits for it then. None where the runtime ends first, which takes its tasks
/// with it.
pub(crate) async fn to_its_end<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> Option<T> {
    match Handle::try_current() {
        Ok(runtime) => runtime.spawn(task.in_current_span()).await.ok(),
        Err(_) => Some(task.await),
    }
}
