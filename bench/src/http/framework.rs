//! The frameworks whose quickstarts are measured.

use super::apps::App;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Framework {
    Axum,
    Actix,
    Rocket,
}

/// Somebody else's layer for a framework.
pub(super) struct Rival {
    pub(super) app: App,
    pub(super) name: &'static str,
    /// What it does for a request.
    pub(super) work: &'static str,
}

impl Framework {
    pub(super) const fn group(self) -> &'static str {
        match self {
            Self::Axum => "axum quickstart over HTTP, 64 keep-alive connections",
            Self::Actix => "actix-web quickstart over HTTP, 64 keep-alive connections",
            Self::Rocket => "Rocket quickstart over HTTP, 64 keep-alive connections",
        }
    }

    /// The program with quotas.
    pub(super) const fn quickstart(self) -> &'static str {
        match self {
            Self::Axum => "quickstart-axum",
            Self::Actix => "quickstart-actix",
            Self::Rocket => "quickstart-rocket",
        }
    }

    /// The same application without.
    pub(super) const fn bare(self) -> App {
        match self {
            Self::Axum => App::Axum,
            Self::Actix => App::Actix,
            Self::Rocket => App::Rocket,
        }
    }

    /// None where nobody else is measured.
    pub(super) const fn rival(self) -> Option<Rival> {
        match self {
            Self::Axum => {
                Some(Rival { app: App::AxumTowerGovernor, name: "tower_governor", work: "one bucket, 2 headers" })
            }
            Self::Actix => Some(Rival {
                app: App::ActixExtensibleRateLimit,
                name: "actix-extensible-rate-limit",
                work: "one fixed window, 3 headers",
            }),
            Self::Rocket => None,
        }
    }
}
