//! Usage, entries and clients, read back.

use quota_core::{GroupBy, Instant, Refusal, Tz, Window};
use quota_service::{ClientsQuery, DailyQuery, EntriesQuery, StoreError, UsageStore};

use crate::support::{File, at, backfill, charge, client, days, labelled, one, past, range, request, unlimited};

fn key(day: &str, label: &str) -> (String, String) {
    (day.to_owned(), label.to_owned())
}

#[tokio::test]
async fn days_are_cut_in_the_readers_zone_and_by_label() {
    let file = File::new();
    let store = file.store();
    let now = at("2024-06-01T00:00:00Z");
    let entries = vec![
        past("1", at("2024-03-09T23:50:00Z"), "1", Some("a")),
        past("2", at("2024-03-10T00:10:00Z"), "2", Some("b")),
        past("3", at("2024-03-10T18:20:00Z"), "4", None),
        past("4", at("2024-03-11T03:59:59.999Z"), "8", Some("a")),
        past("5", at("2024-03-11T04:00:00Z"), "16", Some("a")),
    ];
    one(&store, request("x", backfill(entries), now, &unlimited())).await.unwrap();
    let daily = async |zone: Tz, by: GroupBy, range: Window| {
        days(&store.daily(&client("x"), &DailyQuery { range, zone, by }).await.unwrap())
    };
    let by_day = daily(Tz::UTC, GroupBy::Day, Window::ALL).await;
    let expected = [
        (key("2024-03-09", ""), ("1".to_owned(), 1)),
        (key("2024-03-10", ""), ("6".to_owned(), 2)),
        (key("2024-03-11", ""), ("24".to_owned(), 2)),
    ];
    assert_eq!(by_day, expected.into());
    // New York sprang forward on that Sunday: midnight is 05:00Z before and 04:00Z after.
    let new_york = daily(Tz::America__New_York, GroupBy::DayAndLabel, Window::ALL).await;
    let expected = [
        (key("2024-03-09", "a"), ("1".to_owned(), 1)),
        (key("2024-03-09", "b"), ("2".to_owned(), 1)),
        (key("2024-03-10", ""), ("4".to_owned(), 1)),
        (key("2024-03-10", "a"), ("8".to_owned(), 1)),
        (key("2024-03-11", "a"), ("16".to_owned(), 1)),
    ];
    assert_eq!(new_york, expected.into());
    // +05:45: quarters still fall whole into days.
    let kathmandu = daily(Tz::Asia__Kathmandu, GroupBy::Day, Window::ALL).await;
    let expected = [(key("2024-03-10", ""), ("3".to_owned(), 2)), (key("2024-03-11", ""), ("28".to_owned(), 3))];
    assert_eq!(kathmandu, expected.into());
    // A range that cuts quarters counts the entries in it.
    let cut = range("2024-03-10T00:10:00.001Z", "2024-03-11T04:00:00Z");
    let expected = [(key("2024-03-10", ""), ("4".to_owned(), 1)), (key("2024-03-11", ""), ("8".to_owned(), 1))];
    assert_eq!(daily(Tz::UTC, GroupBy::Day, cut).await, expected.into());
    let empty = range("2024-03-10T00:10:00Z", "2024-03-10T00:10:00Z");
    assert!(daily(Tz::UTC, GroupBy::Day, empty).await.is_empty());
}

#[tokio::test]
async fn a_quarter_that_two_days_share_is_read_entry_by_entry() {
    let file = File::new();
    let store = file.store();
    let now = at("2010-12-01T00:00:00Z");
    // In St. John's 2010-11-07 began at 02:30Z; at 02:31Z, 00:01 there, clocks went back to 23:01 of the 6th.
    let entries = vec![
        past("1", at("2010-11-07T02:29:59.999Z"), "1", Some("l")),
        past("2", at("2010-11-07T02:30:59.999Z"), "2", Some("l")),
        past("3", at("2010-11-07T02:31:00Z"), "4", Some("l")),
        past("4", at("2010-11-07T03:30:00Z"), "8", Some("l")),
    ];
    one(&store, request("x", backfill(entries), now, &unlimited())).await.unwrap();
    let query = DailyQuery { range: Window::ALL, zone: Tz::America__St_Johns, by: GroupBy::DayAndLabel };
    let read = days(&store.daily(&client("x"), &query).await.unwrap());
    let expected = [(key("2010-11-06", "l"), ("5".to_owned(), 2)), (key("2010-11-07", "l"), ("10".to_owned(), 2))];
    assert_eq!(read, expected.into());
    // Folded, the quarter's first instant decides.
    store.prune(at("2010-11-08T00:00:00Z")).await.unwrap();
    let read = days(&store.daily(&client("x"), &query).await.unwrap());
    let expected = [(key("2010-11-06", "l"), ("1".to_owned(), 1)), (key("2010-11-07", "l"), ("14".to_owned(), 3))];
    assert_eq!(read, expected.into());
}

#[tokio::test]
async fn sums_know_64_labels_of_a_client() {
    let file = File::new();
    let store = file.store();
    let now = at("2024-03-01T12:00:00Z");
    let batch = (0..70).map(|n| request("x", labelled("1", &format!("label {n:02}")), now, &unlimited()));
    for answer in store.apply(batch.collect()).await {
        answer.unwrap();
    }
    one(&store, request("x", charge("1"), now, &unlimited())).await.unwrap();
    let whole = range("2024-03-01T00:00:00Z", "2024-03-02T00:00:00Z");
    // The second reads the same quarter entry by entry.
    for range in [whole, range("2024-03-01T12:00:00Z", "2024-03-01T12:00:00.001Z")] {
        let query = DailyQuery { range, zone: Tz::UTC, by: GroupBy::DayAndLabel };
        let read = days(&store.daily(&client("x"), &query).await.unwrap());
        assert_eq!(read.len(), 65);
        assert_eq!(read[&key("2024-03-01", "")], ("7".to_owned(), 7));
        assert_eq!(read[&key("2024-03-01", "label 63")], ("1".to_owned(), 1));
    }
    // What is removed is taken from where it was counted.
    let delete = quota_core::Operation::Delete { range: range("2024-03-01T12:00:00Z", "2024-03-01T12:00:00.001Z") };
    one(&store, request("x", delete, now, &unlimited())).await.unwrap();
    assert_eq!(file.number("SELECT COUNT(*) FROM quota_quarters"), 0);
}

#[tokio::test]
async fn pages_of_entries_hold_each_entry_once() {
    let file = File::new();
    let store = file.store();
    let start = at("2024-03-01T00:00:00Z");
    let now = at("2024-03-02T00:00:00Z");
    let when = |n: i64| Instant::from_millis(start.millis() + n / 3).unwrap();
    let entries = (0..25).map(|n| past(&format!("e{n:02}"), when(n), "1", (n == 3).then_some("l"))).collect();
    one(&store, request("x", backfill(entries), now, &unlimited())).await.unwrap();
    one(&store, request("y", charge("1"), now, &unlimited())).await.unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let query = EntriesQuery { range: range("2024-03-01T00:00:00Z", "2024-03-02T00:00:00Z"), after, limit: 4 };
        let page = store.entries(&client("x"), &query).await.unwrap();
        assert!(page.entries.len() <= 4);
        seen.extend(page.entries);
        after = page.next;
        if after.is_none() {
            break;
        }
        assert!(after.as_ref().unwrap().is_ascii());
    }
    let ids: Vec<String> = seen.iter().map(|entry| entry.id.as_ref().unwrap().to_string()).collect();
    assert_eq!(ids, (0..25).map(|n| format!("e{n:02}")).collect::<Vec<_>>());
    assert_eq!(seen[3].label.as_ref().unwrap().as_str(), "l");
    assert!(seen.is_sorted_by_key(|entry| entry.at));
    // An entry without an id has none when it is read back.
    let query = EntriesQuery { range: Window::ALL, after: None, limit: 4 };
    let page = store.entries(&client("y"), &query).await.unwrap();
    assert_eq!((page.entries.len(), page.entries[0].id.clone(), page.next), (1, None, None));
}

#[tokio::test]
async fn a_cursor_that_was_not_given_out_is_refused() {
    let file = File::new();
    let store = file.store();
    for cursor in ["", "x", "1709251200000", "0-61", "1709251200000-zz"] {
        let range = range("2024-03-01T00:00:00Z", "2024-03-02T00:00:00Z");
        let query = EntriesQuery { range, after: Some(cursor.to_owned()), limit: 4 };
        let answer = store.entries(&client("x"), &query).await;
        assert!(matches!(answer, Err(StoreError::Refused(Refusal::InvalidCursor))), "{cursor:?}: {answer:?}");
    }
}

#[tokio::test]
async fn clients_are_listed_by_bytes_prefix_and_page() {
    let file = File::new();
    let store = file.store();
    let now = at("2024-03-01T12:00:00Z");
    for name in ["a", "a%b", "a_b", "aZ", "aa", "ab", "a\u{10ffff}", "b", "\u{10ffff}x"] {
        one(&store, request(name, charge("1"), now, &unlimited())).await.unwrap();
    }
    let list = async |prefix: &str, after: Option<&str>, limit: usize| {
        let query = ClientsQuery { prefix: prefix.to_owned(), after: after.map(client), limit };
        let clients = store.clients(&query).await.unwrap();
        clients.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(list("a", None, 100).await, ["a", "a%b", "aZ", "a_b", "aa", "ab", "a\u{10ffff}"]);
    assert_eq!(list("a", Some("a_b"), 2).await, ["aa", "ab"]);
    assert_eq!(list("a_", None, 100).await, ["a_b"]);
    assert_eq!(list("\u{10ffff}", None, 100).await, ["\u{10ffff}x"]);
    assert_eq!(list("", Some("b"), 100).await, ["\u{10ffff}x"]);
    assert_eq!(list("c", None, 100).await, [""; 0]);
    assert_eq!(list("a", Some("z"), 100).await, [""; 0]);
}
