//! Charges and records.

use crate::{Harness, StoreFactory, at, per_day, per_hour, quota};
use quota_core::{Refusal, Unit};
use quota_service::{Charge, ServiceError};

pub async fn a_charge_takes_exactly_its_credits<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge("2.5").await, "allowed");
    assert_eq!(client.charge("0.000001").await, "allowed");
    assert_eq!(client.stands().await, ("2.500001".into(), "0".into(), "7.499999".into()));
    assert_eq!(client.total().await, "2.500001");
}

pub async fn the_exact_limit_is_allowed_and_a_millionth_more_is_denied<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge("10.000001").await, "denied");
    assert_eq!(client.charge("10").await, "allowed");
    assert_eq!(client.charge("0.000001").await, "denied");
    assert_eq!(client.charge("0").await, "allowed");
    assert_eq!(client.used().await, "10");
}

pub async fn a_denied_charge_changes_nothing<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge("8").await, "allowed");
    harness.clock().set(at("2024-03-15T12:30:00Z"));
    assert_eq!(client.charge("3").await, "denied");
    assert_eq!(client.charge_as("denied", "3").await, "denied");
    assert_eq!(client.stands().await, ("8".into(), "0".into(), "2".into()));
    assert_eq!(client.total().await, "8");
    // Nor has the account's time moved: the next entry stands where the clock does.
    harness.clock().set(at("2024-03-15T12:15:00Z"));
    assert_eq!(client.charge("1").await, "allowed");
    assert_eq!(client.total_in("2024-03-15T12:15:00Z", "2024-03-15T12:30:00Z").await, "1");
}

pub async fn a_weighted_denial_leaves_room_for_a_smaller_charge<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.charge("9").await, "allowed");
    for _ in 0..5 {
        assert_eq!(client.charge("5").await, "denied");
    }
    assert_eq!(client.charge("1").await, "allowed");
    assert_eq!(client.charge("1").await, "denied");
    assert_eq!(client.used().await, "10");
}

pub async fn all_quotas_are_charged_or_none<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_hour("100"), per_day("10")]).await;
    assert_eq!(client.charge("7").await, "allowed");
    assert_eq!(client.charge("4").await, "denied");
    let used: Vec<String> = client.status().await.quotas().iter().map(|quota| quota.used().to_string()).collect();
    assert_eq!(used, ["7", "7"]);
}

pub async fn a_charge_of_nothing_is_recorded<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("0")]).await;
    assert_eq!(client.charge("0").await, "allowed");
    assert_eq!(client.charge("0.000001").await, "denied");
    let days = client.days("2024-03-15T00:00:00Z", "2024-03-16T00:00:00Z", "UTC").await;
    assert_eq!(days, [("2024-03-15".into(), "0".into(), 1)]);
}

pub async fn tenths_add_up_exactly<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("0.3")]).await;
    for _ in 0..3 {
        assert_eq!(client.charge("0.1").await, "allowed");
    }
    assert_eq!(client.charge("0.000001").await, "denied");
    assert_eq!(client.total().await, "0.3");
}

pub async fn a_record_may_lead_into_debt_which_ends_with_the_window<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    assert_eq!(client.record("13").await, "allowed");
    assert_eq!(client.stands().await, ("13".into(), "0".into(), "-3".into()));
    assert_eq!(client.charge("0").await, "denied", "not even nothing fits into a debt");
    harness.clock().set(at("2024-03-15T23:59:59.999Z"));
    assert_eq!(client.charge("1").await, "denied");
    harness.clock().set(at("2024-03-16T00:00:00Z"));
    assert_eq!(client.charge("10").await, "allowed");
    assert_eq!(client.total().await, "23");
}

pub async fn an_unlimited_quota_admits_and_counts<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[quota(Unit::Day, 1, "unlimited"), quota(Unit::Month, 1, "1000")]).await;
    assert_eq!(client.charge("900").await, "allowed");
    assert_eq!(client.stands().await, ("900".into(), "0".into(), String::new()));
    assert_eq!(client.charge("101").await, "denied");
}

pub async fn a_plan_without_quotas_admits_and_records<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[]).await;
    assert_eq!(client.charge("1000000").await, "allowed");
    assert_eq!(client.hold("h", "5", crate::minutes(1)).await, "allowed");
    assert_eq!(client.settle("h", "2").await, "allowed");
    assert_eq!(client.total().await, "1000002");
    client.plan(&[per_day("1000002")]).await;
    assert_eq!(client.charge("0.000001").await, "denied");
}

pub async fn sixty_four_quotas_decide_together<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    // The one in the middle is the scarcest.
    let limit = |every| if every == 31 { "5" } else { "100" };
    let quotas: Vec<_> = (1..=64).map(|every| quota(Unit::Hour, every, limit(every))).collect();
    client.plan(&quotas).await;
    assert_eq!(client.charge("5").await, "allowed");
    assert_eq!(client.charge("1").await, "denied");
    let status = client.status().await;
    assert_eq!(status.quotas().as_slice().len(), 64);
    assert!(status.quotas().iter().all(|quota| quota.used() == crate::credits("5")));
    assert_eq!(status.lowest().map(|quota| quota.period().every()), Some(31));
}

pub async fn a_lifetime_sum_beyond_the_bound_is_refused_and_what_is_taken_out_gives_room<F: StoreFactory>(
    harness: &Harness<F>,
) {
    let client = harness.subject("a").await;
    client.plan(&[quota(Unit::Day, 1, "unlimited")]).await;
    assert_eq!(client.charge_as("most", "9223372036854.775806").await, "allowed");
    assert_eq!(client.hold("h", "0.000001", crate::minutes(1)).await, "allowed");
    for _ in 0..2 {
        assert_eq!(client.charge("0.000001").await, "overflow");
        assert_eq!(client.record_as("r", "9223372036854.775807").await, "overflow");
        assert_eq!(client.hold("i", "0.000001", crate::minutes(1)).await, "overflow");
        assert_eq!(client.settle("h", "0.000002").await, "overflow");
        let backfill = vec![crate::past_entry("b", Harness::<F>::noon(), crate::credits("1"))];
        let refused = client.service().backfill(client.client(), backfill).await;
        assert!(matches!(refused, Err(ServiceError::Refused(Refusal::Overflow))), "{refused:?}");
    }
    assert_eq!(client.stands().await, ("9223372036854.775806".into(), "0.000001".into(), String::new()));
    assert!(client.void("most").await);
    assert_eq!(client.charge("1").await, "allowed");
    assert_eq!(client.record("9223372036853.775806").await, "allowed");
    assert_eq!(client.charge("0.000001").await, "overflow");
    assert_eq!(client.delete("2024-03-15T00:00:00Z", "2024-03-16T00:00:00Z").await, 2);
    assert_eq!(client.settle("h", "9223372036854.775807").await, "allowed");
    assert_eq!(client.total().await, "9223372036854.775807");
}

pub async fn an_instant_on_a_boundary_belongs_to_the_window_that_begins<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    harness.clock().set(at("2024-03-15T23:59:59.999Z"));
    assert_eq!(client.charge("10").await, "allowed");
    harness.clock().set(at("2024-03-16T00:00:00Z"));
    assert_eq!(client.used().await, "0");
    assert_eq!(client.charge("10").await, "allowed");
    assert_eq!(client.charge("1").await, "denied");
    assert_eq!(client.total_in("2024-03-15T00:00:00Z", "2024-03-16T00:00:00Z").await, "10");
    assert_eq!(client.total_in("2024-03-16T00:00:00Z", "2024-03-17T00:00:00Z").await, "10");
}

/// What writes nothing moves no account's time: a charge that is a little earlier still finds its window as it was.
pub async fn a_look_from_the_next_window_leaves_this_one_exact<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[quota(Unit::Minute, 1, "10"), per_day("100")]).await;
    for minute in ["2024-03-15T12:00:00Z", "2024-03-15T12:01:00Z", "2024-03-15T12:02:00Z"] {
        harness.clock().set(at(minute));
        assert_eq!(client.charge("6").await, "allowed");
    }
    let used = async || -> Vec<String> {
        client.status().await.quotas().iter().map(|quota| quota.used().to_string()).collect()
    };
    for _ in 0..3 {
        harness.clock().set(at("2024-03-15T12:03:00Z"));
        assert_eq!(used().await, ["0", "18"]);
        assert_eq!(client.charge("11").await, "denied");
        harness.clock().set(at("2024-03-15T12:02:59.999Z"));
        assert_eq!(used().await, ["6", "18"]);
        assert_eq!(client.charge("4.000001").await, "denied");
    }
    assert_eq!(client.charge("4").await, "allowed");
    assert_eq!(used().await, ["10", "22"]);
    harness.clock().set(at("2024-03-15T12:03:00Z"));
    assert_eq!(client.charge("10").await, "allowed");
    assert_eq!(used().await, ["10", "32"]);
}

pub async fn time_never_runs_backwards<F: StoreFactory>(harness: &Harness<F>) {
    let (client, other) = (harness.subject("a").await, harness.subject("a").await);
    client.plan(&[per_day("10")]).await;
    harness.clock().set(at("2024-03-16T00:00:00Z"));
    assert_eq!(client.charge("9").await, "allowed");
    // Another process, whose clock is behind, does not re-open yesterday.
    harness.clock().set(at("2024-03-15T23:00:00Z"));
    assert_eq!(other.charge("2").await, "denied");
    assert_eq!(other.charge("1").await, "allowed");
    assert_eq!(other.used().await, "10");
    assert_eq!(other.total_in("2024-03-15T00:00:00Z", "2024-03-16T00:00:00Z").await, "0");
    let status = other.status().await;
    assert_eq!(status.quotas().as_slice()[0].starts_at(), at("2024-03-16T00:00:00Z"));
}

pub async fn an_unknown_client_is_refused_and_leaves_no_trace<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    for _ in 0..2 {
        assert_eq!(client.charge("1").await, "unknown_client");
        assert_eq!(client.charge_as("i", "1").await, "unknown_client");
        assert_eq!(client.record("1").await, "unknown_client");
        assert_eq!(client.hold("h", "1", crate::minutes(1)).await, "unknown_client");
        assert_eq!(client.extend("h", crate::minutes(1)).await, "unknown_client");
        assert_eq!(client.settle("h", "1").await, "unknown_client");
        assert_eq!(client.release("h").await, "unknown_client");
        assert!(matches!(
            client.service().status(client.client()).await,
            Err(ServiceError::Refused(Refusal::UnknownClient))
        ));
        assert!(!client.void("i").await);
        assert_eq!(client.delete("2024-03-15T00:00:00Z", "2024-03-16T00:00:00Z").await, 0);
        assert_eq!(client.backfill(&[]).await, quota_core::Backfilled::default());
        client.unplan().await;
        assert_eq!(client.total().await, "0");
        assert_eq!(client.days("2024-03-15T00:00:00Z", "2024-03-16T00:00:00Z", "UTC").await, []);
    }
    assert_eq!(super::clients::known(harness).await, Vec::<String>::new());
}

pub async fn an_instant_too_far_ahead_is_refused_and_changes_nothing<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    let ahead = |instant| Charge::new(crate::credits("1")).with_at(at(instant));
    let refused = client.service().charge_with(client.client(), ahead("2024-03-15T12:01:00.001Z")).await;
    assert_eq!(crate::word(&refused), "clock_ahead");
    assert_eq!(client.used().await, "0");
    let allowed = client.service().charge_with(client.client(), ahead("2024-03-15T12:01:00Z")).await;
    assert_eq!(crate::word(&allowed), "allowed");
}

pub async fn an_earlier_instant_of_the_callers_counts_as_the_accounts_latest<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("10")]).await;
    let early = || Charge::new(crate::credits("1")).with_at(at("2024-03-14T12:00:00Z"));
    assert_eq!(crate::word(&client.service().charge_with(client.client(), early()).await), "allowed");
    assert_eq!(client.charge("1").await, "allowed");
    assert_eq!(crate::word(&client.service().charge_with(client.client(), early()).await), "allowed");
    assert_eq!(client.total_in("2024-03-14T00:00:00Z", "2024-03-15T00:00:00Z").await, "1");
    assert_eq!(client.used().await, "2");
}
