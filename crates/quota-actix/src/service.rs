//! The middleware at work.

use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::Error;
use actix_web::body::{self, BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use http::StatusCode;
use quota_http::{Admission, Admitted, Finish, Passage, RefusalResponse, RequestQuota, Watch};

use crate::carried::{self, OfUsage};
use crate::framework::Actix;
use crate::layer::QuotaLayer;
use crate::response::{Headers, Told, response_of};

/// What to do where the layer saw no route.
const HINT: &str = "actix-web knew no pattern for the path when the quota layer saw it: a middleware further in rewrites paths \
    (wrap it after the quota layer, then it runs first), two scopes with guards share a prefix (put the layer around their \
    resources), or a default service answered, and then nothing is wrong; QuotaLayer::with_every_request meters all. \
    This is logged once";

/// A service whose requests are charged: what [`QuotaLayer`] makes of another.
pub struct Metered<S> {
    layer: QuotaLayer,
    inner: Rc<S>,
}

impl<S> Metered<S> {
    pub(crate) fn new(layer: QuotaLayer, inner: S) -> Self {
        Self { layer, inner: Rc::new(inner) }
    }
}

impl<S, B> Service<ServiceRequest> for Metered<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = MeteredFuture<S::Future, B>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let admission = match self.layer.metering().passage(&request, carried::find(&request).as_ref()) {
            Passage::Metered(admission) => admission,
            Passage::Refused(refusal) => return MeteredFuture::refused(Ok(refuse(request, refusal))),
            Passage::Free(watch) => {
                let then = watch.map_or(Then::Nothing, Then::Watch);
                return MeteredFuture::running(self.inner.call(request), then);
            }
        };
        let pays = Pays::of(&self.layer);
        match admission.now() {
            Ok(Ok(admitted)) if admitted.is_concluded() => {
                carried::put(admitted.quota(), &request);
                let then = Then::Write(admitted.quota().clone(), pays);
                MeteredFuture::running(self.inner.call(request), then)
            }
            Ok(Ok(admitted)) => MeteredFuture::waiting(Box::pin(run(admitted, pays, Rc::clone(&self.inner), request))),
            Ok(Err(refusal)) => {
                carried::supersede(&request);
                MeteredFuture::refused(Ok(refuse(request, refusal)))
            }
            Err(admission) => MeteredFuture::waiting(Box::pin(admit(admission, pays, Rc::clone(&self.inner), request))),
        }
    }
}

/// The answer to a request that went through [`Metered`], whose handler's future is `F`.
pub type MeteredFuture<F, B> = quota_http::MeteredFuture<Actix, F, Then, Answer<B>>;

type Answer<B> = Result<ServiceResponse<EitherBody<B>>, Error>;

/// What is left to do when a handler has answered.
#[derive(Debug)]
pub enum Then {
    /// Nothing.
    Nothing,
    /// To write the headers.
    Write(RequestQuota, Pays),
    /// To look whether something answered for which there was no pattern.
    Watch(Watch),
}

impl<B> Finish<Result<ServiceResponse<B>, Error>> for Then {
    type Answer = Answer<B>;

    fn finish(self, answered: Result<ServiceResponse<B>, Error>) -> Answer<B> {
        match (answered, self) {
            (Ok(mut response), Self::Write(quota, pays)) => {
                quota.answered(pays.status_of(&response), &mut Headers(response.headers_mut()));
                Ok(with_body(response, &quota))
            }
            (Ok(response), Self::Watch(watch)) => {
                if response.response().extensions().get::<OfUsage>().is_none() {
                    watch.answered(response.request().path(), status_of(response.status()), HINT);
                }
                Ok(response.map_into_left_body())
            }
            (Ok(response), Self::Nothing) => Ok(response.map_into_left_body()),
            (Err(error), Self::Write(quota, _)) => Err(Told::of(error, quota)),
            (Err(error), Self::Nothing | Self::Watch(_)) => Err(error),
        }
    }
}

/// With its body, but for a stream that settles a hold and whose method is `HEAD`: over HTTP/1.1 the server would read it to its end for
/// nobody.
fn with_body<B>(response: ServiceResponse<B>, quota: &RequestQuota) -> ServiceResponse<EitherBody<B>> {
    if quota.hides_length() && response.request().method() == actix_web::http::Method::HEAD {
        return response.map_body(|_, _| EitherBody::right(BoxBody::new(body::None::new())));
    }
    response.map_into_left_body()
}

fn refuse<B>(request: ServiceRequest, refusal: RefusalResponse) -> ServiceResponse<EitherBody<B>> {
    request.into_response(response_of(refusal)).map_into_right_body()
}

async fn admit<S, B>(admission: Box<Admission<Actix>>, pays: Pays, inner: Rc<S>, request: ServiceRequest) -> Answer<B>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    match admission.later().await {
        Ok(admitted) => run(admitted, pays, inner, request).await,
        Err(refusal) => {
            carried::supersede(&request);
            Ok(refuse(request, refusal))
        }
    }
}

async fn run<S, B>(admitted: Admitted, pays: Pays, inner: Rc<S>, request: ServiceRequest) -> Answer<B>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    let quota = admitted.quota().clone();
    carried::put(&quota, &request);
    match inner.call(request).await {
        Ok(mut response) => {
            let status = pays.status_of(&response);
            match admitted.conclude(status, &mut Headers(response.headers_mut())).await {
                Ok(()) => Ok(with_body(response, &quota)),
                Err(refusal) => Ok(response.into_response(response_of(refusal)).map_into_right_body()),
            }
        }
        // Of a middleware further in: its answer is made further out.
        Err(error) => {
            let status = status_of(error.as_response_error().status_code());
            match admitted.conclude(status, &mut http::HeaderMap::new()).await {
                Ok(()) => Err(Told::of(error, quota)),
                Err(refusal) => Err(crate::refused::Refused::from(refusal).into()),
            }
        }
    }
}

/// What a layer charges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pays {
    Routes,
    EveryRequest,
}

impl Pays {
    fn of(layer: &QuotaLayer) -> Self {
        if layer.metering().meters_every_request() { Self::EveryRequest } else { Self::Routes }
    }

    /// The status, 405 where no route has answered: where a guard of the resource itself lets nobody through, as those of
    /// `#[get]` do, actix-web says 404, with a path that no resource took.
    fn status_of<B>(self, response: &ServiceResponse<B>) -> StatusCode {
        let is_free = self == Self::Routes && !response.request().match_info().unprocessed().is_empty();
        match status_of(response.status()) {
            StatusCode::NOT_FOUND if is_free => StatusCode::METHOD_NOT_ALLOWED,
            status => status,
        }
    }
}

fn status_of(status: actix_web::http::StatusCode) -> StatusCode {
    // Every status of the one crate is one of the other's.
    StatusCode::from_u16(status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl<S> fmt::Debug for Metered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metered").field("layer", &self.layer).finish_non_exhaustive()
    }
}
