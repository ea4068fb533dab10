//! What actix-web's requests say.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;

use actix_web::HttpMessage;
use actix_web::dev::ServiceRequest;
use actix_web::http::header;
use http::{HeaderName, Method};
use quota_http::Framework;

/// actix-web, whose requests stay on one thread.
#[derive(Clone, Copy, Debug)]
pub enum Actix {}

impl Framework for Actix {
    type Request<'r> = ServiceRequest;
    type Later<T> = Pin<Box<dyn Future<Output = T>>>;

    const ROUTES_BY_METHOD: bool = false;

    fn method(request: &ServiceRequest) -> Method {
        // Both crates know the same methods, and what is a token to the one is a token to the other.
        Method::from_bytes(request.method().as_str().as_bytes()).unwrap_or_default()
    }

    fn header<'a>(request: &'a Self::Request<'_>, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        // Names are lower case in both crates. To look one up by its text would make a name of it first.
        let named = move |(sent, _): &(&header::HeaderName, _)| sent.as_str() == name.as_str();
        request.headers().iter().filter(named).map(|(_, value)| value.as_bytes())
    }

    fn pattern(request: &ServiceRequest) -> Option<Cow<'_, str>> {
        let path = request.match_info();
        if path.as_str() == request.path() {
            return request.match_pattern().map(Cow::Owned);
        }
        // Before it is routed, actix-web looks for the path as it was sent; its router goes by the decoded one.
        let routed = path.unprocessed().is_empty().then(|| request.match_pattern()).flatten();
        routed.or_else(|| request.resource_map().match_pattern(path.as_str())).map(Cow::Owned)
    }

    fn extension<T: Send + Sync + 'static, R>(request: &ServiceRequest, read: impl FnOnce(Option<&T>) -> R) -> R {
        read(request.extensions().get())
    }
}
