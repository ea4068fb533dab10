//! Batches on accounts that were kept: decided before the server is asked, and written in one round trip if they still stand.

use std::collections::HashSet;
use std::sync::Arc;

use quota_core::{Account, ClientId, Fact, Need, Operation, OperationId, Terms};
use quota_service::{Answers, ClientRequests, ClientTurn, Step};

use crate::failure::{Failure, Undone};
use crate::rows::{AccountRow, Stored};
use crate::server::batch::Applying;
use crate::server::engine::{Engine, Link};
use crate::server::over::{Over, Seen};
use crate::server::pool::{Purpose, Session};
use crate::server::rounds::Client;

/// An account that this store has read or written, for the next batch of its client.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) stored: Stored,
    pub(crate) seen: Seen,
    pub(crate) care: Care,
}

/// How much is expected of a kept account: each time that it was in vain it is left alone twice as long. A client that several
/// processes charge costs a round trip in vain for every 64 transactions, and one that this process alone charges gets a round trip
/// less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Care {
    /// So many transactions more read the account.
    pause: u8,
    /// How many that were after the last time in vain.
    penalty: u8,
    /// A batch on it was not written, for its sake or another's: what was seen is all that is left of it.
    is_suspect: bool,
}

impl Care {
    const MOST: u8 = 64;

    /// A transaction has read the account; whether it was as this store had it, and as it took it to be.
    pub(crate) fn read(self, as_expected: bool) -> Self {
        match (self.is_suspect, as_expected) {
            (false, _) => Self { pause: self.pause.saturating_sub(1), ..self },
            (true, true) => Self { is_suspect: false, ..self },
            (true, false) => {
                let penalty = self.penalty.saturating_mul(2).clamp(1, Self::MOST);
                Self { pause: penalty, penalty, is_suspect: false }
            }
        }
    }

    pub(super) const fn stood(self) -> Self {
        Self { penalty: self.penalty / 2, ..self }
    }

    pub(super) const fn suspect(self) -> Self {
        Self { is_suspect: true, ..self }
    }

    pub(super) const fn is_to_be_read(self) -> bool {
        self.is_suspect || self.pause > 0
    }
}

impl AsRef<Account> for Kept {
    fn as_ref(&self) -> &Account {
        &self.stored.account
    }
}

impl<E: Engine> Applying<E> {
    /// Runs these clients' requests on their accounts as this store has them, and writes in one round trip what comes of it;
    /// whether that was possible. Else nothing was done, and the answers are to be given anew.
    pub(super) async fn on_kept(&self, clients: &[ClientRequests<'_>], answers: &mut Answers) -> Result<bool, Undone> {
        if !E::Link::WRITES_OVER || !clients.iter().all(is_plain) {
            return Ok(false);
        }
        let Some(mut kept) = self.take_all(clients) else { return Ok(false) };
        let session = self.connections.session(Purpose::Brief).await.map_err(Undone::NotDone)?;
        if !session.is_fresh() {
            // What is sent with its commit on a connection that is lost may have been done; what only locks was not.
            session.unused();
            kept.into_iter().for_each(|kept| self.keep(kept));
            return Ok(false);
        }
        let mut over = Over::default();
        for (kept, requests) in kept.iter_mut().zip(clients) {
            if !kept.decide(*requests, self.terms, &mut over, answers) {
                session.unused();
                return Ok(false);
            }
        }
        match self.write_over(session, &over).await {
            Ok(()) => {
                kept.into_iter().for_each(|kept| self.keep(Kept { care: kept.care.stood(), ..kept }));
                Ok(true)
            }
            Err(Undone::NotDone(_)) => {
                let mut before = over.before.into_iter().peekable();
                for Kept { seen, care, .. } in kept {
                    let seen = before.next_if(|before| before.client == seen.client).unwrap_or(seen);
                    self.keep(Kept { stored: Stored::default(), seen, care: care.suspect() });
                }
                Ok(false)
            }
            Err(undone) => Err(undone),
        }
    }

    /// The kept accounts of all these clients; none where one is not kept or is to be read.
    fn take_all(&self, clients: &[ClientRequests<'_>]) -> Option<Vec<Kept>> {
        let mut all = Vec::with_capacity(clients.len());
        for requests in clients {
            let kept = self.kept.take(requests.client());
            let stands = kept.as_ref().is_some_and(|kept| !kept.care.is_to_be_read());
            all.extend(kept);
            if !stands {
                all.into_iter().for_each(|kept| self.keep(kept));
                return None;
            }
        }
        Some(all)
    }

    /// Keeps an account that a transaction has read, and maybe written; not one in whose way there are rows to be taken out.
    pub(super) fn keep_read(&self, client: Client<'_>) {
        let Client { requests, stored, row, care, .. } = client;
        if let (Some((document, labels)), None) = (row, stored.standing.left) {
            let folded_until = stored.standing.folded_until.millis();
            let seen = Seen { client: requests.client().clone(), document, labels, folded_until };
            self.keep(Kept { stored, seen, care });
        }
    }

    fn keep(&self, kept: Kept) {
        let client = kept.seen.client.clone();
        self.kept.put(&client, kept);
    }

    async fn write_over(&self, mut session: Session<E>, over: &Over) -> Result<(), Undone> {
        let link = session.link().map_err(|error| Undone::NotDone(error.into()))?;
        let late = |error| match over.changes.is_empty() {
            true => Undone::NotDone(Failure::Late),
            false => Undone::Unknown(Arc::new(error)),
        };
        let done = self.connections.timely(link.write_over(over)).await.map_err(late)?;
        if matches!(done, Ok(()) | Err(Undone::NotDone(Failure::Overtaken))) {
            session.ended();
        }
        done
    }

    /// What is to be thought of a kept account whose row a transaction has read, and found entries under the ids that were looked
    /// up or none.
    pub(super) fn care_of(&self, client: &ClientId, row: Option<&AccountRow>, finds_entries: bool) -> Care {
        let Some(kept) = self.kept.take(client) else { return Care::default() };
        let is_as_seen = row.is_some_and(|(document, folded_until, labels, ..)| {
            (document, folded_until, labels) == (&kept.seen.document, &kept.seen.folded_until, &kept.seen.labels)
        });
        kept.care.read(is_as_seen && !finds_entries)
    }
}

impl Kept {
    /// Runs a client's requests and takes what they write; whether they needed nothing but to know which ids are there. Those
    /// are taken for absent.
    fn decide(&mut self, requests: ClientRequests<'_>, terms: Terms, over: &mut Over, answers: &mut Answers) -> bool {
        let Stored { account, standing, labels } = &mut self.stored;
        let terms = Terms { folded_until: standing.folded_until, ..terms };
        let mut turn = ClientTurn::new(account, terms, requests);
        let mut absent: Vec<OperationId> = Vec::new();
        let mut needs = requests.foresee();
        let writes = loop {
            for need in needs {
                let Need::Entry(id) = &need else { return false };
                absent.push(id.clone());
                turn.learn(need, Fact::Entry(None));
            }
            needs = match turn.step() {
                Step::Read(needs) => needs,
                Step::Write(_) => return false,
                Step::Done(writes) => break writes,
            };
        };
        if writes.plan.is_some() || writes.removal.is_some() {
            return false;
        }
        let client = requests.client();
        let added: HashSet<&OperationId> = writes.entries.iter().filter_map(|entry| entry.id.as_ref()).collect();
        absent.retain(|id| !added.contains(id));
        over.absent.extend(absent.into_iter().map(|id| (client.clone(), id)));
        for entry in &writes.entries {
            over.changes.add_entry(client, entry, labels);
        }
        if writes.account {
            let (document, labels) = (turn.account().to_document(), labels.to_document());
            let now = Seen { client: client.clone(), document, labels, folded_until: self.seen.folded_until };
            over.changes.accounts.push(now.row());
            over.before.push(std::mem::replace(&mut self.seen, now));
        } else {
            over.confirmed.push(self.seen.clone());
        }
        turn.answer(answers);
        true
    }
}

/// Whether these requests do no more than to charge: what else there is, is rare, and reads or takes out rows.
pub(super) fn is_plain(requests: &ClientRequests<'_>) -> bool {
    requests.iter().all(|(_, request)| {
        matches!(
            request.operation,
            Operation::Charge { .. }
                | Operation::Record { .. }
                | Operation::Hold { .. }
                | Operation::Extend { .. }
                | Operation::Settle { .. }
                | Operation::Release { .. }
                | Operation::Status
        )
    })
}

#[cfg(test)]
mod tests {
    use quota_core::{Credits, EntryId, Plan, PlanCheck, Window};
    use quota_service::{Batch, ClientId, PlanStamp, PlanView, Request};

    use super::*;
    use crate::prefix::TablePrefix;
    use crate::server::{ServerBuilder, ServerStore};
    use crate::statement::Sql;

    fn request(client: &str, operation: Operation) -> Request {
        let plan =
            PlanView { plan: Some(Arc::new(Plan::default())), check: PlanCheck::Any, stamp: PlanStamp::lasting(0) };
        let at = "2024-03-15T12:00:00Z".parse().unwrap();
        Request { client: ClientId::new(client).unwrap(), operation, at, asked: at, plan }
    }

    fn record(id: Option<&str>) -> Operation {
        let id = id.map_or(EntryId::Absent, |id| EntryId::Given(OperationId::new(id).unwrap()));
        Operation::Record { credits: Credits::ONE, id, label: None }
    }

    /// Whether it was done on the account as it is kept.
    async fn on_kept<E: Engine>(store: &ServerStore<E>, operation: Operation) -> bool {
        all_on_kept(store, vec![request("a", operation)]).await
    }

    async fn all_on_kept<E: Engine>(store: &ServerStore<E>, requests: Vec<Request>) -> bool {
        let batch = Batch::new(requests);
        let clients: Vec<_> = batch.clients().collect();
        let mut answers = batch.answers();
        let done = store.applying.on_kept(&clients, &mut answers).await.unwrap();
        assert!(!done || answers.finish().iter().all(Result::is_ok));
        done
    }

    async fn apply<E: Engine>(store: &ServerStore<E>, operation: Operation) {
        store.apply(vec![request("a", operation)]).await.remove(0).unwrap();
    }

    async fn total<E: Engine>(store: &ServerStore<E>) -> i64 {
        store.total(&ClientId::new("a").unwrap(), Window::ALL).await.unwrap().micros() / Credits::ONE.micros()
    }

    #[cfg(feature = "postgres")]
    #[tokio::test]
    async fn accounts_are_written_over_while_nobody_else_writes() {
        let Some(url) = quota_servers::url(quota_servers::Server::Postgres) else { return };
        let prefix = TablePrefix::new(&format!("t{:08x}_", fastrand::u32(..))).unwrap();
        let connect = async || {
            ServerBuilder::<crate::postgres::engine::Postgres>::new(&url)
                .with_prefix(prefix.clone())
                .connect()
                .await
                .unwrap()
        };
        let (store, other) = (connect().await, connect().await);
        assert!(!on_kept(&store, record(None)).await, "nothing is kept");
        apply(&store, record(Some("first"))).await;
        for operation in [record(None), record(Some("second")), Operation::Status] {
            assert!(on_kept(&store, operation).await);
        }
        assert_eq!(total(&store).await, 3);
        apply(&other, record(None)).await;
        for _ in 0..2 {
            assert!(!on_kept(&store, record(None)).await);
            assert_eq!(total(&store).await, 4, "nothing was done");
            apply(&store, Operation::Status).await;
        }
        assert!(on_kept(&store, record(None)).await);
        let void = Operation::Void { id: OperationId::new("second").unwrap(), at: None };
        assert!(!on_kept(&store, void).await);
        assert!(on_kept(&store, record(None)).await, "it is still kept");
        // The id is there, and nobody else has written.
        assert!(!on_kept(&store, record(Some("second"))).await);
        assert_eq!(total(&store).await, 6);
        // Another's fault is not its neighbour's.
        let both = || ["a", "b"].map(|client| request(client, record(None))).to_vec();
        for _ in 0..4 {
            store.apply(both()).await;
        }
        assert!(all_on_kept(&store, both()).await);
        apply(&other, record(None)).await;
        assert!(!all_on_kept(&store, both()).await);
        store.apply(both()).await;
        assert!(all_on_kept(&store, vec![request("b", record(None))]).await);
        assert!(!on_kept(&store, record(None)).await);
        assert_eq!(total(&store).await, 13);
        let mut session = store.applying.connections.session(Purpose::Brief).await.unwrap();
        let drop = prefix.fill("DROP TABLE {p}schema, {p}accounts, {p}entries, {p}quarters, {p}plans");
        session.link().unwrap().execute(&Sql::new(&drop), &[]).await.unwrap();
    }

    #[test]
    fn what_is_in_vain_again_and_again_is_tried_once_in_64_times() {
        let mut care = Care::default();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            care = care.suspect().read(false);
            let mut reads = 0;
            while care.is_to_be_read() {
                (care, reads) = (care.read(false), reads + 1);
            }
            pauses.push(reads);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        // It was another's fault.
        assert!(!care.suspect().read(true).is_to_be_read());
        for _ in 0..7 {
            care = care.stood();
        }
        assert_eq!(care, Care::default());
    }
}
