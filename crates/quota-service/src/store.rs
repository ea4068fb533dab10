//! The contract of a store.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use quota_core::{
    Answer, ClientId, Credits, DayUsage, Decision, Detail, Entry, GroupBy, Instant, Label, Operation, Plan, PlanCheck,
    PlanVersion, Tz, Window,
};

use crate::receipt::Receipt;
use crate::store_error::StoreError;

/// Keeps accounts and ledgers, and applies operations to them, each client's atomically and in order.
///
/// A store knows nothing of quotas: it reads an account, lets a [`quota_core::Turn`] decide, and writes what
/// the turn says in one step. What it promises, each promise a case of the conformance suite:
///
/// 1. **Atomic.** An operation and everything it writes (account, entries, sums, plan) happens whole or not at
///    all, whatever other processes do with the same client and wherever this one is killed.
/// 2. **Durable before answered.** What `apply` answers has been written as durably as the store promises.
/// 3. **Verified.** No answer is computed from an account that another process may have changed in between:
///    a denial, a replay or a status is answered from the state that a commit would have confirmed.
/// 4. **Ordered.** Requests of one client in one batch run in the order of the batch.
/// 5. **Separate.** One client's fault (an overflow, a corrupt document) is that client's error; the batch goes
///    on without it. Clients are told apart by bytes.
/// 6. **No trace.** A request that changes nothing writes nothing; an unknown client leaves no row.
/// 7. **Told apart.** An error says whether nothing happened ([`StoreError::NotDone`]) or that it is not known
///    ([`StoreError::Unknown`]).
///
/// Dropping a future that `apply` returned may leave its batch done or not done, never half done; the service
/// does not drop it: a batch runs to its end in a task of the lane.
///
/// Methods that carry a guarantee have no default body. Use [`crate::AnyStore`] to choose a store at run time.
pub trait UsageStore: Send + Sync + 'static {
    /// How the service is to call [`UsageStore::apply`].
    fn dispatch(&self) -> Dispatch;

    /// How much the ledger remembers.
    fn detail(&self) -> Detail;

    /// Answers a plain charge at once, if the store can do so without waiting: it holds the account in memory and
    /// has the plan at hand that `plans` asks for. None means: go through [`UsageStore::apply`]; nothing happened.
    /// Stores that do I/O return None. Not asked where operations are [`Dispatch::Batched`].
    fn charge_now(&self, charge: &PlainCharge<'_>) -> Option<Decision>;

    /// Whether a client's account is thought to be held by somebody. The service then sends its requests in batches of
    /// their own, as those of a hot client (see [`Dispatch`]): others of its batch would wait for it. Asked for each request of a
    /// batch; never, by default.
    fn is_held(&self, client: &ClientId) -> bool {
        let _ = client;
        false
    }

    /// Applies a batch. The answers stand in the order of the requests, one for each.
    fn apply(&self, batch: Vec<Request>) -> impl Future<Output = Vec<Result<Answer, StoreError>>> + Send;

    /// The same, of a batch whose receipt says later that its answers were received: for a store that can spare itself what nobody
    /// can ask for then. The service calls this; by default the receipt is not looked at. A store that hands batches on to another, and may answer
    /// otherwise than that, gives it a receipt of its own, or none.
    fn apply_with_receipt(
        &self,
        batch: Vec<Request>,
        receipt: &Receipt,
    ) -> impl Future<Output = Vec<Result<Answer, StoreError>>> + Send {
        let _ = receipt;
        self.apply(batch)
    }

    /// The sum of a client's entries in a range.
    ///
    /// # Errors
    /// [`quota_core::Refusal::RangeNotAligned`] where the range cuts a quarter whose entries are not kept.
    fn total(&self, client: &ClientId, range: Window) -> impl Future<Output = Result<Credits, StoreError>> + Send;

    /// A client's usage by local calendar day, days without entries left out, ascending.
    ///
    /// # Errors
    /// As for [`UsageStore::total`].
    fn daily(
        &self,
        client: &ClientId,
        query: &DailyQuery,
    ) -> impl Future<Output = Result<Vec<DayUsage>, StoreError>> + Send;

    /// A client's entries in a range, ascending by instant, a page at a time; with quarters there are none.
    ///
    /// # Errors
    /// [`quota_core::Refusal::InvalidCursor`] where `after` is not a page's `next`.
    fn entries(
        &self,
        client: &ClientId,
        query: &EntriesQuery,
    ) -> impl Future<Output = Result<EntriesPage, StoreError>> + Send;

    /// Clients that have an account or a stored plan, ascending by bytes, a page at a time.
    fn clients(&self, query: &ClientsQuery) -> impl Future<Output = Result<Vec<ClientId>, StoreError>> + Send;

    /// Folds entries before `before` (rounded down to a quarter) into their quarters' sums, and forgets ids that
    /// are no longer remembered. Gives no credits back. Safe to run at any time, from any number of processes. Ranges are
    /// cut to quarters only where entries were folded.
    fn prune(&self, before: Instant) -> impl Future<Output = Result<Pruned, StoreError>> + Send;

    /// Takes out the rows of this client's large deletions, in steps that let others through. A deletion is whole when
    /// [`UsageStore::apply`] has answered it: what it leaves to be taken out is seen by nobody. The service calls this
    /// after a deletion, and a pruning does it for all clients, so what a killed process left is found. Does nothing by
    /// default: for stores that take everything out at once.
    fn finish_deletion(&self, client: &ClientId) -> impl Future<Output = Result<(), StoreError>> + Send {
        let _ = client;
        std::future::ready(Ok(()))
    }

    /// The store server's own time, for a store that is not in this process's machine; none for one that is.
    fn server_time(&self) -> impl Future<Output = Result<Option<Instant>, StoreError>> + Send;

    /// Whether the store can answer now, asked of the store itself and not of a cache.
    fn health(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Keeps plans beside the accounts: read here, written by [`Operation::SetPlan`] and [`Operation::RemovePlan`] in
/// one step with the account's version.
#[async_trait]
pub trait PlanStore: Send + Sync + 'static {
    /// The plan of a client and its version, read in one step.
    async fn stored_plan(&self, client: &ClientId) -> Result<StoredPlan, StoreError>;
}

/// How a store wants its operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatch {
    /// One by one, from the caller's own task: `apply` is ready when it is first polled.
    Direct,
    /// In batches. Operations of one client always come through the same lane, one batch at a time; while one is in
    /// flight the next gathers.
    Batched {
        /// How many batches may be in flight at once.
        lanes: NonZeroUsize,
        /// The greatest number of requests in a batch.
        max_batch: NonZeroUsize,
        /// A client with so many requests in a batch, beside others, is sent in batches of its own beside its lane's, one
        /// at a time: where its lock or its conflicts make it wait, nobody else does. So is a client whose account
        /// [`UsageStore::is_held`]. None where neither is to be looked at.
        hot: Option<NonZeroUsize>,
    },
}

/// One operation on one client.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whose account.
    pub client: ClientId,
    /// What is asked.
    pub operation: Operation,
    /// The caller's instant.
    pub at: Instant,
    /// The present when it was asked, and so `at` itself unless the caller gave one. An id that is to be remembered for some time is
    /// so from then on, however long past its entry is.
    pub asked: Instant,
    /// The client's plan, as the service knows it.
    pub plan: PlanView,
}

/// A client's plan as the service knows it.
#[derive(Clone, Debug)]
pub struct PlanView {
    /// The plan; none if the client has none.
    pub plan: Option<Arc<Plan>>,
    /// Whether the account has to agree.
    pub check: PlanCheck,
    /// What a store that answers [`UsageStore::charge_now`] may keep with the account.
    pub stamp: PlanStamp,
}

/// How long a plan that is not the store's own may be used without asking again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanStamp {
    /// Names the source that it was read from and its generation then.
    pub generation: u64,
    /// When it was asked for, by the caller's clock. That clock may be set back: before this instant nothing tells how old
    /// the plan is, and it has to be asked again.
    pub asked_at: Instant,
    /// The first instant of the caller's clock at which it has to be asked again.
    pub fresh_until: Instant,
}

impl PlanStamp {
    /// Of a plan that may be used for the operation that it comes with, and never again.
    pub const ONCE: Self = Self { generation: 0, asked_at: Instant::MAX, fresh_until: Instant::MIN };

    /// Of a plan that may be used for as long as its source is in this generation.
    #[must_use]
    pub const fn lasting(generation: u64) -> Self {
        Self { generation, asked_at: Instant::MIN, fresh_until: Instant::MAX }
    }

    /// Whether the plan may be used at this instant of the caller's clock without asking again, if its source is in the
    /// same generation.
    #[must_use]
    pub fn is_fresh(&self, at: Instant) -> bool {
        self.asked_at <= at && at < self.fresh_until
    }
}

/// Which plan a [`PlainCharge`] is to be decided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlansNow {
    /// The one that the store keeps.
    Stored,
    /// One that was given with a [`PlanStamp`] of this generation and is still fresh.
    Source {
        /// Names the source and its present generation.
        generation: u64,
    },
}

/// A charge without an id.
#[derive(Clone, Copy, Debug)]
pub struct PlainCharge<'a> {
    /// Who pays.
    pub client: &'a ClientId,
    /// How much.
    pub credits: Credits,
    /// What for.
    pub label: Option<&'a Label>,
    /// The caller's instant.
    pub at: Instant,
    /// By which plan.
    pub plans: PlansNow,
}

/// A plan as a store keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredPlan {
    /// The plan; none if the client has none.
    pub plan: Option<Arc<Plan>>,
    /// The version that the account carries; none if there is no plan.
    pub version: Option<PlanVersion>,
}

/// Which days are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyQuery {
    /// Half-open.
    pub range: Window,
    /// Whose calendar cuts the days.
    pub zone: Tz,
    /// Whether labels are told apart.
    pub by: GroupBy,
}

/// Which entries are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntriesQuery {
    /// Half-open.
    pub range: Window,
    /// The `next` of the page before of the same range; none for the first page. A store answers others with
    /// [`quota_core::Refusal::InvalidCursor`], as far as it can tell them.
    pub after: Option<String>,
    /// The greatest number of entries, at least 1.
    pub limit: usize,
}

/// A page of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntriesPage {
    /// Ascending by instant.
    pub entries: Vec<Entry>,
    /// What to ask the next page with; none after the last.
    pub next: Option<String>,
}

/// Which clients are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientsQuery {
    /// Only clients that begin with these bytes; empty for all.
    pub prefix: String,
    /// Only clients after this one.
    pub after: Option<ClientId>,
    /// The greatest number of clients, at least 1.
    pub limit: usize,
}

impl ClientsQuery {
    /// The first text in byte order that comes after every text with this prefix; none where none does.
    #[must_use]
    pub fn end(&self) -> Option<String> {
        let mut rest = self.prefix.clone();
        while let Some(last) = rest.pop() {
            // The order of UTF-8 is the order of code points; surrogates are none.
            if let Some(next) = (last..=char::MAX).nth(1) {
                rest.push(next);
                return Some(rest);
            }
        }
        None
    }
}

/// What a pruning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Entries that are only in their quarters' sums now.
    pub entries: u64,
    /// Ids that are no longer remembered.
    pub ids: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_after_a_prefix_is_the_next_code_point() {
        for (prefix, after) in [
            ("a", Some("b")),
            ("az", Some("a{")),
            ("a\u{7f}", Some("a\u{80}")),
            ("\u{d7ff}", Some("\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
            ("", None),
        ] {
            assert_eq!(
                ClientsQuery { prefix: prefix.to_owned(), ..ClientsQuery::default() }.end().as_deref(),
                after,
                "{prefix:?}"
            );
        }
    }
}
