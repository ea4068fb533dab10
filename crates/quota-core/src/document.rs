//! The account as a store keeps it: a JSON document that can be read at three in the morning.

use chrono_tz::IANA_TZDB_VERSION;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::account::Account;
use crate::credits::Credits;
use crate::entry::{Asker, Hold};
use crate::id::{Label, OperationId};
use crate::instant::Instant;
use crate::lattice::{Anchor, Lattice};
use crate::period::{Period, Unit};
use crate::plan::PlanVersion;
use crate::slot::Slot;
use crate::window::Window;

/// The newest format that this version writes and knows.
const FORMAT: u64 = 1;

/// Why a document is no account.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// It was written by a newer version; overwriting it would lose what that one knows.
    #[error("the account has format {found}, this version knows {known}")]
    Newer {
        /// Its format.
        found: u64,
        /// The newest format known here.
        known: u64,
    },
    /// It is damaged.
    #[error("the account's document is malformed: {0}")]
    Malformed(String),
}

#[derive(Deserialize)]
struct Envelope {
    format: u64,
}

/// Instants in milliseconds, credits in millionths, units by name.
#[derive(Serialize, Deserialize)]
struct Document {
    format: u64,
    /// The time zone database that the windows were computed with.
    tzdb: String,
    latest: i64,
    newest: i64,
    recorded: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plan: Option<std::num::NonZeroU64>,
    slots: Vec<SlotDocument>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    holds: Vec<HoldDocument>,
}

/// Unit, every, anchor, zone, start, end, used.
#[derive(Serialize, Deserialize)]
struct SlotDocument(Unit, u32, i64, String, i64, i64, i64);

#[derive(Serialize, Deserialize)]
struct HoldDocument {
    id: OperationId,
    at: i64,
    credits: i64,
    expires: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<Label>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asker: Option<std::num::NonZeroU64>,
}

impl Account {
    /// The document to store.
    #[must_use]
    pub fn to_document(&self) -> String {
        let holds = self.holds.iter().flat_map(|holds| holds.iter()).map(HoldDocument::from).collect();
        let document = Document {
            format: FORMAT,
            tzdb: IANA_TZDB_VERSION.to_owned(),
            latest: self.latest.millis(),
            newest: self.newest.millis(),
            recorded: self.recorded.micros(),
            plan: self.plan_version.map(PlanVersion::number),
            slots: self.slots.iter().map(SlotDocument::from).collect(),
            holds,
        };
        // Numbers, strings and arrays of them have a JSON form: serialization has nothing to fail on.
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// Reads a stored document. Windows that were computed with another time zone database are checked, and
    /// forgotten where this process computes them differently: the ledger is then asked anew.
    ///
    /// # Errors
    /// [`DocumentError::Newer`] for a format of a later version, which must not be overwritten.
    pub fn from_document(text: &str) -> Result<Self, DocumentError> {
        let document = match serde_json::from_str::<Document>(text) {
            Ok(document) => document,
            // A later format may lack what this one has.
            Err(error) => match serde_json::from_str::<Envelope>(text) {
                Ok(Envelope { format }) if format != FORMAT => return Err(newer(format)),
                _ => return Err(DocumentError::Malformed(error.to_string())),
            },
        };
        if document.format != FORMAT {
            return Err(newer(document.format));
        }
        let mut account = Self {
            latest: instant(document.latest)?,
            newest: instant(document.newest)?,
            recorded: credits(document.recorded)?,
            plan_version: document.plan.map(PlanVersion::new),
            ..Self::default()
        };
        let same_zones = document.tzdb == IANA_TZDB_VERSION;
        for slot in document.slots {
            if let Some(slot) = slot.read(same_zones)? {
                account.slots.push(slot);
            }
        }
        for hold in document.holds {
            account.restore_hold(hold.read()?)?;
        }
        Ok(account)
    }

    /// Puts a hold back into the slots that hold it.
    fn restore_hold(&mut self, hold: Hold) -> Result<(), DocumentError> {
        let holds = self.holds.get_or_insert_default();
        if holds.find_mut(&hold.id).is_some() {
            return Err(DocumentError::Malformed(format!("the hold {} is there twice", hold.id)));
        }
        for slot in &mut self.slots {
            slot.add_hold(hold.at, hold.credits);
        }
        holds.insert(hold);
        Ok(())
    }
}

impl From<&Slot> for SlotDocument {
    fn from(slot: &Slot) -> Self {
        let (period, anchor) = (slot.lattice.period(), slot.lattice.anchor());
        let (start, end) = (slot.window.start().millis(), slot.window.end().millis());
        let zone = anchor.zone().name().to_owned();
        Self(period.unit(), period.every(), anchor.at().millis(), zone, start, end, slot.used.micros())
    }
}

impl SlotDocument {
    /// None where this process does not know the zone, or computes another window.
    fn read(self, same_zones: bool) -> Result<Option<Slot>, DocumentError> {
        let Self(unit, every, at, zone, start, end, used) = self;
        let period = Period::new(unit, every).map_err(|error| DocumentError::Malformed(error.to_string()))?;
        let Ok(anchor) = Anchor::in_zone(instant(at)?, &zone) else { return Ok(None) };
        let window =
            Window::new(instant(start)?, instant(end)?).map_err(|error| DocumentError::Malformed(error.to_string()))?;
        let lattice = Lattice::new(period, anchor);
        if !same_zones && lattice.window_at(window.start()) != Ok(window) {
            return Ok(None);
        }
        Ok(Some(Slot { window, used: credits(used)?, held: Credits::ZERO, lattice }))
    }
}

impl From<&Hold> for HoldDocument {
    fn from(hold: &Hold) -> Self {
        Self {
            id: hold.id.clone(),
            at: hold.at.millis(),
            credits: hold.credits.micros(),
            expires: hold.expires.millis(),
            label: hold.label.clone(),
            asker: hold.asker.map(Asker::number),
        }
    }
}

impl HoldDocument {
    fn read(self) -> Result<Hold, DocumentError> {
        let (at, expires) = (instant(self.at)?, instant(self.expires)?);
        Ok(Hold {
            id: self.id,
            at,
            credits: credits(self.credits)?,
            expires,
            label: self.label,
            asker: self.asker.map(Asker::new),
        })
    }
}

const fn newer(found: u64) -> DocumentError {
    DocumentError::Newer { found, known: FORMAT }
}

fn instant(millis: i64) -> Result<Instant, DocumentError> {
    Instant::from_millis(millis).map_err(|error| DocumentError::Malformed(error.to_string()))
}

fn credits(micros: i64) -> Result<Credits, DocumentError> {
    Credits::from_micros(micros).map_err(|error| DocumentError::Malformed(error.to_string()))
}
