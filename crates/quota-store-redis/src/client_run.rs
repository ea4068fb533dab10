//! One client's requests, run until they are answered.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, try_join};
use parking_lot::Mutex;
use quota_core::{ClientId, Detail, Operation, OperationId};
use quota_service::{Answers, ClientRequests, HeldClients, KeptAccounts, Patience, Receipt, RoomForIds, StoreError};

use crate::at_version::AtVersion;
use crate::attempt::{Attempt, Ended, lasting_ids};
use crate::call_error::CallError;
use crate::dead_entries::{DeadEntries, no_request};
use crate::entry_text::corrupt;
use crate::facts::KnownIds;
use crate::gathering::Gathering;
use crate::keys::ClientKeys;
use crate::link::Wire;
use crate::listener::Listener;
use crate::script::{Call, Changed, CommitScript, Outcome, UNREAD};
use crate::server;
use crate::settings::Settings;
use crate::standing::Standing;
use crate::store::RedisStore;
use crate::stored::Stored;
use crate::used;

/// One client's requests, run until they are answered: on the kept account at its version, and again from the account
/// as the script answers it where another process was quicker.
pub(crate) struct ClientRun<'a> {
    pub(crate) gathering: &'a Gathering<'a>,
    /// For long answers, which delay no commit there.
    reading: &'a Wire,
    /// What is read there was found at another version: it may lead to another server than commits do.
    reads_on_one_wire: AtomicBool,
    pub(crate) listener: &'a Listener,
    patience: Patience,
    /// There are no other clients in the batch.
    pub(crate) is_alone: bool,
    receipt: Option<&'a Receipt>,
    pub(crate) settings: &'a Settings,
    pub(crate) script: &'a CommitScript,
    pub(crate) kept: &'a KeptAccounts<Box<Stored>>,
    held: &'a HeldClients,
    room_for_ids: &'a RoomForIds,
    /// Its list has not said that the client stands there.
    is_unlisted: AtomicBool,
    pub(crate) client: &'a ClientId,
    pub(crate) keys: ClientKeys,
    /// With quarters, ids that look like made ones and are kept as given ones are.
    pub(crate) lasting: HashSet<OperationId>,
}

/// So long is worth a batch of its own: turns that change are mostly quicker.
const LONG_TURN: Duration = Duration::from_millis(5);

/// What is known of an account that requests are begun with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// It was read after they were asked.
    Fresh,
    /// This store has kept it.
    Kept,
    /// It was this store's turn. What is told then may have been a while on its way.
    InTurn,
}

impl<'a> ClientRun<'a> {
    pub(crate) fn new(
        store: &'a RedisStore,
        gathering: &'a Gathering<'a>,
        requests: ClientRequests<'a>,
        is_alone: bool,
        receipt: Option<&'a Receipt>,
    ) -> Self {
        let RedisStore { settings, link, script, kept, held, room_for_ids, .. } = store;
        let (client, listener, reading) =
            (requests.client(), &link.listener, link.for_reading_in_batch(gathering.wire()));
        let lasting = if settings.detail == Detail::Quarters { lasting_ids(requests) } else { HashSet::new() };
        let (keys, patience) = (settings.prefix.client(client), Patience::new(settings.patience));
        let [reads_on_one_wire, is_unlisted] = [AtomicBool::new(false), AtomicBool::new(false)];
        Self {
            gathering,
            reading,
            reads_on_one_wire,
            listener,
            patience,
            is_alone,
            receipt,
            settings,
            script,
            kept,
            held,
            room_for_ids,
            is_unlisted,
            client,
            keys,
            lasting,
        }
    }

    /// What is seldom waited for is boxed, here and in an attempt: a batch has such a future for each of its clients.
    pub(crate) async fn answer(&self, requests: ClientRequests<'_>, answers: &Mutex<Answers>) {
        let mut kept = self.kept.take(self.client);
        if let Some(kept) = &mut kept {
            kept.settle();
        }
        let is_cold = kept.is_none();
        let (stored, known) = match self.begin(kept, requests).await {
            Ok(begun) => begun,
            Err(error) => return answers.lock().fail(requests, || error.again()),
        };
        let may_be_unlisted = is_cold && !stored.state.is_absent();
        if may_be_unlisted {
            Box::pin(join(self.run(stored, known, requests, answers), self.list_again())).await;
        } else {
            self.run(stored, known, requests, answers).await;
        }
        if self.is_unlisted.load(Ordering::Relaxed) {
            // With the next batch it is read again, and listed.
            drop(self.kept.take(self.client));
        }
    }

    /// The account as this store keeps it, if it may begin with that; else as it is now.
    async fn begin(
        &self,
        kept: Option<Box<Stored>>,
        requests: ClientRequests<'_>,
    ) -> Result<(Box<Stored>, Freshness), StoreError> {
        let Some(mut stored) = kept else { return Ok((Box::new(Box::pin(self.read()).await?), Freshness::Fresh)) };
        let writes = requests.iter().any(|(_, request)| !matches!(request.operation, Operation::Status));
        if !(stored.turn.next_batch(requests.len()) && writes) {
            return Ok((stored, Freshness::Kept));
        }
        let turn = stored.turn.begun();
        *stored = Box::pin(self.turn(&mut self.standing())).await?;
        stored.turn = turn;
        Ok((stored, Freshness::InTurn))
    }

    async fn run(
        &self,
        mut stored: Box<Stored>,
        freshness: Freshness,
        mut requests: ClientRequests<'_>,
        answers: &Mutex<Answers>,
    ) {
        let mut known = KnownIds::default();
        let mut is_fresh = freshness == Freshness::Fresh;
        // What this store has kept it wrote before these were sent.
        let mut may_hold_made = freshness != Freshness::Kept;
        // Whoever stands in the queue leaves it with a call, be it only to confirm.
        let mut stands = freshness == Freshness::InTurn;
        let mut standing = self.standing();
        loop {
            stored.turn.passed = standing.passed;
            self.know_used(&mut known, &mut stored).await;
            let mut turn = stored.turn;
            // Looked at when the account was read: who asks again later makes the commit too late.
            let looks_for_made = may_hold_made && self.may_be_asked_again();
            may_hold_made = true;
            let ended = Attempt::go(self, stored, (is_fresh, looks_for_made), &mut known, requests, answers).await;
            if ended.was_late() {
                (stands, turn) = (true, turn.begun());
            }
            is_fresh = !stands;
            let (written, again) = match ended {
                Ended::Done(mut stored) => {
                    stored.used = known.used;
                    return self.keep(stored);
                }
                Ended::Failed(written, error) => (written, Err(error)),
                Ended::Dead(written) => (written, Box::pin(self.read_alive(&mut known)).await),
                Ended::Queued(written) => {
                    known.clear();
                    (written, Box::pin(self.turn(&mut standing)).await)
                }
                Ended::Changed(written, changed) => {
                    // It is first in the queue at once, or has been.
                    standing.passed = standing.passed.saturating_add(u8::from(changed.comes_again));
                    let rest = requests.after(written);
                    (written, Box::pin(self.begin_again(changed, &mut known, rest)).await)
                }
            };
            requests = requests.after(written);
            match again {
                Ok(again) => stored = Box::new(Stored { turn, ..again }),
                Err(failed) => return answers.lock().fail(requests, || failed.again()),
            }
        }
    }

    /// What is known of all ids, of the account that was kept or read where it is not known at its version already.
    async fn know_used(&self, known: &mut KnownIds, stored: &mut Stored) {
        let (memory, room) = (&stored.memory, self.room_for_ids);
        if known.used.are_new() {
            known.used = std::mem::take(&mut stored.used);
        }
        if known.used.are_new() {
            known.used = used::told_by(memory, room);
        }
        if let Some(most) = known.used.to_be_learned(room) {
            let at = self.ledger_at(stored.state.version());
            Box::pin(used::learn(&mut known.used, &at, memory, room, most)).await;
        }
    }

    /// Whether somebody who asked for the batch does not wait for it any more, and may ask again by an id that was made.
    fn may_be_asked_again(&self) -> bool {
        self.receipt.is_some_and(|receipt| !receipt.is_awaited())
    }

    fn keep(&self, mut stored: Box<Stored>) {
        stored.receipt = self.receipt.cloned();
        // Where there is no account there is nothing to keep.
        if !stored.state.is_absent() {
            self.kept.put(self.client, stored);
        }
    }

    /// The account as the script answered it: to who is first in the queue, if there is one.
    async fn begin_again(
        &self,
        changed: Box<Changed>,
        known: &mut KnownIds,
        requests: ClientRequests<'_>,
    ) -> Result<Stored, StoreError> {
        // Where only ids were found, nobody was quicker.
        let was_slower = changed.is_other();
        let stored = changed.stored(self.settings)?;
        let asked = requests.iter().map(|(_, request)| request.asked.max(request.at));
        let earliest = asked.min().unwrap_or(quota_core::Instant::MIN);
        if was_slower {
            known.clear();
        }
        // Ids that were found nowhere were looked for where the account as it was then said: they are looked for again.
        let found = changed.found.into_iter().filter(|(_, found)| found.is_some()).collect();
        let finds_dead = known.read(found, &stored.memory, self.settings, earliest.max(stored.account.latest()))?;
        if finds_dead {
            return self.read_alive(known).await;
        }
        if was_slower {
            known.look_again_for_forgotten();
            self.patience.check()?;
        }
        Ok(stored)
    }

    /// The account when nothing dead stands in the way any more.
    async fn read_alive(&self, known: &mut KnownIds) -> Result<Stored, StoreError> {
        known.clear();
        let Self { gathering, script, keys, listener, settings, .. } = self;
        let dead = DeadEntries { gathering, script, keys, token: listener.token, settings };
        Ok(dead.take_out(self.read().await?).await?.0)
    }

    async fn turn(&self, standing: &mut Standing<'_>) -> Result<Stored, StoreError> {
        let asked = Instant::now();
        let stored = standing.turn(&self.patience).await;
        if asked.elapsed() >= LONG_TURN {
            self.held.note(self.client);
        }
        stored
    }

    fn standing(&self) -> Standing<'_> {
        let Self { gathering, script, keys, listener, settings, .. } = self;
        Standing { gathering, script, keys, settings, token: listener.token, listener: Some(listener), passed: 0 }
    }

    async fn read(&self) -> Result<Stored, StoreError> {
        match self.call(&Call::read()).await? {
            Outcome::Changed(changed) => changed.stored(self.settings),
            Outcome::Done { .. } | Outcome::Queued(_) => Err(corrupt("a version", UNREAD)),
        }
    }

    /// The client's ledger at a version of its account.
    pub(crate) fn ledger_at<'r>(&'r self, version: &'r str) -> AtVersion<'r> {
        let wire = self.gathering.wire();
        let reading = if self.reads_on_one_wire.load(Ordering::Relaxed) { wire } else { self.reading };
        AtVersion::new(wire, reading, &self.keys, version)
    }

    /// Reads nothing any more where commits do not go.
    pub(crate) fn read_on_one_wire(&self) {
        self.reads_on_one_wire.store(true, Ordering::Relaxed);
    }

    pub(crate) async fn call(&self, call: &Call) -> Result<Outcome, StoreError> {
        self.script.call(self.gathering, &self.keys, call, self.settings.wait).await
    }

    /// A step beside the requests, which waits for no replicas: the commit behind it does.
    ///
    /// # Errors
    /// [`StoreError::NotDone`] also where it is not known whether it was done: no request was.
    pub(crate) async fn step(&self, call: &Call) -> Result<Outcome, StoreError> {
        self.script.call(self.gathering, &self.keys, call, None).await.map_err(no_request)
    }

    /// Puts the client into the list of clients, before it has an account: killed in between, it leaves a name that no
    /// listing shows.
    pub(crate) async fn list(&self) -> Result<(), StoreError> {
        if self.gathering.wire().is_cluster() {
            return self.list_beside().await;
        }
        let listed = async { self.gathering.call(self.listing()).await.map_err(CallError::of_read) };
        try_join(listed, server::note_again(self.gathering, self.settings)).await.map(drop)
    }

    /// The same in a cluster, where the lists stand on primaries of their own, and so does what the store agrees on. Such a one may
    /// be silent, which is not to delay this client: then it is listed when it has an account.
    async fn list_beside(&self) -> Result<(), StoreError> {
        let wire = self.gathering.wire();
        let (listed, noted) = join(wire.call_briefly(self.listing()), server::note_beside(wire, self.settings)).await;
        match listed {
            Some(Err(error @ CallError::Refused(_))) => Err(error.of_read()),
            _ => noted,
        }
    }

    /// A pruning may have taken the name off, and who made the account may have ended then. The lists of a cluster stand on primaries of
    /// their own, which may also have lost it in a failover, and do not always answer at once. Then the next batch lists the client, or
    /// the next process that reads the account.
    pub(crate) async fn list_again(&self) {
        let wire = self.gathering.wire();
        let listed = if wire.is_cluster() {
            wire.call_briefly(self.listing()).await
        } else {
            Some(self.gathering.call(self.listing()).await)
        };
        let is_answered = matches!(listed, Some(Ok(_) | Err(CallError::Refused(_))));
        self.is_unlisted.store(!is_answered, Ordering::Relaxed);
    }

    fn listing(&self) -> redis::Cmd {
        let mut add = redis::cmd("ZADD");
        add.arg(self.settings.prefix.list_of(self.client)).arg("NX").arg(0).arg(self.client.as_str());
        add
    }
}

/// How long a commit is tried again, by default.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
