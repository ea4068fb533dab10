//! What the environment says.

use std::env::{self, VarError};

use anyhow::{Context, bail};
use quota_http::{OperatorToken, UsageApi};
use quota_service::{
    Anchor, AnyStore, ClientId, Credits, Limit, Period, Plan, PlanFile, PlanRegistry, Quota, QuotaService, Tz,
};

/// The settings, each with a default, so that the example runs without any.
#[derive(Debug)]
pub struct Settings {
    port: u16,
    store: String,
    plans: Option<String>,
    operator: Option<OperatorToken>,
}

impl Settings {
    /// Reads `PORT` (3000), `QUOTA_STORE` (`sqlite:quota.db`), `QUOTA_PLANS` (a JSON file; by default one client) and
    /// `QUOTA_OPERATOR_TOKEN` (by default nobody is an operator).
    ///
    /// # Errors
    /// The variable that cannot be used, and why.
    pub fn from_env() -> anyhow::Result<Self> {
        let port = match variable("PORT")? {
            Some(port) => port.parse().with_context(|| format!("PORT is no port: {port:?}"))?,
            None => 3000,
        };
        let store = variable("QUOTA_STORE")?.unwrap_or_else(|| "sqlite:quota.db".to_owned());
        let operator = variable("QUOTA_OPERATOR_TOKEN")?;
        let operator = operator.map(|token| OperatorToken::new(&token)).transpose().context("QUOTA_OPERATOR_TOKEN")?;
        Ok(Self { port, store, plans: variable("QUOTA_PLANS")?, operator })
    }

    /// Where it listens; 0 takes a free port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Opens the store and the plans.
    ///
    /// # Errors
    /// The variable that names what cannot be opened, and why.
    pub async fn service(&self) -> anyhow::Result<QuotaService<AnyStore>> {
        self.service_with(default_plans()?).await
    }

    /// The same with other plans where `QUOTA_PLANS` names none.
    ///
    /// # Errors
    /// The variable that names what cannot be opened, and why.
    pub async fn service_with(&self, plans: PlanRegistry) -> anyhow::Result<QuotaService<AnyStore>> {
        let store = quota_stores::connect(&self.store).await.context("QUOTA_STORE")?;
        let builder = QuotaService::builder(store);
        let builder = match &self.plans {
            Some(path) => builder.with_plan_file(PlanFile::open(path).context("QUOTA_PLANS")?),
            None => builder.with_registry(plans),
        };
        Ok(builder.with_denials(1_000).build())
    }

    /// The usage API over the service.
    #[must_use]
    pub fn usage_api(&self, service: &QuotaService<AnyStore>) -> UsageApi {
        let api = UsageApi::new(service);
        match &self.operator {
            Some(token) => api.with_operator_token(token.clone()),
            None => api,
        }
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
