//! Answers in actix-web's own types.

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{Error, HttpResponse, ResponseError};
use bytes::Bytes;
use quota_http::{HeadersMut, QuotaHeader, RefusalResponse, RequestQuota};

/// The headers of an answer.
pub(crate) struct Headers<'a>(pub(crate) &'a mut HeaderMap);

/// An error on its way out, with the quota headers for its answer.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(crate) struct Told {
    error: Error,
    quota: RequestQuota,
}

impl HeadersMut for Headers<'_> {
    fn reserve(&mut self, more: usize) -> bool {
        self.0.reserve(more);
        true
    }

    fn insert(&mut self, header: QuotaHeader, value: Bytes) {
        // Digits, points and ASCII names always make a header value.
        if let Ok(value) = HeaderValue::from_maybe_shared(value) {
            self.0.insert(name(header), value);
        }
    }

    fn remove(&mut self, header: QuotaHeader) {
        self.0.remove(name(header));
    }
}

/// Of a text that stays, and so without a copy of it.
const fn name(header: QuotaHeader) -> HeaderName {
    HeaderName::from_static(header.as_str())
}

/// Every status of the one crate is one of the other's.
pub(crate) fn status_of(status: http::StatusCode) -> StatusCode {
    StatusCode::from_u16(status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A refusal as an answer.
pub(crate) fn response_of(refusal: RefusalResponse) -> HttpResponse {
    let (status, headers, body) = refusal.into_parts();
    let mut response = HttpResponse::with_body(status_of(status), BoxBody::new(body));
    for (name, value) in &headers {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

impl Told {
    /// The error, whose answer will tell of the quotas.
    pub(crate) fn of(error: Error, quota: RequestQuota) -> Error {
        Self { error, quota }.into()
    }
}

impl ResponseError for Told {
    fn status_code(&self) -> StatusCode {
        self.error.as_response_error().status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = self.error.error_response();
        self.quota.write(&mut Headers(response.headers_mut()));
        response
    }
}
