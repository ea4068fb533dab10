//! One request on its way: what its caller and its lane share.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};

use parking_lot::Mutex;
use quota_core::OperationId;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::error::ServiceError;
use crate::lanes::Reply;

/// What its caller waits by, and its lane answers by.
struct Slip(Mutex<State>);

enum State {
    /// It waits in its lane; who is to be woken.
    Queued(Option<Waker>),
    /// The store has it.
    Sent(Option<Waker>),
    Answered(Reply),
    /// There will be no answer; whether the store has it.
    Ended {
        by: End,
        sent: bool,
    },
    /// Its caller has gone, or has taken the answer.
    Left,
}

/// Why there will be no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The deadline has passed.
    Late,
    /// The lane has stopped, or was lost with its batch.
    Lost,
}

/// The lane's end. Dropped without an answer, the request is lost.
pub(crate) struct Replying {
    /// None once it is answered.
    slip: Option<Arc<Slip>>,
    deadline: Instant,
}

/// The caller's end. Dropped while the request is queued, it is never sent; once sent it runs to its end.
pub(crate) struct Queued<'a> {
    slip: Arc<Slip>,
    /// Of all lanes, those that are wanted.
    queued: &'a AtomicUsize,
    id: Option<OperationId>,
    /// Until its deadline, where it cannot be left to the lane to look at that.
    sleep: Option<Pin<Box<Sleep>>>,
    has_ended: bool,
}

/// Both ends of a request that is queued and counted in `queued`.
pub(crate) fn slip(deadline: Instant, id: Option<OperationId>, queued: &AtomicUsize) -> (Replying, Queued<'_>) {
    let slip = Arc::new(Slip(Mutex::new(State::Queued(None))));
    let replying = Replying { slip: Some(Arc::clone(&slip)), deadline };
    (replying, Queued { slip, queued, id, sleep: None, has_ended: false })
}

impl Slip {
    /// Ends it, unless it has ended; whether that takes it out of the queue.
    fn end(&self, by: End) -> bool {
        let (waker, sent) = {
            let mut state = self.0.lock();
            let (waker, sent) = match &mut *state {
                State::Queued(waker) => (waker.take(), false),
                State::Sent(waker) => (waker.take(), true),
                State::Answered(_) | State::Ended { .. } | State::Left => return false,
            };
            *state = State::Ended { by, sent };
            (waker, sent)
        };
        waker.into_iter().for_each(Waker::wake);
        !sent
    }
}

impl Replying {
    pub(crate) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Takes it out of the queue; false if nobody wants it any more.
    pub(crate) fn depart(&self) -> bool {
        let Some(slip) = &self.slip else { return false };
        let mut state = slip.0.lock();
        let State::Queued(waker) = &mut *state else { return false };
        *state = State::Sent(waker.take());
        true
    }

    /// Its deadline has passed; whether it was queued still, and is not any more.
    pub(crate) fn be_late(&self) -> bool {
        self.slip.as_ref().is_some_and(|slip| slip.end(End::Late))
    }

    /// Whether somebody waits for an answer.
    pub(crate) fn is_open(&self) -> bool {
        self.slip.as_ref().is_some_and(|slip| matches!(*slip.0.lock(), State::Queued(_) | State::Sent(_)))
    }

    /// The answer. A caller who is gone leaves it to be dropped, and with it a hold's guard. Whether it was received: else the caller may
    /// have been told that it is not known.
    pub(crate) fn answer(mut self, reply: Reply) -> bool {
        let Some(slip) = self.slip.take() else { return false };
        let waker = {
            let mut state = slip.0.lock();
            let (State::Queued(waker) | State::Sent(waker)) = &mut *state else { return false };
            let waker = waker.take();
            *state = State::Answered(reply);
            waker
        };
        waker.into_iter().for_each(Waker::wake);
        true
    }
}

impl Drop for Replying {
    fn drop(&mut self) {
        if let Some(slip) = self.slip.take() {
            slip.end(End::Lost);
        }
    }
}

impl Queued<'_> {
    /// The caller looks at the deadline itself.
    pub(crate) fn watched_by_caller(mut self, deadline: Instant) -> Self {
        self.sleep = Some(Box::pin(sleep_until(deadline)));
        self
    }

    /// It was not taken in, and is not counted.
    pub(crate) fn forget(mut self) {
        self.has_ended = true;
    }

    /// What it has come to; nothing while it waits.
    fn poll_end(&self, context: &Context<'_>) -> Poll<State> {
        let mut state = self.slip.0.lock();
        let (State::Queued(waker) | State::Sent(waker)) = &mut *state else {
            return Poll::Ready(std::mem::replace(&mut *state, State::Left));
        };
        match waker {
            Some(waker) => waker.clone_from(context.waker()),
            None => *waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Goes away; what it leaves.
    fn leave(&self) -> State {
        std::mem::replace(&mut *self.slip.0.lock(), State::Left)
    }

    /// What it comes to where this was left.
    fn ended(&mut self, left: State) -> Result<Reply, ServiceError> {
        self.has_ended = true;
        let is_counted = matches!(left, State::Queued(_) | State::Ended { by: End::Lost, sent: false });
        if is_counted {
            self.queued.fetch_sub(1, Ordering::AcqRel);
        }
        match left {
            State::Answered(reply) => Ok(reply),
            State::Queued(_) | State::Ended { by: End::Late, sent: false } => Err(ServiceError::DeadlineQueued),
            // It never came to be sent.
            State::Ended { by: End::Lost, sent: false } => Err(ServiceError::ShutDown),
            State::Sent(_) | State::Ended { sent: true, .. } | State::Left => {
                Err(ServiceError::Unknown { id: self.id.take(), source: None })
            }
        }
    }
}

/// Waits for the answer until the deadline. Late while it is queued, it is never sent.
impl Future for Queued<'_> {
    type Output = Result<Reply, ServiceError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let left = match (self.poll_end(context), &mut self.sleep) {
            (Poll::Ready(left), _) => left,
            (Poll::Pending, None) => return Poll::Pending,
            (Poll::Pending, Some(sleep)) => {
                ready!(sleep.as_mut().poll(context));
                self.leave()
            }
        };
        Poll::Ready(self.ended(left))
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            // Outside of the lock: a guard that nobody gets sends its release.
            let left = self.leave();
            drop(self.ended(left));
        }
    }
}
