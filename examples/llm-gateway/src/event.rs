//! What is sent of a completion.

use axum::response::sse;
use http::StatusCode;
use quota_service::{Credits, OperationId};
use serde::{Serialize, Serializer};
use serde_json::json;
use thiserror::Error;

use crate::usage::Usage;

/// One event of a stream.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Event {
    /// The model has read the prompt, which is paid from here on.
    Began {
        id: OperationId,
        #[serde(skip)]
        price: Credits,
    },
    /// The model said this.
    Token {
        text: &'static str,
        #[serde(skip)]
        price: Credits,
    },
    /// The model has said all.
    Ended { usage: Usage },
    /// It will say no more, and this is what it used.
    Failed { error: Failure, usage: Usage },
    /// Nothing follows.
    Done,
}

/// Why a completion ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Failure {
    #[error("the model failed")]
    Model,
    #[error("the server is stopping")]
    Stopping,
}

impl Event {
    /// What it adds to the bill.
    pub(crate) const fn price(&self) -> Credits {
        match self {
            Self::Began { price, .. } | Self::Token { price, .. } => *price,
            Self::Ended { .. } | Self::Failed { .. } | Self::Done => Credits::ZERO,
        }
    }

    /// As a server-sent event: `data: ` and JSON, or the word that ends streams of completions.
    ///
    /// # Errors
    /// None: all of it makes JSON.
    pub(crate) fn to_sse(&self) -> Result<sse::Event, axum::Error> {
        match self {
            Self::Done => Ok(sse::Event::default().data("[DONE]")),
            event => sse::Event::default().json_data(event),
        }
    }
}

impl Failure {
    /// The status of an answer in one piece.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Model => StatusCode::BAD_GATEWAY,
            Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        json!({ "message": self.to_string() }).serialize(serializer)
    }
}
