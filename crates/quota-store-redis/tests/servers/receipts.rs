//! Callers who give no ids, are told that it is not known, and ask again by the id that was made for them.

use std::time::Duration;

use futures_util::future::join_all;
use quota_core::{Credits, Detail, Window};
use quota_service::{AnyStore, Charge, PlanRegistry, QuotaService, ServiceError, UsageStore};

use crate::requests::{PLENTY, client, per_year};
use crate::servers::Place;

const CALLERS: usize = 24;
const CHARGES: usize = 60;

/// Shorter than many charges take, and longer than others.
const DEADLINES: [Duration; 3] = [Duration::from_micros(500), Duration::from_millis(2), Duration::from_millis(8)];

/// Pays one credit, and asks those who wait for longer where it is not known; whether that was so.
async fn pay(hasty: &QuotaService<AnyStore>, patient: &QuotaService<AnyStore>, name: &str) -> bool {
    let client = client(name);
    loop {
        match hasty.charge(&client, Credits::ONE).await {
            Ok(decision) => {
                assert!(decision.is_allowed());
                return false;
            }
            Err(ServiceError::DeadlineQueued | ServiceError::NotDone { .. }) => {}
            Err(ServiceError::Unknown { id: Some(made), .. }) => {
                let again = Charge::new(Credits::ONE).with_id(made);
                assert!(patient.charge_with(&client, again).await.unwrap().is_allowed());
                return true;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_told_that_it_is_not_known_pays_once() {
    let Some(place) = Place::shared() else { return };
    let plans = PlanRegistry::new().with_default((*per_year(PLENTY)).clone());
    let store = AnyStore::new(place.store(Detail::Quarters).await);
    let over =
        |deadline| QuotaService::builder(store.clone()).with_registry(plans.clone()).with_deadline(deadline).build();
    let patient = over(Duration::from_secs(60));
    let mut unknown = 0;
    for hasty in DEADLINES.map(over) {
        let calls = (0..CALLERS).map(|caller| {
            let (hasty, patient) = (hasty.clone(), patient.clone());
            tokio::spawn(async move {
                let mut unknown = 0;
                for _ in 0..CHARGES {
                    unknown += usize::from(pay(&hasty, &patient, ["a", "b", "c"][caller % 3]).await);
                }
                unknown
            })
        });
        unknown += join_all(calls).await.into_iter().map(Result::unwrap).sum::<usize>();
    }
    assert!(unknown > 0, "nobody was late");
    for name in ["a", "b", "c"] {
        let paid = store.total(&client(name), Window::ALL).await.unwrap();
        let wanted = CALLERS / 3 * CHARGES * DEADLINES.len();
        assert_eq!(paid.to_string(), wanted.to_string(), "{unknown} were late");
    }
}
