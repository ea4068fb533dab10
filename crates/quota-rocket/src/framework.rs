//! What Rocket's requests say.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;

use http::{HeaderName, Method};
use quota_http::Framework;
use rocket::Request;

/// Rocket.
#[derive(Clone, Copy, Debug)]
pub enum Rocket {}

impl Framework for Rocket {
    type Request<'r> = Request<'r>;
    type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

    const ROUTES_BY_METHOD: bool = true;

    fn method(request: &Request<'_>) -> Method {
        // Rocket's methods are among those of the other crate.
        Method::from_bytes(request.method().as_str().as_bytes()).unwrap_or_default()
    }

    fn header<'a>(request: &'a Self::Request<'_>, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        request.headers().get(name.as_str()).map(str::as_bytes)
    }

    fn pattern<'a>(request: &'a Self::Request<'_>) -> Option<Cow<'a, str>> {
        request.route().map(|route| Cow::Borrowed(route.uri.path()))
    }

    /// What stands in the request's local cache as `Some(T)`.
    fn extension<T: Send + Sync + 'static, R>(request: &Request<'_>, read: impl FnOnce(Option<&T>) -> R) -> R {
        read(request.local_cache(|| None::<T>).as_ref())
    }
}
