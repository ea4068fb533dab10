//! Refusals as answers.

use std::io::Cursor;

use http::HeaderMap;
use quota_http::{QuotaHeader, RefusalResponse, is_of_application};
use rocket::http::Status;
use rocket::response::{self, Responder};
use rocket::tokio::io::empty;
use rocket::{Request, Response};

/// Any answer in place of a handler's, for handlers that return `Result<_, Refused>`: made by `?` from a
/// [`QuotaError`](crate::QuotaError), a [`Malformed`](crate::Malformed) member or a [`RefusalResponse`]. No catcher runs
/// for it.
#[derive(Clone, Debug)]
pub struct Refused(RefusalResponse);

impl Refused {
    /// The answer.
    #[must_use]
    pub fn into_inner(self) -> RefusalResponse {
        self.0
    }
}

impl<E: Into<RefusalResponse>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl<'r> Responder<'r, 'static> for Refused {
    fn respond_to(self, _request: &'r Request<'_>) -> response::Result<'static> {
        let mut response = Response::new();
        put(self.0, &mut response);
        Ok(response)
    }
}

/// Gives an answer these headers, in place of its own of these names.
pub(crate) fn put_headers(headers: &HeaderMap, response: &mut Response<'_>) {
    for name in headers.keys() {
        response.remove_header(name.as_str());
    }
    for (name, value) in headers {
        // What quota-http writes is visible ASCII; an application's own value that is none is left out.
        if let Ok(value) = value.to_str() {
            response.adjoin_raw_header(name.as_str().to_owned(), value.to_owned());
        }
    }
}

/// Tells of quotas as a refusal does, in an answer that is none.
pub(crate) fn put_quota_headers(refusal: &RefusalResponse, response: &mut Response<'_>) {
    for name in QuotaHeader::ALL.map(QuotaHeader::as_str) {
        if let Some(value) = refusal.headers().get(name).and_then(|value| value.to_str().ok()) {
            response.set_raw_header(name, value.to_owned());
        }
    }
}

/// Makes an answer of this one, with nothing of what a handler said in its place, its cookies and its protocols to upgrade to included.
pub(crate) fn replace(refusal: RefusalResponse, response: &mut Response<'_>) {
    let mut answer = Response::new();
    for header in response.headers().iter().filter(|header| is_of_application(header.name().as_str())) {
        answer.adjoin_raw_header(header.name().to_string(), header.value().to_owned());
    }
    put(refusal, &mut answer);
    *response = answer;
}

/// Makes an answer of this one.
pub(crate) fn put(refusal: RefusalResponse, response: &mut Response<'_>) {
    let (status, headers, body) = refusal.into_parts();
    response.set_status(Status::new(status.as_u16()));
    put_headers(&headers, response);
    if status == http::StatusCode::NOT_MODIFIED {
        // Of no known length, or it would be told one that the page does not have.
        response.set_streamed_body(empty());
    } else {
        response.set_sized_body(body.len(), Cursor::new(body));
    }
}
