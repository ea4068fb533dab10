//! A batch on its way to the store.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use quota_core::{Answer, Decision};
use tokio::time::Instant;

use crate::error::cause;
use crate::instruments::Instruments;
use crate::lanes::Reply;
use crate::plan_set::{PlanSet, bring_up_to_date, plans_of};
use crate::queue::{InFlight, Waiter, Waiting};
use crate::receipt::Receipt;
use crate::store::{Request, UsageStore};
use crate::store_error::StoreError;

/// Has a batch applied, delivers its answers to those who wait in `flight` and gives the plans that it set.
pub(crate) async fn fly<S: UsageStore>(
    store: &S,
    mut batch: Vec<Request>,
    flight: &InFlight,
    just_set: &[PlanSet],
    instruments: &Instruments,
) -> Vec<PlanSet> {
    bring_up_to_date(&mut batch, just_set);
    let setting = plans_of(&batch);
    let receipt = Receipt::awaited_by(flight);
    let begun = Instant::now();
    let size = batch.len();
    let applied = AssertUnwindSafe(async { store.apply_with_receipt(batch, &receipt).await }).catch_unwind().await;
    // A recorder that panics keeps nobody from its answer.
    let _ = std::panic::catch_unwind(AssertUnwindSafe(|| instruments.batch(size, begun.elapsed())));
    let waiting = std::mem::take(&mut *flight.lock());
    match applied {
        Ok(answers) => {
            let set = setting.into_iter().filter(|set| matches!(answers.get(set.place), Some(Ok(_)))).collect();
            if deliver(waiting, answers) {
                receipt.confirm();
            }
            set
        }
        Err(_) => {
            tracing::error!("the store panicked: what became of its batch is not known");
            abandon(waiting);
            Vec::new()
        }
    }
}

/// Dropping who waits tells them that it is not known what became of their batch.
pub(crate) fn abandon(waiting: Vec<Waiting>) {
    for waiting in waiting {
        match waiting {
            Some(Waiter { seed: Some(seed), .. }) => Arc::clone(&seed.ender).lost(*seed),
            Some(_) => {}
            None => tracing::warn!("a hold may not be released, and is left to its ttl"),
        }
    }
}

/// Whether all were received, by those who still want them.
fn deliver(waiting: Vec<Waiting>, answers: Vec<Result<Answer, StoreError>>) -> bool {
    let mut are_received = answers.len() == waiting.len();
    for (waiting, answer) in waiting.into_iter().zip(answers) {
        let Some(Waiter { seed, replying }) = waiting else {
            log_release(&answer);
            continue;
        };
        let guard = seed.and_then(|seed| match &answer {
            Ok(Answer::Decision(decision @ Decision::Allowed(_))) => Some(Box::new(seed.unreceived(decision.clone()))),
            Err(StoreError::Unknown { .. }) => {
                Arc::clone(&seed.ender).lost(*seed);
                None
            }
            _ => None,
        });
        // Who is told that it is not known may ask again.
        are_received &= !matches!(answer, Err(StoreError::Unknown { .. }));
        are_received &= replying.answer(Reply { answer, guard });
    }
    are_received
}

/// A hold that is gone already was settled, released or has expired; another failure leaves it to its ttl.
pub(crate) fn log_release(answer: &Result<Answer, StoreError>) {
    match answer {
        Ok(_) | Err(StoreError::Refused(_)) => {}
        Err(error) => {
            tracing::warn!(error = cause(error), "a hold was not released and is left to its ttl");
        }
    }
}
