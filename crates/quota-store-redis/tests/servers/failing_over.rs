//! A cluster whose primary dies.

use std::sync::Arc;
use std::time::Duration;

use quota_core::{Credits, Detail};

use crate::load::{Load, ask_again, charge_until_allowed};
use crate::requests::{agreed_usage, credits};
use crate::servers::private_cluster;

/// What was acknowledged in the last moments of the primary may be lost: its replica had not heard of it. What is not
/// lost is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_primary_that_dies_is_replaced_and_its_clients_ledgers_agree() {
    let Some((mut server, place)) = private_cluster() else { return };
    let open = async || {
        let builder = place.builder().with_detail(Detail::Entries).with_response_timeout(Duration::from_secs(2));
        Arc::new(builder.connect().await.unwrap())
    };
    let stores = [open().await, open().await];
    // On all three primaries.
    let names: Vec<String> = (0..12).map(|number| format!("client{number}")).collect();
    charge_until_allowed(&stores[0], &names).await;
    let load = Load::begin(&stores, &names);
    tokio::time::sleep(Duration::from_millis(500)).await;
    tokio::task::block_in_place(|| server.nodes_mut()[0].kill());
    charge_until_allowed(&stores[1], &names).await;
    let sent = load.end().await;
    charge_until_allowed(&stores[0], &names).await;
    for (name, ids) in &sent {
        let used = agreed_usage(&stores[0], name).await;
        assert_eq!(agreed_usage(&stores[1], name).await, used);
        // Three were charged without an id, of which a fate that was not known may have made more.
        assert!(used >= Credits::ONE, "{name}: {used}");
        ask_again(&stores[1], name, ids).await;
        let all = agreed_usage(&stores[1], name).await;
        assert!(all >= credits(&(ids.len()).to_string()), "{name}: {all}");
        ask_again(&stores[0], name, ids).await;
        assert_eq!(agreed_usage(&stores[0], name).await, all, "{name}");
    }
}
