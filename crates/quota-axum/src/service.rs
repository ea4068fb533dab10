//! The layer at work.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, Uri};
use pin_project_lite::pin_project;
use quota_http::{Admission, Admitted, Passage, RefusalResponse, RequestQuota, Watch};
use tower_service::Service;

use crate::carried;
use crate::framework::Axum;
use crate::layer::QuotaLayer;

/// What to do where the layer saw no route.
const HINT: &str = "axum showed the quota layer no MatchedPath: it lies around a Router::nest_service, around the whole \
    router or around what is no router. Move it inwards (route_layer of the inner router) or meter all by \
    QuotaLayer::with_every_request. Nothing is wrong if a fallback answered or a layer further in has charged. This is \
    logged once";

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

impl<S: Clone> Metered<S> {
    /// The service that was made ready; a clone takes its place.
    fn take_inner(&mut self) -> S {
        let clone = self.inner.clone();
        std::mem::replace(&mut self.inner, clone)
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
        let (mut parts, body) = request.into_parts();
        let admission = match self.layer.metering().passage(&parts, carried::find(&parts.extensions)) {
            Passage::Metered(admission) => admission,
            Passage::Refused(refusal) => return MeteredFuture::refused(refusal),
            Passage::Free(watch) => {
                let then = watch.map_or(Then::Nothing, |watch| Then::Watch(watch, parts.uri.clone()));
                return MeteredFuture::running(self.inner.call(Request::from_parts(parts, body)), then);
            }
        };
        match admission.now() {
            Ok(Ok(admitted)) if admitted.is_concluded() => {
                carried::put(admitted.quota(), &mut parts.extensions);
                let then = Then::Write(admitted.quota().clone());
                MeteredFuture::running(self.inner.call(Request::from_parts(parts, body)), then)
            }
            Ok(Ok(admitted)) => {
                let inner = self.take_inner();
                MeteredFuture::waiting(run(admitted, inner, Request::from_parts(parts, body)))
            }
            Ok(Err(refusal)) => {
                carried::supersede(&parts.extensions);
                MeteredFuture::refused(refusal)
            }
            Err(admission) => {
                let inner = self.take_inner();
                MeteredFuture::waiting(admit(admission, inner, Request::from_parts(parts, body)))
            }
        }
    }
}

async fn admit<S, B, RB>(
    admission: Box<Admission<Axum>>,
    inner: S,
    request: Request<B>,
) -> Result<Response<RB>, S::Error>
where
    S: Service<Request<B>, Response = Response<RB>>,
    RB: From<Bytes>,
{
    match admission.later().await {
        Ok(admitted) => run(admitted, inner, request).await,
        Err(refusal) => {
            carried::supersede(request.extensions());
            Ok(refusal.into())
        }
    }
}

async fn run<S, B, RB>(admitted: Admitted, mut inner: S, mut request: Request<B>) -> Result<Response<RB>, S::Error>
where
    S: Service<Request<B>, Response = Response<RB>>,
    RB: From<Bytes>,
{
    carried::put(admitted.quota(), request.extensions_mut());
    let mut response = inner.call(request).await?;
    let status = response.status();
    match admitted.conclude(status, response.headers_mut()).await {
        Ok(()) => Ok(response),
        Err(refusal) => Ok(refusal.into()),
    }
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
    Write(RequestQuota),
    /// Look whether something answered for which there was no pattern.
    Watch(Watch, Uri),
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
                    Then::Write(quota) => quota.write(response.headers_mut()),
                    Then::Watch(watch, uri) => watch.answered(uri.path(), response.status(), HINT),
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
