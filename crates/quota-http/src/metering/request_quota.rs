//! The quotas of the client of a request.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use http::StatusCode;
use quota_core::{ClientId, Decision, Denied, Label, OperationId, Refusal, Status, Ttl};
use quota_service::{Charge, Holding, ServiceError};

use crate::answers::Answers;
use crate::metering::admission::Asked;
use crate::metering::charged::Charged;
use crate::metering::framework::Framework;
use crate::metering::held::Held;
use crate::metering::idempotency::{OnReplay, is_reserved};
use crate::metering::keyed::Keyed;
use crate::metering::meter::{Meter, is_held, log};
use crate::metering::quota_error::{Cause, QuotaError};
use crate::metering::route_cost::{CostMark, RouteCost};
use crate::metering::routes::Route;
use crate::metering::shown::Shown;
use crate::metering::trial::{Made, Trial};
use crate::metering::under_key::UnderKey;
use crate::quota_headers::HeadersMut;

/// The quotas of the client of a request, for its handler: charges, holds and reads them. Every decision that is made
/// here shows in the headers of the answer, the last one if there are several. What is refused without one (a conflict, too
/// many holds) leaves them as they were: its answer tells of the decision before it, or of none, as the layer's own does.
///
/// What a request's layer, its handler and its answer share: a clone is the same request's.
#[derive(Clone)]
pub struct RequestQuota(Arc<Shared>);

struct Shared {
    meter: Arc<Meter>,
    client: ClientId,
    asked: Asked,
    /// Whether something is charged or held under the request's idempotency key, or is about to be.
    is_key_used: AtomicBool,
    shown: Shown,
    /// Whether its answer's body settles a hold when it has ended.
    is_streamed: AtomicBool,
    /// Whether a layer further in has answered or refused the request too: then its headers stand.
    is_superseded: AtomicBool,
    /// Those of the layer around this one's.
    outer: OnceLock<RequestQuota>,
}

impl RequestQuota {
    pub(crate) fn new(meter: Arc<Meter>, client: ClientId, asked: Asked, decision: Option<Decision>) -> Self {
        Self(Arc::new(Shared {
            meter,
            client,
            asked,
            // The key is the layer's, where it has charged or held.
            is_key_used: AtomicBool::new(decision.is_some()),
            shown: Shown::new(decision),
            is_streamed: AtomicBool::new(false),
            is_superseded: AtomicBool::new(false),
            outer: OnceLock::new(),
        }))
    }

    /// Who is charged.
    #[must_use]
    pub fn client(&self) -> &ClientId {
        &self.0.client
    }

    /// The last decision in this request: the layer's, until the handler makes one. None where the handler charges all
    /// itself and has not yet.
    #[must_use]
    pub fn decision(&self) -> Option<Decision> {
        self.0.shown.decision()
    }

    /// The id under which the request's idempotency key is charged, where it carries one: what a handler stores its
    /// answer by.
    #[must_use]
    pub fn idempotency_id(&self) -> Option<&OperationId> {
        self.0.asked.key.as_ref()
    }

    /// How this application tells of quotas.
    #[must_use]
    pub fn answers(&self) -> &Answers {
        &self.0.meter.answers
    }

    /// Charges so many credits more, under the route's label unless the charge has its own. The first charge without an id is made under the request's
    /// idempotency key, if it carries one and nothing was charged under it yet.
    ///
    /// # Errors
    /// [`QuotaError`], which `?` makes the answer: denied, charged already under the key, or not to be told. Nothing was
    /// charged where it was denied. An id of the charge's own that begins with `key:`, as those of keys do, is a 400.
    /// Of a charge without an id of which nobody knows whether it was made ([`ServiceError::Unknown`]), the answer
    /// takes back what was; a handler that tries again under the error's id does not answer with it. Under the request's key
    /// it is taken back at once, also where this future is dropped, and the next charge is the first (not one [`Charge::with_at`]).
    pub async fn charge(&self, charge: impl Into<Charge> + Send) -> Result<Charged, QuotaError> {
        let (charge, key) = self.prepared(charge.into())?;
        if let Some(key) = key {
            return self.charge_under_key(charge, key).await;
        }
        let has_id = charge.id().is_some();
        let answer = self.meter().service.charge(self.client(), charge).await;
        let made = match &answer {
            Err(ServiceError::Unknown { id, .. }) if !has_id => id.clone().map(Made::under),
            _ => None,
        };
        self.concluded(answer, None).map_err(|error| error.with_made(made))
    }

    async fn charge_under_key(&self, charge: Charge, key: UnderKey) -> Result<Charged, QuotaError> {
        let charged = self.0.meter.charge_under_key(self.client(), &self.0.asked.route, charge).await;
        let answer = match charged {
            Ok(Keyed::UnderWay) => return Err(self.error(Cause::UnderWay)),
            Ok(Keyed::Decided(decision, trial)) => {
                // The handler has it.
                trial.into_iter().for_each(Trial::let_stand);
                Ok(decision)
            }
            Err(error) => Err(error),
        };
        self.concluded(answer, Some(key))
    }

    /// Records usage that has happened, without a check: it may lead into debt. Otherwise as [`RequestQuota::charge`].
    ///
    /// # Errors
    /// [`QuotaError`], never a denial. What was recorded stands, also where nobody knows whether it was.
    pub async fn record(&self, charge: impl Into<Charge> + Send) -> Result<Charged, QuotaError> {
        let (charge, key) = self.prepared(charge.into())?;
        let answer = self.meter().service.record(self.client(), charge).await;
        if key.is_some() && is_held(&answer) {
            // Another request's.
            return Err(self.error(Cause::UnderWay));
        }
        self.concluded(answer, key)
    }

    /// Sets credits aside until [`Held::settle`]. The hold is renewed for as long as the guard lives.
    ///
    /// What was held under the request's idempotency key and settled is not held again, also with [`OnReplay::Run`]: that
    /// is an error whose [`QuotaError::is_replay`] is true. A handler that stores its answers looks for one by
    /// [`RequestQuota::idempotency_id`] before it holds.
    ///
    /// # Errors
    /// As for [`RequestQuota::charge`].
    pub async fn hold(&self, charge: impl Into<Charge> + Send) -> Result<Held, QuotaError> {
        self.hold_for(charge, Ttl::DEFAULT).await
    }

    /// The same with another time to live than 5 minutes: how long the credits stay set aside if this process dies.
    ///
    /// # Errors
    /// As for [`RequestQuota::charge`].
    pub async fn hold_for(&self, charge: impl Into<Charge> + Send, ttl: Ttl) -> Result<Held, QuotaError> {
        let (charge, key) = self.prepared(charge.into())?;
        let is_made = charge.id().is_none();
        let held = match key {
            Some(_) => self.meter().hold_under_key(self.client(), charge, ttl).await,
            None => self.meter().service.hold(self.client(), charge, ttl).await.map(Some),
        };
        match held {
            Ok(Some(Holding::Held(guard) | Holding::Unchecked(guard))) => {
                self.note(guard.decision());
                let made = match key {
                    Some(_) => Made::of_hold(&guard),
                    None => is_made.then(|| Made::under(guard.id().clone())),
                };
                Ok(Held::new(guard.renewing(), self.clone(), key, made))
            }
            Ok(Some(Holding::Denied(denied))) => {
                self.note(&Decision::Denied(Denied::clone(&denied)));
                Err(self.error(Cause::Denied(denied)))
            }
            Ok(None) => Err(self.error(Cause::UnderWay)),
            // Whatever was held under the key was settled since, for what it did cost.
            Err(ServiceError::Refused(Refusal::IdConflict { is_held: false, .. })) if key.is_some() => {
                key.into_iter().for_each(UnderKey::use_up);
                Err(self.error(Cause::Replayed))
            }
            Err(error) => Err(self.failed(error, key)),
        }
    }

    /// Where the client's quotas stand, without a charge.
    ///
    /// # Errors
    /// [`QuotaError`], never a denial.
    pub async fn status(&self) -> Result<Status, QuotaError> {
        let status = self.meter().service.status(self.client()).await;
        status.map_err(|error| self.failed(error, None))
    }

    /// Writes the headers of the last decision, or of what was read in its place. Those of the layer around this one's give way.
    pub fn write(&self, headers: &mut impl HeadersMut) {
        if !self.0.is_superseded.load(Ordering::Relaxed) {
            self.0.shown.write(self.answers(), headers);
        }
        self.outer().into_iter().for_each(Self::supersede);
    }

    /// Writes the headers of a request that was charged before its handler ran, into what has answered it.
    pub fn answered(&self, status: StatusCode, headers: &mut impl HeadersMut) {
        if status == StatusCode::METHOD_NOT_ALLOWED {
            self.route().note_unhandled(&self.0.asked.method);
        }
        self.write(headers);
    }

    /// Whether the answer is not to say how long its body is, as after [`Held::settle_after`]: a server that knows it may ask
    /// for nothing behind the last byte, and the stream would not hear that it was read to its end.
    #[must_use]
    pub fn hides_length(&self) -> bool {
        self.0.is_streamed.load(Ordering::Relaxed)
    }

    /// Notes that the answer's body settles a hold when it has ended.
    pub(crate) fn note_streamed(&self) {
        self.0.is_streamed.store(true, Ordering::Relaxed);
    }

    /// A charge of this request's client and route that is not to stand.
    pub(crate) fn trial(&self, charge: Made) -> Trial {
        Trial::new(&self.0.meter, self.client(), &self.0.asked.route, charge)
    }

    /// Leaves the headers to a layer further in, which answers the request or refuses it.
    pub fn supersede(&self) {
        self.0.is_superseded.store(true, Ordering::Relaxed);
    }

    /// Notes those of the layer around this one's.
    pub fn lie_within(&self, outer: Self) {
        if !Arc::ptr_eq(&self.0, &outer.0) {
            // It is noted once, where this one's layer hands the request on.
            let _ = self.0.outer.set(outer);
        }
    }

    /// Those of the layer around this one's.
    pub(crate) fn outer(&self) -> Option<&Self> {
        self.0.outer.get()
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.0.meter
    }

    pub(crate) fn route(&self) -> &Route {
        &self.0.asked.route
    }

    pub(crate) fn cost(&self) -> CostMark {
        self.0.asked.cost
    }

    /// Whether this is what the request costs, and its entries' own label if there is one.
    pub(crate) fn is_charged_as<F: Framework>(&self, cost: &RouteCost<F>) -> bool {
        let asked = &self.0.asked;
        asked.cost == cost.mark() && asked.label.as_ref() == cost.label()
    }

    /// Notes that a handler answers this route and method.
    pub(crate) fn note_handled(&self) {
        self.route().note_handled(&self.0.asked.method);
    }

    /// Notes that a request of this route and method was passed on to another route.
    pub(crate) fn note_unsure(&self) {
        self.route().note_unsure(&self.0.asked.method);
    }

    /// Notes a decision that was made in this request.
    pub(crate) fn note(&self, decision: &Decision) {
        self.0.shown.set_decision(decision);
    }

    /// Notes that the service told nothing of quotas, where nothing was decided before.
    pub(crate) fn note_unknown(&self) {
        self.0.shown.set_unknown_if_nothing();
    }

    /// Notes that what was decided is not true any more, and that the service could not say what is.
    pub(crate) fn note_lost(&self) {
        self.0.shown.set_unknown();
    }

    /// Forgets what was decided: it was taken back.
    pub(crate) fn forget(&self) {
        self.0.shown.set_nothing();
    }

    /// Reads the status for the headers, where nothing was decided in the request.
    pub(crate) async fn read_status(&self) {
        if !self.0.shown.is_nothing() || self.0.is_superseded.load(Ordering::Relaxed) {
            return;
        }
        match self.meter().service.status(self.client()).await {
            Ok(status) => self.0.shown.set_status(status),
            Err(error) => {
                log(&error, self.client());
                self.note_unknown();
            }
        }
    }

    /// A charge under the route's label and the request's key, unless it says its own; and whether it is under the key.
    fn prepared(&self, mut charge: Charge) -> Result<(Charge, Option<UnderKey>), QuotaError> {
        if charge.id().is_some_and(is_reserved) {
            return Err(self.error(Cause::ReservedId));
        }
        if let (Some(label), None) = (self.0.asked.label(), charge.label()) {
            charge = charge.with_label(Label::clone(label));
        }
        let key = match (&self.0.asked.key, charge.id()) {
            (Some(id), None) => {
                let key = UnderKey::take(self);
                if key.is_some() {
                    charge = charge.with_id(id.clone());
                }
                key
            }
            _ => None,
        };
        Ok((charge, key))
    }

    /// Notes what was decided, for the headers.
    pub(crate) fn concluded(
        &self,
        answer: Result<Decision, ServiceError>,
        key: Option<UnderKey>,
    ) -> Result<Charged, QuotaError> {
        let decision = match answer {
            Ok(decision) => decision,
            Err(error) => return Err(self.failed(error, key)),
        };
        self.note(&decision);
        let is_under_key = key.is_some();
        // A denial leaves no trace, and the key free.
        if let Some(key) = key.filter(|_| !decision.is_denied()) {
            key.use_up();
        }
        match decision {
            Decision::Denied(denied) => Err(self.error(Cause::Denied(denied))),
            Decision::Allowed(allowed) if is_under_key && allowed.replayed() && self.refuses_replays() => {
                Err(self.error(Cause::Replayed))
            }
            Decision::Allowed(allowed) => Ok(Charged::Allowed(allowed)),
            Decision::Unchecked => Ok(Charged::Unchecked),
        }
    }

    fn refuses_replays(&self) -> bool {
        self.meter().keys.as_ref().is_none_or(|keys| keys.on_replay() == OnReplay::Refuse)
    }

    /// A failure. Where it is not known whether something was recorded, the next charge is made under the key as well, and
    /// then is this one.
    pub(crate) fn failed(&self, error: ServiceError, key: Option<UnderKey>) -> QuotaError {
        if !matches!(error, ServiceError::Refused(_)) {
            self.note_unknown();
        }
        match (error, key) {
            (ServiceError::Refused(Refusal::IdConflict { is_held, .. }), Some(key)) => {
                // Of another cost; while that is held only, nothing is charged under it.
                if !is_held {
                    key.use_up();
                }
                self.error(Cause::KeyConflict)
            }
            (error, _) => self.error(Cause::Failed(error)),
        }
    }

    /// Whether the key was free, which it is not any more.
    pub(crate) fn take_key(&self) -> bool {
        !self.0.is_key_used.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn free_key(&self) {
        self.0.is_key_used.store(false, Ordering::Relaxed);
    }

    pub(crate) fn error(&self, cause: Cause) -> QuotaError {
        QuotaError::new(cause, self.clone())
    }
}

impl fmt::Debug for RequestQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestQuota")
            .field("client", &self.0.client)
            .field("route", &self.route().pattern())
            .finish_non_exhaustive()
    }
}
