//! What the quickstarts are compared with: their route `/api/fetch-data` without our quotas, on the same server
//! settings.

mod actix;
mod axum;
mod rocket;

use clap::ValueEnum;
use serde_json::{Value, json};

/// In which header all of them look for the client.
const CLIENT: &str = "x-client-id";

/// An application that this program can be, in a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum App {
    Axum,
    AxumTowerGovernor,
    Actix,
    ActixExtensibleRateLimit,
    Rocket,
}

impl App {
    /// Serves until it is killed.
    pub(crate) fn serve(self, port: u16) -> anyhow::Result<()> {
        match self {
            Self::Axum => axum::serve(axum::bare(), port),
            Self::AxumTowerGovernor => axum::serve(axum::governed()?, port),
            Self::Actix => actix::serve_bare(port),
            Self::ActixExtensibleRateLimit => actix::serve_limited(port),
            Self::Rocket => rocket::serve(port),
        }
    }

    /// How it is called on the command line.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// What every application answers.
fn data() -> Value {
    json!({ "data": [1, 2, 3] })
}
