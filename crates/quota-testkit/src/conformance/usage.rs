//! Reading and mending what was used.

use quota_core::{GroupBy, Label, Window};
use quota_service::{Charge, EntriesQuery, Refusal, ServiceError};

use crate::{Harness, StoreFactory, at, credits, minutes, past_entry, per_day, per_hour, range};

pub async fn totals_are_half_open<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[]).await;
    for (instant, amount) in
        [("2024-03-15T12:00:00Z", "1"), ("2024-03-15T12:14:59.999Z", "2"), ("2024-03-15T12:15:00Z", "4")]
    {
        harness.clock().set(at(instant));
        assert_eq!(client.charge(amount).await, "allowed");
    }
    assert_eq!(client.total_in("2024-03-15T12:00:00Z", "2024-03-15T12:15:00Z").await, "3");
    assert_eq!(client.total_in("2024-03-15T12:15:00Z", "2024-03-15T12:30:00Z").await, "4");
    assert_eq!(client.total_in("2024-03-15T12:15:00Z", "2024-03-15T12:15:00Z").await, "0", "an empty range");
    assert_eq!(client.total_in("1970-01-01T00:00:00Z", "2099-12-31T23:59:59.999Z").await, "7");
}

pub async fn a_deletion_takes_its_range_and_no_more<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_hour("100"), per_day("100")]).await;
    for (instant, amount) in
        [("2024-03-15T12:00:00Z", "1"), ("2024-03-15T12:15:00Z", "2"), ("2024-03-15T13:00:00Z", "4")]
    {
        harness.clock().set(at(instant));
        assert_eq!(client.charge(amount).await, "allowed");
    }
    assert_eq!(client.delete("2024-03-15T12:15:00Z", "2024-03-15T12:15:00Z").await, 0);
    assert_eq!(client.delete("2024-03-15T12:15:00Z", "2024-03-15T13:00:00Z").await, 1);
    assert_eq!(client.delete("2024-03-15T12:15:00Z", "2024-03-15T13:00:00Z").await, 0);
    let used: Vec<_> = client.status().await.quotas().iter().map(|quota| quota.used().to_string()).collect();
    assert_eq!(used, ["4", "5"]);
    assert_eq!(client.total().await, "5");
    assert_eq!(client.hold("h", "3", minutes(5)).await, "allowed");
    let all = client.service().delete_usage(client.client(), Window::ALL).await.unwrap();
    assert_eq!(all, 2);
    assert_eq!(client.stands().await, ("0".into(), "3".into(), "97".into()), "a hold is no entry");
    assert_eq!(client.total().await, "0");
    assert_eq!(client.days("2024-03-15T00:00:00Z", "2024-03-16T00:00:00Z", "UTC").await, []);
}

pub async fn the_accounts_time_outlives_a_deletion<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    harness.clock().set(at("2024-03-16T12:00:00Z"));
    assert_eq!(client.charge("10").await, "allowed");
    client.service().delete_usage(client.client(), Window::ALL).await.unwrap();
    harness.clock().set(at("2024-03-15T12:00:00Z"));
    assert_eq!(client.charge("1").await, "allowed");
    assert_eq!(client.total_in("2024-03-16T12:00:00Z", "2024-03-16T12:15:00Z").await, "1");
}

pub async fn a_backfill_counts_at_once_and_can_be_repeated<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_hour("10"), per_day("20")]).await;
    assert_eq!(client.charge_as("now", "1").await, "allowed");
    assert_eq!(client.hold("h", "2", minutes(5)).await, "allowed");
    let past = [
        ("yesterday", "2024-03-14T12:00:00Z", "5"),
        ("this morning", "2024-03-15T09:00:00Z", "6"),
        ("this hour", "2024-03-15T12:00:00Z", "3"),
    ];
    let done = client.backfill(&past).await;
    assert_eq!((done.added, done.skipped, done.conflicts.len()), (3, 0, 0));
    let done = client.backfill(&past).await;
    assert_eq!((done.added, done.skipped, done.conflicts.len()), (0, 3, 0));
    let mixed = [
        ("yesterday", "2024-03-14T12:00:00.001Z", "5"),
        ("this morning", "2024-03-15T09:00:00Z", "7"),
        ("h", "2024-03-15T12:00:00Z", "2"),
        ("now", "2024-03-15T12:00:00Z", "1"),
        ("new", "2024-03-14T13:00:00Z", "1"),
        ("new", "2024-03-14T13:00:00Z", "1"),
        ("new", "2024-03-14T13:00:00Z", "2"),
    ];
    let done = client.backfill(&mixed).await;
    let conflicts: Vec<_> = done.conflicts.iter().map(ToString::to_string).collect();
    assert_eq!(
        (done.added, done.skipped, conflicts),
        (1, 2, ["yesterday", "this morning", "h", "new"].map(str::to_owned).to_vec())
    );
    let used: Vec<_> = client.status().await.quotas().iter().map(|quota| quota.used().to_string()).collect();
    assert_eq!(used, ["4", "10"]);
    assert_eq!(client.total().await, "16");
    assert_eq!(client.charge_as("this hour", "3").await, "replayed");
}

pub async fn a_backfill_may_lead_into_debt<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.backfill(&[("b", "2024-03-15T11:00:00Z", "12")]).await.added, 1);
    assert_eq!(client.stands().await, ("12".into(), "0".into(), "-2".into()));
    assert_eq!(client.charge("0").await, "denied");
}

pub async fn a_backfill_does_not_move_the_accounts_time<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.backfill(&[("b", "2024-03-15T12:00:00Z", "1")]).await.added, 1);
    harness.clock().set(at("2024-03-14T12:00:00Z"));
    assert_eq!(client.charge("2").await, "allowed");
    assert_eq!(client.total_in("2024-03-14T12:00:00Z", "2024-03-14T12:15:00Z").await, "2");
}

pub async fn a_refused_backfill_adds_nothing<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    let future = vec![
        past_entry("a", at("2024-03-15T11:00:00Z"), credits("1")),
        past_entry("b", at("2024-03-15T12:01:00.001Z"), credits("1")),
    ];
    let refused = client.service().backfill(client.client(), future).await;
    assert!(matches!(refused, Err(ServiceError::Refused(Refusal::EntryInFuture { .. }))), "{refused:?}");
    let one = |number: usize| past_entry(&number.to_string(), at("2024-03-15T11:00:00Z"), credits("0.001"));
    let refused = client.service().backfill(client.client(), (0..10_001).map(one).collect()).await;
    assert!(matches!(refused, Err(ServiceError::Refused(Refusal::TooManyEntries { .. }))), "{refused:?}");
    assert_eq!((client.total().await, client.used().await), ("0".into(), "0".into()));
    let done = client.service().backfill(client.client(), (0..10_000).map(one).collect()).await.unwrap();
    assert_eq!(done.added, 10_000);
    assert_eq!(client.charge("0.000001").await, "denied");
}

pub async fn a_range_that_cuts_a_quarter_is_refused_where_only_quarters_are_kept<F: StoreFactory>(
    harness: &Harness<F>,
) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge("1").await, "allowed");
    harness.clock().set(at("2024-03-15T12:05:00Z"));
    assert_eq!(client.charge("2").await, "allowed");
    let cut = range("2024-03-15T12:00:00Z", "2024-03-15T12:05:00Z");
    let (service, id) = (client.service(), client.client());
    if harness.keeps_entries().await {
        assert_eq!(service.total_usage(id, cut).await.unwrap(), credits("1"));
        assert_eq!(service.delete_usage(id, cut).await.unwrap(), 1);
        assert_eq!((client.total().await, client.used().await), ("2".into(), "2".into()));
        assert_eq!(client.delete("2024-03-15T12:05:00Z", "2024-03-15T12:05:00.001Z").await, 1);
        assert_eq!((client.total().await, client.used().await), ("0".into(), "0".into()));
    } else {
        let refused = |error: ServiceError| matches!(error, ServiceError::Refused(Refusal::RangeNotAligned { .. }));
        assert!(refused(service.total_usage(id, cut).await.unwrap_err()));
        assert!(refused(service.delete_usage(id, cut).await.unwrap_err()));
        let zone = quota_core::zone("UTC").unwrap();
        let query = quota_service::DailyQuery { range: cut, zone, by: GroupBy::Day };
        assert!(refused(service.daily_usage(id, query).await.unwrap_err()));
        assert_eq!(client.used().await, "3");
        // Whoever is unknown is no exception.
        let nobody = harness.client("nobody");
        assert!(refused(service.total_usage(&nobody, cut).await.unwrap_err()));
        let query = quota_service::DailyQuery { range: cut, zone, by: GroupBy::Day };
        assert!(refused(service.daily_usage(&nobody, query).await.unwrap_err()));
    }
}

pub async fn entries_are_listed_in_order_page_by_page<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[]).await;
    // Several in the same instant, so that a page ends between equals.
    for number in 0..17_u64 {
        harness.clock().set(Harness::<F>::noon().saturating_add(minutes(number / 5)));
        assert_eq!(client.charge_as(&format!("i{number:02}"), &number.to_string()).await, "allowed");
    }
    assert_eq!(client.backfill(&[("past", "2024-03-14T12:00:00Z", "1")]).await.added, 1);
    let query = |after, limit| EntriesQuery { range: Window::ALL, after, limit };
    if !harness.keeps_entries().await {
        let page = client.service().entries(client.client(), query(None, 100)).await.unwrap();
        assert_eq!((page.entries.len(), page.next), (0, None));
        return;
    }
    let all = client.entries().await;
    assert_eq!(all.len(), 18);
    assert_eq!(client.ids().await.len(), 18);
    assert!(all.windows(2).all(|pair| pair[0].at <= pair[1].at));
    let whole = client.service().entries(client.client(), query(None, 18)).await.unwrap();
    assert_eq!((whole.entries, whole.next), (all.clone(), None));
    let range = range("2024-03-15T12:01:00Z", "2024-03-15T12:02:00Z");
    let minute = EntriesQuery { range, after: None, limit: 100 };
    let minute = client.service().entries(client.client(), minute).await.unwrap();
    assert_eq!(minute.entries, all[6..11]);
}

pub async fn pages_go_on_where_they_ended_whatever_is_added_or_removed<F: StoreFactory>(harness: &Harness<F>) {
    if !harness.keeps_entries().await {
        return;
    }
    let client = harness.subject("a").await;
    client.plan(&[]).await;
    for number in 0..6 {
        assert_eq!(client.charge_as(&format!("i{number}"), "1").await, "allowed");
    }
    let page = |after| EntriesQuery { range: Window::ALL, after, limit: 2 };
    let first = client.service().entries(client.client(), page(None)).await.unwrap();
    let read: Vec<_> = first.entries.iter().map(|entry| entry.id.clone().unwrap()).collect();
    // What was read goes, and something earlier comes.
    assert!(client.void(read[1].as_str()).await);
    assert_eq!(client.backfill(&[("past", "2024-03-14T12:00:00Z", "1")]).await.added, 1);
    let mut rest = Vec::new();
    let mut after = first.next;
    while after.is_some() {
        let next = client.service().entries(client.client(), page(after)).await.unwrap();
        rest.extend(next.entries.into_iter().map(|entry| entry.id.unwrap()));
        after = next.next;
    }
    let mut expected: Vec<_> = (0..6).map(|number| crate::operation_id(&format!("i{number}"))).collect();
    expected.retain(|id| !read.contains(id));
    assert_eq!(rest, expected);
}

pub async fn a_page_after_nonsense_is_refused<F: StoreFactory>(harness: &Harness<F>) {
    if !harness.keeps_entries().await {
        return;
    }
    let client = harness.subject("a").await;
    client.plan(&[]).await;
    assert_eq!(client.charge("1").await, "allowed");
    for nonsense in ["", "nonsense", "1.2.3", "'; drop table", "9999999999999999999999"] {
        let query = EntriesQuery { range: Window::ALL, after: Some(nonsense.to_owned()), limit: 2 };
        assert!(client.service().entries(client.client(), query).await.is_err(), "{nonsense:?}");
    }
}

pub async fn a_page_after_a_cursor_of_another_range_is_refused<F: StoreFactory>(harness: &Harness<F>) {
    if !harness.keeps_entries().await {
        return;
    }
    let client = harness.subject("a").await;
    client.plan(&[]).await;
    for _ in 0..3 {
        assert_eq!(client.charge("1").await, "allowed");
    }
    let page = |range, after| client.service().entries(client.client(), EntriesQuery { range, after, limit: 2 });
    let next = page(Window::ALL, None).await.unwrap().next;
    assert_eq!(page(Window::ALL, next.clone()).await.unwrap().entries.len(), 1);
    for other in [
        range("2024-03-15T11:00:00Z", "2024-03-15T12:00:00Z"),
        range("2024-03-15T12:00:00.001Z", "2024-03-15T13:00:00Z"),
    ] {
        let answer = page(other, next.clone()).await;
        assert!(matches!(answer, Err(ServiceError::Refused(Refusal::InvalidCursor))), "{answer:?}");
    }
}

pub async fn labels_tell_days_apart<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("100")]).await;
    for (label, amount) in [(Some("/b"), "1"), (None, "2"), (Some("/a"), "3"), (Some("/b"), "4"), (Some("/B"), "5")] {
        let mut charge = Charge::new(credits(amount));
        if let Some(label) = label {
            charge = charge.with_label(Label::new(label).unwrap());
        }
        assert_eq!(crate::word(&client.service().charge_with(client.client(), charge).await), "allowed");
    }
    let (from, to) = ("2024-03-15T00:00:00Z", "2024-03-16T00:00:00Z");
    assert_eq!(client.days(from, to, "UTC").await, [("2024-03-15".into(), "15".into(), 5)]);
    let days = client.days_by(from, to, "UTC", GroupBy::DayAndLabel).await;
    let days: Vec<_> = days
        .iter()
        .map(|day| (day.label.as_ref().map_or("", Label::as_str), day.credits.to_string(), day.entries))
        .collect();
    let expected = [("", "2", 1), ("/B", "5", 1), ("/a", "3", 1), ("/b", "5", 2)];
    assert_eq!(days, expected.map(|(label, sum, entries)| (label, sum.to_owned(), entries)));
}

pub async fn labels_beyond_64_count_under_none_in_sums<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("1000")]).await;
    for number in 0..70 {
        let charge = Charge::new(credits("1")).with_label(Label::new(format!("label {number:02}")).unwrap());
        assert_eq!(crate::word(&client.service().charge_with(client.client(), charge).await), "allowed");
    }
    let (from, to) = ("2024-03-15T00:00:00Z", "2024-03-16T00:00:00Z");
    let days = client.days_by(from, to, "UTC", GroupBy::DayAndLabel).await;
    assert_eq!(days.len(), 65);
    assert_eq!((days[0].label.as_ref(), days[0].entries), (None, 6));
    assert_eq!(client.days(from, to, "UTC").await, [("2024-03-15".into(), "70".into(), 70)]);
    if harness.keeps_entries().await {
        // Nor is it told by name where a range cuts a quarter, so that its entries are read.
        let cut = client.days_by("2024-03-15T11:55:00Z", "2024-03-15T12:05:00Z", "UTC", GroupBy::DayAndLabel).await;
        assert_eq!(cut, days);
    }
    // A label that is known is still told apart.
    let known = Charge::new(credits("1")).with_label(Label::new("label 07").unwrap());
    assert_eq!(crate::word(&client.service().charge_with(client.client(), known).await), "allowed");
    let days = client.days_by(from, to, "UTC", GroupBy::DayAndLabel).await;
    let seventh = days.iter().find(|day| day.label.as_ref().is_some_and(|label| label.as_str() == "label 07"));
    assert_eq!(seventh.map(|day| day.entries), Some(2));
}

pub async fn a_voided_labelled_entry_leaves_its_labels_sum<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("100")]).await;
    for (id, label, amount) in [("a1", "a", "1"), ("a2", "a", "2"), ("b1", "b", "4")] {
        let charge = Charge::new(credits(amount)).with_id(crate::operation_id(id));
        let charge = charge.with_label(Label::new(label).unwrap());
        assert_eq!(crate::word(&client.service().charge_with(client.client(), charge).await), "allowed");
    }
    assert!(client.void("a1").await && client.void("b1").await);
    let days = client.days_by("2024-03-15T00:00:00Z", "2024-03-16T00:00:00Z", "UTC", GroupBy::DayAndLabel).await;
    let days: Vec<_> = days.iter().map(|day| (day.label.clone(), day.credits, day.entries)).collect();
    assert_eq!(days, [(Some(Label::new("a").unwrap()), credits("2"), 1)]);
}

pub async fn a_settled_hold_keeps_its_label<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("100")]).await;
    let charge = Charge::new(credits("5")).with_label(Label::new("/report").unwrap());
    let held = client.service().hold(client.client(), charge, quota_core::Ttl::DEFAULT).await.unwrap();
    let quota_service::Holding::Held(guard) = held else { panic!("{held:?}") };
    // By another process, that knows the hold by its id alone.
    let id = guard.detach();
    assert_eq!(harness.subject("a").await.settle(id.as_str(), "3").await, "allowed");
    let days = client.days_by("2024-03-15T00:00:00Z", "2024-03-16T00:00:00Z", "UTC", GroupBy::DayAndLabel).await;
    let days: Vec<_> = days.iter().map(|day| (day.label.clone(), day.credits)).collect();
    assert_eq!(days, [(Some(Label::new("/report").unwrap()), credits("3"))]);
}

pub async fn labels_of_two_processes_are_told_apart_alike<F: StoreFactory>(harness: &Harness<F>) {
    let handles = [harness.subject("a").await, harness.subject("a").await];
    handles[0].plan(&[per_day("1000")]).await;
    for number in 0..20 {
        for (handle, label) in handles.iter().zip([number, number + 1]) {
            let charge = Charge::new(credits("1")).with_label(Label::new(format!("label {label:02}")).unwrap());
            assert_eq!(crate::word(&handle.service().charge_with(handle.client(), charge).await), "allowed");
        }
    }
    let days = handles[0].days_by("2024-03-15T00:00:00Z", "2024-03-16T00:00:00Z", "UTC", GroupBy::DayAndLabel).await;
    let counts: Vec<u64> = days.iter().map(|day| day.entries).collect();
    let mut expected = vec![2; 21];
    (expected[0], expected[20]) = (1, 1);
    assert_eq!(counts, expected);
}
