//! What axum's requests say.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;

use axum::extract::MatchedPath;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use quota_http::Framework;

/// Axum, and any service of tower's over `http` requests.
#[derive(Clone, Copy, Debug)]
pub enum Axum {}

impl Framework for Axum {
    type Request<'r> = Parts;
    type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

    const ROUTES_BY_METHOD: bool = false;

    fn method(request: &Parts) -> Method {
        request.method.clone()
    }

    fn header<'a>(request: &'a Self::Request<'_>, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        request.headers.get_all(name).iter().map(HeaderValue::as_bytes)
    }

    fn pattern(request: &Parts) -> Option<Cow<'_, str>> {
        request.extensions.get::<MatchedPath>().map(|matched| Cow::Borrowed(matched.as_str()))
    }

    fn extension<T: Send + Sync + 'static, R>(request: &Parts, read: impl FnOnce(Option<&T>) -> R) -> R {
        read(request.extensions.get())
    }
}
