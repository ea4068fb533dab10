//! What the environment says.

use std::env::{self, VarError};

use anyhow::{Context, bail};
use clap::Parser;
use http::HeaderName;
use quota_http::{Dashboard, OperatorToken, UsageApi};
use quota_service::{
    Anchor, AnyStore, ClientId, Credits, Limit, Period, Plan, PlanFile, PlanRegistry, Quota, QuotaService,
    QuotaServiceBuilder, Tz,
};

use crate::demo;

/// An API with quotas, and a page that shows them. The environment has the settings: PORT, QUOTA_STORE, QUOTA_PLANS,
/// QUOTA_OPERATOR_TOKEN, RUST_LOG.
#[derive(Debug, Parser)]
struct Arguments {
    /// Begin with a month of usage by a few clients, in sqlite:demo.db where QUOTA_STORE names no other store. The operator's
    /// token is `demo` where QUOTA_OPERATOR_TOKEN says no other.
    #[arg(long)]
    demo: bool,
}

/// The settings, each with a default, so that the example runs without any.
#[derive(Debug)]
pub struct Settings {
    port: u16,
    store: String,
    plans: Option<String>,
    operator: Option<OperatorToken>,
    is_demo: bool,
}

impl Settings {
    /// Reads the command line, which may ask for a demonstration, and then the environment. `--help` and what is none of both
    /// end the program.
    ///
    /// # Errors
    /// As for [`Settings::from_env`]; also where a demonstration is to have other plans than its own.
    pub fn from_arguments() -> anyhow::Result<Self> {
        if Arguments::parse().demo { Self::of_demo() } else { Self::from_env() }
    }

    fn of_demo() -> anyhow::Result<Self> {
        let mut settings = Self::from_env()?;
        if settings.plans.is_some() {
            bail!("--demo has plans of its own: leave QUOTA_PLANS out");
        }
        if variable("QUOTA_STORE")?.is_none() {
            "sqlite:demo.db".clone_into(&mut settings.store);
        }
        if settings.operator.is_none() {
            settings.operator = Some(OperatorToken::new("demo")?);
        }
        settings.is_demo = true;
        Ok(settings)
    }

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
        Ok(Self { port, store, plans: variable("QUOTA_PLANS")?, operator, is_demo: false })
    }

    /// Where it listens; 0 takes a free port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Opens the store and the plans: those of `QUOTA_PLANS`, or those that the store keeps, where clients that have none get
    /// theirs.
    ///
    /// # Errors
    /// The variable that names what cannot be opened, and why.
    pub async fn service(&self) -> anyhow::Result<QuotaService<AnyStore>> {
        let builder = self.builder().await?;
        if let Some(path) = &self.plans {
            return Ok(builder.with_plan_file(PlanFile::open(path).context("QUOTA_PLANS")?).build());
        }
        // In the store, so that what an operator sets is still there after a restart.
        let service = builder.with_stored_plans().build();
        let plans = if self.is_demo { demo::plans()? } else { default_plans()? };
        for (client, plan) in plans {
            if service.plan(&client).await?.is_none() {
                service.set_plan(&client, plan).await.context("QUOTA_STORE does not take a plan")?;
            }
        }
        if self.is_demo {
            demo::fill(&service).await.context("the demonstration could not be filled in")?;
        }
        Ok(service)
    }

    /// Opens the store with plans that live in this process, where `QUOTA_PLANS` names none.
    ///
    /// # Errors
    /// The variable that names what cannot be opened, and why.
    pub async fn service_with(&self, plans: PlanRegistry) -> anyhow::Result<QuotaService<AnyStore>> {
        let builder = self.builder().await?;
        let builder = match &self.plans {
            Some(path) => builder.with_plan_file(PlanFile::open(path).context("QUOTA_PLANS")?),
            None => builder.with_registry(plans),
        };
        Ok(builder.build())
    }

    async fn builder(&self) -> anyhow::Result<QuotaServiceBuilder<AnyStore>> {
        let store = quota_stores::connect(&self.store).await.context("QUOTA_STORE")?;
        Ok(QuotaService::builder(store).with_denials(1_000))
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

/// The header that names the client.
#[must_use]
pub const fn client_header() -> HeaderName {
    HeaderName::from_static("x-client-id")
}

/// The page, which asks for a client's id and sends it in that header.
#[must_use]
pub fn dashboard() -> Dashboard {
    Dashboard::new().with_client_header(&client_header())
}

/// `client1` has 500 credits a day and 10,000 a month, counted from 2022-01-01 in UTC.
fn default_plans() -> anyhow::Result<Vec<(ClientId, Plan)>> {
    let anchor = Anchor::new("2022-01-01T00:00:00Z".parse()?, Tz::UTC);
    let day = Quota::new(Period::DAY, Limit::Finite(Credits::new(500)?), anchor);
    let month = Quota::new(Period::MONTH, Limit::Finite(Credits::new(10_000)?), anchor);
    Ok(vec![(ClientId::new("client1")?, Plan::new([day, month])?)])
}

fn variable(name: &str) -> anyhow::Result<Option<String>> {
    match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => bail!("{name} is not UTF-8"),
    }
}
