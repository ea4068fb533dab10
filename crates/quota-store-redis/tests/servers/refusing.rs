//! A server whose memory is full.

use quota_core::{Credits, Detail, Operation};
use quota_service::UsageStore;

use crate::requests::{
    PLENTY, agreed_usage, allowed, charge, charge_as, charge_one, credits, is_not_done, one, request, used,
};
use crate::servers::{private, shown};

#[tokio::test]
async fn a_full_memory_refuses_commits_whole_and_takes_them_again_when_there_is_room() {
    let Some((_server, place)) = private() else { return };
    for (known, new, detail) in [("a", "b", Detail::Entries), ("c", "d", Detail::Quarters)] {
        let store = place.store(detail).await;
        assert!(allowed(&charge_one(&store, known, "1").await));
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
            assert!(allowed(&charge_one(&store, name, "2").await), "the id was not used");
        }
        assert_eq!(agreed_usage(&store, known).await, credits("2"));
        assert_eq!(agreed_usage(&store, new).await, Credits::ONE);
        store.health().await.unwrap();
    }
}
