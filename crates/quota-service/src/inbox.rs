//! Where a lane takes messages in.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::queue::Message;

/// Messages on their way into a lane.
#[derive(Default)]
pub(crate) struct Inbox(Mutex<State>);

#[derive(Default)]
struct State {
    messages: Vec<Message>,
    /// Messages that the lane has not sent yet, those of callers who have given up too: where it hangs, they may not fill
    /// the memory, nor take the room of other lanes.
    waiting: usize,
    /// The lane, if it waits for a message.
    lane: Option<Waker>,
    /// When the lane was here last.
    taken_at: Option<Instant>,
    /// The last of all deadlines.
    latest: Option<Instant>,
    /// Takes releases alone.
    is_closed: bool,
    has_ended: bool,
}

/// Why a message was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    Closed,
    Full,
}

/// Who looks at a message's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    /// The lane, which is at work: one timer for all, which looks at the first of those who wait.
    ByLane,
    /// Nobody yet. The lane has been idle, and its runtime may be one that nobody drives any more; or the deadline is well before that
    /// of another who waits longer already.
    ByNobody,
}

/// A lane that was here so short a time ago is at work; and deadlines that are so little out of order are in order.
const SHORT: Duration = Duration::from_millis(20);

impl Inbox {
    /// Gives the lane a message, unless so many wait for it, or in `queued`, of all lanes, where it is counted then.
    pub(crate) fn put(&self, message: Message, queued: &AtomicUsize, most: usize) -> Result<Watched, NotTaken> {
        let now = Instant::now();
        let (lane, watched) = {
            let mut state = self.0.lock();
            // What was sent before may leave a hold to nobody.
            let is_release = message.waiting.is_none();
            if state.has_ended || (state.is_closed && !is_release) {
                return Err(NotTaken::Closed);
            }
            if state.waiting >= most {
                return Err(NotTaken::Full);
            }
            if queued.fetch_add(1, Ordering::AcqRel) >= most {
                queued.fetch_sub(1, Ordering::AcqRel);
                return Err(NotTaken::Full);
            }
            let watched = state.watched(now, message.waiting.as_ref().map(|waiter| waiter.replying.deadline()));
            state.waiting = state.waiting.saturating_add(1);
            state.messages.push(message);
            (state.lane.take(), watched)
        };
        lane.into_iter().for_each(Waker::wake);
        Ok(watched)
    }

    /// Takes everything out, into a list that is empty; false where nothing but releases will come any more.
    pub(crate) fn take(&self, messages: &mut Vec<Message>) -> bool {
        let now = Instant::now();
        let mut state = self.0.lock();
        state.taken_at = Some(now);
        std::mem::swap(&mut state.messages, messages);
        !state.is_closed
    }

    /// So many messages wait no longer.
    pub(crate) fn sent(&self, messages: usize) {
        let mut state = self.0.lock();
        state.waiting = state.waiting.saturating_sub(messages);
    }

    /// Waits for a message, or for the end.
    pub(crate) async fn filled(&self) {
        std::future::poll_fn(|context| self.poll_filled(context)).await;
    }

    fn poll_filled(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.is_closed || !state.messages.is_empty() {
            return Poll::Ready(());
        }
        match &mut state.lane {
            Some(lane) => lane.clone_from(context.waker()),
            None => state.lane = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Takes nothing more in but releases.
    pub(crate) fn close(&self) {
        let mut state = self.0.lock();
        state.is_closed = true;
        let lane = state.lane.take();
        drop(state);
        lane.into_iter().for_each(Waker::wake);
    }

    /// Takes nothing more in at all; false where something is in it that has to be sent before.
    pub(crate) fn end(&self) -> bool {
        let mut state = self.0.lock();
        state.has_ended = state.messages.is_empty();
        state.has_ended
    }
}

impl State {
    fn watched(&mut self, now: Instant, deadline: Option<Instant>) -> Watched {
        let is_short =
            |from: Option<Instant>, to: Instant| from.is_some_and(|from| to.saturating_duration_since(from) < SHORT);
        let is_in_order =
            deadline.is_none_or(|deadline| self.latest.is_none_or(|latest| is_short(Some(deadline), latest)));
        self.latest = self.latest.max(deadline);
        if is_in_order && is_short(self.taken_at, now) { Watched::ByLane } else { Watched::ByNobody }
    }
}
