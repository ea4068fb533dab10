//! The answer to a request that went through a layer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::metering::framework::Framework;

/// What is left to do when a handler has answered.
pub trait Finish<T> {
    /// What goes on to the client.
    type Answer;

    /// Does it.
    fn finish(self, answered: T) -> Self::Answer;
}

pin_project! {
    /// The answer to a request that went through a layer: `A`, of its handler `H` or in place of it. Nothing is boxed where
    /// the request was decided at once.
    pub struct MeteredFuture<F: Framework, H, T, A> {
        #[pin]
        state: State<F, H, T, A>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F: Framework, H, T, A> {
        /// The handler runs; then there is something left to do.
        Running { #[pin] handler: H, then: Option<T> },
        /// It does not.
        Refused { answer: Option<A> },
        /// The store, or one of the application's functions, takes time.
        Waiting { #[pin] answer: F::Later<A> },
    }
}

impl<F: Framework, H, T, A> MeteredFuture<F, H, T, A> {
    /// The handler runs, and this is to be done when it has answered.
    pub const fn running(handler: H, then: T) -> Self {
        Self { state: State::Running { handler, then: Some(then) } }
    }

    /// This answers in the handler's place.
    pub const fn refused(answer: A) -> Self {
        Self { state: State::Refused { answer: Some(answer) } }
    }

    /// Whether the handler runs is not known yet.
    pub const fn waiting(answer: F::Later<A>) -> Self {
        Self { state: State::Waiting { answer } }
    }
}

impl<F: Framework, H: Future, T: Finish<H::Output, Answer = A>, A> Future for MeteredFuture<F, H, T, A> {
    type Output = A;

    /// Polled again after a handler or a refusal has answered, it stays pending, as a future may.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<A> {
        let answer = match self.project().state.project() {
            StateProjection::Running { handler, then } if then.is_some() => {
                let answered = ready!(handler.poll(cx));
                then.take().map(|then| then.finish(answered))
            }
            StateProjection::Running { .. } => None,
            StateProjection::Refused { answer } => answer.take(),
            StateProjection::Waiting { answer } => return answer.poll(cx),
        };
        answer.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<F: Framework, H, T, A> fmt::Debug for MeteredFuture<F, H, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MeteredFuture")
    }
}
