//! A network that fails between a caller and its server.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use quota_core::{ClientId, Credits, OperationId};
use quota_service::{AnyStore, Charge, Decision, QuotaService, ServiceError};
use quota_testkit::{Cut, Proxy};

use crate::ground::{Ground, agreed, used};

/// However the connection is cut while a charge is under way, before any piece of it or after, the caller gets an error
/// or the answer, and the retry charges exactly once.
pub(crate) fn cut(ground: &Ground) {
    each(ground, |piece| [Cut::Before(piece), Cut::After(piece)]);
}

/// An answer that comes after the deadline is an error, and the retry finds out.
pub(crate) fn late(ground: &Ground) {
    each(ground, |piece| [Cut::Late(piece, Duration::from_secs(3))]);
}

fn each<const N: usize>(ground: &Ground, cuts: impl Fn(usize) -> [Cut; N]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        ground.set_plans(1, "unlimited").await;
        let client = ground.client(0);
        let proxy = Proxy::start(server(ground.url())).await.unwrap();
        let mut url = ground.url().replace(&server(ground.url()).to_string(), &proxy.address().to_string());
        if url.starts_with("mongodb:") {
            // Else the driver goes where the server says that it is.
            url.push_str("?directConnection=true");
        }
        let service = QuotaService::builder(quota_stores::connect(&url).await.unwrap())
            .with_stored_plans()
            .with_deadline(Duration::from_secs(1))
            .build();
        let mut charges = 0;
        let (mut cut_off, mut failed) = (0, 0);
        for piece in 0..MOST_PIECES {
            let mut met = false;
            for cut in cuts(piece) {
                let id = OperationId::new(format!("{charges}")).unwrap();
                proxy.plan(Some(cut));
                let first = charge(&service, &client, &id).await;
                met |= proxy.has_cut();
                failed += usize::from(first.is_err());
                proxy.plan(None);
                charges += 1;
                check(ground, &service, &client, &id, first, charges).await;
            }
            if !met {
                break;
            }
            cut_off += 1;
        }
        assert!(cut_off > 0, "nothing was cut");
        // MongoDB's may find out by another connection what became of a charge.
        assert!(failed > 0 || url.starts_with("mongodb:"), "the caller never learnt of it");
    });
}

/// A charge takes fewer.
const MOST_PIECES: usize = 40;

async fn check(
    ground: &Ground,
    service: &QuotaService<AnyStore>,
    client: &ClientId,
    id: &OperationId,
    first: Result<Decision, ServiceError>,
    charges: u64,
) {
    let before = Credits::new(charges - 1).unwrap();
    // Not by way of the proxy: another process.
    let direct = ground.service().await;
    match &first {
        Ok(decision) => assert!(decision.is_allowed()),
        Err(ServiceError::NotDone { .. } | ServiceError::Plans(_)) => {
            assert_eq!(used(&direct, client).await, before, "certainly not done: {first:?}");
        }
        Err(ServiceError::Unknown { id: known, .. }) => assert_eq!(known.as_ref(), Some(id)),
        Err(error) => panic!("{error:?}"),
    }
    let mut retries = 0;
    while let Err(error) = charge(service, client, id).await {
        retries += 1;
        assert!(retries < 20, "it does not heal: {error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(used(&direct, client).await, Credits::new(charges).unwrap(), "after {first:?}");
    assert!(agreed(&direct, client).await.contains(id.as_str()));
}

async fn charge(
    service: &QuotaService<AnyStore>,
    client: &ClientId,
    id: &OperationId,
) -> Result<Decision, ServiceError> {
    service.charge_with(client, Charge::new(Credits::ONE).with_id(id.clone())).await
}

/// Where a URL's server listens.
fn server(url: &str) -> SocketAddr {
    let (_, rest) = url.split_once("://").unwrap();
    let host = rest.split(['/', '?']).next().unwrap().rsplit('@').next().unwrap();
    host.to_socket_addrs().unwrap().next().unwrap()
}
