//! The time of a client's that was folded into sums.

use std::collections::HashSet;
use std::time::Duration;

use quota_core::{ClientId, Detail, Instant, OperationId, PastEntry, Refusal, Window};
use quota_service::{AnyStore, QuotaService, ServiceError, UsageStore};

/// Which of the entries that a store left alone lie in a time that was folded, so that it cannot be told whether they are in its sums.
/// Of the others the ids stand for something else. (So may those of a few in that time, if their rows were changed since.)
///
/// # Errors
/// The store did not answer.
pub(super) async fn in_folded_time(
    store: &QuotaService<AnyStore>,
    client: &ClientId,
    entries: &[PastEntry],
    left_alone: &[OperationId],
) -> Result<HashSet<OperationId>, ServiceError> {
    // Where there are sums only, none is left alone for its time.
    if left_alone.is_empty() || store.store().detail() == Detail::Quarters {
        return Ok(HashSet::new());
    }
    let left_alone: HashSet<_> = left_alone.iter().collect();
    let mut found: Vec<_> = entries.iter().filter(|entry| left_alone.contains(&entry.id)).collect();
    found.sort_by_key(|entry| entry.at);
    // A client's time is folded up to an instant.
    let (mut folded, mut kept) = (0, found.len());
    while folded < kept {
        let middle = folded.midpoint(kept);
        match found.get(middle) {
            Some(entry) if is_folded(store, client, entry.at).await? => folded = middle.saturating_add(1),
            _ => kept = middle,
        }
    }
    Ok(found.into_iter().take(folded).map(|entry| entry.id.clone()).collect())
}

/// Whether an instant's usage can no longer be told from its quarter's.
async fn is_folded(store: &QuotaService<AnyStore>, client: &ClientId, at: Instant) -> Result<bool, ServiceError> {
    let Ok(instant) = Window::new(at, at.saturating_add(Duration::from_millis(1))) else { return Ok(false) };
    match store.total_usage(client, instant).await {
        Ok(_) => Ok(false),
        Err(ServiceError::Refused(Refusal::RangeNotAligned { .. })) => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use quota_core::Credits;

    use super::*;

    #[tokio::test]
    async fn entries_of_a_folded_time_are_told_from_those_whose_id_is_taken() {
        let store = QuotaService::new(quota_stores::connect("memory:?detail=entries").await.unwrap());
        let client = ClientId::new("c").unwrap();
        let id = |hour: i64| OperationId::new(format!("{hour}")).unwrap();
        let entry = |hour: i64| PastEntry {
            id: id(hour),
            at: Instant::from_millis(1_709_251_200_000 + hour * 3_600_000).unwrap(),
            credits: Credits::ONE,
            label: None,
        };
        let all: Vec<_> = (0..10).map(entry).collect();
        store.backfill(&client, all.clone()).await.unwrap();
        let left_alone: Vec<_> = [9, 1, 4, 3, 7].into_iter().map(id).collect();
        for (pruned, folded) in [(0, &[][..]), (4, &[1, 3]), (24, &[9, 1, 4, 3, 7])] {
            store.prune(entry(pruned).at).await.unwrap();
            let told = in_folded_time(&store, &client, &all, &left_alone).await.unwrap();
            assert_eq!(told, folded.iter().copied().map(id).collect(), "{pruned}");
        }
        assert!(in_folded_time(&store, &client, &all, &[]).await.unwrap().is_empty());
    }
}
