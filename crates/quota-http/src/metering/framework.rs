//! What a framework's requests say.

use std::borrow::Cow;
use std::future::Future;

use http::{HeaderName, Method};

/// A web framework whose requests are metered: what an adapter says once of its requests, so that clients, costs and keys
/// are found in all of them alike.
pub trait Framework: Sized + 'static {
    /// A request as the application's functions see it.
    type Request<'r>;
    /// A boxed future of an application's function; `Send` where the framework's requests may change threads.
    type Later<T>: Future<Output = T>;

    /// Whether a route that matched has a handler for the request's method: else it may turn out to answer 405.
    const ROUTES_BY_METHOD: bool;

    /// The method.
    fn method(request: &Self::Request<'_>) -> Method;

    /// Every value of a header.
    fn header<'a>(request: &'a Self::Request<'_>, name: &HeaderName) -> impl Iterator<Item = &'a [u8]>;

    /// The pattern of the route that matched, prefixes included; none where nothing matched.
    fn pattern<'a>(request: &'a Self::Request<'_>) -> Option<Cow<'a, str>>;

    /// What the application has left in the request under a type.
    fn extension<T: Send + Sync + 'static, R>(request: &Self::Request<'_>, read: impl FnOnce(Option<&T>) -> R) -> R;
}
