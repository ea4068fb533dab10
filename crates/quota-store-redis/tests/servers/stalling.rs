//! A server that stops to answer.

use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::FutureExt;
use quota_core::{Detail, Operation};
use quota_service::{PlanStore, UsageStore};

use crate::requests::{
    PLENTY, agreed_usage, allowed, charge_one, client, credits, is_not_done, is_unknown, one, request, used,
};
use crate::servers::private;

/// How long the store waits for a server that is stopped.
const BRIEF: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_server_that_is_silent_past_the_deadline_ends_in_an_error_and_is_used_again_when_it_speaks() {
    let Some((server, place)) = private() else { return };
    let builder = place.builder().with_detail(Detail::Entries);
    let store = builder.with_response_timeout(BRIEF).with_connect_timeout(BRIEF).connect().await.unwrap();
    let patient = place.store(Detail::Entries).await;
    for id in 1..=3_u64 {
        // The server was busy with something else, perhaps; then the account is read anew.
        let charged = charge_one(&patient, "a", &format!("{id}-first")).await;
        assert!(allowed(&charged));
        let status = one(&store, request("a", Operation::Status, PLENTY)).await;
        if status.is_err() {
            continue;
        }
        server.pause();
        let silent = charge_one(&store, "a", &id.to_string()).await;
        assert!(is_unknown(&silent) || is_not_done(&silent), "{silent:?}");
        // Nothing is asked where there is no connection.
        let refused = charge_one(&store, "b", &id.to_string()).await;
        assert!(is_not_done(&refused) || is_unknown(&refused), "{refused:?}");
        assert!(store.total(&client("a"), quota_core::Window::ALL).await.is_err());
        assert!(store.health().await.is_err());
        server.resume();
        // With the id it is charged once, whether or not the commit that nobody answered for was done.
        for name in ["a", "b"] {
            assert!(allowed(&charge_one(&patient, name, &id.to_string()).await));
        }
    }
    // Both see the same, and the store that gave up connects by itself.
    let expected = used(&one(&patient, request("a", Operation::Status, PLENTY)).await);
    assert_eq!(agreed_usage(&patient, "a").await, expected);
    assert!(expected >= credits("3") && expected <= credits("6"));
    let mut tries = 0;
    while charge_one(&store, "a", "last").await.is_err() {
        tries += 1;
        assert!(tries < 100, "the server speaks again");
    }
    assert_eq!(agreed_usage(&patient, "a").await, expected.checked_add(quota_core::Credits::ONE).unwrap());
}

/// As one in a list of futures of which another one is worked on.
#[tokio::test]
async fn who_connects_and_is_not_polled_any_more_keeps_nobody_waiting() {
    let Some((_server, place)) = private() else { return };
    let builder = place.builder().with_detail(Detail::Entries).with_connections(NonZeroUsize::MIN);
    let store = builder.connect().await.unwrap();
    assert!(allowed(&charge_one(&store, "a", "1").await));
    for id in 2..=5 {
        place.tell("CLIENT KILL TYPE normal").await;
        // It is noticed.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let name = client("a");
        let mut left_alone = Box::pin(store.stored_plan(&name));
        assert!(left_alone.as_mut().now_or_never().is_none());
        let charged = tokio::time::timeout(Duration::from_secs(5), charge_one(&store, "a", &id.to_string())).await;
        assert!(allowed(&charged.unwrap()));
        left_alone.await.unwrap();
    }
}
