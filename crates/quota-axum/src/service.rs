//! The layer at work.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use pin_project_lite::pin_project;
use quota_http::RefusalResponse;
use tower_service::Service;

use crate::admission::{Admission, Admitted, Asked};
use crate::context::Context;
use crate::layer::{Base, Passage, QuotaLayer};

/// A service whose requests are charged: what [`QuotaLayer`] makes of another.
#[derive(Clone)]
pub struct Metered<S> {
    layer: QuotaLayer,
    inner: S,
}

impl<S> Metered<S> {
    pub(crate) const fn new(layer: QuotaLayer, inner: S) -> Self {
        Self { layer, inner }
    }
}

impl<S, B, RB> Service<Request<B>> for Metered<S>
where
    S: Service<Request<B>, Response = Response<RB>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Send + 'static,
    RB: From<Bytes> + Send + 'static,
{
    type Response = Response<RB>;
    type Error = S::Error;
    type Future = MeteredFuture<S::Future, RB, S::Error>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let base = self.layer.base();
        let (route, cost) = match self.layer.metered(&request) {
            Passage::Metered(route, cost) => (route, cost),
            Passage::Unmatched if base.is_watching() => {
                let then = Then::Watch(Arc::clone(base), request.uri().clone());
                return MeteredFuture::running(self.inner.call(request), then);
            }
            Passage::Unmatched | Passage::Free => {
                return MeteredFuture::running(self.inner.call(request), Then::Nothing);
            }
        };
        if let Some(outer) = Context::of(request.extensions()).filter(|outer| outer.base.is_kin(base)) {
            if cost.agrees_with(outer.cost()) {
                return MeteredFuture::running(self.inner.call(request), Then::Nothing);
            }
            let (route, inner, outer) = (route.pattern(), cost, outer.cost());
            tracing::error!(
                route,
                ?inner,
                ?outer,
                "a quota layer lies within another one with another cost, which has charged already: \
                 give the outer one this route's cost by QuotaLayer::with_route, or take one of them away"
            );
            return MeteredFuture::refused(base.answers.internal());
        }
        let (mut parts, body) = request.into_parts();
        let admission = Admission {
            base: Arc::clone(base),
            asked: Asked { handled: route.handles(&parts.method), route, cost: cost.clone() },
            client: base.client.find(&parts),
            cost: cost.of(&parts),
        };
        match admission.now() {
            Ok(Ok(context)) => {
                context.carry(&mut parts.extensions);
                MeteredFuture::running(self.inner.call(Request::from_parts(parts, body)), Then::Write(context))
            }
            Ok(Err(refusal)) => {
                Context::supersede(&parts.extensions);
                MeteredFuture::refused(refusal)
            }
            Err(admission) => {
                // The clone takes the place of the service that was made ready.
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                MeteredFuture::waiting(run(admission, inner, Request::from_parts(parts, body)))
            }
        }
    }
}

async fn run<S, B, RB>(
    admission: Box<Admission>,
    mut inner: S,
    mut request: Request<B>,
) -> Result<Response<RB>, S::Error>
where
    S: Service<Request<B>, Response = Response<RB>>,
    RB: From<Bytes>,
{
    let method = request.method().clone();
    let Admitted { context, on_trial } = match admission.later().await {
        Ok(admitted) => admitted,
        Err(refusal) => {
            Context::supersede(request.extensions());
            return Ok(refusal.into());
        }
    };
    context.carry(request.extensions_mut());
    let mut response = inner.call(request).await?;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        if let Some(trial) = on_trial
            && trial.take_back().await
        {
            context.set(None);
        }
    } else {
        context.route().note_handled(&method);
        if context.cost().is_by_handler()
            && context.is_open()
            && let Some(status) = context.read_status().await
        {
            context.base.answers.write_status(&status, response.headers_mut());
        }
    }
    context.write(response.headers_mut());
    Ok(response)
}

pin_project! {
    /// The answer to a request that went through [`Metered`].
    pub struct MeteredFuture<F, RB, E> {
        #[pin]
        state: State<F, RB, E>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, RB, E> {
        /// The handler runs; the headers are written on the way out.
        Running { #[pin] inner: F, then: Then },
        /// It does not.
        Refused { refusal: Option<RefusalResponse> },
        /// The store, or one of the application's functions, takes time.
        Waiting { future: Pin<Box<dyn Future<Output = Result<Response<RB>, E>> + Send>> },
    }
}

/// What is left to do when a handler has answered.
enum Then {
    Nothing,
    /// Write the headers.
    Write(Arc<Context>),
    /// Look whether something answered for which there was no pattern.
    Watch(Arc<Base>, Uri),
}

impl<F, RB, E> MeteredFuture<F, RB, E> {
    const fn running(inner: F, then: Then) -> Self {
        Self { state: State::Running { inner, then } }
    }

    const fn refused(refusal: RefusalResponse) -> Self {
        Self { state: State::Refused { refusal: Some(refusal) } }
    }

    fn waiting(future: impl Future<Output = Result<Response<RB>, E>> + Send + 'static) -> Self {
        Self { state: State::Waiting { future: Box::pin(future) } }
    }
}

impl<F, RB, E> Future for MeteredFuture<F, RB, E>
where
    F: Future<Output = Result<Response<RB>, E>>,
    RB: From<Bytes>,
{
    type Output = Result<Response<RB>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Running { inner, then } => {
                let mut response = ready!(inner.poll(cx))?;
                match then {
                    Then::Nothing => {}
                    Then::Write(context) => context.write(response.headers_mut()),
                    Then::Watch(base, uri) => base.watch(uri, response.status()),
                }
                Poll::Ready(Ok(response))
            }
            // Polled again after it was ready, it stays pending, as a future may.
            StateProjection::Refused { refusal } => {
                refusal.take().map_or(Poll::Pending, |refusal| Poll::Ready(Ok(refusal.into())))
            }
            StateProjection::Waiting { future } => future.as_mut().poll(cx),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Metered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metered").field("layer", &self.layer).field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<F, RB, E> fmt::Debug for MeteredFuture<F, RB, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MeteredFuture")
    }
}
