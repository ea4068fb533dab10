//! What several processes may charge to one account at once.

use mongodb::bson::{Bson, Document, doc};
use quota_core::{Account, Credits, Cut, Headroom, Instant, Plan, QUARTER_MILLIS};
use quota_service::StoreError;

use crate::fields::{corrupt, credits, instant, number, optional_document, optional_number, text};
use crate::open_sums::OpenSums;
use crate::part::OfQuarter;

/// What several processes may charge to an account at once, none of them waiting for another: one that had its turn has set aside
/// what the account still admits, and until when, and the server takes each charge from that if it is covered
/// ([`Escrow::filter`]). What was charged in this way stands beside the account's text, and whoever reads the account adds it.
///
/// It ends with the client's next commit on the account's version, whatever that is for. (The method is P. O'Neil's: The Escrow
/// Transactional Method, ACM TODS 11, 1986.)
#[derive(Clone, Debug)]
pub(crate) struct Escrow {
    /// The version of the commit that opened it.
    id: String,
    /// What could be charged then.
    headroom: Headroom,
    /// The account and its newest quarter's sums then.
    account: Account,
    open: OpenSums,
}

/// What was charged from an escrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Charged {
    /// Of the headroom.
    pub(crate) left: Credits,
    /// The last charge's instant; before the first one the account's time.
    pub(crate) last: Instant,
    /// The number of the commit up to which the ledger has what it comes to.
    pub(crate) drained: Option<i64>,
    /// Millionths and entries of each label, in the order of the newest quarter's sums.
    by_label: Vec<(i64, i64)>,
}

/// Where so many parts wait for the ledger, it cannot be written: an account has no room for all that is charged meanwhile.
pub(crate) const MOST_PARTS: usize = 128;

/// Fewer batches than these are not worth an escrow.
const BATCHES: u64 = 64;

impl Escrow {
    /// Sets aside what an account admits as a commit leaves it, if that is enough for many more commits that cost as much.
    pub(crate) fn open(version: &str, account: &Account, open: &OpenSums, plan: &Plan, cost: Credits) -> Option<Self> {
        let mut headroom = account.headroom(plan)?;
        let quarter = Cut::floor(account.latest().millis());
        // What is charged later is of the newest quarter as well, and nothing has to be closed.
        headroom.until = headroom.until.min(Instant::from_millis(quarter.saturating_add(QUARTER_MILLIS)).ok()?);
        let is_newest = open.quarter() == Some(quarter);
        let is_wide = cost.checked_mul(BATCHES).is_some_and(|many| many <= headroom.credits);
        let escrow = Self { id: version.to_owned(), headroom, account: account.clone(), open: open.clone() };
        (is_newest && is_wide).then_some(escrow)
    }

    pub(crate) fn to_document(&self) -> Document {
        doc! {
            "i": &self.id,
            "w": self.headroom.credits.micros(),
            "r": self.headroom.credits.micros(),
            "u": self.headroom.until.millis(),
            "t": self.account.latest().millis(),
        }
    }

    /// Reads an account's, if there is one; its text is read already.
    pub(crate) fn read(stored: &Document, account: &Account) -> Result<Option<Self>, StoreError> {
        let Some(escrow) = optional_document(stored, "g")? else { return Ok(None) };
        let headroom = Headroom { credits: credits(number(escrow, "w")?)?, until: instant(number(escrow, "u")?)? };
        let (account, open) = (account.clone(), OpenSums::read(stored)?);
        Ok(Some(Self { id: text(escrow, "i")?.to_owned(), headroom, account, open }))
    }

    pub(crate) fn until(&self) -> Instant {
        self.headroom.until
    }

    /// Whether whatever it lets through is admitted by a plan.
    pub(crate) fn covers(&self, plan: &Plan) -> bool {
        let of_plan = self.account.headroom(plan);
        of_plan.is_some_and(|more| more.credits >= self.headroom.credits && more.until >= self.headroom.until)
    }

    /// The account as it was opened, with what an account that was charged from it knows of that; and what is left.
    pub(crate) fn known(&self, charged: &Account) -> (Account, Credits) {
        let credits = charged.recorded().saturating_sub(self.account.recorded());
        let left = self.headroom.credits.saturating_sub(credits);
        (self.account(&Charged::until(left, charged.latest())), left)
    }

    /// The account with what was charged.
    pub(crate) fn account(&self, charged: &Charged) -> Account {
        let mut account = self.account.clone();
        let credits = self.headroom.credits.saturating_sub(charged.left);
        if charged.last > account.latest() || !credits.is_zero() {
            account.add_charged(credits, charged.last);
        }
        account
    }

    /// The places of these sums among its labels; none where they are of another quarter, or a label is not there.
    pub(crate) fn places(&self, sums: &[OfQuarter]) -> Option<Vec<usize>> {
        let place = |sum: &OfQuarter| self.open.place(sum.quarter, &sum.label);
        sums.iter().map(place).collect()
    }

    /// Which account may be charged so much: while nobody waits for a turn, who may need it as it is. Its time is not before `known`,
    /// which a primary may have told that has lost its place.
    pub(crate) fn filter(&self, client: &str, cost: Credits, known: Instant) -> Document {
        doc! {
            "_id": client,
            "g.i": &self.id,
            "g.r": { "$gte": cost.micros() },
            "g.t": { "$gte": known.millis() },
            "q.0": { "$exists": false },
            format!("o.{MOST_PARTS}"): { "$exists": false },
        }
    }

    /// How the account is charged. It says what it was before: the last charge's instant (`p`), and what was left in the part. `sums` are told by their places.
    pub(crate) fn update(&self, charge: &EscrowCharge<'_>) -> Document {
        let cost = charge.cost.micros();
        let mut set = doc! {
            "v": charge.version,
            "s": { "$add": ["$s", 1_i64] },
            "g.r": { "$subtract": ["$g.r", cost] },
            "g.t": { "$max": ["$g.t", charge.last.millis()] },
            "g.p": "$g.t",
        };
        for (place, sum) in charge.places.iter().zip(charge.sums) {
            for (field, more) in [("m", sum.micros), ("n", sum.entries)] {
                let field = format!("g.{field}.l{place}");
                set.insert(&field, doc! { "$add": [{ "$ifNull": [format!("${field}"), 0_i64] }, more] });
            }
        }
        let waiting = doc! { "$ifNull": ["$o", []] };
        let is_left = doc! { "$not": [{ "$in": ["$$part.s", charge.standing.to_vec()] }] };
        let left = doc! { "$filter": { "input": waiting, "as": "part", "cond": is_left } };
        let mut part = charge.part.clone();
        let text = part.remove("e").unwrap_or(Bson::Null);
        part.extend(doc! {
            "s": { "$add": ["$s", 1_i64] },
            "e": { "$literal": text },
            "x": "$g.t",
            "b": "$g.r",
            "v": charge.version,
        });
        set.insert("o", doc! { "$concatArrays": [left, [part]] });
        doc! { "$set": set }
    }
}

/// Charges of one batch, as they are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EscrowCharge<'a> {
    /// The version that it makes.
    pub(crate) version: &'a str,
    pub(crate) cost: Credits,
    /// The last one's instant.
    pub(crate) last: Instant,
    /// What it adds to the newest quarter's sums, and where.
    pub(crate) sums: &'a [OfQuarter],
    pub(crate) places: &'a [usize],
    /// What waits for the ledger, but for its number and the instant that no entry is before.
    pub(crate) part: &'a Document,
    /// Parts of the outbox that stand in the ledger.
    pub(crate) standing: &'a [i64],
}

impl Charged {
    /// Reads what was charged from an account's escrow; none where it has none.
    pub(crate) fn read(stored: &Document) -> Result<Option<Self>, StoreError> {
        let Some(escrow) = optional_document(stored, "g")? else { return Ok(None) };
        let (micros, entries) = (optional_document(escrow, "m")?, optional_document(escrow, "n")?);
        let of = |sums: Option<&Document>, place: usize| {
            sums.map_or(Ok(None), |sums| optional_number(sums, &format!("l{place}"))).map(Option::unwrap_or_default)
        };
        let by_label = |place| Ok((of(micros, place)?, of(entries, place)?));
        let by_label = (0..OpenSums::MAX_LABELS).map(by_label).collect::<Result<_, StoreError>>()?;
        let (left, last) = (credits(number(escrow, "r")?)?, instant(number(escrow, "t")?)?);
        Ok(Some(Self { left, last, drained: optional_number(escrow, "d")?, by_label }))
    }

    /// What it was before some charges, of an account that they have changed.
    pub(crate) fn before(stored: &Document, cost: Credits) -> Result<Self, StoreError> {
        let escrow = optional_document(stored, "g")?.ok_or_else(|| corrupt("an escrow is missing", "g"))?;
        let left = number(escrow, "r")?.saturating_add(cost.micros());
        Ok(Self::until(credits(left)?, instant(number(escrow, "p")?)?))
    }

    /// The same, of their part of the outbox.
    pub(crate) fn before_part(part: &Document) -> Result<Self, StoreError> {
        Ok(Self::until(credits(number(part, "b")?)?, instant(number(part, "x")?)?))
    }

    fn until(left: Credits, last: Instant) -> Self {
        Self { left, last, drained: None, by_label: Vec::new() }
    }

    /// What the newest quarter has got.
    pub(crate) fn sums(&self, open: &OpenSums) -> Vec<OfQuarter> {
        let more =
            |(of, (micros, entries)): (OfQuarter, &(i64, i64))| OfQuarter { micros: *micros, entries: *entries, ..of };
        open.totals().zip(&self.by_label).map(more).filter(|of| of.entries != 0).collect()
    }
}
