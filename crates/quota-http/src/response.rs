//! An answer that is ready to be sent.

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::problem;

/// A complete answer in place of the handler's: a status, headers and a body.
///
/// It converts to an [`http::Response`] over any body that bytes convert to.
///
/// ```
/// use quota_http::{Answers, NoClient};
///
/// let response: http::Response<bytes::Bytes> = Answers::default().no_client(&NoClient::Missing).into();
/// assert_eq!(response.status(), 401);
/// assert_eq!(response.headers()["www-authenticate"], "ApiKey");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalResponse(Box<Parts>);

/// Behind a pointer, since it is the rare half of many results.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl RefusalResponse {
    /// An answer of the application's own.
    #[must_use]
    pub fn new(status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        Self(Box::new(Parts { status, headers, body }))
    }

    /// A problem document (RFC 9457) of the application's own that is no more than its status and these words for the client:
    /// type `about:blank`, and `no-store`.
    ///
    /// ```
    /// use quota_http::RefusalResponse;
    ///
    /// let too_long = RefusalResponse::problem(http::StatusCode::PAYLOAD_TOO_LARGE, "a prompt has at most 4,096 words");
    /// assert_eq!(too_long.headers()["content-type"], "application/problem+json");
    /// ```
    #[must_use]
    pub fn problem(status: StatusCode, detail: &str) -> Self {
        problem::plain(status, detail)
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// The headers, to add to them.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.0.headers
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.0.body
    }

    /// The answer to a request of this method: to `HEAD` without its body, of which it says how long it would be (RFC 9110,
    /// section 8.6).
    ///
    /// For servers that send whatever body they are given. Those of frameworks leave it out by themselves, and hyper does in
    /// HTTP/1.1; in HTTP/2 it sends it, which makes the answer malformed (RFC 9113, section 8.1.1).
    ///
    /// ```
    /// use http::Method;
    /// use quota_http::{Answers, NoClient};
    ///
    /// let refusal = Answers::default().no_client(&NoClient::Missing);
    /// let length = refusal.body().len();
    /// assert_eq!(refusal.clone().for_method(&Method::GET), refusal);
    /// let of_head = refusal.for_method(&Method::HEAD);
    /// assert_eq!((of_head.headers()["content-length"].to_str()?, of_head.body().len()), (&*length.to_string(), 0));
    /// # Ok::<(), http::header::ToStrError>(())
    /// ```
    #[must_use]
    pub fn for_method(mut self, method: &Method) -> Self {
        // What has no body says by itself how long it would be, if at all: as a 304 does.
        if *method == Method::HEAD && !self.0.body.is_empty() {
            self.0.headers.insert(CONTENT_LENGTH, HeaderValue::from(self.0.body.len()));
            self.0.body.clear();
        }
        self
    }

    /// Takes it apart.
    #[must_use]
    pub fn into_parts(self) -> (StatusCode, HeaderMap, Bytes) {
        let Parts { status, headers, body } = *self.0;
        (status, headers, body)
    }
}

impl<B: From<Bytes>> From<RefusalResponse> for Response<B> {
    fn from(refusal: RefusalResponse) -> Self {
        let (status, headers, body) = refusal.into_parts();
        let mut response = Self::new(B::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}
