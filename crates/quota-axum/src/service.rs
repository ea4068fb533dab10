//! The layer at work.

use std::fmt;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response, Uri};
use quota_http::{Admission, Admitted, Finish, Passage, RequestQuota, Watch};
use tower_service::Service;

use crate::carried::{self, OfUsage};
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

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let admission = match self.layer.metering().passage(&parts, carried::find(&parts.extensions)) {
            Passage::Metered(admission) => admission,
            Passage::Refused(refusal) => return MeteredFuture::refused(Ok(refusal.for_method(&parts.method).into())),
            Passage::Free(watch) => {
                let then = watch.map_or(Then::Nothing, |watch| Then::Watch(watch, parts.uri.clone()));
                return MeteredFuture::running(self.inner.call(Request::from_parts(parts, body)), then);
            }
        };
        match admission.now() {
            Ok(Ok(admitted)) if admitted.is_concluded() => {
                carried::put(admitted.quota(), &mut parts.extensions);
                let then = Then::Write(admitted.quota().clone(), parts.method.clone());
                MeteredFuture::running(self.inner.call(Request::from_parts(parts, body)), then)
            }
            Ok(Ok(admitted)) => {
                let inner = self.take_inner();
                MeteredFuture::waiting(Box::pin(run(admitted, inner, Request::from_parts(parts, body))))
            }
            Ok(Err(refusal)) => {
                carried::supersede(&parts.extensions);
                MeteredFuture::refused(Ok(refusal.for_method(&parts.method).into()))
            }
            Err(admission) => {
                let inner = self.take_inner();
                MeteredFuture::waiting(Box::pin(admit(admission, inner, Request::from_parts(parts, body))))
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
            Ok(refusal.for_method(request.method()).into())
        }
    }
}

async fn run<S, B, RB>(admitted: Admitted, mut inner: S, mut request: Request<B>) -> Result<Response<RB>, S::Error>
where
    S: Service<Request<B>, Response = Response<RB>>,
    RB: From<Bytes>,
{
    carried::put(admitted.quota(), request.extensions_mut());
    let method = request.method().clone();
    let mut response = inner.call(request).await?;
    let (status, quota) = (response.status(), admitted.quota().clone());
    match admitted.conclude(status, response.headers_mut()).await {
        Ok(()) => {
            hide_length(&quota, &method, &mut response);
            Ok(response)
        }
        Err(refusal) => Ok(refusal.for_method(&method).into()),
    }
}

/// hyper asks for nothing behind the last byte of a body in HTTP/1.1 whose length it is told. Over HTTP/2 it would read one to its end
/// that settles a hold, be the method `HEAD`.
fn hide_length<B: From<Bytes>>(quota: &RequestQuota, method: &Method, response: &mut Response<B>) {
    if quota.hides_length() {
        response.headers_mut().remove(CONTENT_LENGTH);
        if *method == Method::HEAD {
            *response.body_mut() = Bytes::new().into();
        }
    }
}

/// The answer to a request that went through [`Metered`], whose handler's future is `F`.
pub type MeteredFuture<F, RB, E> = quota_http::MeteredFuture<Axum, F, Then, Result<Response<RB>, E>>;

/// What is left to do when a handler has answered.
#[derive(Debug)]
pub enum Then {
    /// Nothing.
    Nothing,
    /// To write the headers.
    Write(RequestQuota, Method),
    /// To look whether something answered for which there was no pattern.
    Watch(Watch, Uri),
}

impl<RB: From<Bytes>, E> Finish<Result<Response<RB>, E>> for Then {
    type Answer = Result<Response<RB>, E>;

    fn finish(self, mut answered: Self::Answer) -> Self::Answer {
        if let Ok(response) = &mut answered {
            match self {
                Self::Nothing => {}
                Self::Write(quota, method) => {
                    quota.answered(response.status(), response.headers_mut());
                    hide_length(&quota, &method, response);
                }
                Self::Watch(..) if response.extensions().get::<OfUsage>().is_some() => {}
                Self::Watch(watch, uri) => watch.answered(uri.path(), response.status(), HINT),
            }
        }
        answered
    }
}

impl<S: fmt::Debug> fmt::Debug for Metered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metered").field("layer", &self.layer).field("inner", &self.inner).finish_non_exhaustive()
    }
}
