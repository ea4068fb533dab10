//! What operators change, told in the log with who and what.

use http::StatusCode;
use quota_core::{ClientId, Instant, Plan, Window};
use quota_service::ServiceError;

use crate::usage_api::answering::{Answered, Inner, Operator, of_bound, of_plan};
use crate::usage_api::request::{empty, json};
use crate::usage_api::views::{DeletedView, StatusView};

/// A change of one client's by an operator. It owns what it needs, since it goes on where nobody waits any more.
pub(super) struct Change {
    pub(super) inner: Inner,
    pub(super) client: ClientId,
    pub(super) operator: Operator,
}

impl Change {
    pub(super) async fn set_plan(self, plan: Plan) -> Answered {
        let Self { inner, client, operator } = self;
        let quotas = plan.quotas().iter().map(|quota| format!("{}: {}", quota.period(), quota.limit()));
        let quotas = quotas.collect::<Vec<_>>().join(", ");
        let status = inner.service.set_plan(&client, plan).await.map_err(|error| {
            if let ServiceError::Unknown { .. } = error {
                tracing::warn!(%client, operator, quotas, "a plan was perhaps set");
            }
            inner.failed_naming(&client, &error, of_plan)
        })?;
        tracing::info!(%client, operator, quotas, "a plan was set");
        Ok(json(StatusCode::OK, &StatusView::new(&status)))
    }

    pub(super) async fn remove_plan(self) -> Answered {
        let Self { inner, client, operator } = self;
        inner.service.remove_plan(&client).await.map_err(|error| {
            if let ServiceError::Unknown { .. } = error {
                tracing::warn!(%client, operator, "a plan was perhaps removed");
            }
            inner.failed(&client, &error)
        })?;
        tracing::info!(%client, operator, "a plan was removed");
        Ok(empty(StatusCode::NO_CONTENT))
    }

    pub(super) async fn delete_usage(self, range: Window) -> Answered {
        let Self { inner, client, operator } = self;
        let (from, to): (Instant, Instant) = (range.start(), range.end());
        let bound = |at| if at == from { "from" } else { "to" };
        let deleted = inner.service.delete_usage(&client, range).await.map_err(|error| {
            if let ServiceError::Unknown { .. } = error {
                tracing::warn!(%client, operator, %from, %to, "usage was perhaps deleted");
            }
            inner.failed_naming(&client, &error, |refusal| of_bound(refusal, bound))
        })?;
        tracing::info!(%client, operator, %from, %to, deleted, "usage was deleted");
        Ok(json(StatusCode::OK, &DeletedView { deleted }))
    }
}
