//! A server whose memory is full.

use std::time::Duration;

use quota_core::{Credits, Detail, Operation};
use quota_service::UsageStore;

use crate::requests::{
    Answered, PLENTY, agreed_usage, allowed, charge, charge_as, charge_one, credits, is_not_done, is_unknown, one,
    request, used,
};
use crate::servers::{Place, private, shown};

#[tokio::test]
async fn a_full_memory_refuses_commits_whole_and_takes_them_again_when_there_is_room() {
    let Some((_server, place)) = private() else { return };
    for (known, new, detail, waits) in
        [("a", "b", Detail::Entries, 0), ("c", "d", Detail::Quarters, 0), ("e", "f", Detail::Quarters, 1)]
    {
        let place = Place::at(place.url.clone());
        // Replicas that are waited for are not there: what is written is not known to be safe.
        let builder = place.builder().with_detail(detail).with_wait(waits, Duration::from_millis(1));
        let store = builder.connect().await.unwrap();
        let charged = |answer: &Answered| if waits > 0 { is_unknown(answer) } else { allowed(answer) };
        assert!(charged(&charge_one(&store, known, "1").await));
        place.tell("CONFIG SET maxmemory 1").await;
        // A client with an account, one without, and several charges of one client.
        for names in [vec![known], vec![new], vec![known, known, new, new]] {
            let batch: Vec<_> = names.iter().map(|name| request(name, charge_as("2", "1"), PLENTY)).collect();
            for answer in store.apply(batch).await {
                assert!(is_not_done(&answer), "{answer:?}");
                let text = shown(answer.as_ref().unwrap_err());
                assert!(text.contains("OOM") && text.contains("the server refused the command"), "{text}");
            }
        }
        assert!(is_not_done(&one(&store, request(known, charge("1"), PLENTY)).await));
        assert!(store.health().await.is_err(), "it cannot charge");
        // It tells what it knows all the same, and denies.
        assert_eq!(used(&one(&store, request(known, Operation::Status, PLENTY)).await), Credits::ONE);
        assert!(!allowed(&one(&store, request(known, charge("3"), "3")).await));
        place.tell("CONFIG SET maxmemory 0").await;
        for name in [known, new] {
            assert!(charged(&charge_one(&store, name, "2").await), "the id was not used");
        }
        assert_eq!(agreed_usage(&store, known).await, credits("2"));
        assert_eq!(agreed_usage(&store, new).await, Credits::ONE);
        store.health().await.unwrap();
    }
}
