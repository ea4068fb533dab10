//! What a client asks for.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use http::StatusCode;
use quota_axum::{Malformed, RefusalResponse, Refused};
use serde::Deserialize;

use crate::model::Model;

/// The body of a request for a completion. Members that it does not know are let be, since clients of such APIs send many.
#[derive(Debug, Deserialize)]
pub(crate) struct CompletionRequest {
    prompt: String,
    #[serde(default = "default_most")]
    max_tokens: u32,
    #[serde(default)]
    stream: bool,
}

impl CompletionRequest {
    /// How long a body may be, in bytes, and with it a prompt.
    pub(crate) const MAX_BODY: usize = 64 * 1024;

    /// How many tokens may be asked for.
    const MAX_TOKENS: u32 = 4_096;

    pub(crate) fn prompt(&self) -> &str {
        &self.prompt
    }

    pub(crate) fn prompt_tokens(&self) -> u32 {
        Model::count(&self.prompt)
    }

    pub(crate) const fn max_tokens(&self) -> u32 {
        self.max_tokens
    }

    pub(crate) const fn is_streamed(&self) -> bool {
        self.stream
    }

    fn from_json(body: &[u8]) -> Result<Self, Malformed> {
        // What is derived would take an array of its members as well.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Malformed::new("body", "it is an object of JSON: {\"prompt\": ...}"));
        }
        let mut json = serde_json::Deserializer::from_slice(body);
        let asked: Self = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            // A place of which nothing is known is told by what it lies in.
            let path = error.path().to_string();
            let path = path.trim_end_matches('?').trim_end_matches('.');
            Malformed::new(if path.is_empty() { "body" } else { path }, error.inner().to_string())
        })?;
        json.end().map_err(|error| Malformed::new("body", error.to_string()))?;
        if asked.prompt_tokens() == 0 {
            return Err(Malformed::new("prompt", "it has no words"));
        }
        if !(1..=Self::MAX_TOKENS).contains(&asked.max_tokens) {
            return Err(Malformed::new("max_tokens", format!("it is 1 to {}", Self::MAX_TOKENS)));
        }
        Ok(asked)
    }
}

impl<S: Send + Sync> FromRequest<S> for CompletionRequest {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let body = Bytes::from_request(request, state).await.map_err(|rejection| unread(&rejection))?;
        Ok(Self::from_json(&body)?)
    }
}

/// As many as the API has by default in whose spirit this one is.
const fn default_most() -> u32 {
    16
}

/// A body that is too large (413) or did not come.
fn unread(rejection: &BytesRejection) -> RefusalResponse {
    let status = rejection.status();
    let detail = match status {
        StatusCode::PAYLOAD_TOO_LARGE => format!("a body has at most {} bytes", CompletionRequest::MAX_BODY),
        _ => "the body did not come whole".to_owned(),
    };
    RefusalResponse::problem(status, &detail)
}
