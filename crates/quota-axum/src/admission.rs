//! Whether a request may run.

use std::error::Error;
use std::sync::Arc;

use quota_core::{ClientId, Credits, Decision};
use quota_http::{NoClient, RefusalResponse};
use quota_service::{Charge, ServiceError};

use crate::context::Context;
use crate::found::Found;
use crate::layer::Base;
use crate::route_cost::RouteCost;
use crate::routes::Route;
use crate::trial::Trial;

/// A request that wants to run.
pub(crate) struct Admission {
    pub(crate) base: Arc<Base>,
    pub(crate) asked: Asked,
    pub(crate) client: Found<Result<ClientId, NoClient>>,
    pub(crate) cost: Found<Result<Option<Credits>, RefusalResponse>>,
}

/// What a request asks for.
pub(crate) struct Asked {
    pub(crate) route: Arc<Route>,
    pub(crate) cost: RouteCost,
    /// Whether it is known that a handler answers it, and not a 405.
    pub(crate) handled: bool,
}

/// A request that may run.
pub(crate) struct Admitted {
    pub(crate) context: Arc<Context>,
    /// Its charge, as long as it is not known that a handler answers and not a 405.
    pub(crate) on_trial: Option<Trial>,
}

impl Admission {
    /// Decides without waiting; gives itself back where that cannot be, and then nothing has happened.
    pub(crate) fn now(self) -> Result<Result<Arc<Context>, RefusalResponse>, Box<Self>> {
        let Self { base, asked, client, cost } = self;
        match (client, cost) {
            (Found::Now(Err(error)), _) => Ok(Err(base.answers.no_client(&error))),
            (Found::Now(Ok(_)), Found::Now(Err(refusal))) => Ok(Err(refusal)),
            (Found::Now(Ok(client)), Found::Now(Ok(Some(cost)))) if asked.handled => {
                match base.service.charge_now(&client, cost, asked.route.label()) {
                    Some(decision) => Ok(conclude(base, asked, client, Ok(decision))),
                    None => {
                        let (client, cost) = (Found::Now(Ok(client)), Found::Now(Ok(Some(cost))));
                        Err(Box::new(Self { base, asked, client, cost }))
                    }
                }
            }
            (client, cost) => Err(Box::new(Self { base, asked, client, cost })),
        }
    }

    /// Decides, waiting for the client, the cost and the store.
    pub(crate) async fn later(self: Box<Self>) -> Result<Admitted, RefusalResponse> {
        let Self { base, asked, client, cost } = *self;
        let client = client.get().await.map_err(|error| base.answers.no_client(&error))?;
        let Some(cost) = cost.get().await? else {
            let context = Arc::new(Context::new(base, client, asked, None));
            return Ok(Admitted { context, on_trial: None });
        };
        let mut on_trial = if asked.handled { None } else { Trial::new(&base, &client, &asked.route) };
        let mut charge = Charge::new(cost);
        if let Some(label) = asked.route.label() {
            charge = charge.with_label(label.clone());
        }
        if let Some(trial) = &on_trial {
            charge = charge.with_id(trial.id().clone());
        }
        let answer = base.service.charge(&client, charge).await;
        // From here on nothing waits until the request runs or is refused, and then the charge stands or never was.
        if let Some(trial) = &mut on_trial {
            trial.disarm();
        }
        conclude(base, asked, client, answer).map(|context| Admitted { context, on_trial })
    }
}

fn conclude(
    base: Arc<Base>,
    asked: Asked,
    client: ClientId,
    answer: Result<Decision, ServiceError>,
) -> Result<Arc<Context>, RefusalResponse> {
    match answer {
        Ok(Decision::Denied(denied)) => Err(base.answers.denied(&denied)),
        Ok(decision) => Ok(Arc::new(Context::new(base, client, asked, Some(decision)))),
        Err(error) => {
            log(&error, &client);
            Err(base.answers.failed(&error))
        }
    }
}

impl Context {
    /// Reads the status for the headers, where nothing was decided in the request.
    pub(crate) async fn read_status(&self) -> Option<quota_core::Status> {
        let status = self.base.service.status(&self.client).await;
        status.inspect_err(|error| log(error, &self.client)).ok()
    }
}

/// Logs what the answer must not tell.
pub(crate) fn log(error: &ServiceError, client: &ClientId) {
    if let ServiceError::Refused(refusal) = error {
        tracing::debug!(%client, code = refusal.code(), "refused: {refusal}");
    } else {
        let error: &dyn Error = error;
        tracing::error!(%client, error, "a request could not be metered");
    }
}
