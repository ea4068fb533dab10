//! The calls of many clients, sent together.

use std::pin::pin;
use std::task::Poll;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use redis::{Cmd, Value};
use tokio::sync::oneshot;

use crate::call_error::CallError;
use crate::link::Wire;

/// The calls of many clients' runs, sent together whenever none of the runs can go on without an answer: a message
/// for each round of a batch, and not one for each client. In a cluster each goes by itself to the node that it concerns, and
/// its run goes on when that has answered, whatever the others do.
pub(crate) struct Gathering<'a> {
    wire: &'a Wire,
    waiting: Mutex<Vec<Waiting>>,
}

type Waiting = (Cmd, oneshot::Sender<Result<Value, CallError>>);

impl<'a> Gathering<'a> {
    pub(crate) fn new(wire: &'a Wire) -> Self {
        Self { wire, waiting: Mutex::new(Vec::new()) }
    }

    /// For what is not gathered.
    pub(crate) const fn wire(&self) -> &'a Wire {
        self.wire
    }

    /// Sends a command with those of others, and waits for its answer; only inside of [`Gathering::run`].
    pub(crate) fn call(&self, command: Cmd) -> impl Future<Output = Result<Value, CallError>> + use<> {
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().push((command, answer));
        // Nobody drops what waits but who drops the run.
        let not_sent =
            |_: oneshot::error::RecvError| Err(CallError::NotSent(std::io::Error::other("it was not sent").into()));
        async move { answered.await.unwrap_or_else(not_sent) }
    }

    /// Runs `work` to its end.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut flights = FuturesUnordered::new();
        std::future::poll_fn(|context| {
            loop {
                if let Poll::Ready(done) = work.as_mut().poll(context) {
                    return Poll::Ready(done);
                }
                let waiting = std::mem::take(&mut *self.waiting.lock());
                if self.wire.is_cluster() {
                    flights.extend(waiting.into_iter().map(|one| self.send(vec![one]).boxed()));
                } else if !waiting.is_empty() {
                    flights.push(self.send(waiting).boxed());
                }
                // What landed lets the work go on.
                match flights.poll_next_unpin(context) {
                    Poll::Ready(Some(())) => {}
                    Poll::Ready(None) | Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    async fn send(&self, waiting: Vec<Waiting>) {
        let (commands, waiting): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        let answers = self.wire.call_each(commands).await;
        let answers = answers.into_iter().chain(std::iter::repeat_with(|| Err(CallError::unanswered())));
        for (waiting, answer) in waiting.into_iter().zip(answers) {
            // A run that is gone needs no answer.
            let _ = waiting.send(answer);
        }
    }
}
