//! Credits that a handler has set aside.

use futures_core::Stream;
use quota_core::{Credits, Decision, OperationId, Refusal};
use quota_service::{HoldGuard, ServiceError, Settled};

use crate::metering::charged::Charged;
use crate::metering::quota_error::{Cause, QuotaError};
use crate::metering::request_quota::RequestQuota;
use crate::metering::settled_after::{OnDrop, SettledAfter};
use crate::metering::trial::Made;
use crate::metering::under_key::UnderKey;

/// Credits that a handler has set aside. Dropped (the handler fails, panics, is cancelled; a stream of its own that it was moved
/// into is not read to its end), they are released; with [`Held::settle_after`] that is as [`OnDrop`] says.
#[derive(Debug)]
#[must_use = "a hold that is dropped is released"]
pub struct Held {
    guard: HoldGuard,
    of: Request,
}

/// The request that holds. Dropped, after the hold's release, its idempotency key is free for its next charge.
#[derive(Debug)]
struct Request {
    quota: RequestQuota,
    /// What a settlement charges, where that is this request's alone.
    made: Option<Made>,
    /// If it is held under that; none once something is charged under it.
    key: Option<UnderKey>,
}

impl Request {
    /// The hold was not ended as was asked: what the headers would say of it is not true any more.
    async fn note_failed(&self, error: &ServiceError) {
        if let ServiceError::Refused(_) = error {
            self.quota.forget();
            self.quota.read_status().await;
        } else {
            self.quota.note_lost();
        }
    }

    /// Something is charged under the key, or is to be by somebody else.
    fn use_key_up(&mut self) {
        if let Some(key) = self.key.take() {
            key.use_up();
        }
    }
}

impl Held {
    pub(crate) const fn new(guard: HoldGuard, quota: RequestQuota, key: Option<UnderKey>, made: Option<Made>) -> Self {
        Self { guard, of: Request { quota, made, key } }
    }

    /// The decision with the state of every quota after the hold was made.
    pub const fn decision(&self) -> &Decision {
        self.guard.decision()
    }

    /// The hold's id, which becomes the entry's.
    #[must_use]
    pub const fn id(&self) -> &OperationId {
        self.guard.id()
    }

    /// What is set aside.
    #[must_use]
    pub const fn credits(&self) -> Credits {
        self.guard.credits()
    }

    /// Ends the hold and charges what it did cost, less or more than was held; the headers say what is true then. A hold
    /// that had expired is recorded all the same: [`Settled::Late`].
    ///
    /// # Errors
    /// [`QuotaError`], never a denial; the hold is then released, and the headers tell nothing of it. Of a hold without an id of
    /// one's own of which nobody knows whether it was settled ([`ServiceError::Unknown`]), the answer takes back what
    /// was, unless the hold had expired before; a handler that tries again under the hold's id does not answer with the error.
    pub async fn settle(mut self, cost: Credits) -> Result<Settled, QuotaError> {
        let settled = self.guard.settle(cost).await;
        match &settled {
            Ok(settled) => {
                self.of.use_key_up();
                self.of.quota.note(settled.decision());
            }
            Err(error) => self.of.note_failed(error).await,
        }
        settled.map_err(|error| {
            let made = self.of.made.take().filter(|_| matches!(error, ServiceError::Unknown { .. }));
            self.of.quota.error(Cause::Failed(error)).with_made(made)
        })
    }

    /// Ends the hold without a charge, and waits for that, so that the headers say so. A request's idempotency key, if it
    /// was held under that, is free again, also where this fails: nothing was charged under it.
    ///
    /// # Errors
    /// [`QuotaError`], never a denial; 409 where the hold had expired. A hold that was unchecked may never have been
    /// made: then there is nothing to release, and that is [`Charged::Unchecked`].
    pub async fn release(self) -> Result<Charged, QuotaError> {
        let Self { guard, of } = self;
        let unchecked = matches!(guard.decision(), Decision::Unchecked);
        let released = match guard.release().await {
            Err(ServiceError::Refused(Refusal::HoldNotActive { .. } | Refusal::UnknownClient)) if unchecked => {
                Ok(Decision::Unchecked)
            }
            released => released,
        };
        if let Err(error) = &released {
            of.note_failed(error).await;
        }
        of.quota.concluded(released, None)
    }

    /// A stream that passes this one on, adds up what its items cost, and settles the sum when it has ended: for a body that
    /// is streamed, whose cost is known last. The hold is renewed for as long as it lasts. Dropped before its end (the
    /// client has gone; or the stream has failed or panicked, after which no server asks it for more), it is as [`OnDrop`] says.
    ///
    /// The answer's headers, which were sent before, tell of the hold. What cannot be settled then is logged. A `Content-Length` that
    /// the handler gave is taken out where the server would not ask for more than that
    /// ([`RequestQuota::hides_length`]).
    ///
    /// ```
    /// # use futures_core::Stream;
    /// # use quota_http::{Held, OnDrop};
    /// # use quota_core::Credits;
    /// fn body(held: Held, tokens: impl Stream<Item = String>) -> impl Stream<Item = String> {
    ///     held.settle_after(tokens, |_| Credits::ONE, OnDrop::Settle) // a credit for each token
    /// }
    /// ```
    pub fn settle_after<S, C>(self, stream: S, cost: C, on_drop: OnDrop) -> SettledAfter<S, C>
    where
        S: Stream,
        C: FnMut(&S::Item) -> Credits,
    {
        SettledAfter::new(self, stream, cost, on_drop)
    }

    pub(crate) const fn quota(&self) -> &RequestQuota {
        &self.of.quota
    }

    /// Hands the hold over to whoever settles it after the answer, such as a task.
    pub fn into_guard(mut self) -> HoldGuard {
        self.of.use_key_up();
        self.guard
    }
}
