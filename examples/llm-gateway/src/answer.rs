//! A completion in one piece.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use quota_service::OperationId;
use serde::Serialize;

use crate::event::{Event, Failure};
use crate::usage::Usage;

/// What the events of a completion come to.
#[derive(Default, Serialize)]
pub(crate) struct Answer {
    id: Option<OperationId>,
    text: String,
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

impl Answer {
    /// With one event more.
    pub(crate) fn with(mut self, event: Event) -> Self {
        match event {
            Event::Began { id, .. } => self.id = Some(id),
            Event::Token { text, .. } => self.text.push_str(text),
            Event::Ended { usage } => self.usage = usage,
            Event::Failed { error, usage } => (self.error, self.usage) = (Some(error), usage),
            Event::Done => {}
        }
        self
    }
}

/// What was made before a failure is paid, so it is handed over too.
impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = self.error.map_or(StatusCode::OK, Failure::status);
        (status, Json(self)).into_response()
    }
}
