//! What the environment says.

use std::env::{self, VarError};

use anyhow::{Context, bail};
use quota_service::{
    Anchor, AnyStore, ClientId, Credits, Limit, Period, Plan, PlanFile, PlanRegistry, Quota, QuotaService, Tz,
};

/// The settings, each with a default, so that the example runs without any.
#[derive(Debug)]
pub(crate) struct Settings {
    port: u16,
    store: String,
    plans: Option<String>,
}

impl Settings {
    /// Reads `PORT` (3000), `QUOTA_STORE` (`sqlite:quota.db`) and `QUOTA_PLANS` (a JSON file; by default one client).
    pub(crate) fn from_env() -> anyhow::Result<Self> {
        let port = match variable("PORT")? {
            Some(port) => port.parse().with_context(|| format!("PORT is no port: {port:?}"))?,
            None => 3000,
        };
        let store = variable("QUOTA_STORE")?.unwrap_or_else(|| "sqlite:quota.db".to_owned());
        Ok(Self { port, store, plans: variable("QUOTA_PLANS")? })
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Opens the store and the plans.
    pub(crate) async fn service(&self) -> anyhow::Result<QuotaService<AnyStore>> {
        let store = quota_stores::connect(&self.store).await.context("QUOTA_STORE")?;
        let builder = QuotaService::builder(store);
        let builder = match &self.plans {
            Some(path) => builder.with_plan_file(PlanFile::open(path).context("QUOTA_PLANS")?),
            None => builder.with_registry(default_plans()?),
        };
        Ok(builder.build())
    }
}

/// `client1` has 500 credits a day and 10,000 a month, counted from 2022-01-01 in UTC.
fn default_plans() -> anyhow::Result<PlanRegistry> {
    let anchor = Anchor::new("2022-01-01T00:00:00Z".parse()?, Tz::UTC);
    let day = Quota::new(Period::DAY, Limit::Finite(Credits::new(500)?), anchor);
    let month = Quota::new(Period::MONTH, Limit::Finite(Credits::new(10_000)?), anchor);
    Ok(PlanRegistry::new().with(ClientId::new("client1")?, Plan::new([day, month])?))
}

fn variable(name: &str) -> anyhow::Result<Option<String>> {
    match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => bail!("{name} is not UTF-8"),
    }
}
