//! A question that all who ask it meanwhile share.

use std::fmt;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;

/// A question that all who ask it meanwhile share, and its answer with it. Whoever waits for that drives the question on: one who is
/// neither polled nor dropped keeps nobody else waiting. Where nobody waits any more it is given up.
pub struct Together<T: Clone>(Mutex<Option<WeakShared<BoxFuture<'static, T>>>>);

/// A question that is under way.
pub type Joined<T> = Shared<BoxFuture<'static, T>>;

impl<T: Clone> Together<T> {
    /// Joins the question that is under way, or begins this one.
    pub fn ask(&self, question: impl FnOnce() -> BoxFuture<'static, T>) -> Joined<T> {
        let mut under_way = self.0.lock();
        let joined = under_way.as_ref().and_then(WeakShared::upgrade).filter(|asked| asked.peek().is_none());
        joined.unwrap_or_else(|| {
            let asked = question().shared();
            *under_way = asked.downgrade();
            asked
        })
    }

    /// Lets who comes next ask anew: this question was waited for long, as where what it waits for belongs to a runtime that
    /// nobody drives.
    pub fn forget(&self, asked: &Joined<T>) {
        let mut under_way = self.0.lock();
        if under_way.as_ref().and_then(WeakShared::upgrade).is_some_and(|now| now.ptr_eq(asked)) {
            *under_way = None;
        }
    }
}

impl<T: Clone> Default for Together<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> fmt::Debug for Together<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Together").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::watch;

    use super::*;

    struct Asks {
        together: Together<usize>,
        begun: Arc<AtomicUsize>,
        told: watch::Sender<usize>,
    }

    impl Asks {
        fn new() -> Self {
            let (together, begun, told) = (Together::default(), Arc::default(), watch::Sender::new(0));
            Self { together, begun, told }
        }

        fn ask(&self) -> Joined<usize> {
            self.together.ask(|| {
                self.begun.fetch_add(1, Ordering::SeqCst);
                let mut told = self.told.subscribe();
                async move { told.wait_for(|told| *told > 0).await.map_or(0, |told| *told) }.boxed()
            })
        }

        fn begun(&self) -> usize {
            self.begun.load(Ordering::SeqCst)
        }
    }

    #[tokio::test]
    async fn one_who_is_not_polled_any_more_keeps_nobody_waiting() {
        let asks = Asks::new();
        let mut left_alone = asks.ask();
        assert!((&mut left_alone).now_or_never().is_none());
        let other = asks.ask();
        asks.told.send_replace(7);
        assert_eq!((other.await, asks.begun()), (7, 1));
        assert_eq!(left_alone.await, 7);
        assert_eq!((asks.ask().await, asks.begun()), (7, 2), "what is answered is asked anew");
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_given_up() {
        let asks = Asks::new();
        let (mut first, second) = (asks.ask(), asks.ask());
        assert!((&mut first).now_or_never().is_none());
        drop(first);
        assert_eq!((asks.told.receiver_count(), asks.begun()), (1, 1), "the second waits");
        drop(second);
        assert_eq!(asks.told.receiver_count(), 0);
        let _third = asks.ask();
        assert_eq!(asks.begun(), 2);
    }

    #[tokio::test]
    async fn what_is_forgotten_is_asked_anew_and_no_later_question_with_it() {
        let asks = Asks::new();
        let first = asks.ask();
        asks.together.forget(&first);
        let second = asks.ask();
        asks.together.forget(&first);
        let third = asks.ask();
        assert!(third.ptr_eq(&second) && !third.ptr_eq(&first));
        assert_eq!(asks.begun(), 2);
    }
}
