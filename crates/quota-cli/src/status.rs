//! `quota status`: what a client has used and has left.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use comfy_table::{Table, presets};
use quota_core::{ClientId, QuotaStatus, Refusal};
use quota_service::{AnyStore, PlanFile, QuotaService, ServiceError};

use crate::{output, target};

#[derive(Debug, Args)]
#[command(after_help = target::OPENING)]
pub(crate) struct Status {
    /// Whose quotas.
    #[arg(value_parser = target::read_client)]
    client: ClientId,
    /// The store: memory:, sqlite:PATH, postgres://…, mysql://…, redis://…, valkey://…, mongodb://….
    #[arg(long, value_name = "URL")]
    store: String,
    /// A JSON file of plans; by default those that the store keeps.
    #[arg(long, value_name = "FILE")]
    plans: Option<PathBuf>,
}

impl Status {
    pub(crate) async fn run(self, json: bool) -> anyhow::Result<()> {
        let service = self.service().await?;
        let status = service.status(&self.client).await.map_err(|error| match error {
            ServiceError::Refused(Refusal::UnknownClient) if self.plans.is_some() => {
                anyhow!(error).context("nothing to show: add the client to the file that --plans names")
            }
            ServiceError::Refused(Refusal::UnknownClient) => anyhow!(error)
                .context("nothing to show: have the application set one, or name a file of plans with --plans"),
            error => error.into(),
        })?;
        service.shutdown().await;
        if json {
            return output::say_json(&status);
        }
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["quota", "limit", "used", "held", "remaining", "since", "renews"]);
        for quota in status.quotas().iter() {
            table.add_row(row(quota));
        }
        output::say(table)?;
        match status.lowest() {
            Some(lowest) => {
                output::say(format!("lowest: {} left of the {} quota", lowest.remaining(), lowest.period()))
            }
            None => output::say("nothing limits this client"),
        }
    }

    async fn service(&self) -> anyhow::Result<QuotaService<AnyStore>> {
        let Some(plans) = &self.plans else { return target::existing_service(&self.store).await };
        let plans = PlanFile::open(plans)?;
        let store = target::existing(&self.store).await?;
        Ok(QuotaService::builder(store).with_plan_file(plans).with_deadline(target::PATIENCE).build())
    }
}

fn row(quota: &QuotaStatus) -> [String; 7] {
    [
        quota.period().to_string(),
        quota.limit().to_string(),
        quota.used().to_string(),
        quota.held().to_string(),
        quota.remaining().to_string(),
        format!("{:#}", quota.starts_at()),
        format!("{:#}", quota.resets_at()),
    ]
}
