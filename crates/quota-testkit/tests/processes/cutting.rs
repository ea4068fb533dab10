//! A network that fails between a caller and its server.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use quota_core::{ClientId, Credits, OperationId};
use quota_servers::{Node, PrivateServer, Server};
use quota_service::{AnyStore, Charge, Decision, QuotaService, ServiceError};
use quota_testkit::{Cut, Proxy, scale};

use crate::asked::{Asked, Told, Trials};
use crate::ground::{Ground, agreed, known, used};
use crate::pieces::is_quick;
use crate::restarting;

/// However the connection is cut while a charge is under way, before any piece of it or after, the caller gets an error
/// or the answer, and the retry charges exactly once.
pub(crate) fn cut(ground: &mut Ground) {
    each(ground, |piece| [Cut::Before(piece), Cut::After(piece)].map(|cut| (cut, Meanwhile::Nothing)));
}

/// An answer that comes after the deadline is an error, and the retry finds out.
pub(crate) fn late(ground: &mut Ground) {
    each(ground, |piece| [(Cut::Late(piece, Duration::from_secs(3)), Meanwhile::Nothing)]);
}

/// A piece that reaches the server only when its caller has given up is done then or not at all, whether or not another
/// process has charged meanwhile (where the server holds an account for it, when it has let that go), and the retry finds
/// out.
pub(crate) fn held(ground: &mut Ground) {
    each(ground, |piece| [Meanwhile::Nothing, Meanwhile::AnotherCharge].map(|meanwhile| (Cut::Held(piece), meanwhile)));
}

/// However the connection is cut while any other operation is under way, what is answered with an error was done whole or
/// not at all, as the error says, and the retry does it exactly once.
pub(crate) fn cut_in_any_operation(ground: &mut Ground) {
    each_operation(ground, &Asked::ALL, |piece| vec![Cut::Before(piece), Cut::After(piece)]);
}

/// The same where the request or its answer comes after the deadline. Each takes so long, so a short run leaves out some, others each
/// time.
pub(crate) fn late_in_any_operation(ground: &mut Ground) {
    let both = |piece| vec![Cut::Late(piece, LATE), Cut::Held(piece)];
    let chosen = move |piece| if scale(0, 1) == 1 { both(piece) } else { vec![both(piece)[fastrand::usize(..2)]] };
    let mut operations = Asked::ALL;
    fastrand::shuffle(&mut operations);
    each_operation(ground, &operations[..scale(7, operations.len())], chosen);
}

/// How long an operation is given that is one of many, and when an answer is late.
const SHORT: Duration = Duration::from_millis(400);
const LATE: Duration = Duration::from_millis(600);

/// What happens while the network fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    AnotherCharge,
}

fn each<const N: usize>(ground: &mut Ground, cuts: impl Fn(usize) -> [(Cut, Meanwhile); N]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        ground.set_plans(1, "unlimited").await;
        let client = ground.client(0);
        let network = Network::before(ground).await;
        let service = QuotaService::builder(quota_stores::connect(&network.url).await.unwrap())
            .with_stored_plans()
            .with_deadline(Duration::from_secs(1))
            .build();
        let mut charges = 0;
        let (mut cut_off, mut failed, mut is_silent) = (0, 0, false);
        for piece in 0..MOST_PIECES {
            let mut met = false;
            for (cut, meanwhile) in cuts(piece) {
                let id = OperationId::new(format!("{charges}")).unwrap();
                is_silent |= keeps_silent(cut);
                network.plan(Some(cut));
                let first = charge(&service, &client, &id).await;
                met |= network.has_cut();
                failed += usize::from(first.is_err());
                network.spare_others();
                if meanwhile == Meanwhile::AnotherCharge {
                    restarting::charge(&ground.service().await, &client, &format!("beside {charges}")).await;
                    charges += 1;
                }
                network.plan(None);
                charges += 1;
                check(ground, &service, &client, &id, first, charges).await;
            }
            if !met {
                break;
            }
            cut_off += 1;
        }
        assert!((1..MOST_PIECES).contains(&cut_off), "{cut_off} pieces were cut");
        assert!(failed > 0 || (!is_silent && may_find_out(&network)), "the caller never learnt of it");
    });
}

fn each_operation(ground: &mut Ground, all: &[Asked], cuts: impl Fn(usize) -> Vec<Cut>) {
    // Elsewhere an operation takes more pieces, and a connection longer: a short run takes every third, from another one for
    // each operation.
    let stride = if is_quick(ground.url()) { 1 } else { 3 };
    let is_cluster = ground.url().starts_with("redis+cluster:");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let network = Network::before(ground).await;
        let store = quota_stores::connect(&network.url).await.unwrap();
        let service = QuotaService::builder(store).with_stored_plans().with_deadline(SHORT).build();
        let mut trials = Trials::new(ground).await;
        let (mut cut_off, mut failed, offset, mut is_silent) = (0, 0, fastrand::usize(..stride), false);
        for (number, asked) in all.iter().enumerate() {
            for piece in ((number + offset) % stride..MOST_PIECES).step_by(stride) {
                let mut met = false;
                for cut in cuts(piece) {
                    let id = trials.begin(*asked).await;
                    is_silent |= keeps_silent(cut);
                    network.plan(Some(cut));
                    let first = trials.ask(&service, *asked, &id).await;
                    met |= network.has_cut();
                    network.plan(None);
                    failed += usize::from(first.is_err());
                    if is_cluster {
                        trials.reopen(ground).await;
                    }
                    check_any(&mut trials, &service, (*asked, &id), &first).await;
                }
                if !met {
                    break;
                }
                cut_off += 1;
            }
        }
        assert!((1..MOST_PIECES * all.len()).contains(&cut_off), "{cut_off} pieces were cut");
        assert!(failed > 0 || (!is_silent && may_find_out(&network)), "the caller never learnt of it");
    });
}

/// Whether a connection is left that says nothing until the caller has given up.
const fn keeps_silent(cut: Cut) -> bool {
    matches!(cut, Cut::Late(..) | Cut::Held(_))
}

/// MongoDB's driver may find out by another connection what became of an operation whose own was cut.
fn may_find_out(network: &Network) -> bool {
    network.url.starts_with("mongodb:")
}

/// A charge takes fewer.
pub(crate) const MOST_PIECES: usize = 40;

/// Proxies, all of which fail alike, before a server or before the primaries of a cluster.
pub(crate) struct Network {
    proxies: Vec<Proxy>,
    /// By way of them.
    pub(crate) url: String,
}

impl Network {
    pub(crate) async fn before(ground: &mut Ground) -> Self {
        let choices = ground.choices().to_owned();
        if let Some(cluster) = ground.server.as_mut().filter(|server| server.server() == Server::RedisCluster) {
            return Self::before_cluster(cluster, &choices).await;
        }
        let proxy = Proxy::start(server(ground.url())).await.unwrap();
        let mut url = ground.url().replace(&server(ground.url()).to_string(), &proxy.address().to_string());
        if url.starts_with("mongodb:") {
            // Else the driver goes where the server says that it is.
            url.push_str("?directConnection=true");
        }
        Self { proxies: vec![proxy], url }
    }

    /// Nodes tell clients where each of them is: they have to tell the proxies' ports. Replicas would go by these too, and
    /// are ended.
    async fn before_cluster(cluster: &mut PrivateServer, choices: &str) -> Self {
        let is_primary = |node: &Node| node.ask_redis("INFO replication").unwrap().contains("role:master");
        cluster.nodes_mut().iter_mut().filter(|node| !is_primary(node)).for_each(Node::kill);
        let primaries: Vec<&Node> = cluster.nodes().iter().filter(|node| node.pid().is_some()).collect();
        let mut proxies = Vec::new();
        for node in &primaries {
            let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], node.port()))).await.unwrap();
            let announce = format!("CONFIG SET cluster-announce-port {}", proxy.address().port());
            assert_eq!(node.ask_redis(&announce).unwrap(), "OK");
            proxies.push(proxy);
        }
        // Each has to have heard it from the others.
        for node in &primaries {
            let tells = |port: u16| node.ask_redis("CLUSTER NODES").unwrap().contains(&format!("127.0.0.1:{port}@"));
            while primaries.iter().any(|other| tells(other.port())) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        // From now on a busy one is not taken for dead.
        for node in &primaries {
            assert_eq!(node.ask_redis("CONFIG SET cluster-node-timeout 60000").unwrap(), "OK");
        }
        let addresses: Vec<String> = proxies.iter().map(|proxy| proxy.address().to_string()).collect();
        Self { proxies, url: format!("redis+cluster://{}{choices}", addresses.join(",")) }
    }

    pub(crate) fn plan(&self, cut: Option<Cut>) {
        self.proxies.iter().for_each(|proxy| proxy.plan(cut));
    }

    /// What has not failed yet does not fail any more: in a cluster others go by the proxies as well.
    pub(crate) fn spare_others(&self) {
        self.proxies.iter().filter(|proxy| !proxy.has_cut()).for_each(|proxy| proxy.plan(None));
    }

    pub(crate) fn has_cut(&self) -> bool {
        self.proxies.iter().any(Proxy::has_cut)
    }
}

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
    assert_eq!(agreed(&direct, client).await.to_string(), charges.to_string());
    assert_eq!(known(&direct, client, [id]).await.len(), 1, "it is not there");
}

#[expect(clippy::print_stderr, reason = "what was seen")]
async fn check_any(
    trials: &mut Trials,
    service: &QuotaService<AnyStore>,
    (asked, id): (Asked, &OperationId),
    first: &Result<Told, ServiceError>,
) {
    eprintln!("{asked:?} {id}: {first:?}");
    match first {
        Ok(told) => {
            assert!(*told == Told::Done || !asked.takes_away(), "{asked:?}: nothing was there, although it was");
            assert!(trials.is_done(asked, id).await, "{asked:?}: done, and not there");
        }
        Err(ServiceError::Unknown { id: known, .. }) => assert_eq!(known.as_ref(), asked.has_id().then_some(id)),
        Err(error) if is_not_done(error) => {
            assert!(!trials.is_done(asked, id).await, "{asked:?}: certainly not done: {error:?}");
        }
        Err(error) => panic!("{asked:?}: {error:?}"),
    }
    let (began, mut retries) = (Instant::now(), 0);
    let again = loop {
        match trials.ask(service, asked, id).await {
            Ok(told) => break told,
            Err(error) => {
                assert!(is_not_done(&error) || matches!(error, ServiceError::Unknown { .. }), "{asked:?}: {error:?}");
                assert!(began.elapsed() < HEALED_WITHIN, "{asked:?}: it does not heal: {error:?}");
                retries += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    // Another retry may have done it.
    if retries == 0 && asked.tells_again() {
        match first {
            Ok(_) => assert_eq!(again, Told::Nothing, "{asked:?}: done twice"),
            Err(error) if is_not_done(error) => assert_eq!(again, Told::Done, "{asked:?}: it was there: {error:?}"),
            Err(_) => {}
        }
    }
    assert!(trials.is_done(asked, id).await, "{asked:?}: asked again it is not there, after {first:?}");
    trials.end(asked, id).await;
}

/// Longer than servers take to take away what a connection has locked that is gone.
const HEALED_WITHIN: Duration = Duration::from_secs(60);

/// Whether it says that certainly nothing was done.
const fn is_not_done(error: &ServiceError) -> bool {
    matches!(error, ServiceError::NotDone { .. } | ServiceError::DeadlineQueued | ServiceError::Plans(_))
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
