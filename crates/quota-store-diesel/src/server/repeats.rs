//! Ids that are taken for absent, and callers who ask again.

use diesel::result::{DatabaseErrorKind, Error};
use parking_lot::Mutex;
use quota_core::Need;
use quota_service::ClientRequests;

use crate::failure::{Failure, Undone};
use crate::server::kept::{Care, is_plain};

/// What the ids of callers are taken for that name no entry yet: most are new, and who asks again is rare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    /// They are looked up before anything is decided, a round trip more.
    LookedUp,
    /// They name nothing. Adding an entry under one that does is refused, and all others are looked up before the commit.
    Absent,
    /// As looked up, and those that were made for their callers too: one who was told that it is not known what became of a charge has
    /// asked again elsewhere, and overtaken it.
    MadeToo,
}

impl Ids {
    /// What ids are taken for after an entry was there under one of them that was taken to be new; none where that cannot be.
    pub(crate) const fn after_a_repeat(self) -> Option<Self> {
        match self {
            Self::Absent => Some(Self::LookedUp),
            Self::LookedUp => Some(Self::MadeToo),
            Self::MadeToo => None,
        }
    }

    /// What is looked up for a client when its account is.
    pub(crate) fn needs(self, requests: &ClientRequests<'_>) -> Vec<Need> {
        match self {
            Self::Absent if is_plain(requests) => Vec::new(),
            Self::Absent | Self::LookedUp => requests.foresee(),
            Self::MadeToo => {
                let mut needs = requests.foresee();
                needs.extend(requests.foresee_made());
                needs
            }
        }
    }
}

/// How often ids were taken for absent that were not: each time they are looked up for twice as many transactions.
#[derive(Debug, Default)]
pub(crate) struct Repeats(Mutex<Care>);

impl Repeats {
    /// What the next transaction takes ids for.
    pub(crate) fn expected(&self) -> Ids {
        if self.0.lock().is_to_be_read() { Ids::LookedUp } else { Ids::Absent }
    }

    /// A transaction was in vain.
    pub(crate) fn met(&self) {
        let mut care = self.0.lock();
        *care = care.suspect().read(false);
    }

    /// A transaction with ids that may be absent was done.
    pub(crate) fn not_met(&self, ids: Ids) {
        let mut care = self.0.lock();
        *care = match ids {
            Ids::LookedUp | Ids::MadeToo => care.read(true),
            Ids::Absent => care.stood(),
        };
    }
}

/// Whether a client asks with ids that may be taken for absent.
pub(crate) fn has_absent(requests: &ClientRequests<'_>) -> bool {
    is_plain(requests) && !requests.foresee().is_empty()
}

/// Whether a transaction may have failed since an id is there that was taken for absent.
pub(crate) fn is_repeated(undone: &Undone) -> bool {
    let Undone::NotDone(failure) = undone else { return false };
    match failure {
        Failure::Repeated => true,
        Failure::Database(error) => {
            matches!(error.as_ref(), Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_each_repeat_ids_are_looked_up_for_twice_as_many_transactions() {
        let repeats = Repeats::default();
        let looked_up = || {
            assert_eq!(repeats.expected(), Ids::Absent);
            repeats.met();
            let mut transactions = 0;
            while repeats.expected() == Ids::LookedUp {
                repeats.not_met(Ids::LookedUp);
                transactions += 1;
            }
            transactions
        };
        assert_eq!([(); 8].map(|()| looked_up()), [1, 2, 4, 8, 16, 32, 64, 64]);
        for _ in 0..7 {
            repeats.not_met(Ids::Absent);
        }
        assert_eq!(looked_up(), 1, "others were new since");
    }

    #[test]
    fn a_duplicate_and_an_id_that_is_there_are_repeats() {
        let database = |kind| Undone::NotDone(Error::DatabaseError(kind, Box::new(String::new())).into());
        assert!(is_repeated(&Undone::NotDone(Failure::Repeated)));
        assert!(is_repeated(&database(DatabaseErrorKind::UniqueViolation)));
        assert!(!is_repeated(&database(DatabaseErrorKind::SerializationFailure)));
        assert!(!is_repeated(&Undone::NotDone(Failure::Overtaken)));
    }
}
