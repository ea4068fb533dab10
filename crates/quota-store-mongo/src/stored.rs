//! One client's account as it is stored.

use std::sync::Arc;

use mongodb::bson::{Bson, Document, doc};
use quota_core::{Account, Instant, Labels, PlanWrite};
use quota_service::StoreError;

use crate::claim::Claim;
use crate::escrow::{Charged, Escrow};
use crate::fields::{corrupt, instant, number, optional_document, optional_number, optional_text, text};
use crate::meetings::Meetings;
use crate::open_sums::OpenSums;
use crate::outbox::Outbox;
use crate::pending_deletion::PendingDeletion;
use crate::used::Used;

/// One client's account at a version.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// A random token for each commit; empty where there is no account.
    pub(crate) version: String,
    pub(crate) account: Account,
    pub(crate) labels: Labels,
    /// Entries before this are only in the sums.
    pub(crate) folded_until: Instant,
    /// The number of the last commit before it was folded: what was added before `folded_until` by later ones, such as a hold
    /// that is settled late, stands on its own.
    pub(crate) folded_seq: i64,
    /// The number of the last commit; 0 where there was none.
    pub(crate) seq: i64,
    /// The number of the last commit that took something out; 0 where there was none.
    pub(crate) removed_seq: i64,
    /// What commits left for the ledger.
    pub(crate) outbox: Outbox,
    /// The sums of the newest quarter.
    pub(crate) open: OpenSums,
    /// A majority has it at this version: this process committed or confirmed it.
    pub(crate) is_certain: bool,
    /// Others waited for a turn when it was read.
    pub(crate) is_contended: bool,
    /// The deletion whose entries still stand in the ledger; some may be taken out since this was read, or all.
    pub(crate) pending: Option<PendingDeletion>,
    /// What others may charge meanwhile. What was charged from it is counted in the account here, and in the sums.
    pub(crate) escrow: Option<Arc<Escrow>>,
    /// It was charged from its escrow, and nothing is known of what others left for the ledger: nothing may rest on it but another
    /// charge from there.
    pub(crate) is_partial: bool,
    /// Whether this process meets others at it.
    pub(crate) met: Meetings,
    pub(crate) used: Used,
}

impl AsRef<Account> for Stored {
    fn as_ref(&self) -> &Account {
        &self.account
    }
}

impl Stored {
    /// A client without an account.
    pub(crate) fn absent() -> Self {
        Self {
            version: String::new(),
            account: Account::new(),
            labels: Labels::default(),
            folded_until: Instant::MIN,
            folded_seq: 0,
            seq: 0,
            removed_seq: 0,
            outbox: Outbox::default(),
            open: OpenSums::default(),
            is_certain: false,
            is_contended: false,
            pending: None,
            escrow: None,
            is_partial: false,
            met: Meetings::default(),
            used: Used::default(),
        }
    }

    /// Reads what is stored.
    pub(crate) fn read(document: Option<&Document>) -> Result<Self, StoreError> {
        let Some(document) = document else { return Ok(Self::absent()) };
        let account = Account::from_document(text(document, "a")?)?;
        let escrow = Escrow::read(document, &account)?;
        let account = match (&escrow, Charged::read(document)?) {
            (Some(escrow), Some(charged)) => escrow.account(&charged),
            _ => account,
        };
        Ok(Self { account, escrow: escrow.map(Arc::new), ..Self::read_beside(Some(document))? })
    }

    /// All but the account itself: usage can be read back where that is damaged.
    pub(crate) fn read_beside(document: Option<&Document>) -> Result<Self, StoreError> {
        let Some(document) = document else { return Ok(Self::absent()) };
        let version = text(document, "v")?;
        if version.is_empty() {
            return Err(corrupt("a version", "it is empty"));
        }
        let (seq, mut open) = (number(document, "s")?, OpenSums::read(document)?);
        if let Some(charged) = Charged::read(document)? {
            // They are of the open quarter, and it has their labels.
            open.take_in(seq, charged.sums(&open));
            if charged.drained == Some(seq) {
                open.set_standing();
            }
        }
        Ok(Self {
            version: version.to_owned(),
            labels: Labels::from_document(optional_text(document, "l")?.unwrap_or_default())?,
            folded_until: optional_number(document, "f")?.map_or(Ok(Instant::MIN), instant)?,
            folded_seq: optional_number(document, "fs")?.unwrap_or_default(),
            seq,
            removed_seq: optional_number(document, "r")?.unwrap_or_default(),
            outbox: Outbox::read(document)?,
            open,
            pending: optional_document(document, "d")?.map(PendingDeletion::read).transpose()?,
            ..Self::absent()
        })
    }

    /// Whether the ledger has everything.
    pub(crate) fn is_drained(&self) -> bool {
        self.outbox.is_empty() && self.open.stands()
    }

    /// The ledger has everything.
    pub(crate) fn set_drained(&mut self) {
        self.outbox.set_standing();
        self.open.set_standing();
    }

    /// Which document a commit on this version changes: in turn, or where nobody waits for one.
    pub(crate) fn filter(&self, client: &str, claim: Option<&Claim<'_>>) -> Document {
        let missing = || Bson::Document(doc! { "$exists": false });
        let version = if self.version.is_empty() { missing() } else { Bson::String(self.version.clone()) };
        let mut filter = doc! { "_id": client, "v": version };
        // Not whether the turn still is its own: where all turns took longer than others wait for one, nobody would ever commit.
        if claim.is_none() {
            filter.insert("q.0", missing());
        }
        filter
    }

    /// How a commit changes `old` to it.
    pub(crate) fn update(
        &self,
        old: &Self,
        account: &str,
        plan: Option<&PlanWrite>,
        is_blank: bool,
    ) -> Result<Document, StoreError> {
        let mut set = doc! { "v": &self.version, "a": account, "s": self.seq };
        let mut unset = Document::new();
        let mut put = |field: &str, value: Option<Bson>| match value {
            Some(value) => drop(set.insert(field, value)),
            None => drop(unset.insert(field, "")),
        };
        let labels = self.labels.to_document();
        put("l", (!labels.is_empty()).then_some(Bson::String(labels)));
        let appended = self.outbox.appended().filter(|_| self.is_contended);
        if appended.is_none() {
            put("o", self.outbox.to_bson());
        }
        // What was charged from an escrow ends up in the sums when it ends.
        if self.open.seq() == self.seq || old.escrow.is_some() {
            put("u", Some(Bson::Document(self.open.to_document())));
        }
        if self.escrow.is_some() || old.escrow.is_some() {
            put("g", self.escrow.as_ref().map(|escrow| Bson::Document(escrow.to_document())));
        }
        if self.removed_seq == self.seq {
            put("r", Some(Bson::Int64(self.removed_seq)));
        }
        // What others have taken out since is not to be said again: only a commit that deletes says it.
        if let Some(pending) = self.pending.as_ref().filter(|pending| pending.is_of(self.seq)) {
            put("d", Some(Bson::Document(pending.to_document())));
        }
        // Kept for a fortnight: its number must not be given again while others may be late. And where it ever used anything
        // it is not swept up at all: it may be all that says what was taken out.
        let is_over = is_blank && self.open.is_unused();
        if !is_over {
            put("gone", None);
        }
        match plan {
            None => {}
            Some(PlanWrite::Remove) => put("p", None),
            Some(PlanWrite::Set(plan, version)) => {
                let quotas = serde_json::to_string(plan.as_ref())
                    .map_err(|error| StoreError::not_done("the plan has no JSON form", error))?;
                // Bits of an unsigned number.
                let version = i64::from_ne_bytes(version.number().get().to_ne_bytes());
                put("p", Some(Bson::Document(doc! { "v": version, "q": quotas })));
            }
        }
        let mut update = doc! { "$set": set };
        if let Some(part) = appended.and_then(|parts| parts.first()) {
            update.insert("$push", doc! { "o": part.to_document() });
        }
        if !unset.is_empty() {
            update.insert("$unset", unset);
        }
        if is_over {
            update.insert("$currentDate", doc! { "gone": true });
        }
        Ok(update)
    }
}
