//! The answer to a metered request.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::Error;
use actix_web::body::EitherBody;
use actix_web::dev::ServiceResponse;
use pin_project_lite::pin_project;
use quota_http::RequestQuota;

use crate::response::{Headers, Told};

type Answer<B> = Result<ServiceResponse<EitherBody<B>>, Error>;

pin_project! {
    /// The answer to a request that went through [`crate::Metered`].
    pub struct MeteredFuture<F, B> {
        #[pin]
        state: State<F, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, B> {
        /// The handler runs; the headers are written on the way out.
        Running { #[pin] inner: F, then: Then },
        /// It does not.
        Refused { response: Option<ServiceResponse<EitherBody<B>>> },
        /// The store, or one of the application's functions, takes time.
        Waiting { future: Pin<Box<dyn Future<Output = Answer<B>>>> },
    }
}

/// What is left to do when a handler has answered.
pub(crate) enum Then {
    Nothing,
    /// Write the headers.
    Write(RequestQuota),
}

impl<F, B> MeteredFuture<F, B> {
    pub(crate) const fn running(inner: F, then: Then) -> Self {
        Self { state: State::Running { inner, then } }
    }

    pub(crate) const fn refused(response: ServiceResponse<EitherBody<B>>) -> Self {
        Self { state: State::Refused { response: Some(response) } }
    }

    pub(crate) fn waiting(future: impl Future<Output = Answer<B>> + 'static) -> Self {
        Self { state: State::Waiting { future: Box::pin(future) } }
    }
}

impl<F, B> Future for MeteredFuture<F, B>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
{
    type Output = Answer<B>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Running { inner, then } => Poll::Ready(match (ready!(inner.poll(cx)), then) {
                (Ok(mut response), Then::Write(quota)) => {
                    quota.write(&mut Headers(response.headers_mut()));
                    Ok(response.map_into_left_body())
                }
                (Ok(response), Then::Nothing) => Ok(response.map_into_left_body()),
                (Err(error), Then::Write(quota)) => Err(Told::of(error, quota.clone())),
                (Err(error), Then::Nothing) => Err(error),
            }),
            // Polled again after it was ready, it stays pending, as a future may.
            StateProjection::Refused { response } => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
            StateProjection::Waiting { future } => future.as_mut().poll(cx),
        }
    }
}

impl<F, B> fmt::Debug for MeteredFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MeteredFuture")
    }
}
