//! What of a request is not decided before its answer.

use http::StatusCode;
use quota_core::Refusal;
use quota_service::{HoldGuard, ServiceError};

use crate::metering::condition::Condition;
use crate::metering::meter::log;
use crate::metering::request_quota::RequestQuota;
use crate::metering::trial::{Made, Trial};
use crate::response::RefusalResponse;

/// What is still to be decided when a request's answer is there.
#[expect(clippy::large_enum_variant, reason = "there is one in a request, and it is moved twice")]
pub(crate) enum Stake {
    /// It is charged, unless the answer is 405.
    UnlessUnhandled(Trial),
    /// It is charged if the answer is one of these.
    OnStatus(Condition, Paid),
}

/// How the cost of a conditional charge was secured.
pub(crate) enum Paid {
    Held(HoldGuard),
    Charged(Trial),
    /// A replay: it is paid already, and runs once more.
    Before,
}

impl Stake {
    /// Settles what is open, as the answer says.
    ///
    /// # Errors
    /// The answer in place of the handler's, where what it owes cannot be charged.
    pub(crate) async fn conclude(self, status: StatusCode, quota: &RequestQuota) -> Result<(), RefusalResponse> {
        let is_unhandled = status == StatusCode::METHOD_NOT_ALLOWED;
        match self {
            Self::UnlessUnhandled(trial) => {
                if is_unhandled && trial.take_back().await {
                    quota.forget();
                }
                Ok(())
            }
            Self::OnStatus(_, Paid::Before) => Ok(()),
            Self::OnStatus(condition, paid) if !is_unhandled && condition.holds(status) => paid.keep(quota).await,
            Self::OnStatus(_, paid) => {
                paid.give_back(quota).await;
                if is_unhandled {
                    quota.forget();
                } else {
                    // Nothing to tell of, or what was released with a plan that has gone: then the status says it.
                    quota.read_status().await;
                }
                Ok(())
            }
        }
    }

    /// Gives back what was charged or held: nothing of it was asked for. Whether it was; what was not stays charged.
    pub(crate) async fn give_back(self, quota: &RequestQuota) -> bool {
        match self {
            Self::UnlessUnhandled(trial) | Self::OnStatus(_, Paid::Charged(trial)) => {
                trial.take_back_or_let_stand().await
            }
            // A hold that is not released expires.
            Self::OnStatus(_, paid) => {
                paid.give_back(quota).await;
                true
            }
        }
    }
}

impl Paid {
    async fn keep(self, quota: &RequestQuota) -> Result<(), RefusalResponse> {
        match self {
            Self::Held(guard) => {
                let cost = guard.credits();
                let under_key = quota.idempotency_id().map(|_| Made::of_hold(&guard));
                match guard.settle(cost).await {
                    Ok(settled) => quota.note(settled.decision()),
                    Err(error) => {
                        log(&error, quota.client());
                        if let ServiceError::Unknown { id, .. } = &error {
                            // It is told that it was not metered: dropped, it is taken back.
                            let made = under_key.unwrap_or_else(|| id.clone().map(Made::under));
                            drop(made.map(|made| quota.trial(made)));
                        }
                        return Err(quota.answers().failed(&error));
                    }
                }
            }
            Self::Charged(mut trial) => trial.disarm(),
            Self::Before => {}
        }
        Ok(())
    }

    async fn give_back(self, quota: &RequestQuota) {
        match self {
            Self::Held(guard) => match guard.release().await {
                // Where the handler was denied, its answer says when to come again: that is not what the release would say.
                Ok(_) if quota.decision().is_some_and(|decision| decision.is_denied()) => {}
                Ok(decision) => quota.note(&decision),
                Err(ServiceError::Refused(Refusal::HoldNotActive { .. } | Refusal::UnknownClient)) => quota.forget(),
                Err(error) => {
                    log(&error, quota.client());
                    quota.note_lost();
                }
            },
            Self::Charged(trial) => {
                if trial.take_back().await {
                    quota.forget();
                }
            }
            Self::Before => {}
        }
    }
}
