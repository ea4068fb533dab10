//! One client's charges, taken from its account's escrow.

use std::sync::Arc;

use mongodb::bson::{Document, doc};
use parking_lot::Mutex;
use quota_core::{Credits, Entry, Instant, Terms, Writes};
use quota_service::{Answers, ClientRequests, ClientTurn, Patience, Step, StoreError};
use tokio::time::Instant as Clock;
use uuid::Uuid;

use crate::claim::{Waits, queue};
use crate::client_run::ClientRun;
use crate::escrow::{Charged, Escrow, EscrowCharge, MOST_PARTS};
use crate::fields::{corrupt, documents, number, optional_text};
use crate::outbox::Outbox;
use crate::part::{OfQuarter, Part};
use crate::put::open;
use crate::stored::Stored;
use crate::tables::CallError;
use crate::used::Used;

/// How often the account is looked at before a turn at it is asked for.
const LOOKS: usize = 16;

/// Who makes a commit whose number this divides brings what was left since the last such into the ledger, also what others left: in
/// one command, where each by itself would need as many as there are commits.
const GATHERED: i64 = 8;

/// What is left after so many commits was taken over by a process that has ended.
const OLD: i64 = 64;

/// What came of charges from an escrow.
pub(crate) enum Charging {
    /// Every request is answered; this is the account now.
    Done(Box<Stored>),
    /// Nothing was done, and what is asked for needs the account as it is. These parts of its outbox stand in the ledger.
    NeedsTurn(Vec<i64>),
    Failed(StoreError),
}

/// Charges that may be taken from an escrow, if what is left of it covers them.
struct Offer<'a> {
    escrow: &'a Escrow,
    /// The account's time, as far as it is known.
    known: Instant,
    version: String,
    cost: Credits,
    /// The last one's instant.
    last: Instant,
    sums: Vec<OfQuarter>,
    places: Vec<usize>,
    part: Document,
}

/// What an account was before it was charged.
struct Before {
    charged: Charged,
    seq: i64,
    /// What waits for the ledger after the charge, where this process is to write it.
    outbox: Option<Outbox>,
}

impl ClientRun<'_> {
    /// Answers the requests if they are charges that the account's escrow covers. What each of them is answered is found
    /// out afterwards: the server says what was charged before, and from there they are run once more.
    pub(crate) async fn charge_from_escrow(
        &self,
        mut stored: Stored,
        requests: ClientRequests<'_>,
        answers: &Mutex<Answers>,
        patience: &mut Patience,
    ) -> Charging {
        let terms = self.store.settings.terms(stored.folded_until);
        if !stored.is_certain {
            // What others left may be what a primary told that has lost its place.
            stored.outbox = Outbox::default();
        }
        if stored.outbox.is_long() {
            self.store.drainer.round().await;
        }
        for _ in 0..LOOKS {
            let may_be_offered = !stored.outbox.is_long() && !self.may_be_asked_again();
            let offer = Offer::new(&stored, terms, requests).filter(|_| may_be_offered);
            let Some(offer) = offer else { break };
            let standing = stored.outbox.standing();
            match self.send(&offer, &standing).await {
                Ok(Some(before)) => {
                    let done = offer.done(&stored, &standing, before, terms, requests, answers);
                    return done.map_or_else(Charging::Failed, |stored| {
                        self.hand_over(&stored);
                        Charging::Done(Box::new(stored))
                    });
                }
                Ok(None) => {}
                // Refused as it is: a turn may do without.
                Err(StoreError::NotDone { .. }) => break,
                Err(error) => return Charging::Failed(error),
            }
            drop(offer);
            match self.look_again(&mut stored, patience).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Charging::Failed(error),
            }
        }
        Charging::NeedsTurn(stored.outbox.standing())
    }

    /// Has what was left for the ledger written there: all of it by whoever's commit is the one for that, who leaves what others have taken
    /// over unless it became old.
    fn hand_over(&self, stored: &Stored) {
        let drainer = &self.store.drainer;
        if stored.seq % GATHERED == 0 {
            let age = |part: &&Arc<Part>| stored.seq.saturating_sub(part.seq);
            let is_due = |part: &&Arc<Part>| (0..GATHERED).contains(&age(part)) || age(part) >= OLD;
            drainer.hand_over(self.client, stored.outbox.waiting().filter(is_due).cloned().collect());
        } else {
            drainer
                .hand_over_later(self.client, stored.outbox.waiting().filter(|part| part.seq == stored.seq).cloned());
        }
    }

    /// Charges the account; none where its escrow has ended, covers too little, or somebody waits for a turn.
    async fn send(&self, offer: &Offer<'_>, standing: &[i64]) -> Result<Option<Before>, StoreError> {
        let tables = &self.store.tables;
        let (query, update) = (offer.filter(self.client.as_str()), offer.update(standing));
        // The account afterwards: what stands in for MongoDB's server reads it as it was before at another time.
        let fields = doc! { "s": 1, "g": 1, "o": 1 };
        match tables.find_and_change(&tables.accounts, query, vec![update], fields).await {
            Ok(None) => Ok(None),
            Ok(Some(account)) => Before::of_account(&account, offer.cost).map(Some).map_err(unknown),
            Err(error @ (CallError::NotDone(_) | CallError::Refused(_))) => Err(error.of_write()),
            Err(error) => match self.find_again(&offer.version).await {
                Ok(Some(before)) => Ok(Some(before)),
                _ => Err(open(error)),
            },
        }
    }

    /// A charge whose answer was lost, by the version that it made: its part tells what was before. None where it is not found: it
    /// was not made, or it stands in the ledger already.
    async fn find_again(&self, version: &str) -> Result<Option<Before>, StoreError> {
        let query = doc! { "_id": self.client.as_str(), "o.v": version };
        let confirmed = self.store.tables.confirmed(query, doc! { "o": 1 }).await.map_err(CallError::of_read)?;
        let Some(account) = confirmed else { return Ok(None) };
        let is_own = |part: &Document| optional_text(part, "v").is_ok_and(|made| made == Some(version));
        let part = documents(&account, "o")?.into_iter().find(is_own);
        part.as_ref().map(Before::of_part).transpose()
    }

    /// Waits until nobody waits for a turn, and reads the account again. Says whether it has an escrow that can be charged.
    async fn look_again(&self, stored: &mut Stored, patience: &mut Patience) -> Result<bool, StoreError> {
        let tables = &self.store.tables;
        let mut waits = Waits::new(self.store, self.client);
        let mut is_whole = true;
        for _ in 0..LOOKS {
            let asked = Clock::now();
            let fields = (!is_whole).then(|| doc! { "q": 1 });
            let account = tables.get(&tables.accounts, self.client.as_str(), fields).await?;
            let waiting = account.as_ref().map_or(0, |account| queue(account).count());
            if waiting > 0 {
                waits.queue(waiting, asked.elapsed(), patience).await?;
            }
            if waiting > 0 || !is_whole {
                is_whole = waiting == 0;
                continue;
            }
            let read = Stored::read(account.as_ref())?;
            let is_open = read.escrow.is_some() && read.outbox.count() <= MOST_PARTS;
            let outbox = std::mem::take(&mut stored.outbox);
            *stored = Stored { outbox, is_contended: true, met: stored.met, ..read };
            return Ok(is_open);
        }
        Ok(false)
    }
}

impl<'a> Offer<'a> {
    /// None where something else is asked for than charges that the escrow may cover.
    fn new(stored: &'a Stored, terms: Terms, requests: ClientRequests<'_>) -> Option<Self> {
        let escrow = stored.escrow.as_deref().filter(|_| !stored.met.is_alone())?;
        let mut plans: Vec<_> = requests.iter().map(|(_, request)| request.plan.plan.as_deref()).collect();
        plans.dedup_by(|one, other| one.map(std::ptr::from_ref) == other.map(std::ptr::from_ref));
        if !plans.into_iter().all(|plan| plan.is_some_and(|plan| escrow.covers(plan))) {
            return None;
        }
        let (mut account, left) = escrow.known(&stored.account);
        let entries = charges(&mut ClientTurn::new(&mut account, terms, requests), requests.len())?;
        let cost = entries.iter().try_fold(Credits::ZERO, |sum, entry| sum.checked_add(entry.credits))?;
        if cost > left {
            return None;
        }
        let last = entries.iter().map(|entry| entry.at).max().filter(|last| *last < escrow.until())?;
        let mut labels = stored.labels.clone();
        let sums = OfQuarter::of_entries(&entries, &mut labels);
        let places = escrow.places(&sums).filter(|_| labels == stored.labels)?;
        let mut part = Part::new(0);
        part.entries = entries;
        let version = Uuid::new_v4().simple().to_string();
        let known = stored.account.latest();
        Some(Self { escrow, known, version, cost, last, sums, places, part: part.to_document() })
    }

    fn filter(&self, client: &str) -> Document {
        self.escrow.filter(client, self.cost, self.known)
    }

    fn update(&self, standing: &[i64]) -> Document {
        let Self { escrow, version, cost, last, sums, places, part, .. } = self;
        escrow.update(&EscrowCharge { version, cost: *cost, last: *last, sums, places, part, standing })
    }

    /// Gives the answers, now that it is known what was before.
    fn done(
        &self,
        stored: &Stored,
        standing: &[i64],
        before: Before,
        terms: Terms,
        requests: ClientRequests<'_>,
        answers: &Mutex<Answers>,
    ) -> Result<Stored, StoreError> {
        let mut account = self.escrow.account(&before.charged);
        let mut turn = ClientTurn::new(&mut account, terms, requests);
        let entries = charges(&mut turn, requests.len());
        let entries = entries.ok_or_else(|| unknown(corrupt("an escrow covered what is not admitted", stored.seq)))?;
        turn.answer(&mut answers.lock());
        let mut part = Part::new(before.seq.saturating_add(1));
        part.entries = entries;
        let met = stored.met.next(before.seq).committed(part.seq);
        let (seq, mut outbox) = (part.seq, stored.outbox.with_and_without(part, standing));
        if let Some(read) = before.outbox {
            outbox = outbox.read_again(read);
        }
        let version = self.version.clone();
        let (is_certain, is_contended, is_partial) = (true, true, true);
        // What others have charged before under whatever ids.
        let used = Used::default();
        Ok(Stored { version, account, seq, outbox, met, is_certain, is_contended, is_partial, used, ..stored.clone() })
    }
}

impl Before {
    /// What it was before charges of so many credits.
    fn of_account(account: &Document, cost: Credits) -> Result<Self, StoreError> {
        let seq = number(account, "s")?;
        let outbox = if seq % GATHERED == 0 { Some(Outbox::read(account)?) } else { None };
        Ok(Self { charged: Charged::before(account, cost)?, seq: seq.saturating_sub(1), outbox })
    }

    fn of_part(part: &Document) -> Result<Self, StoreError> {
        let seq = number(part, "s")?.saturating_sub(1);
        Ok(Self { charged: Charged::before_part(part)?, seq, outbox: None })
    }
}

/// The entries of requests that are charges without look-ups, all of them admitted; none where one is something else.
fn charges(turn: &mut ClientTurn<'_>, count: usize) -> Option<Vec<Entry>> {
    match turn.step() {
        Step::Done(Writes { entries, removal: None, plan: None, .. }) if entries.len() == count => Some(entries),
        _ => None,
    }
}

/// It was charged, but not by what is known here.
fn unknown(error: StoreError) -> StoreError {
    StoreError::unknown("an account that was charged cannot be read", error)
}
