//! Deleting and voiding: the sums follow the entries.

use std::time::Duration;

use quota_core::{Answer, Instant, Operation, Window};
use quota_service::{EntriesQuery, StoreError, UsageStore};

use crate::support::{File, Sum, at, backfill, charge, client, id, one, past, range, request, unlimited, used};

/// A small generator, so that a failure comes again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn instant(&mut self, start: Instant) -> Instant {
        // Three hours, often on a quarter exactly.
        let millis = if self.below(3) == 0 { self.below(12) * 900_000 } else { self.below(12 * 900_000) };
        Instant::from_millis(start.millis() + i64::try_from(millis).unwrap()).unwrap()
    }
}

/// So many milliseconds later.
fn after(first: Instant, millis: u32) -> Instant {
    first.saturating_add(Duration::from_millis(millis.into()))
}

#[tokio::test]
async fn whatever_is_removed_the_quarters_are_the_entries_summed() {
    let file = File::new();
    let store = file.store();
    let (start, now) = (at("2024-03-01T00:00:00Z"), at("2024-03-01T03:00:00Z"));
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let labels = [None, Some("a"), Some("b"), Some("c")];
    for round in 0..60 {
        let entries = (0..random.below(12)).map(|n| {
            let cost = format!("{}.{:06}", random.below(5), random.below(1_000_000));
            let label = labels[usize::try_from(random.below(4)).unwrap()];
            past(&format!("{round}-{n}"), random.instant(start), &cost, label)
        });
        let entries = entries.collect();
        one(&store, request("x", backfill(entries), now, &unlimited())).await.unwrap();
        let (one_end, other) = (random.instant(start), random.instant(start));
        let range = Window::new(one_end.min(other), one_end.max(other)).unwrap();
        let operation = match random.below(3) {
            0 => Operation::Delete { range },
            _ => Operation::Void { id: id(&format!("{}-{}", random.below(round + 1), random.below(6))), at: None },
        };
        let removed = one(&store, request("x", operation.clone(), now, &unlimited())).await.unwrap();
        assert!(matches!(removed, Answer::Voided(_) | Answer::Deleted(_)));

        let (kept, made): (Vec<Sum>, Vec<Sum>) = file.sums();
        assert_eq!(kept, made, "after round {round}: {operation:?}");
        let total = store.total(&client("x"), Window::ALL).await.unwrap();
        let summed: i64 = made.iter().map(|sum| sum.credits).sum();
        assert_eq!(total.micros(), summed);
        let status = one(&store, request("x", Operation::Status, now, &unlimited())).await;
        assert_eq!(used(&status), total.to_string());
        // Any range is the entries in it.
        let part = store.total(&client("x"), range).await.unwrap();
        let (from, to) = (range.start().millis(), range.end().millis());
        let entries = format!("SELECT COALESCE(SUM(credits), 0) FROM quota_entries WHERE at >= {from} AND at < {to}");
        assert_eq!(part.micros(), file.number(&entries));
    }
}

#[tokio::test]
async fn a_deleted_id_is_free_again_and_counters_follow() {
    let file = File::new();
    let store = file.store();
    let now = at("2024-03-01T03:00:00Z");
    let entry = || vec![past("e", at("2024-03-01T00:00:01Z"), "5", None)];
    one(&store, request("x", backfill(entry()), now, &unlimited())).await.unwrap();
    one(&store, request("x", charge("1"), now, &unlimited())).await.unwrap();
    let first = range("2024-03-01T00:00:00Z", "2024-03-01T00:00:02Z");
    let deleted = one(&store, request("x", Operation::Delete { range: first }, now, &unlimited())).await;
    assert!(matches!(deleted, Ok(Answer::Deleted(1))));
    assert_eq!(used(&one(&store, request("x", Operation::Status, now, &unlimited())).await), "1");
    let again = one(&store, request("x", backfill(entry()), now, &unlimited())).await.unwrap();
    assert!(matches!(again, Answer::Backfilled(answer) if answer.added == 1));
    assert_eq!(used(&one(&store, request("x", Operation::Status, now, &unlimited())).await), "6");
}

#[tokio::test]
async fn rows_of_a_large_deletion_outlive_their_process_and_are_taken_out_by_a_pruning() {
    let file = File::new();
    let (first, now) = (at("2024-03-01T00:00:00Z"), at("2024-03-01T12:00:00Z"));
    let entries = (0..5_000).map(|number| past(&format!("id {number}"), first, "1", None)).collect();
    let later = vec![past("later", at("2024-03-01T00:00:00.001Z"), "1", None)];
    for entries in [entries, later] {
        one(&file.store(), request("a", backfill(entries), now, &unlimited())).await.unwrap();
    }
    let deleted = one(&file.store(), request("a", Operation::Delete { range: Window::ALL }, now, &unlimited())).await;
    assert!(matches!(deleted, Ok(Answer::Deleted(5_001))), "{deleted:?}");
    let store = file.store();
    assert_eq!(used(&one(&store, request("a", charge("4"), now, &unlimited())).await), "4");
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_entries"), 5_001, "they wait, but for the last instant's");
    store.prune(Instant::MIN).await.unwrap();
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_entries"), 1);
    assert_eq!(file.number("SELECT deleted_to - deleted_from FROM quota_accounts"), 0);
    assert_eq!(store.total(&client("a"), Window::ALL).await.unwrap().to_string(), "4");
}

#[tokio::test]
async fn a_charge_of_the_instant_of_a_large_deletion_waits_for_none_of_its_rows() {
    let file = File::new();
    let (first, now) = (at("2024-03-01T00:00:00Z"), at("2024-03-01T12:00:00Z"));
    let entries = (0..5_000).map(|number| past(&format!("id {number}"), first, "1", None)).collect();
    let store = file.store();
    one(&store, request("a", backfill(entries), now, &unlimited())).await.unwrap();
    let asked = [charge("1"), Operation::Delete { range: Window::ALL }, charge("2")];
    let batch = asked.map(|operation| request("a", operation, now, &unlimited()));
    let answers = store.apply(batch.into()).await;
    assert!(matches!(answers[1], Ok(Answer::Deleted(5_001))), "{answers:?}");
    assert_eq!(used(&answers[2]), "2");
    assert_eq!(used(&one(&store, request("a", charge("4"), now, &unlimited())).await), "6");
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_entries"), 5_002, "they wait");
}

#[tokio::test]
async fn a_large_deletion_in_the_batch_that_makes_its_client_leaves_nothing_to_be_seen() {
    let file = File::new();
    let store = file.store();
    let (first, now) = (at("2024-03-01T00:00:00Z"), at("2024-03-01T12:00:00Z"));
    let entries =
        || (0..3_000_u32).map(|number| past(&format!("id {number}"), after(first, number), "1", None)).collect();
    let asked = [backfill(entries()), Operation::Delete { range: Window::ALL }];
    let answers = store.apply(asked.map(|operation| request("a", operation, now, &unlimited())).into()).await;
    assert!(matches!(answers[1], Ok(Answer::Deleted(3_000))), "{answers:?}");
    let query = EntriesQuery { range: Window::ALL, after: None, limit: 10 };
    assert_eq!(store.entries(&client("a"), &query).await.unwrap().entries, []);
    let again = one(&store, request("a", backfill(entries()), now, &unlimited())).await.unwrap();
    assert!(matches!(&again, Answer::Backfilled(answer) if answer.added == 3_000), "their ids are free: {again:?}");
    assert_eq!(used(&one(&store, request("a", Operation::Status, now, &unlimited())).await), "3000");
}

#[tokio::test]
async fn a_large_deletion_of_entries_without_an_account_is_refused() {
    let file = File::new();
    let (first, now) = (at("2024-03-01T00:00:00Z"), at("2024-03-01T12:00:00Z"));
    let entries = (0..3_000_u32).map(|number| past(&format!("id {number}"), after(first, number), "1", None)).collect();
    one(&file.store(), request("a", backfill(entries), now, &unlimited())).await.unwrap();
    file.execute("DELETE FROM quota_accounts");
    let deleted = one(&file.store(), request("a", Operation::Delete { range: Window::ALL }, now, &unlimited())).await;
    assert!(matches!(deleted, Err(StoreError::Corrupt { .. })), "{deleted:?}");
    assert_eq!(file.number("SELECT SUM(entries) FROM quota_quarters"), 3_000, "nothing was done");
}
