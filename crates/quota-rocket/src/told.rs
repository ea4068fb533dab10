//! The quota headers of an answer.

use bytes::Bytes;
use quota_http::{HeadersMut, QuotaHeader};
use rocket::Response;

/// What an answer tells of quotas. It is kept with the request, and Rocket's headers borrow their texts from it.
#[derive(Debug, Default)]
pub(crate) struct Told([Option<(QuotaHeader, Option<Bytes>)>; QuotaHeader::ALL.len()]);

impl Told {
    /// Sets the headers, and takes out those that are to go.
    pub(crate) fn put<'r>(&'r self, response: &mut Response<'r>) {
        for (header, value) in self.0.iter().flatten() {
            // Digits, points and ASCII names are always UTF-8.
            match value.as_deref().map(str::from_utf8) {
                Some(Ok(value)) => _ = response.set_raw_header(header.as_str(), value),
                Some(Err(_)) | None => response.remove_header(header.as_str()),
            }
        }
    }

    /// Each header is told of once.
    fn tell(&mut self, header: QuotaHeader, value: Option<Bytes>) {
        if let Some(place) = self.0.iter_mut().find(|place| place.is_none()) {
            *place = Some((header, value));
        }
    }
}

impl HeadersMut for Told {
    fn reserve(&mut self, _more: usize) -> bool {
        true
    }

    fn insert(&mut self, header: QuotaHeader, value: Bytes) {
        self.tell(header, Some(value));
    }

    fn remove(&mut self, header: QuotaHeader) {
        self.tell(header, None);
    }
}
