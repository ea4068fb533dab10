//! Many at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quota_core::{Credits, Decision, Plan, Window};
use quota_service::{Charge, EntriesQuery, ManualClock, QuotaService, UsageStore};

use crate::{Harness, StoreFactory, Subject, credits, minutes, operation_id, per_day, per_hour, scale, word};

/// Runs `count` tasks and gives their results.
pub(super) async fn all<T: Send + 'static, R: Future<Output = T> + Send + 'static>(
    count: usize,
    task: impl Fn(usize) -> R,
) -> Vec<T> {
    let tasks: Vec<_> = (0..count).map(|number| tokio::spawn(task(number))).collect();
    let mut results = Vec::with_capacity(count);
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

async fn charge_ones<S: UsageStore>(client: Subject<S>, times: usize) -> usize {
    let mut allowed = 0;
    for _ in 0..times {
        match client.charge("1").await {
            "allowed" => allowed += 1,
            "denied" => {}
            other => panic!("{other} after {allowed} that were allowed"),
        }
    }
    allowed
}

pub async fn sixty_four_callers_get_exactly_the_limit<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_hour("1000"), per_day("200")]).await;
    let times = scale(10, 200);
    let admitted = all(64, |_| charge_ones(client.clone(), times)).await;
    assert_eq!(admitted.iter().sum::<usize>(), 200);
    assert_eq!((client.used().await, client.total().await), ("200".into(), "200".into()));
}

pub async fn two_processes_admit_exactly_the_limit<F: StoreFactory>(harness: &Harness<F>) {
    let handles = [harness.subject("a").await, harness.subject("a").await];
    handles[0].plan(&[per_day("100")]).await;
    let times = scale(8, 100);
    let admitted = all(32, |number| charge_ones(handles[number % 2].clone(), times)).await;
    assert_eq!(admitted.iter().sum::<usize>(), 100);
    for client in &handles {
        assert_eq!((client.used().await, client.total().await), ("100".into(), "100".into()));
    }
}

/// Workers whose clocks are up to two hours apart: an hour that one has left is never entered again.
pub async fn clocks_an_hour_apart_open_no_window_twice<F: StoreFactory>(harness: &Harness<F>) {
    let noon = Harness::<F>::noon();
    let mut workers = Vec::new();
    for hours in [0, 60, 120] {
        let clock = ManualClock::new(noon.saturating_sub(minutes(hours)));
        let service = harness.builder().await.with_clock(clock).build();
        workers.push(harness.subject_of(&service, "a"));
    }
    workers[0].plan(&[per_hour("50")]).await;
    let (one, hour) = (workers[2].clone(), ["2024-03-15T10:00:00Z", "2024-03-15T11:00:00Z"]);
    assert_eq!(charge_ones(one.clone(), 60).await, 50, "the first hour is the slowest clock's");
    assert_eq!(workers[0].charge("1").await, "allowed", "the fastest enters its own");
    let times = scale(5, 100);
    let admitted = all(30, |number| charge_ones(workers[number % 3].clone(), times)).await;
    assert_eq!(admitted.iter().sum::<usize>(), 49, "all share the hour of the fastest");
    assert_eq!(one.total_in(hour[0], hour[1]).await, "50");
    assert_eq!(one.total_in(hour[1], "2024-03-15T12:00:00Z").await, "0");
    assert_eq!(one.total().await, "100");
}

pub async fn one_id_from_many_tasks_is_charged_once<F: StoreFactory>(harness: &Harness<F>) {
    let handles = [harness.subject("a").await, harness.subject("a").await];
    handles[0].plan(&[per_day("100")]).await;
    for round in 0..scale(5, 100) {
        let outcomes = all(32, |number| {
            let client = handles[number % 2].clone();
            async move { client.charge_as(&format!("i{round}"), "1").await }
        })
        .await;
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == "allowed").count(), 1, "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == "replayed").count(), 31, "{outcomes:?}");
        assert_eq!(handles[1].total().await, (round + 1).to_string());
    }
}

pub async fn many_clients_at_the_same_time_are_exact<F: StoreFactory>(harness: &Harness<F>) {
    let handles = [harness.service().await, harness.service().await];
    let clients = 40;
    for number in 0..clients {
        harness.subject_of(&handles[0], &format!("c{number}")).plan(&[per_day("7")]).await;
    }
    let times = scale(5, 50);
    let admitted = all(clients * 4, |number| {
        let client = harness.subject_of(&handles[number % 2], &format!("c{}", number / 4));
        charge_ones(client, times)
    })
    .await;
    for (number, admitted) in admitted.chunks(4).enumerate() {
        let client = harness.subject_of(&handles[0], &format!("c{number}"));
        assert_eq!(admitted.iter().sum::<usize>(), 7, "client {number}");
        assert_eq!((client.used().await, client.total().await), ("7".into(), "7".into()));
    }
}

pub async fn setting_plans_while_charging_never_opens_the_gate<F: StoreFactory>(harness: &Harness<F>) {
    let (client, other) = (harness.subject("a").await, harness.subject("a").await);
    client.plan(&[per_day("100")]).await;
    let setter = {
        let other = other.clone();
        tokio::spawn(async move {
            for round in 0..scale(30, 1_000) {
                // The same limit with and without company, so that slots come and go.
                if round % 2 == 0 {
                    other.plan(&[per_hour("1000"), per_day("100")]).await;
                } else {
                    other.plan(&[per_day("100")]).await;
                }
            }
        })
    };
    let charges = all(16, |number| {
        let client = if number % 4 == 0 { other.clone() } else { client.clone() };
        async move {
            let mut allowed = 0;
            for _ in 0..scale(12, 200) {
                match client.service().charge(client.client(), Credits::ONE).await {
                    Ok(Decision::Allowed(_)) => allowed += 1,
                    // With a plan that changes all the time an operation may give up; nothing happened then.
                    Err(quota_service::ServiceError::PlanKeepsChanging) | Ok(_) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            allowed
        }
    })
    .await;
    setter.await.unwrap();
    let mut admitted: usize = charges.iter().sum();
    client.plan(&[per_day("100")]).await;
    admitted += charge_ones(client.clone(), 101).await;
    assert_eq!(admitted, 100);
    assert_eq!((client.used().await, client.total().await), ("100".into(), "100".into()));
}

pub async fn a_client_whose_plan_is_set_all_the_time_is_still_charged<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("1000000")]).await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let setter = {
        let client = client.clone();
        tokio::spawn(async move {
            while stopped.try_recv().is_err() {
                client.plan(&[per_day("1000000")]).await;
                tokio::task::yield_now().await;
            }
        })
    };
    let rounds = scale(30, 1_000);
    for number in 0..rounds {
        assert_eq!(client.charge("1").await, "allowed");
        assert_eq!(client.charge_as(&format!("i{number}"), "1").await, "allowed");
    }
    stop.send(()).unwrap();
    setter.await.unwrap();
    let sum = (2 * rounds).to_string();
    assert_eq!((client.used().await, client.total().await), (sum.clone(), sum));
}

pub async fn holds_and_charges_together_stay_below_the_limit<F: StoreFactory>(harness: &Harness<F>) {
    let handles = [harness.service().await, harness.service().await];
    let client = harness.subject_of(&handles[0], "a");
    client.plan(&[per_day("50")]).await;
    let rounds = scale(4, 60);
    let spent = all(24, |number| {
        let client = harness.subject_of(&handles[number % 2], "a");
        async move {
            let mut spent = 0;
            for round in 0..rounds {
                let id = format!("h{number}.{round}");
                match (number + round) % 3 {
                    0 if client.hold(&id, "3", minutes(5)).await == "allowed" => {
                        assert_eq!(client.settle(&id, "1").await, "allowed");
                        spent += 1;
                    }
                    1 if client.hold(&id, "2", minutes(5)).await == "allowed" => {
                        assert_eq!(client.release(&id).await, "allowed");
                    }
                    2 if client.charge_as(&id, "1").await == "allowed" => {
                        if round % 2 == 0 {
                            assert!(client.void(&id).await);
                        } else {
                            spent += 1;
                        }
                    }
                    _ => {}
                }
            }
            spent
        }
    })
    .await;
    let spent: usize = spent.iter().sum();
    assert!(spent <= 50, "{spent}");
    let (used, held, _) = client.stands().await;
    assert_eq!((used, held, client.total().await), (spent.to_string(), "0".into(), spent.to_string()));
}

pub async fn callers_that_go_away_leave_nothing_half_done<F: StoreFactory>(harness: &Harness<F>) {
    let client = harness.subject("a").await;
    client.plan(&[per_day("1000000")]).await;
    let mut random = fastrand::Rng::with_seed(crate::seed());
    let mut allowed = 0;
    for round in 0..scale(20, 500) {
        let (answered, mut costs) = tokio::sync::mpsc::unbounded_channel();
        let tasks: Vec<_> = (0..16)
            .map(|number| {
                let (client, answered) = (client.clone(), answered.clone());
                tokio::spawn(async move {
                    let charge = Charge::new(Credits::ONE).with_id(operation_id(&format!("i{round}.{number}")));
                    if number % 2 == 0 {
                        let answer = client.service().charge_with(client.client(), charge).await;
                        assert_eq!(word(&answer), "allowed");
                        answered.send(1).unwrap();
                    } else {
                        let guard = client.guard(&format!("h{round}.{number}"), "5", minutes(50)).await;
                        tokio::task::yield_now().await;
                        guard.settle(credits("2")).await.unwrap();
                        answered.send(2).unwrap();
                    }
                })
            })
            .collect();
        drop(answered);
        if round % 5 == 0 {
            // However slow the store is, one at least is answered.
            allowed += costs.recv().await.unwrap_or(0);
        }
        for _ in 0..random.usize(..6) {
            tokio::task::yield_now().await;
        }
        if random.bool() {
            tokio::time::sleep(std::time::Duration::from_micros(random.u64(..2_000))).await;
        }
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        for task in tasks {
            // Ended or cancelled; what it asserted still counts.
            assert!(!task.await.is_err_and(|error| error.is_panic()));
        }
        while let Some(cost) = costs.recv().await {
            allowed += cost;
        }
    }
    client.service().shutdown().await;
    let client = harness.subject("a").await;
    let (used, held, _) = client.stands().await;
    assert_eq!((held.as_str(), &used), ("0", &client.total().await));
    let used: u64 = used.parse().unwrap();
    assert!(0 < allowed && allowed <= used, "{allowed} were answered as allowed, {used} are used");
}

/// Also where something was taken out once: that is long past.
pub async fn usage_is_told_while_a_client_is_charged_all_the_time<F: StoreFactory>(harness: &Harness<F>) {
    let (client, reader) = (harness.subject("a").await, harness.subject("a").await);
    client.plan(&[per_day("1000000")]).await;
    assert_eq!(client.charge_as("mistake", "1").await, "allowed");
    assert!(client.void("mistake").await);
    let ended = Arc::new(AtomicBool::new(false));
    let charging: Vec<_> = (0..4)
        .map(|_| {
            let (client, ended) = (client.clone(), Arc::clone(&ended));
            tokio::spawn(async move {
                let mut allowed = 0;
                while !ended.load(Ordering::Relaxed) {
                    assert_eq!(client.charge("0.000001").await, "allowed");
                    allowed += 1;
                }
                allowed
            })
        })
        .collect();
    let mut seen = Credits::ZERO;
    for _ in 0..scale(10, 60) {
        let total = credits(&reader.total().await);
        let days = reader.days("2024-03-15T00:00:00Z", "2024-03-16T00:00:00Z", "UTC").await;
        let day = days.first().map_or(Credits::ZERO, |(_, sum, _)| credits(sum));
        assert!(seen <= total && total <= day, "{seen}, and then {total} and {day}");
        seen = day;
        let query = EntriesQuery { range: Window::ALL, after: None, limit: 10 };
        reader.service().entries(reader.client(), query).await.unwrap();
    }
    ended.store(true, Ordering::Relaxed);
    let mut allowed = 0;
    for caller in charging {
        allowed += caller.await.unwrap();
    }
    let sum = Credits::from_micros(allowed).unwrap().to_string();
    assert_eq!((reader.used().await, reader.total().await), (sum.clone(), sum));
}

pub async fn deleting_while_charging_counts_each_entry_once<F: StoreFactory>(harness: &Harness<F>) {
    let (client, other) = (harness.subject("a").await, harness.subject("a").await);
    client.plan(&[per_day("1000000")]).await;
    let charging = tokio::spawn(charge_ones(client.clone(), scale(60, 2_000)));
    let mut deleted = 0;
    while !charging.is_finished() {
        deleted += other.delete("2024-03-15T00:00:00Z", "2024-03-16T00:00:00Z").await;
    }
    let charged = u64::try_from(charging.await.unwrap()).unwrap();
    let left = (charged - deleted).to_string();
    assert_eq!((client.used().await, other.total().await), (left.clone(), left));
}

pub async fn one_backfill_from_two_processes_adds_each_entry_once<F: StoreFactory>(harness: &Harness<F>) {
    let handles = [harness.subject("a").await, harness.subject("a").await];
    handles[0].plan(&[per_day("1000000")]).await;
    let done = all(8, |number| {
        let client = handles[number % 2].clone();
        async move {
            let entry = |number: usize| crate::past_entry(&number.to_string(), Harness::<F>::noon(), Credits::ONE);
            client.service().backfill(client.client(), (0..50).map(entry).collect()).await.unwrap()
        }
    })
    .await;
    assert_eq!(done.iter().map(|done| done.added).sum::<u64>(), 50);
    assert_eq!(done.iter().map(|done| done.skipped).sum::<u64>(), 350);
    assert_eq!((handles[0].used().await, handles[1].total().await), ("50".into(), "50".into()));
}

pub async fn concurrent_first_requests_agree<F: StoreFactory>(harness: &Harness<F>) {
    for round in 0..scale(5, 50) {
        let name = format!("c{round}");
        harness.subject(&name).await.plan(&[per_day("5")]).await;
        let services = [harness.service().await, harness.service().await];
        let outcomes = all(20, |number| {
            let client = harness.subject_of(&services[number % 2], &name);
            async move { client.charge("1").await }
        })
        .await;
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == "allowed").count(), 5);
    }
}

pub async fn a_plan_and_what_it_decides_are_of_one_moment<F: StoreFactory>(harness: &Harness<F>) {
    let service = Arc::new(harness.service().await);
    let client = harness.subject_of(&service, "a");
    client.plan(&[per_day("10")]).await;
    let other = harness.service().await;
    for round in 0..scale(20, 300) {
        let limit = if round % 2 == 0 { "0" } else { "1000000" };
        let plan = Plan::new([per_day(limit)]).unwrap();
        let set: QuotaService<_> = other.clone();
        set.set_plan(client.client(), plan).await.unwrap();
        // The plan was answered, so whoever asks now is decided by it.
        let expected = if round % 2 == 0 { "denied" } else { "allowed" };
        let outcomes = all(4, |_| {
            let client = client.clone();
            async move { client.charge("1").await }
        })
        .await;
        assert!(outcomes.iter().all(|outcome| *outcome == expected), "round {round}: {outcomes:?}");
    }
}
