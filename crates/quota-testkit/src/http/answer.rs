//! An answer, read.

use http::StatusCode;
use serde_json::Value;

/// An answer of which everything has come.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: http::HeaderMap,
    pub(super) body: String,
}

const QUOTA_HEADERS: [&str; 5] =
    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit-policy", "ratelimit"];

impl Answer {
    /// The header's only value, if it is there.
    #[track_caller]
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        assert!(values.len() < 2, "{name}: {values:?}");
        values.first().map(|value| value.to_str().unwrap())
    }

    /// These headers say this, and where nothing is given they are not there.
    #[track_caller]
    pub(super) fn assert_headers<const N: usize>(&self, expected: [(&str, Option<&str>); N]) {
        for (name, value) in expected {
            assert_eq!(self.header(name), value, "{name} of {self:?}");
        }
    }

    /// No header tells of quotas.
    #[track_caller]
    pub(super) fn assert_no_quota(&self) {
        for name in QUOTA_HEADERS {
            assert_eq!(self.header(name), None, "{name} of {self:?}");
        }
    }

    /// A problem document that is no more than its status and this detail.
    #[track_caller]
    pub(super) fn assert_problem(&self, status: u16, detail: &str) {
        let title = StatusCode::from_u16(status).unwrap().canonical_reason().unwrap();
        let detail = detail.replace('"', "\\\"");
        let body = format!(r#"{{"type":"about:blank","title":"{title}","status":{status},"detail":"{detail}"}}"#);
        assert_eq!((self.status, self.body.as_str()), (status, body.as_str()));
        self.assert_headers([("content-type", Some("application/problem+json")), ("cache-control", Some("no-store"))]);
    }

    /// A problem document that names the member at fault first.
    #[track_caller]
    pub(super) fn assert_malformed(&self, member: &str) {
        assert_eq!(self.status, 400, "{self:?}");
        self.assert_headers([("content-type", Some("application/problem+json")), ("cache-control", Some("no-store"))]);
        let detail = self.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(&format!("{member}: ")), "{detail}");
    }

    pub(super) fn remaining(&self) -> Option<&str> {
        self.header("x-ratelimit-remaining")
    }

    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
