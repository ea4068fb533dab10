//! What callers learn, and what stands, when a store is slow or fails.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use quota_core::{Credits, Decision, OperationId, Refusal};
use quota_service::{Charge, Holding, OnStoreError, QuotaServiceBuilder, ServiceError, Ttl, UsageStore};

use crate::gated::{Gate, Gated, Keeper};
use crate::{Harness, StoreFactory, Subject, credits, operation_id, per_day, scale, word};

/// For services whose store is held back until it passes; only the harness's own lets a loaded machine's store answer.
const DEADLINE: Duration = Duration::from_millis(900);

type Slow<F> = Gated<<F as StoreFactory>::Store>;

/// A client with 10 a day on a store behind a gate, whose service was changed by `set_up`.
async fn gated<F: StoreFactory>(
    harness: &Harness<F>,
    set_up: impl FnOnce(QuotaServiceBuilder<Slow<F>>) -> QuotaServiceBuilder<Slow<F>>,
) -> (Subject<Slow<F>>, Arc<Keeper>) {
    let (store, keeper) = Gated::new(harness.store().await);
    let service = set_up(harness.builder_over(store)).build();
    // Past the gate, and past its deadline.
    harness.subject("a").await.plan(&[per_day("10")]).await;
    (harness.subject_of(&service, "a"), keeper)
}

/// Polls an operation once, which queues it where the service knows the client's plan. It is withdrawn with what is
/// returned.
fn begun<T>(operation: impl Future<Output = T> + Send) -> Pin<Box<impl Future<Output = T> + Send>> {
    let mut operation = Box::pin(operation);
    assert!((&mut operation).now_or_never().is_none(), "the gate holds it back");
    operation
}

fn charge_of(id: &str) -> Charge {
    Charge::new(credits("4")).with_id(operation_id(id))
}

pub async fn a_deadline_tells_what_was_queued_from_what_was_sent<F: StoreFactory>(harness: &Harness<F>) {
    let (client, keeper) = gated(harness, |builder| builder.with_deadline(DEADLINE)).await;
    let patient = harness.subject("a").await;
    assert_eq!(patient.charge("1").await, "allowed");
    keeper.set(Gate::HeldBefore);
    let sent = {
        let client = client.clone();
        tokio::spawn(async move { client.service().charge_with(client.client(), charge_of("sent")).await })
    };
    keeper.held(1).await;
    let queued = client.service().charge_with(client.client(), charge_of("queued")).await;
    assert!(matches!(queued, Err(ServiceError::DeadlineQueued)), "{queued:?}");
    let sent = sent.await.unwrap();
    let Err(ServiceError::Unknown { id: Some(id), .. }) = &sent else { panic!("{sent:?}") };
    assert_eq!(id.as_str(), "sent");
    keeper.set(Gate::Open);
    // A retry with the id finds out, and takes nothing twice. It queues behind what was held.
    let mut retry = client.service().charge_with(client.client(), charge_of("sent")).await;
    while matches!(retry, Err(ServiceError::Unknown { .. } | ServiceError::DeadlineQueued)) {
        retry = client.service().charge_with(client.client(), charge_of("sent")).await;
    }
    assert_eq!(word(&retry), "replayed");
    assert_eq!((patient.used().await, patient.total().await), ("5".into(), "5".into()));
    assert!(!patient.void("queued").await, "what was withdrawn was never sent");
}

pub async fn an_unknown_charge_without_an_id_is_given_one<F: StoreFactory>(harness: &Harness<F>) {
    let (client, keeper) = gated(harness, |builder| builder).await;
    for (gate, expected, used) in [(Gate::UnknownDone, "replayed", "1"), (Gate::UnknownUndone, "allowed", "2")] {
        assert_eq!(client.status().await.quotas().as_slice().len(), 1);
        keeper.set(gate);
        let unknown = client.service().charge(client.client(), Credits::ONE).await;
        let Err(ServiceError::Unknown { id: Some(id), .. }) = unknown else { panic!("{unknown:?}") };
        keeper.set(Gate::Open);
        assert_eq!(client.charge_as(id.as_str(), "1").await, expected);
        assert_eq!((client.used().await, client.total().await), (used.into(), used.into()));
    }
}

pub async fn a_caller_who_goes_away_withdraws_what_is_queued_and_not_what_was_sent<F: StoreFactory>(
    harness: &Harness<F>,
) {
    let (client, keeper) = gated(harness, |builder| builder).await;
    assert_eq!(client.charge("1").await, "allowed");
    keeper.set(Gate::HeldBefore);
    let charge = |id| client.service().charge_with(client.client(), charge_of(id));
    let sent = begun(charge("sent"));
    keeper.held(1).await;
    let queued = begun(charge("queued"));
    let hold = begun(client.hold("queued hold", "1", Duration::from_secs(60)));
    drop((sent, queued, hold));
    keeper.set(Gate::Open);
    assert_eq!(client.stands().await, ("5".into(), "0".into(), "5".into()));
    assert_eq!(client.charge_as("sent", "4").await, "replayed");
    assert!(!client.void("queued").await);
}

pub async fn a_hold_whose_caller_went_away_is_released<F: StoreFactory>(harness: &Harness<F>) {
    let (client, keeper) = gated(harness, |builder| builder).await;
    for gate in [Gate::HeldBefore, Gate::HeldAfter] {
        assert_eq!(client.charge("1").await, "allowed");
        keeper.set(gate);
        let hold = {
            let client = client.clone();
            tokio::spawn(async move {
                let charge = Charge::new(credits("8"));
                client.service().hold(client.client(), charge, Ttl::DEFAULT).await.map(|_| ())
            })
        };
        keeper.held(1).await;
        hold.abort();
        let _ = hold.await;
        keeper.set(Gate::Open);
        keeper.held(0).await;
        // The release is queued when the answer is delivered to nobody; this comes after it, or the next does.
        let mut held = client.held().await;
        for _ in 0..100 {
            if held == "0" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            held = client.held().await;
        }
        assert_eq!(held, "0", "{gate:?}");
    }
}

pub async fn a_shutdown_stores_what_is_queued_and_takes_nothing_more<F: StoreFactory>(harness: &Harness<F>) {
    let (client, keeper) = gated(harness, |builder| builder).await;
    assert_eq!(client.charge("1").await, "allowed");
    keeper.set(Gate::HeldBefore);
    let ask = || begun(client.charge("1"));
    let mut asked = vec![ask()];
    keeper.held(1).await;
    asked.extend((0..5).map(|_| ask()));
    let shutdown = begun(client.service().shutdown());
    let late = client.service().charge(client.client(), Credits::ONE).await;
    assert!(matches!(late, Err(ServiceError::ShutDown)), "{late:?}");
    keeper.set(Gate::Open);
    shutdown.await;
    assert_eq!(join_all(asked).await, ["allowed"; 6]);
    let again = harness.subject("a").await;
    assert_eq!((again.used().await, again.total().await), ("7".into(), "7".into()));
}

pub async fn a_full_queue_refuses_and_does_nothing<F: StoreFactory>(harness: &Harness<F>) {
    let (client, keeper) = gated(harness, |builder| builder.with_queue_size(2)).await;
    assert_eq!(client.charge("1").await, "allowed");
    keeper.set(Gate::HeldBefore);
    let ask = || begun(client.charge("1"));
    let mut asked = vec![ask()];
    keeper.held(1).await;
    asked.extend((0..2).map(|_| ask()));
    let refused = client.service().charge(client.client(), Credits::ONE).await;
    assert!(matches!(refused, Err(ServiceError::Overloaded)), "{refused:?}");
    keeper.set(Gate::Open);
    assert_eq!(join_all(asked).await, ["allowed"; 3]);
    assert_eq!(client.used().await, "4");
}

pub async fn a_store_that_panics_leaves_the_next_batch_alone<F: StoreFactory>(harness: &Harness<F>) {
    let (client, keeper) = gated(harness, |builder| builder).await;
    assert_eq!(client.charge("1").await, "allowed");
    keeper.set(Gate::Panics);
    let lost = client.service().charge_with(client.client(), charge_of("lost")).await;
    assert!(matches!(lost, Err(ServiceError::Unknown { id: Some(_), .. })), "{lost:?}");
    keeper.set(Gate::Open);
    assert_eq!(client.charge_as("lost", "4").await, "allowed");
}

pub async fn a_store_failure_is_an_error_and_nothing_is_charged<F: StoreFactory>(harness: &Harness<F>) {
    let (client, keeper) = gated(harness, |builder| builder).await;
    assert_eq!(client.charge("1").await, "allowed");
    keeper.set(Gate::NotDone);
    let (service, id) = (client.service(), client.client());
    let not_done = |error: ServiceError| matches!(error, ServiceError::NotDone { .. });
    assert!(not_done(service.charge(id, Credits::ONE).await.unwrap_err()));
    assert!(not_done(service.charge_with(id, charge_of("i")).await.unwrap_err()));
    assert!(not_done(service.record(id, charge_of("i")).await.unwrap_err()));
    assert!(not_done(service.hold(id, charge_of("i"), Ttl::DEFAULT).await.unwrap_err()));
    assert!(not_done(service.status(id).await.unwrap_err()));
    assert!(not_done(service.void(id, &operation_id("i")).await.unwrap_err()));
    assert!(not_done(service.total_usage(id, quota_core::Window::ALL).await.unwrap_err()));
    assert!(not_done(service.health().await.unwrap_err()));
    // A plan that cannot be read is a failure too, never an unknown client.
    let stranger = harness.subject_of(service, "stranger");
    let refused = service.charge(stranger.client(), Credits::ONE).await;
    assert!(matches!(refused, Err(ServiceError::Plans(_))), "{refused:?}");
    keeper.set(Gate::Open);
    assert_eq!(client.stands().await, ("1".into(), "0".into(), "9".into()));
    assert_eq!(client.total().await, "1");
}

pub async fn only_store_failures_open_a_service_that_fails_open<F: StoreFactory>(harness: &Harness<F>) {
    let open = |builder: QuotaServiceBuilder<Slow<F>>| builder.with_on_store_error(OnStoreError::FailOpen);
    let (client, keeper) = gated(harness, open).await;
    let (hasty, hasty_keeper) = gated(harness, |builder| open(builder).with_deadline(DEADLINE)).await;
    let (service, id) = (client.service(), client.client());
    assert_eq!(client.charge_as("i", "4").await, "allowed");
    for (gate, service, keeper) in [
        (Gate::NotDone, service, &keeper),
        (Gate::UnknownUndone, service, &keeper),
        (Gate::Panics, service, &keeper),
        (Gate::HeldBefore, hasty.service(), &hasty_keeper),
    ] {
        keeper.set(gate);
        let decision = service.charge(id, Credits::ONE).await;
        assert!(matches!(decision, Ok(Decision::Unchecked)), "{gate:?}: {decision:?}");
        assert!(decision.is_ok_and(|decision| decision.quotas().is_none()));
        // What is still held is not done either.
        keeper.set(Gate::NotDone);
    }
    let held = service.hold(id, Charge::new(credits("3")), Ttl::DEFAULT).await.unwrap();
    let Holding::Unchecked(guard) = held else { panic!("{held:?}") };
    keeper.set(Gate::Open);
    // The store answers again: the cost is recorded.
    guard.settle(credits("2")).await.unwrap();
    assert_eq!(client.charge_as("i", "5").await, "id_conflict");
    assert_eq!(client.charge("9").await, "denied");
    assert_eq!(client.record("9223372036854.775807").await, "overflow");
    assert_eq!(harness.subject_of(service, "stranger").charge("1").await, "unknown_client");
    let refused = service.extend(id, &operation_id("h"), Ttl::DEFAULT).await;
    assert!(matches!(refused, Err(ServiceError::Refused(Refusal::HoldNotActive { .. }))), "{refused:?}");
}

/// So often somebody in a hurry tries.
const PATIENCE: usize = 6;

/// Pays one credit in a hurry. Who is told that it is not known asks another process by the id that was made, while the first try may still be
/// on its way.
async fn pay<S: UsageStore>(hasty: &Subject<S>, patient: &Subject<S>) {
    let (mut made, mut asked) = (None, hasty);
    for tries in 0.. {
        if tries == PATIENCE {
            // What is too slow for the plan to be told in time.
            asked = patient;
        }
        let charge = Charge::new(Credits::ONE);
        let charge = match &made {
            Some(id) => charge.with_id(OperationId::clone(id)),
            None => charge,
        };
        match asked.service().charge_with(asked.client(), charge).await {
            Ok(decision) => return assert!(decision.is_allowed(), "{decision:?}"),
            Err(ServiceError::Unknown { id, .. }) => {
                made = made.or(id);
                if made.is_some() {
                    asked = patient;
                }
            }
            Err(ServiceError::DeadlineQueued | ServiceError::NotDone { .. } | ServiceError::Plans(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

pub async fn who_asks_another_process_again_pays_once<F: StoreFactory>(harness: &Harness<F>) {
    let patient = harness.subject("a").await;
    patient.plan(&[per_day("100000")]).await;
    let (callers, times) = (8, scale(4, 60));
    let mut paid = 0;
    for micros in [1_000, 3_000, 10_000, 30_000] {
        let service = harness.builder().await.with_deadline(Duration::from_micros(micros)).build();
        let hasty = harness.subject_of(&service, "a");
        let paying = (0..callers).map(|_| {
            let (hasty, patient) = (hasty.clone(), patient.clone());
            tokio::spawn(async move {
                for _ in 0..times {
                    pay(&hasty, &patient).await;
                }
            })
        });
        for paying in paying.collect::<Vec<_>>() {
            paying.await.unwrap();
        }
        service.shutdown().await;
        paid += callers * times;
        assert_eq!((patient.used().await, patient.total().await), (paid.to_string(), paid.to_string()), "{micros}");
    }
}
