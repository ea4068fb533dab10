//! What is wrong with a store.

use quota_core::{Account, EntryId, Operation, PlanCheck};
use quota_service::Request;

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    LosesEveryThirdBatch,
    AppliesTwice,
    ReadsStale,
    IgnoresIds,
    DropsMadeIds,
    DropsPastLabels,
    DropsEntries,
    DropsAccount,
    FoldsCase,
    TrimsBlanks,
    ReordersBatch,
    ForgetsPlanVersion,
    IgnoresLatest,
    GivesBackOnPrune,
    PrunesEverything,
    LeavesTraces,
    OneFailsAll,
    ClosedRanges,
    CountsInEachProcess,
    RepeatsOnPages,
    ListsOtherCredits,
    ShufflesAnswers,
}

/// The same account, at the beginning of time.
pub(crate) fn at_the_beginning(account: &Account) -> Account {
    let document = account.to_document();
    let latest = format!("\"latest\":{}", account.latest().millis());
    Account::from_document(&document.replacen(&latest, "\"latest\":0", 1)).unwrap()
}

/// Changes what is asked.
pub(crate) fn distort(request: &mut Request, fault: Fault) {
    if fault == Fault::ForgetsPlanVersion {
        request.plan.check = PlanCheck::Any;
    }
    if let Operation::Backfill { entries, .. } = &mut request.operation
        && fault == Fault::DropsPastLabels
    {
        entries.iter_mut().for_each(|entry| entry.label = None);
    }
    if let Operation::Charge { id, .. } | Operation::Record { id, .. } = &mut request.operation {
        let drops = match fault {
            Fault::IgnoresIds => true,
            Fault::DropsMadeIds => matches!(id, EntryId::Made(_)),
            _ => false,
        };
        if drops {
            *id = EntryId::Absent;
        }
    }
}
