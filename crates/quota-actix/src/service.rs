//! The middleware at work.

use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::Error;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use http::StatusCode;
use quota_http::{Admission, Admitted, Finish, Passage, RefusalResponse, RequestQuota};

use crate::carried;
use crate::framework::Actix;
use crate::layer::QuotaLayer;
use crate::response::{Headers, Told, response_of};

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
            Passage::Free(_) => return MeteredFuture::running(self.inner.call(request), Then(None)),
        };
        match admission.now() {
            Ok(Ok(admitted)) if admitted.is_concluded() => {
                carried::put(admitted.quota(), &request);
                let then = Then(Some(admitted.quota().clone()));
                MeteredFuture::running(self.inner.call(request), then)
            }
            Ok(Ok(admitted)) => MeteredFuture::waiting(Box::pin(run(admitted, Rc::clone(&self.inner), request))),
            Ok(Err(refusal)) => {
                carried::supersede(&request);
                MeteredFuture::refused(Ok(refuse(request, refusal)))
            }
            Err(admission) => MeteredFuture::waiting(Box::pin(admit(admission, Rc::clone(&self.inner), request))),
        }
    }
}

/// The answer to a request that went through [`Metered`], whose handler's future is `F`.
pub type MeteredFuture<F, B> = quota_http::MeteredFuture<Actix, F, Then, Answer<B>>;

type Answer<B> = Result<ServiceResponse<EitherBody<B>>, Error>;

/// What is left to do when a handler has answered: to write the headers, if any.
#[derive(Debug)]
pub struct Then(Option<RequestQuota>);

impl<B> Finish<Result<ServiceResponse<B>, Error>> for Then {
    type Answer = Answer<B>;

    fn finish(self, answered: Result<ServiceResponse<B>, Error>) -> Answer<B> {
        match (answered, self.0) {
            (Ok(mut response), Some(quota)) => {
                quota.write(&mut Headers(response.headers_mut()));
                Ok(response.map_into_left_body())
            }
            (Ok(response), None) => Ok(response.map_into_left_body()),
            (Err(error), Some(quota)) => Err(Told::of(error, quota)),
            (Err(error), None) => Err(error),
        }
    }
}

fn refuse<B>(request: ServiceRequest, refusal: RefusalResponse) -> ServiceResponse<EitherBody<B>> {
    request.into_response(response_of(refusal)).map_into_right_body()
}

async fn admit<S, B>(admission: Box<Admission<Actix>>, inner: Rc<S>, request: ServiceRequest) -> Answer<B>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    match admission.later().await {
        Ok(admitted) => run(admitted, inner, request).await,
        Err(refusal) => {
            carried::supersede(&request);
            Ok(refuse(request, refusal))
        }
    }
}

async fn run<S, B>(admitted: Admitted, inner: Rc<S>, request: ServiceRequest) -> Answer<B>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
{
    let quota = admitted.quota().clone();
    carried::put(&quota, &request);
    match inner.call(request).await {
        Ok(mut response) => {
            let status = status_of(response.status());
            match admitted.conclude(status, &mut Headers(response.headers_mut())).await {
                Ok(()) => Ok(response.map_into_left_body()),
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

fn status_of(status: actix_web::http::StatusCode) -> StatusCode {
    // Every status of the one crate is one of the other's.
    StatusCode::from_u16(status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl<S> fmt::Debug for Metered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metered").field("layer", &self.layer).finish_non_exhaustive()
    }
}
