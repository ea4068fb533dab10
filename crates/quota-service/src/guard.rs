//! A hold in the hands of a caller.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use quota_core::{ClientId, Credits, Decision, Instant, Label, OperationId, Refusal, Ttl};
use tokio::task::AbortHandle;

use crate::claims::{Made, Parting};
use crate::error::{ServiceError, cause};

/// Credits that are set aside until their cost is known. Dropped, it releases them; that neither waits nor fails,
/// and at worst the hold's ttl ends it.
///
/// ```
/// # use quota_service::{Charge, ClientId, Credits, Holding, QuotaService, ServiceError, Settled, Ttl};
/// # async fn work() -> Credits { Credits::ONE }
/// # async fn handler<S: quota_service::UsageStore>(quotas: &QuotaService<S>, client: &ClientId) -> Result<(), ServiceError> {
/// let at_most = Credits::new(100).unwrap_or(Credits::MAX);
/// match quotas.hold(client, Charge::new(at_most), Ttl::DEFAULT).await? {
///     Holding::Held(guard) | Holding::Unchecked(guard) => {
///         let guard = guard.renewing();
///         let cost = work().await; // If this fails or is cancelled, the hold is released.
///         guard.settle(cost).await?;
///     }
///     Holding::Denied(denied) => println!("try again at {:?}", denied.retry_at()),
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a hold that is dropped is released"]
pub struct HoldGuard {
    seed: GuardSeed,
    decision: Decision,
    /// What becomes of the hold when this drops.
    parting: Parting,
    /// Whether a shutdown releases the hold as long as this lives.
    owes: Owes,
    renewal: Option<AbortHandle>,
}

/// Whether a shutdown releases a guard's hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owes {
    Nothing,
    /// If no other process was told of it.
    IfOnlyHere,
    Release,
}

/// What became of a hold that was asked for.
#[derive(Debug)]
pub enum Holding {
    /// The credits are set aside.
    Held(HoldGuard),
    /// They were not there. Nothing changed.
    Denied(quota_core::Denied),
    /// The store could not answer and the service fails open: nothing is set aside for sure, and settling records the
    /// cost if the store answers then. Under an id that was given it settles what is held under that, be it another process's: they
    /// are the same operation. To release it, or to drop it, ends only what was asked for here.
    Unchecked(HoldGuard),
}

/// How a hold was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The hold was active: its credits became an entry at the hold's instant. [`Decision::Unchecked`] where the store
    /// could not answer and the service fails open: the cost may not have been charged then.
    InTime(Decision),
    /// The hold had expired: the cost was recorded under its id all the same, now, and may have led into debt.
    Late(Decision),
}

/// What a guard is made of before it is known whether the hold is allowed.
#[derive(Clone)]
pub(crate) struct GuardSeed {
    pub(crate) ender: Arc<dyn HoldEnder>,
    pub(crate) client: ClientId,
    pub(crate) id: OperationId,
    pub(crate) credits: Credits,
    pub(crate) ttl: Ttl,
    pub(crate) label: Option<Label>,
    /// Whether the caller gave the id: another process may hold under it as well.
    pub(crate) is_given: bool,
    /// The present instant that it was asked for at, once it is; none where the caller gave one, which tells no two callers apart.
    /// Of all clones.
    pub(crate) asked_at: Arc<OnceLock<Instant>>,
}

/// What a guard does to its hold.
#[async_trait]
pub(crate) trait HoldEnder: Send + Sync {
    async fn settle(&self, seed: &GuardSeed, cost: Credits) -> Result<Settled, ServiceError>;
    /// Releases the hold.
    async fn release(&self, seed: &GuardSeed, made: Made) -> Result<Decision, ServiceError>;
    /// Extends the hold, or only the one of this instant.
    async fn extend(&self, seed: &GuardSeed, at: Option<Instant>, ttl: Ttl) -> Result<Decision, ServiceError>;
    /// Extends it by its own ttl, unless it lasts longer.
    async fn renew(&self, seed: &GuardSeed, at: Option<Instant>) -> Result<Decision, ServiceError>;
    /// Releases a hold of which nobody knows whether it was made, if no other process was told of it: its caller may have asked that one. Under
    /// an id that was given only if it is the one that was asked for, by its instant: it may be another's. Where the account's
    /// time is ahead of that, it is left to whoever asks again, or to its ttl.
    fn lost(&self, seed: GuardSeed);
    /// Notes that a guard lives, and what a shutdown releases for it.
    fn made(&self, seed: &GuardSeed, owes: Option<Made>);
    /// Notes that a shutdown releases something else for a guard.
    fn changed(&self, seed: &GuardSeed, before: Option<Made>, owes: Option<Made>);
    /// Notes that a guard of the hold of this instant is gone; releases what is owed then.
    fn dropped(&self, seed: &GuardSeed, owes: Option<Made>, parted: (Option<Instant>, Parting));
}

impl GuardSeed {
    /// In the hands of its caller.
    pub(crate) fn guard(self, decision: Decision) -> HoldGuard {
        let (parting, owes) = match (&decision, self.is_given, self.asked_at.get()) {
            (Decision::Unchecked, true, None) => (Parting::Disowned, Owes::Nothing),
            // What may have been made is left to its ttl.
            (Decision::Unchecked, true, Some(_)) => (Parting::Lost, Owes::Nothing),
            _ => (Parting::Owing, Owes::Release),
        };
        self.guard_that(decision, parting, owes)
    }

    /// Until its caller has it. One who is gone may have asked another process for the same, by the id that was given, or by the one that
    /// was made when it was told that it is not known: that one's is a hold that was there before, and one that was made here is not
    /// released once that was told of it.
    pub(crate) fn unreceived(self, decision: Decision) -> HoldGuard {
        let (parting, owes) = match &decision {
            Decision::Allowed(allowed) if allowed.replayed() => (Parting::Disowned, Owes::Nothing),
            _ => (Parting::Lost, Owes::IfOnlyHere),
        };
        self.guard_that(decision, parting, owes)
    }

    fn guard_that(self, decision: Decision, parting: Parting, owes: Owes) -> HoldGuard {
        let guard = HoldGuard { seed: self, decision, parting, owes, renewal: None };
        guard.seed.ender.made(&guard.seed, guard.owed());
        guard
    }
}

impl HoldGuard {
    /// Who pays.
    #[must_use]
    pub const fn client(&self) -> &ClientId {
        &self.seed.client
    }

    /// The hold's id, which becomes the entry's.
    #[must_use]
    pub const fn id(&self) -> &OperationId {
        &self.seed.id
    }

    /// What is set aside.
    #[must_use]
    pub const fn credits(&self) -> Credits {
        self.seed.credits
    }

    /// The decision with the state of every quota after the hold was made.
    pub const fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Extends the hold at half its ttl, again and again for as long as the guard lives, from a task on the current
    /// tokio runtime; where that fails, again after a sixteenth. A hold that was there before ([`quota_core::Allowed::replayed`]),
    /// or may have been, is extended at once. One that lasts longer, since it was extended or is another's too, is left as it is. Without a
    /// runtime it stays as it is.
    pub fn renewing(mut self) -> Self {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let seed = self.seed.clone();
            // One that was there before may be near its end, or shorter than was asked for.
            let is_new = matches!(&self.decision, Decision::Allowed(allowed) if !allowed.replayed());
            let first = if is_new { seed.ttl.duration() / 2 } else { Duration::ZERO };
            let renewal = runtime.spawn(renew(seed, self.made_at(), first)).abort_handle();
            if let Some(earlier) = self.renewal.replace(renewal) {
                earlier.abort();
            }
        }
        self
    }

    /// Lets the hold expire `ttl` from now.
    ///
    /// # Errors
    /// [`ServiceError`]: [`quota_core::Refusal::HoldNotActive`] where it expired before.
    pub async fn extend(&self, ttl: Ttl) -> Result<Decision, ServiceError> {
        self.seed.ender.extend(&self.seed, self.made_at(), ttl).await
    }

    /// Ends the hold and charges what it did cost, less or more than was held. A hold that has expired is recorded
    /// all the same under its id.
    ///
    /// Dropped before it was sent to the store, the hold is released; after that, it is settled, unless it had expired: then
    /// the cost is recorded in a second step, which is not made for a caller who is gone.
    ///
    /// # Errors
    /// [`ServiceError`]; the hold is then released, if it was not settled. The cost can be recorded under the hold's
    /// [`HoldGuard::id`] afterwards ([`crate::QuotaService::record`]) without charging it twice, as long as no pruning has folded
    /// its entry: that stands at the hold's instant, and [`crate::QuotaService::prune`] keeps a day.
    pub async fn settle(mut self, cost: Credits) -> Result<Settled, ServiceError> {
        let settled = self.seed.ender.settle(&self.seed, cost).await;
        // Unchecked, it may not have reached the store: the hold is then released, which a settled one is not.
        if settled.as_ref().is_ok_and(|settled| *settled.decision() != Decision::Unchecked) {
            self.parting = Parting::Ended;
        }
        settled
    }

    /// Ends the hold without a charge, and waits for that. It ends none that was made under the same id since this one has expired. One that is
    /// unchecked and whose id was given is ended only if it is the one that was asked for here: another process may hold under
    /// that id.
    ///
    /// # Errors
    /// [`ServiceError`]: [`quota_core::Refusal::HoldNotActive`] where it expired before, or was never made.
    pub async fn release(mut self) -> Result<Decision, ServiceError> {
        if self.parting == Parting::Disowned {
            return Err(Refusal::HoldNotActive { id: self.seed.id.clone() }.into());
        }
        let made = Made { at: self.at(), only_here: self.parting == Parting::Lost };
        let released = self.seed.ender.release(&self.seed, made).await;
        // Refused for another reason (a clock, a plan), it is still there, and is released when this drops.
        if let Ok(Decision::Allowed(_))
        | Err(ServiceError::Refused(Refusal::HoldNotActive { .. } | Refusal::UnknownClient)) = released
        {
            self.parting = Parting::Ended;
        }
        released
    }

    /// Leaves the hold to whoever settles or releases it by its id, or to its ttl.
    #[must_use]
    pub fn detach(mut self) -> OperationId {
        self.parting = Parting::Ended;
        self.seed.id.clone()
    }

    /// Leaves the hold to whoever else has a guard of it in this process, or had one: it was held under the same id
    /// before. Released it is when theirs drops, or if theirs has dropped.
    pub fn disown(mut self) {
        self.parting = Parting::Disowned;
    }
}

impl HoldGuard {
    /// The hold's instant; none where it is not known whether it was made.
    const fn made_at(&self) -> Option<Instant> {
        match &self.decision {
            Decision::Allowed(allowed) => Some(allowed.counted_at()),
            Decision::Denied(_) | Decision::Unchecked => None,
        }
    }

    /// The same, or the instant that it was asked for at; none under an id that was made, which is no other's.
    fn at(&self) -> Option<Instant> {
        self.made_at().or_else(|| self.seed.asked_at.get().copied().filter(|_| self.seed.is_given))
    }

    /// What a shutdown releases.
    fn owed(&self) -> Option<Made> {
        let only_here = match self.owes {
            Owes::Nothing => return None,
            Owes::IfOnlyHere => true,
            Owes::Release => false,
        };
        Some(Made { at: self.at(), only_here })
    }

    /// In the hands of its caller.
    pub(crate) fn received(mut self) -> Self {
        let before = self.owed();
        (self.parting, self.owes) = (Parting::Owing, Owes::Release);
        self.seed.ender.changed(&self.seed, before, self.owed());
        self
    }
}

/// After how much of the ttl an extension that failed is tried again.
const RETRY: u32 = 16;

/// But not sooner.
const SHORTEST: Duration = Duration::from_millis(50);

async fn renew(seed: GuardSeed, made_at: Option<Instant>, first: Duration) {
    let ttl = seed.ttl.duration();
    let mut pause = first;
    loop {
        tokio::time::sleep(pause).await;
        let extended = seed.ender.renew(&seed, made_at).await;
        pause = if matches!(extended, Ok(Decision::Allowed(_))) { ttl / 2 } else { (ttl / RETRY).max(SHORTEST) };
        if let Err(error) = extended {
            tracing::warn!(client = %seed.client, id = %seed.id, error = cause(&error), "a hold was not renewed");
            let is_gone =
                matches!(error, ServiceError::Refused(Refusal::HoldNotActive { .. } | Refusal::UnknownClient));
            if is_gone || matches!(error, ServiceError::ShutDown) {
                return;
            }
        }
    }
}

impl Drop for HoldGuard {
    fn drop(&mut self) {
        if let Some(renewal) = &self.renewal {
            renewal.abort();
        }
        self.seed.ender.dropped(&self.seed, self.owed(), (self.at(), self.parting));
    }
}

impl Settled {
    /// The decision with the state of every quota after settling.
    pub const fn decision(&self) -> &Decision {
        match self {
            Self::InTime(decision) | Self::Late(decision) => decision,
        }
    }

    /// Whether the hold had expired.
    #[must_use]
    pub const fn is_late(&self) -> bool {
        matches!(self, Self::Late(_))
    }
}

impl fmt::Debug for HoldGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HoldGuard")
            .field("client", &self.seed.client)
            .field("id", &self.seed.id)
            .field("credits", &self.seed.credits)
            .finish_non_exhaustive()
    }
}
