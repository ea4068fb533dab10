//! Usage by local calendar day.

use crate::{Harness, StoreFactory, Subject, at};
use quota_service::UsageStore;

async fn charge_at<F: StoreFactory, S: UsageStore>(
    harness: &Harness<F>,
    client: &Subject<S>,
    charges: &[(&str, &str)],
) {
    for (instant, amount) in charges {
        harness.clock().set(at(instant));
        assert_eq!(client.charge(amount).await, "allowed");
    }
}

fn day(day: &str, sum: &str, entries: u64) -> (String, String, u64) {
    (day.to_owned(), sum.to_owned(), entries)
}

pub async fn days_are_cut_in_the_readers_zone_and_empty_ones_left_out<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[]).await;
    let charges = [("2024-03-14T14:59:59.999Z", "1"), ("2024-03-14T15:00:00Z", "2"), ("2024-03-16T23:59:59.999Z", "4")];
    charge_at(harness, &client, &charges).await;
    let (from, to) = ("2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z");
    assert_eq!(client.days(from, to, "UTC").await, [day("2024-03-14", "3", 2), day("2024-03-16", "4", 1)]);
    assert_eq!(
        client.days(from, to, "Asia/Tokyo").await,
        [day("2024-03-14", "1", 1), day("2024-03-15", "2", 1), day("2024-03-17", "4", 1)]
    );
}

pub async fn days_take_only_their_range<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[]).await;
    let charges = [("2024-03-15T11:59:59Z", "1"), ("2024-03-15T12:00:00Z", "2"), ("2024-03-15T13:00:00Z", "4")];
    charge_at(harness, &client, &charges).await;
    assert_eq!(client.days("2024-03-15T12:00:00Z", "2024-03-15T13:00:00Z", "UTC").await, [day("2024-03-15", "2", 1)]);
    assert_eq!(client.days("2024-03-15T12:00:00Z", "2024-03-15T12:00:00Z", "UTC").await, []);
    let everything = client.days("1970-01-01T00:00:00Z", "2099-12-31T23:59:59.999Z", "Pacific/Kiritimati").await;
    assert_eq!(everything, [day("2024-03-16", "7", 3)]);
}

pub async fn days_of_23_and_25_hours_are_whole<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[]).await;
    let charges = [
        ("2024-03-30T22:59:59.999Z", "1"),
        ("2024-03-30T23:00:00Z", "2"),
        ("2024-03-31T21:59:59.999Z", "4"),
        ("2024-03-31T22:00:00Z", "8"),
        ("2024-10-26T21:59:59.999Z", "16"),
        ("2024-10-26T22:00:00Z", "32"),
        ("2024-10-27T00:30:00Z", "64"),
        ("2024-10-27T01:30:00Z", "128"),
        ("2024-10-27T22:59:59.999Z", "256"),
        ("2024-10-27T23:00:00Z", "512"),
    ];
    charge_at(harness, &client, &charges).await;
    let expected = [
        day("2024-03-30", "1", 1),
        day("2024-03-31", "6", 2),
        day("2024-04-01", "8", 1),
        day("2024-10-26", "16", 1),
        day("2024-10-27", "480", 4),
        day("2024-10-28", "512", 1),
    ];
    assert_eq!(client.days("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z", "Europe/Berlin").await, expected);
}

pub async fn days_of_zones_off_the_hour_are_exact<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[]).await;
    // Kathmandu is 5:45 ahead, the Chatham Islands 13:45, Adelaide 10:30.
    let charges = [
        ("2024-03-15T10:14:59.999Z", "1"),
        ("2024-03-15T10:15:00Z", "2"),
        ("2024-03-15T13:29:59.999Z", "4"),
        ("2024-03-15T13:30:00Z", "8"),
        ("2024-03-15T18:14:59.999Z", "16"),
        ("2024-03-15T18:15:00Z", "32"),
    ];
    charge_at(harness, &client, &charges).await;
    for (zone, first, second) in
        [("Asia/Kathmandu", "31", "32"), ("Pacific/Chatham", "1", "62"), ("Australia/Adelaide", "7", "56")]
    {
        let days = client.days("2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z", zone).await;
        let sums: Vec<_> = days.iter().map(|(_, sum, _)| sum.as_str()).collect();
        assert_eq!(sums, [first, second], "{zone}");
    }
}

pub async fn a_clock_change_inside_a_quarter_is_told_by_the_entries_where_they_are_kept<F: StoreFactory>(
    harness: &Harness<F>,
) {
    let client = harness.subject("a").await;
    client.plan(&[]).await;
    // St. John's went from 00:01 on 7 November 2010 back to 23:01 on the 6th: 02:31 UTC.
    let charges = [
        ("2010-11-07T02:29:59.999Z", "1"),
        ("2010-11-07T02:30:30Z", "2"),
        ("2010-11-07T02:31:00Z", "4"),
        ("2010-11-07T03:29:59.999Z", "8"),
        ("2010-11-07T03:30:00Z", "16"),
    ];
    charge_at(harness, &client, &charges).await;
    let days = client.days("2010-11-01T00:00:00Z", "2010-12-01T00:00:00Z", "America/St_Johns").await;
    if harness.keeps_entries().await {
        assert_eq!(days, [day("2010-11-06", "13", 3), day("2010-11-07", "18", 2)]);
    } else {
        // The quarter's first instant, 00:00 on the 7th, decides for all of it.
        assert_eq!(days, [day("2010-11-06", "9", 2), day("2010-11-07", "22", 3)]);
    }
}

pub async fn a_deleted_day_is_left_out<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[]).await;
    let charges = [("2024-03-14T12:00:00Z", "1"), ("2024-03-15T12:00:00Z", "2"), ("2024-03-16T12:00:00Z", "4")];
    charge_at(harness, &client, &charges).await;
    assert_eq!(client.delete("2024-03-15T00:00:00Z", "2024-03-16T00:00:00Z").await, 1);
    let days = client.days("2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z", "UTC").await;
    assert_eq!(days, [day("2024-03-14", "1", 1), day("2024-03-16", "4", 1)]);
}
