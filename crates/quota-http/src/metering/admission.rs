//! Whether a request may run.

use std::fmt;
use std::sync::Arc;

use http::{Method, StatusCode};
use quota_core::{ClientId, Credits, Decision, Label, OperationId, Refusal, Ttl};
use quota_service::{Charge, Holding, ServiceError};

use crate::client::NoClient;
use crate::member::Malformed;
use crate::metering::condition::Condition;
use crate::metering::found::Found;
use crate::metering::framework::Framework;
use crate::metering::idempotency::OnReplay;
use crate::metering::keyed::Keyed;
use crate::metering::meter::{Meter, is_replayed, log};
use crate::metering::request_quota::RequestQuota;
use crate::metering::route_cost::CostMark;
use crate::metering::routes::Route;
use crate::metering::stake::{Paid, Stake};
use crate::metering::trial::{Made, Trial, made_id};
use crate::quota_headers::HeadersMut;
use crate::response::RefusalResponse;

/// A request that wants to run.
pub struct Admission<F: Framework> {
    pub(crate) client: Found<F, Result<ClientId, NoClient>>,
    /// The id of its charge, where it carries an idempotency key.
    pub(crate) key: Result<Option<OperationId>, Malformed>,
    /// None where the handler charges itself.
    pub(crate) cost: Option<Found<F, Result<Credits, RefusalResponse>>>,
    pub(crate) request: Request,
}

/// What a request asks for, whatever its framework.
pub(crate) struct Request {
    pub(crate) meter: Arc<Meter>,
    pub(crate) asked: Asked,
    /// Whether it is known that a handler answers it, and not a 405.
    pub(crate) is_handled: bool,
    /// Charged after the handler, if its answer is one of these.
    pub(crate) condition: Option<Condition>,
}

pub(crate) struct Asked {
    pub(crate) route: Arc<Route>,
    pub(crate) method: Method,
    pub(crate) cost: CostMark,
    /// Its entries' label, where that is not the route's pattern.
    pub(crate) label: Option<Label>,
    /// The id of its charge, where it carries an idempotency key.
    pub(crate) key: Option<OperationId>,
}

/// A request that may run. When it has answered, [`Admitted::conclude`] is to be called, and its headers written.
/// Dropped before, it gives back what a request that has not answered is not charged for.
#[must_use = "what is charged may depend on the answer"]
pub struct Admitted {
    quota: RequestQuota,
    stake: Option<Stake>,
}

impl<F: Framework> Admission<F> {
    /// Decides without waiting; gives itself back where that cannot be, and then nothing has happened.
    ///
    /// # Errors
    /// This admission, undecided.
    pub fn now(self) -> Result<Result<Admitted, RefusalResponse>, Box<Self>> {
        let Self { client, key, cost, request } = self;
        match (client, key, cost) {
            (Found::Now(Err(error)), _, _) => Ok(Err(request.meter.answers.no_client(&error))),
            (Found::Now(Ok(_)), Ok(_), Some(Found::Now(Err(refusal)))) => Ok(Err(refusal)),
            (Found::Now(Ok(client)), Ok(None), Some(Found::Now(Ok(cost)))) if request.is_plain() => {
                match request.meter.service.charge_now(&client, cost, request.asked.label()) {
                    Some(decision) => Ok(request.concluded(client, Ok(decision), None)),
                    None => {
                        let (client, cost) = (Found::Now(Ok(client)), Some(Found::Now(Ok(cost))));
                        Err(Box::new(Self { client, key: Ok(None), cost, request }))
                    }
                }
            }
            (client, key, cost) => Err(Box::new(Self { client, key, cost, request })),
        }
    }

    /// Decides, waiting for the client, the cost and the store. Dropped before the charge is sent, nothing is charged.
    ///
    /// # Errors
    /// The answer to a request that may not run.
    pub async fn later(self: Box<Self>) -> Result<Admitted, RefusalResponse> {
        let Self { client, key, cost, mut request } = *self;
        let client = client.get().await.map_err(|error| request.meter.answers.no_client(&error))?;
        request.asked.key = key.map_err(|error| request.meter.answers.malformed(&error))?;
        let cost = match cost {
            Some(cost) => Some(cost.get().await?),
            None => None,
        };
        request.decide(client, cost).await
    }
}

impl<F: Framework> fmt::Debug for Admission<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("route", &self.request.asked.route.pattern()).finish_non_exhaustive()
    }
}

impl Asked {
    /// What its entries are made under, unless a handler says otherwise.
    pub(crate) fn label(&self) -> Option<&Label> {
        self.label.as_ref().or_else(|| self.route.label())
    }
}

impl Request {
    /// Whether nothing about it is open once it is charged, where it carries no key.
    const fn is_plain(&self) -> bool {
        self.is_handled && self.condition.is_none()
    }

    /// Decides for a client and a cost; none where the handler charges itself.
    pub(crate) async fn decide(mut self, client: ClientId, cost: Option<Credits>) -> Result<Admitted, RefusalResponse> {
        let Some(cost) = cost else {
            return Ok(Admitted { quota: RequestQuota::new(self.meter, client, self.asked, None), stake: None });
        };
        match self.condition.take() {
            Some(condition) => self.hold(client, cost, condition).await,
            None => self.charge(client, cost).await,
        }
    }

    async fn charge(self, client: ClientId, cost: Credits) -> Result<Admitted, RefusalResponse> {
        if let Some(key) = self.asked.key.clone() {
            return self.charge_under_key(client, cost, key).await;
        }
        let mut trial = None;
        if !self.is_handled {
            trial = made_id().map(|id| self.trial(&client, id));
        }
        let id = trial.as_ref().map(|trial| trial.id().clone());
        let mut answer = self.meter.service.charge(&client, self.priced(cost, id)).await;
        if trial.is_some() && matches!(answer, Err(ServiceError::Refused(Refusal::TooManyIds))) {
            // Rather charged for what may turn out to be free than refused for an id that the client has not asked for.
            if let Some(mut trial) = trial.take() {
                trial.disarm();
            }
            answer = self.meter.service.charge(&client, self.priced(cost, None)).await;
        }
        // From here on nothing waits until the request runs or is refused.
        if let Some(trial) = &mut trial {
            trial.disarm();
        }
        if let Err(ServiceError::Unknown { id: Some(id), .. }) = &answer {
            // It does not run, and nobody else knows the id: by dropping it, what may have been charged is taken back.
            drop(self.trial(&client, id.clone()));
        }
        self.concluded(client, answer, trial.map(Stake::UnlessUnhandled))
    }

    async fn charge_under_key(
        self,
        client: ClientId,
        cost: Credits,
        key: OperationId,
    ) -> Result<Admitted, RefusalResponse> {
        let charge = self.priced(cost, Some(key));
        let (decision, trial) = match self.meter.charge_under_key(&client, &self.asked.route, charge).await {
            Ok(Keyed::Decided(decision, trial)) => (decision, trial),
            Ok(Keyed::UnderWay) => return Err(self.meter.answers.under_way()),
            Err(error) => return self.concluded(client, Err(error), None),
        };
        // From here on nothing waits until the request runs or is refused.
        let stake = trial.and_then(|mut trial| {
            trial.disarm();
            (!self.is_handled).then_some(Stake::UnlessUnhandled(trial))
        });
        self.concluded(client, Ok(decision), stake)
    }

    /// Holds what is charged only for some answers.
    async fn hold(self, client: ClientId, cost: Credits, condition: Condition) -> Result<Admitted, RefusalResponse> {
        let charge = self.priced(cost, self.asked.key.clone());
        let held = match &self.asked.key {
            Some(_) => self.meter.hold_under_key(&client, charge, Ttl::DEFAULT).await,
            None => self.meter.service.hold(&client, charge, Ttl::DEFAULT).await.map(Some),
        };
        match held {
            Ok(Some(Holding::Held(guard) | Holding::Unchecked(guard))) => {
                let decision = guard.decision().clone();
                let stake = Stake::OnStatus(condition, Paid::Held(guard.renewing()));
                self.concluded(client, Ok(decision), Some(stake))
            }
            Ok(Some(Holding::Denied(denied))) => self.concluded(client, Ok(Decision::Denied(denied)), None),
            Ok(None) => Err(self.meter.answers.under_way()),
            Err(ServiceError::Refused(Refusal::IdConflict { id, is_held: false })) if self.asked.key.is_some() => {
                self.charge_again(client, cost, condition, id).await
            }
            Err(error) => self.concluded(client, Err(error), None),
        }
    }

    /// What became of a key that cannot be held: its cost was charged before, as a charge with its id finds out. (Where it
    /// was given back in this very moment, that is a charge like any other.)
    async fn charge_again(
        self,
        client: ClientId,
        cost: Credits,
        condition: Condition,
        key: OperationId,
    ) -> Result<Admitted, RefusalResponse> {
        let charge = self.priced(cost, Some(key));
        let (answer, trial) = match self.meter.charge_at_once(&client, &self.asked.route, charge).await {
            Ok(Keyed::Decided(decision, trial)) => (Ok(decision), trial),
            Ok(Keyed::UnderWay) => return Err(self.meter.answers.under_way()),
            Err(error) => (Err(error), None),
        };
        let paid = trial.map_or(Paid::Before, Paid::Charged);
        self.concluded(client, answer, Some(Stake::OnStatus(condition, paid)))
    }

    fn trial(&self, client: &ClientId, id: OperationId) -> Trial {
        Trial::new(&self.meter, client, &self.asked.route, Made::under(id))
    }

    /// The charge of a request, under its label.
    fn priced(&self, cost: Credits, id: Option<OperationId>) -> Charge {
        let mut charge = Charge::new(cost);
        if let Some(label) = self.asked.label() {
            charge = charge.with_label(label.clone());
        }
        match id {
            Some(id) => charge.with_id(id),
            None => charge,
        }
    }

    fn concluded(
        self,
        client: ClientId,
        answer: Result<Decision, ServiceError>,
        stake: Option<Stake>,
    ) -> Result<Admitted, RefusalResponse> {
        let answers = &self.meter.answers;
        match answer {
            Ok(Decision::Denied(denied)) => Err(answers.denied(&denied)),
            Ok(decision) if self.asked.key.is_some() && is_replayed(&decision) && !self.runs_replays() => {
                let mut replayed = answers.replayed();
                answers.write_decision(&decision, replayed.headers_mut());
                Err(replayed)
            }
            Ok(decision) => {
                let quota = RequestQuota::new(self.meter, client, self.asked, Some(decision));
                Ok(Admitted { quota, stake })
            }
            Err(ServiceError::Refused(Refusal::IdConflict { .. })) if self.asked.key.is_some() => {
                Err(answers.key_conflict())
            }
            Err(error) => {
                log(&error, &client);
                Err(answers.failed(&error))
            }
        }
    }

    fn runs_replays(&self) -> bool {
        self.meter.keys.as_ref().is_some_and(|keys| keys.on_replay() == OnReplay::Run)
    }
}

impl Admitted {
    /// The request's quotas, for its handler.
    pub const fn quota(&self) -> &RequestQuota {
        &self.quota
    }

    /// Whether nothing is open any more: [`Admitted::conclude`] would have nothing to do, only the headers are to be
    /// written.
    #[must_use]
    pub fn is_concluded(&self) -> bool {
        self.stake.is_none() && !self.quota.cost().is_by_handler()
    }

    /// Settles what depends on the answer, and writes the headers.
    ///
    /// # Errors
    /// The answer in place of the handler's, where what it owes cannot be charged.
    pub async fn conclude(self, status: StatusCode, headers: &mut impl HeadersMut) -> Result<(), RefusalResponse> {
        let Self { quota, stake } = self;
        let is_unhandled = status == StatusCode::METHOD_NOT_ALLOWED;
        if !is_unhandled {
            quota.note_handled();
        }
        if let Some(stake) = stake {
            let concluded = stake.conclude(status, &quota).await;
            concluded.inspect_err(|_| quota.outer().into_iter().for_each(RequestQuota::supersede))?;
        } else if !quota.cost().is_by_handler() {
            quota.answered(status, headers);
            return Ok(());
        } else if !is_unhandled {
            quota.read_status().await;
        }
        quota.write(headers);
        Ok(())
    }
}

impl Admitted {
    /// The router has passed the request on to another route before this one's handler ran: what was charged is given
    /// back, and waits for that.
    ///
    /// # Errors
    /// These quotas, where that cannot be, and then it is paid: the charge has no id (from now on those of the route have), or the
    /// store does not say that it was taken back.
    pub async fn give_back(self) -> Result<(), RequestQuota> {
        let Self { quota, stake } = self;
        quota.note_unsure();
        let is_given_back = match stake {
            Some(stake) => stake.give_back(&quota).await,
            None => quota.cost().is_by_handler(),
        };
        if is_given_back { Ok(()) } else { Err(quota) }
    }
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted").field("quota", &self.quota).finish_non_exhaustive()
    }
}
