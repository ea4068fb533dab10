//! A full disk: nothing half done, and charging resumes.

use std::num::NonZeroU32;

use quota_core::{Operation, Window};
use quota_service::{StoreError, UsageStore};

use crate::support::{File, at, backfill, charge, client, labelled, number, one, past, request, unlimited};

#[tokio::test]
async fn on_a_full_disk_nothing_is_half_done_and_charging_resumes() {
    let file = File::new();
    drop(file.store());
    let pages = file.number("SELECT page_count FROM pragma_page_count");
    let limit = NonZeroU32::new(u32::try_from(pages).unwrap() + 12).unwrap();
    let store = file.builder().with_max_pages(limit).open().unwrap();
    let plan = unlimited();
    let now = at("2024-03-01T12:00:00Z");
    let mut acknowledged = 0_i64;
    let mut refused = 0;
    for round in 0..400 {
        let batch = (0..8).map(|n| request(&format!("client-{}", (round + n) % 24), labelled("1", "l"), now, &plan));
        let answers = store.apply(batch.collect()).await;
        let done = answers.iter().filter(|answer| answer.is_ok()).count();
        assert!(done == 0 || done == 8, "a batch is done whole or not at all");
        acknowledged += i64::try_from(done).unwrap();
        for answer in answers.iter().filter(|answer| answer.is_err()) {
            assert!(matches!(answer, Err(StoreError::NotDone { .. })), "{answer:?}");
            refused += 1;
        }
        if refused > 40 {
            break;
        }
    }
    assert!(acknowledged > 0 && refused > 40, "{acknowledged} done, {refused} refused");
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_entries"), acknowledged);
    let (kept, made) = file.sums();
    assert_eq!(kept, made);
    assert_eq!(
        number(&mut file.connection(), "SELECT COUNT(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
        0
    );

    // Usage can still be read, and deleting makes room.
    assert!(store.total(&client("client-1"), Window::ALL).await.is_ok());
    for n in 0..12 {
        one(&store, request(&format!("client-{n}"), Operation::Delete { range: Window::ALL }, now, &plan))
            .await
            .unwrap();
    }
    one(&store, request("client-1", charge("1"), now, &plan)).await.unwrap();
    // So does a bigger disk.
    drop(store);
    let store = file.store();
    for n in 0..24 {
        one(&store, request(&format!("client-{n}"), charge("1"), now, &plan)).await.unwrap();
    }
    let (kept, made) = file.sums();
    assert_eq!(kept, made);
}

#[tokio::test]
async fn a_backfill_that_does_not_fit_adds_nothing() {
    let file = File::new();
    drop(file.store());
    let pages = file.number("SELECT page_count FROM pragma_page_count");
    let limit = NonZeroU32::new(u32::try_from(pages).unwrap() + 12).unwrap();
    let store = file.builder().with_max_pages(limit).open().unwrap();
    let now = at("2024-03-01T12:00:00Z");
    let entries = (0..5_000).map(|n| past(&format!("entry-{n}"), now, "1", None)).collect();
    let answer = one(&store, request("a", backfill(entries), now, &unlimited())).await;
    assert!(matches!(answer, Err(StoreError::NotDone { .. })), "{answer:?}");
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_entries"), 0);
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_accounts"), 0);
    one(&store, request("a", charge("1"), now, &unlimited())).await.unwrap();
}
